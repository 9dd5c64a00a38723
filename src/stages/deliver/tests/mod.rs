//! The deliver stage on the test driver, with a clock moved by hand.

use std::sync::Mutex;
use std::time::Duration;

use frostline_engine::driver::{TestDriver, Written};
use serde_json::json;

use super::*;
use crate::stages;
use crate::stages::count;

mod life;
mod waiting;

const MINUTE_MS: i64 = 60_000;

const RULES: &str = r#"
    [[subscriber]]
    id = "anna"
    email = "anna@example.org"
    phone = "+15551234567"
    timezone = "UTC"
    quiet = { from = "22:00", to = "06:00" }
    [[subscriber]]
    id = "pat"
    ntfy = "orchard-7Hq"
    timezone = "UTC"
    quiet = { from = "22:00", to = "06:00" }
    [[subscriber]]
    id = "barn"
    webhook = "barn"
    [[subscriber]]
    id = "deaf"
    webhook = "elsewhere"
    [[rule]]
    id = "frost"
    station = "USW00003192"
    when = "TMIN <= 10.0"
    email = "old@example.org"
"#;

struct Bench {
    driver: TestDriver,
    sent: Arc<Mutex<Vec<Parcel>>>,
    rules: Arc<RuleSet>,
    settings: DeliverSettings,
}

impl Bench {
    fn new(change: impl FnOnce(&mut DeliverSettings)) -> Self {
        let mut settings = DeliverSettings {
            source: "noaa-notices".into(),
            group_wait_ms: 10_000,
            max_age_days: 3,
            attempts_max: 3,
            retry_first_ms: 2_000,
            retry_max_ms: 60_000,
            give_up_ms: 24 * 60 * MINUTE_MS,
            per_hour: 20,
            channels: [
                (Channel::Email, [String::new()].into()),
                (Channel::Sms, [String::new()].into()),
                (Channel::Webhook, ["barn".to_owned()].into()),
                (Channel::Ntfy, [String::new()].into()),
            ]
            .into(),
        };
        change(&mut settings);
        let rules = Arc::new(RuleSet::parse(RULES).unwrap());
        let sent = Arc::default();
        let deliver = Self::processor(&settings, &rules, &sent);
        let mut driver = TestDriver::new(stages::DELIVER, deliver);
        // 2026-01-01 at noon.
        driver.now_ms += 12 * 60 * MINUTE_MS;
        Self { driver, sent, rules, settings }
    }

    fn processor(
        settings: &DeliverSettings,
        rules: &Arc<RuleSet>,
        sent: &Arc<Mutex<Vec<Parcel>>>,
    ) -> Box<dyn Processor> {
        let sent = Arc::clone(sent);
        let outlet: Outlet = Arc::new(move |parcel| sent.lock().unwrap().push(parcel));
        Box::new(Deliver::new(Arc::new(settings.clone()), Arc::clone(rules), Limits::default(), outlet))
    }

    fn notice(recipient: &str, alert: &str, severity: &str, date: &str) -> String {
        json!({ "recipient": recipient, "notice": {
            "alert_id": alert, "rule_id": "frost", "transition": "fired", "severity": severity,
            "station": "USW00003192", "station_name": null, "date": date, "message": "cold", "when": "TMIN <= 10.0",
            "clear": null, "values": [["TMIN", 8.9]], "episode": null, "retracts": null, "days": null,
        }})
        .to_string()
    }

    /// A notice to Anna, of an episode.
    fn of_episode(episode: &str, alert: &str, transition: &str) -> String {
        Self::notice("subscriber/anna", alert, "info", "2026-01-01")
            .replace(r#""episode":null"#, &format!(r#""episode":"{episode}""#))
            .replace(r#""transition":"fired""#, &format!(r#""transition":"{transition}""#))
    }

    fn tell(&mut self, recipient: &str, alert: &str) {
        self.driver.pipe(recipient, &Self::notice(recipient, alert, "warning", "2026-01-01")).unwrap();
    }

    /// Moves the clock, and commits twice: what is closed in between is handed out then.
    fn later(&mut self, ms: i64) -> Vec<Written> {
        self.driver.advance_ms(ms).unwrap();
        let mut written = self.driver.commit().unwrap();
        self.driver.turn().unwrap();
        written.extend(self.driver.commit().unwrap());
        written
    }

    /// What was handed out since the last call: channel and alerts.
    fn handed_out(&self) -> Vec<(Channel, Vec<String>)> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|p| (p.message.channel, p.message.alert_ids().map(str::to_owned).collect())).collect()
    }

    fn reply_all(&mut self, reply: &Reply) -> Vec<String> {
        self.reply_all_after(reply, None)
    }

    fn reply_all_after(&mut self, reply: &Reply, retry_after: Option<Duration>) -> Vec<String> {
        let parcels = std::mem::take(&mut *self.sent.lock().unwrap());
        let ids = parcels.iter().map(|parcel| parcel.message.id.clone()).collect();
        parcels.into_iter().for_each(|parcel| parcel.reply(reply.clone(), retry_after));
        ids
    }

    fn restart(&mut self) {
        self.sent.lock().unwrap().drain(..).for_each(drop);
        let fresh = Self::processor(&self.settings, &self.rules, &self.sent);
        self.driver.restart(fresh);
    }
}

fn without_sms(settings: &mut DeliverSettings) {
    settings.channels.remove(&Channel::Sms);
}

fn outcomes(written: &[Written]) -> Vec<(String, String)> {
    let text = |written: &Written, name: &str| written.json()[name].as_str().unwrap_or_default().to_owned();
    let of_stage = written.iter().filter(|written| written.sink == frostline_engine::Sink::Output);
    of_stage.map(|written| (text(written, "channel"), text(written, "outcome"))).collect()
}
