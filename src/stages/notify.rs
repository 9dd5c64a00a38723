//! notify: an alert becomes one notice for each recipient, keyed by the recipient. The stage `deliver`, where all
//! notices of a recipient meet, decides what was sent before, and when and how to send.

use frostline_engine::record::Record;
use frostline_engine::store::StateError;
use frostline_engine::{Context, Processor};

use super::notice::{Addressed, AlertText, Recipient};
use super::{Limits, accepted_value};
use crate::stages::count;

/// The processor of alerts.
pub struct Notify {
    limits: Limits,
    /// Whether each alert also goes to an Alertmanager.
    has_alertmanager: bool,
}

impl Notify {
    /// Notifies subscribers, the addresses of rules, and the Alertmanager if there is one.
    pub fn new(limits: Limits, has_alertmanager: bool) -> Self {
        Self { limits, has_alertmanager }
    }
}

impl Processor for Notify {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        let Some(value) = accepted_value(record, &self.limits, context) else { return Ok(()) };
        let AlertText { notice, subscribers, email, moment } = match AlertText::parse(value) {
            Ok(alert) => alert,
            Err(reason) => {
                context.reject(record, &reason);
                return Ok(());
            }
        };
        let recipients = subscribers.into_iter().map(Recipient::Subscriber);
        let recipients = recipients.chain(email.iter().map(Recipient::of_address));
        let recipients = recipients.chain(self.has_alertmanager.then_some(Recipient::Alertmanager));
        let (mut addressed, mut is_told) =
            (Addressed { recipient: Recipient::Alertmanager, notice, moment, channel: None }, false);
        for recipient in recipients {
            let key = recipient.to_string();
            addressed.recipient = recipient;
            is_told = true;
            context.counts[count::NOTICES] += 1;
            context.collector.emit(key.as_bytes(), record.timestamp_ms, |out| {
                // Strings and numbers into a vector cannot fail.
                let _ = serde_json::to_writer(out, &addressed);
            });
        }
        if !is_told {
            context.skip();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages;
    use frostline_engine::driver::TestDriver;

    const ALERT: &str = r#"{"station":{"id":"USW00003192","name":"SCOTTSDALE"},"date":"2016-02-24T00:00:00","TMIN":8.9,
        "PRCP":0,"email":"a@example.org","alert_id":"frost/USW00003192/2016-02-24/fired","rule_id":"frost",
        "transition":"fired","when":"TMIN <= 10.0","message":"cold","subscribers":["anna","bob"]}"#;

    #[test]
    fn each_recipient_gets_a_notice_without_any_address() {
        let mut driver = TestDriver::new(stages::NOTIFY, Box::new(Notify::new(Limits::default(), true)));
        driver.pipe("USW00003192", ALERT).unwrap();
        let written = driver.commit().unwrap();
        let keys: Vec<_> = written.iter().map(|w| String::from_utf8_lossy(w.key.as_ref().unwrap())).collect();
        assert_eq!(keys[..2], ["subscriber/anna", "subscriber/bob"]);
        assert!(keys[2].starts_with("address/") && keys[3] == "alertmanager", "{keys:?}");
        assert!(written.iter().all(|written| !written.text().contains("example.org")));
        let notice = &written[0].json()["notice"];
        assert_eq!(notice["values"], serde_json::json!([["TMIN", 8.9], ["PRCP", 0.0]]));
        assert_eq!((driver.counts[count::NOTICES], driver.counts[count::DEAD_LETTERS]), (4, 0));
    }

    #[test]
    fn what_is_no_alert_is_a_dead_letter_and_an_alert_for_nobody_is_not() {
        let mut driver = TestDriver::new(stages::NOTIFY, Box::new(Notify::new(Limits::default(), false)));
        driver.pipe("k", "{}").unwrap();
        driver.pipe("k", "no json").unwrap();
        driver.pipe("k", &ALERT.replace("2016-02-24T", "2016-02-31T")).unwrap();
        driver.pipe("k", &ALERT.replace(r#""fired","when"#, r#""exploded","when"#)).unwrap();
        let nobody =
            ALERT.replace(r#""email":"a@example.org","#, "").replace(r#","subscribers":["anna","bob"]"#, "");
        driver.pipe("k", &nobody).unwrap();
        assert_eq!((driver.counts[count::DEAD_LETTERS], driver.counts[count::SKIPPED]), (4, 1));
        let reasons: Vec<String> =
            driver.commit().unwrap().iter().map(|w| w.header("frostline-reason")).collect();
        assert!(reasons[0].contains("alert_id") && reasons[2].contains("2016-02-31"), "{reasons:?}");
    }

    #[test]
    fn a_station_with_an_endless_name_is_not_silenced() {
        let mut driver = TestDriver::new(stages::NOTIFY, Box::new(Notify::new(Limits::default(), false)));
        let name = "Ä".repeat(20_000);
        let alert = ALERT.replace("SCOTTSDALE", &name).replace(r#""cold""#, &format!(r#""cold at {name}""#));
        driver.pipe("USW00003192", &alert).unwrap();
        assert_eq!((driver.counts[count::NOTICES], driver.counts[count::DEAD_LETTERS]), (3, 0));
        let notice = &driver.commit().unwrap()[0].json()["notice"];
        let (name, message) = (notice["station_name"].as_str().unwrap(), notice["message"].as_str().unwrap());
        assert!(name.ends_with('…') && name.len() <= 400 && message.len() <= 8_000, "{name}");
        assert!(message.starts_with("cold at Ä"));
    }
}
