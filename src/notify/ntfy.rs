//! Push to phones through an ntfy server: one JSON request to the server's root.
//!
//! A topic is created by using it, and anyone who knows its name can read it; so it is treated as an address. The
//! message's id is sent as `sequence_id`: servers from 2.16 on replace what they have sent under it, older ones
//! ignore it.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::{Value, json};

use super::Attempt;
use super::http::{self, Target};
use super::newest::newest_first;
use crate::config::{NtfyConfig, SecretText};
use crate::rules::{Address, Severity, Transition};
use crate::stages::{Message, Reply, Told};

/// Most bytes of a message: ntfy refuses a message longer than 4,096, or makes it an attachment.
const MESSAGE_BYTES_MAX: usize = 3_800;
/// Most characters of a title.
const TITLE_CHARS_MAX: usize = 200;
/// Most rules in the tags.
const TAGGED_RULES_MAX: usize = 5;

pub(super) struct Ntfy {
    target: Target,
    token: SecretText,
}

impl Ntfy {
    /// # Errors
    /// What is wrong with the configuration.
    pub(super) fn new(config: &NtfyConfig, timeout: Duration) -> Result<Self, String> {
        let target = Target::new(&config.url, config.allow_private, timeout)
            .map_err(|reason| format!("notify.ntfy.url: {reason}"))?;
        let token = config.token.resolve().map_err(|reason| format!("notify.ntfy.token: {reason}"))?;
        Ok(Self { target: Target { judge, ..target }, token })
    }

    /// Sends one message.
    pub(super) async fn send(&self, message: &Message, topic: &Address) -> Attempt {
        let mut request = self.target.post().header("Content-Type", "application/json");
        if !self.token.is_empty() {
            request = request.bearer_auth(self.token.as_str());
        }
        self.target.send(request.body(body(message, topic).to_string())).await
    }
}

/// A topic may be closed to frostline while others are open: that must not delay other messages.
fn judge(status: StatusCode, answer: String) -> Attempt {
    match status {
        StatusCode::FORBIDDEN => Attempt::of(Reply::Again(answer)),
        _ => http::judge(status, answer),
    }
}

fn body(message: &Message, topic: &Address) -> Value {
    let (priority, tag) = match message.urgency() {
        // Alerts that are over make no sound.
        _ if message.is_over() => (2, "white_check_mark"),
        Severity::Info => (3, "information_source"),
        Severity::Warning => (4, "warning"),
        Severity::Critical => (5, "rotating_light"),
    };
    let is_silence = |entry: &Told| entry.notice.transition == Transition::Stale;
    let tag = if message.notices.iter().all(is_silence) { "question" } else { tag };
    let mut rules: Vec<&str> = message.notices.iter().map(|told| told.notice.rule_id.as_str()).collect();
    rules.sort_unstable();
    rules.dedup();
    let tags: Vec<&str> = std::iter::once(tag).chain(rules.into_iter().take(TAGGED_RULES_MAX)).collect();
    json!({
        "topic": topic.0,
        "title": title(&message.notices),
        "message": text(&message.notices),
        "priority": priority,
        "tags": tags,
        "sequence_id": message.id,
    })
}

/// `frost fired: SCOTTSDALE MUNI AP`, or the number of alerts.
fn title(notices: &[Told]) -> String {
    let title = match notices {
        [one] => {
            let notice = &one.notice;
            let place = notice.station_name.as_deref().unwrap_or(&notice.station);
            format!("{} {}: {place}", notice.rule_id, notice.transition.as_str())
        }
        many => format!("{} alerts", many.len()),
    };
    title.chars().take(TITLE_CHARS_MAX).collect()
}

