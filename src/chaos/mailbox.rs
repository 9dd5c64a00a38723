//! Receives the messages to people: a webhook on this machine, which counts them by recipient and alert. Some it
//! refuses, and some it takes and answers as if it had not, so that they come again.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use serde::Deserialize;

use super::ChaosError;
use super::lock::lock;
use super::serving::Serving;
use crate::config::{NotifyConfig, WebhookConfig};

/// The name of the webhook in settings and rules.
const NAME: &str = "chaos";
/// How many people there are: each has its messages in order, and all of one person are in one partition.
const PEOPLE: usize = 12;
/// One in so many messages is refused, and one in so many is taken and answered as if it were not.
const TROUBLE: u64 = 12;
/// Pauses before another attempt, in milliseconds: short, so that a run ends.
const RETRY_MS: (u64, u64) = (200, 2_000);
/// More days than there are between the fed observations and today.
const DAYS: u32 = 1_000_000;

/// A message: the recipient and the id of the alert.
pub(super) type Letter = (String, String);

/// The running webhook; it stops when this is dropped.
pub(super) struct Mailbox {
    port: u16,
    shared: Arc<Shared>,
    _serving: Serving,
}

struct Shared {
    /// How many times each has come.
    letters: Mutex<BTreeMap<Letter, u32>>,
    random: Mutex<fastrand::Rng>,
}

#[derive(Deserialize)]
struct Body {
    recipient: String,
    alert_id: String,
}

impl Mailbox {
    pub(super) fn start(seed: u64) -> Result<Self, ChaosError> {
        let shared = Arc::new(Shared {
            letters: Mutex::default(),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        });
        let there = web::Data::from(Arc::clone(&shared));
        let (serving, port) = Serving::start("the receiver of messages", move || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            let port = listener.local_addr()?.port();
            let app = move || App::new().app_data(there.clone()).default_service(web::post().to(take));
            let server = HttpServer::new(app).workers(1).shutdown_timeout(1).disable_signals();
            actix::spawn(server.listen(listener)?.run());
            Ok(port)
        })?;
        Ok(Self { port, shared, _serving: serving })
    }

    /// The settings with which daemons send messages here, however old the observation is.
    pub(super) fn notify(&self) -> NotifyConfig {
        let webhook = WebhookConfig {
            url: format!("http://{}:{}/", Ipv4Addr::LOCALHOST, self.port).as_str().into(),
            body: r#"{"recipient":"{recipient}","alert_id":"{alert_id}"}"#.into(),
            allow_private: true,
            ..WebhookConfig::default()
        };
        NotifyConfig {
            max_age_days: DAYS,
            retry_first_ms: RETRY_MS.0,
            retry_max_ms: RETRY_MS.1,
            webhooks: BTreeMap::from([(NAME.to_owned(), webhook)]),
            ..NotifyConfig::default()
        }
    }

    /// The messages that have come so far, and how often each.
    pub(super) fn letters(&self) -> BTreeMap<Letter, u32> {
        lock(&self.shared.letters).clone()
    }

    /// Forgets what has come: the alerts that it belongs to are gone.
    pub(super) fn clear(&self) {
        lock(&self.shared.letters).clear();
    }
}

/// A rule file with these rules, each of which notifies one of the people.
pub(super) fn with_people(rules: &str) -> String {
    let people = (0..PEOPLE)
        .map(|number| format!("[[subscriber]]\nid = \"person-{number}\"\nwebhook = \"{NAME}\"\n\n"));
    let mut text: String = people.collect();
    for (number, rule) in rules.split_inclusive("[[rule]]\n").enumerate() {
        text.push_str(rule);
        if rule.ends_with("[[rule]]\n") {
            text.push_str(&format!("subscribers = [\"person-{}\"]\n", number % PEOPLE));
        }
    }
    text
}

async fn take(shared: web::Data<Shared>, body: web::Json<Body>) -> HttpResponse {
    let luck = lock(&shared.random).u64(..TROUBLE);
    if luck == 0 {
        return HttpResponse::ServiceUnavailable().finish();
    }
    let Body { recipient, alert_id } = body.into_inner();
    *lock(&shared.letters).entry((recipient, alert_id)).or_default() += 1;
    if luck == 1 { HttpResponse::BadGateway().finish() } else { HttpResponse::Ok().finish() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chaos::feed;
    use crate::rules::RuleSet;

    #[test]
    fn every_rule_notifies_somebody() {
        let rules = RuleSet::parse(&with_people(&feed::rules())).unwrap();
        assert!(rules.all().iter().all(|rule| rule.subscribers.len() == 1));
        assert_eq!(rules.all().len(), RuleSet::parse(&feed::rules()).unwrap().all().len());
    }
}