/// One line for each alert that there is room for, and the number of the others.
fn text(notices: &[Told]) -> String {
    let mut text = String::new();
    for (index, told) in newest_first(notices).into_iter().enumerate() {
        let line = &told.notice.message;
        if text.len() + line.len() < MESSAGE_BYTES_MAX {
            text.push_str(if index == 0 { "" } else { "\n" });
            text.push_str(line);
        } else if index == 0 {
            let fits = |(at, c): &(usize, char)| at + c.len_utf8() <= MESSAGE_BYTES_MAX;
            text.extend(line.char_indices().take_while(fits).map(|(_, c)| c));
            text.push('…');
        } else {
            return format!("{text}\n+{} more", notices.len() - index);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::samples;
    use crate::notify::smtp::scripted::Act::{Hang, HearRequest, Say};
    use crate::notify::smtp::scripted::Scripted;
    use crate::rules::Transition;

    /// The request that the server gets, and the outcome of the message.
    async fn sent(answer: &'static str, token: &str) -> (String, Attempt) {
        let server = Scripted::start(vec![vec![HearRequest, Say(answer), Hang]]).await;
        let url = format!("http://127.0.0.1:{}", server.port);
        let config = format!("url = \"{url}\"\ntoken = \"{token}\"\nallow_private = true");
        let ntfy = Ntfy::new(&toml::from_str(&config).unwrap(), Duration::from_secs(5)).unwrap();
        let message = samples::message(vec![samples::told("frost", "SCOTTSDALE MUNI AP")]);
        let attempt = ntfy.send(&message, &Address("orchard-7Hq".into())).await;
        (server.heard().join("\n"), attempt)
    }

    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n";

    #[tokio::test]
    async fn a_message_is_one_post_of_json_to_the_root() {
        let (heard, attempt) = sent(OK, "tk_dew").await;
        assert!(matches!(attempt.reply, Reply::Sent(_)), "{:?}", attempt.reply);
        let body: Value = serde_json::from_str(heard.lines().last().unwrap()).unwrap();
        let message = samples::message(vec![samples::told("frost", "SCOTTSDALE MUNI AP")]);
        assert_eq!(
            body,
            json!({
                "topic": "orchard-7Hq", "title": "frost fired: SCOTTSDALE MUNI AP", "priority": 4,
                "message": "TMIN 8.9 °C at SCOTTSDALE MUNI AP (USW00003192) on 2016-02-24: TMIN <= 10.0",
                "tags": ["warning", "frost"], "sequence_id": message.id,
            })
        );
    }

    #[tokio::test]
    async fn a_closed_topic_is_not_the_servers_fault_and_a_busy_server_says_when() {
        let closed = sent("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n", "").await.1;
        assert!(matches!(closed.reply, Reply::Again(_)) && !closed.is_ill());
        let busy =
            sent("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 60\r\nContent-Length: 0\r\n", "").await.1;
        assert!(matches!(busy.reply, Reply::Again(_)));
        assert_eq!(busy.retry_after, Some(Duration::from_secs(60)));
        let broken = sent("HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n", "").await.1;
        assert!(broken.is_ill());
    }

    #[test]
    fn priorities_follow_severity_and_what_is_over_is_quiet() {
        let mut told = samples::told("frost", "X");
        let mut shown = |severity, transition| {
            (told.notice.severity, told.notice.transition) = (severity, transition);
            let body = body(&samples::message(vec![told.clone()]), &Address::default());
            (body["priority"].as_u64().unwrap(), body["tags"][0].as_str().unwrap().to_owned())
        };
        assert_eq!(shown(Severity::Info, Transition::Fired).0, 3);
        assert_eq!(shown(Severity::Critical, Transition::Fired).0, 5);
        assert_eq!(shown(Severity::Critical, Transition::Resolved), (2, "white_check_mark".into()));
        assert_eq!(shown(Severity::Critical, Transition::Stale), (5, "question".into()), "no all-clear");
    }

    #[test]
    fn many_alerts_fit_into_one_message() {
        let many: Vec<Told> = (0..100).map(|n| samples::told(&format!("frost-{n}"), "BARN")).collect();
        let shown = text(&many);
        assert!(shown.len() <= MESSAGE_BYTES_MAX + 20 && shown.ends_with(" more"), "{shown}");
        assert_eq!(title(&many), "100 alerts");
        let mut long = samples::told("frost", "BARN");
        long.notice.message = "°".repeat(4_000);
        assert!(text(&[long]).len() <= MESSAGE_BYTES_MAX + 3);
    }
}
