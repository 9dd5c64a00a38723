//! The deliver stage on the test driver, with a clock moved by hand.

use std::sync::Mutex;
use std::time::Duration;

use frostline_engine::driver::{TestDriver, Written};
use serde_json::json;

use super::*;
use crate::stages;
use crate::stages::count;

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

#[test]
fn notices_within_the_wait_are_one_message_a_channel_and_known_ones_are_not_told_again() {
    let mut bench = Bench::new(|_| {});
    bench.tell("subscriber/anna", "a");
    bench.later(4_000);
    bench.tell("subscriber/anna", "b");
    bench.tell("subscriber/anna", "a");
    assert!(bench.handed_out().is_empty());
    bench.later(6_000);
    let question = crate::stages::Question::Recipient("subscriber/anna".parse().unwrap());
    let remembered = |bench: &Bench, kind: &str| {
        let found = question.answer(&bench.driver.store, &bench.rules).unwrap();
        found.into_iter().filter(|entry| entry["kind"] == kind).collect::<Vec<_>>()
    };
    let messages = remembered(&bench, "message");
    assert_eq!((messages.len(), &messages[0]["alert_ids"]), (2, &json!(["a", "b"])), "{messages:?}");
    let both = vec!["a".to_owned(), "b".to_owned()];
    assert_eq!(bench.handed_out(), [(Channel::Email, both.clone()), (Channel::Sms, both)]);
    assert_eq!(bench.driver.counts[count::DUPLICATES], 2);
    bench.reply_all(&Reply::Sent("250 OK".into()));
    let written = bench.later(0);
    assert_eq!(outcomes(&written), [("email".into(), "sent".into()), ("sms".into(), "sent".into())]);
    assert_eq!(written[0].json()["alert_ids"], json!(["a", "b"]));
    assert_eq!(written[0].json()["answer"], "250 OK");
    assert_eq!((remembered(&bench, "message").len(), remembered(&bench, "sent").len()), (0, 2));
    bench.tell("subscriber/anna", "a");
    bench.later(MINUTE_MS);
    assert!(bench.handed_out().is_empty(), "known after it was sent, too");
}

#[test]
fn nothing_is_handed_out_before_its_commit_and_a_restart_sends_the_same_message() {
    let mut bench = Bench::new(|settings| settings.group_wait_ms = 0);
    bench.tell("subscriber/barn", "a");
    bench.driver.turn().unwrap();
    assert!(bench.handed_out().is_empty(), "closed, but nobody has committed that");
    bench.driver.commit().unwrap();
    assert_eq!(bench.handed_out().len(), 1);
    let id = bench.sent.lock().unwrap()[0].message.id.clone();
    // It was sent, and the process dies before it hears of it.
    bench.restart();
    bench.tell("subscriber/barn", "a");
    bench.later(0);
    let again = bench.reply_all(&Reply::Sent("200 OK".into()));
    assert_eq!(again, [id]);
    bench.later(0);
    bench.restart();
    bench.later(MINUTE_MS);
    assert!(bench.handed_out().is_empty(), "what was sent is not pending any more");
}

#[test]
fn a_failure_is_tried_again_with_the_same_id_and_given_up_in_the_end() {
    let mut bench = Bench::new(without_sms);
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    let first = bench.reply_all(&Reply::Again("421 busy".into()));
    bench.later(100);
    assert!(bench.handed_out().is_empty(), "not at once");
    bench.later(2_500);
    // A server that is left alone costs no attempt, and no entry.
    let wait = Duration::from_secs(1);
    bench.reply_all(&Reply::Postponed { reason: "dead".into(), wait });
    bench.later(0);
    bench.restart();
    bench.later(1_500);
    let second = bench.reply_all(&Reply::Again("421 busy".into()));
    assert_eq!(first, second);
    bench.later(0);
    bench.later(5_000);
    bench.reply_all(&Reply::Again("421 busy".into()));
    let written = bench.later(0);
    let counts = bench.driver.counts;
    assert_eq!((counts[count::RETRIED], counts[count::FAILED], counts[count::DEAD_LETTERS]), (2, 1, 1));
    assert_eq!(outcomes(&written), [("email".into(), "failed".into())]);
    let dead = written.iter().find(|written| written.sink == frostline_engine::Sink::DeadLetters).unwrap();
    assert!(dead.header("frostline-reason").contains("421 busy after 3 attempts"), "{dead:?}");
    assert_eq!(dead.header("frostline-topic"), "noaa-notices");
    // The dead letter goes back to where it came from, and counts as new.
    let value = dead.text();
    bench.driver.pipe("subscriber/anna", &value).unwrap();
    bench.later(10_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned()])]);
    assert_eq!(
        bench.reply_all(&Reply::Refused("550 no such user".into())),
        first,
        "the same id, for receivers"
    );
    bench.later(0);
    assert_eq!(bench.driver.counts[count::FAILED], 2, "what is refused is not tried again");
}

#[test]
fn quiet_hours_hold_people_back_but_not_what_is_critical() {
    let mut bench = Bench::new(without_sms);
    // 23:00.
    bench.driver.now_ms += 11 * 60 * MINUTE_MS;
    bench.tell("subscriber/anna", "a");
    bench.tell("subscriber/barn", "b");
    bench.later(MINUTE_MS);
    assert_eq!(bench.handed_out(), [(Channel::Webhook, vec!["b".to_owned()])], "machines do not sleep");
    bench.reply_all(&Reply::Sent(String::new()));
    bench.later(0);
    bench
        .driver
        .pipe("subscriber/anna", &Bench::notice("subscriber/anna", "c", "critical", "2026-01-01"))
        .unwrap();
    bench.later(10_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned(), "c".to_owned()])]);
    bench.reply_all(&Reply::Sent(String::new()));
    bench.tell("subscriber/anna", "d");
    bench.later(60 * MINUTE_MS);
    bench.restart();
    bench.later(5 * 60 * MINUTE_MS);
    assert!(bench.handed_out().is_empty());
    bench.later(60 * MINUTE_MS);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["d".to_owned()])], "in the morning");
}

#[test]
fn too_many_messages_become_fewer() {
    let mut bench = Bench::new(|settings| {
        without_sms(settings);
        settings.per_hour = 2;
    });
    for alert in ["a", "b", "c", "d"] {
        bench.tell("subscriber/anna", alert);
        bench.later(MINUTE_MS);
        let sent = bench.reply_all(&Reply::Sent(String::new()));
        assert_eq!(sent.len(), usize::from(matches!(alert, "a" | "b")));
    }
    bench.later(57 * MINUTE_MS);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["c".to_owned(), "d".to_owned()])]);
    bench.reply_all(&Reply::Sent(String::new()));
    bench
        .driver
        .pipe("subscriber/anna", &Bench::notice("subscriber/anna", "e", "critical", "2026-01-01"))
        .unwrap();
    bench.later(10_000);
    assert_eq!(bench.handed_out().len(), 1, "what is critical is never too much");
}

#[test]
fn a_critical_notice_that_joins_a_held_message_is_not_held_again_by_a_restart() {
    let mut bench = Bench::new(without_sms);
    bench.driver.now_ms += 11 * 60 * MINUTE_MS;
    bench.tell("subscriber/anna", "a");
    bench.later(MINUTE_MS);
    bench
        .driver
        .pipe("subscriber/anna", &Bench::notice("subscriber/anna", "c", "critical", "2026-01-01"))
        .unwrap();
    bench.later(4_000);
    bench.restart();
    bench.later(10_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned(), "c".to_owned()])]);
}

#[test]
fn a_failure_is_not_tried_again_in_the_night() {
    let mut bench = Bench::new(without_sms);
    // 21:59.
    bench.driver.now_ms += 10 * 60 * MINUTE_MS - MINUTE_MS;
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    bench.reply_all(&Reply::Down("it is dead".into()));
    bench.later(0);
    bench.later(10 * MINUTE_MS);
    bench.restart();
    bench.later(7 * 60 * MINUTE_MS);
    assert!(bench.handed_out().is_empty());
    bench.later(2 * 60 * MINUTE_MS);
    assert_eq!(bench.handed_out().len(), 1);
}

#[test]
fn one_message_waits_for_the_one_before_it_and_nobody_hears_the_end_of_what_they_never_heard_of() {
    let mut bench = Bench::new(without_sms);
    let over = |alert: &str, episode: &str| {
        Bench::notice("subscriber/anna", alert, "info", "2025-01-01")
            .replace(r#""episode":null"#, &format!(r#""episode":"{episode}""#))
            .replace(r#""transition":"fired""#, r#""transition":"resolved""#)
    };
    let fired = Bench::notice("subscriber/anna", "a", "info", "2026-01-01")
        .replace(r#""episode":null"#, r#""episode":"e""#);
    bench.driver.pipe("subscriber/anna", &fired).unwrap();
    bench.later(10_000);
    bench.reply_all(&Reply::Down("away".into()));
    // A year late, and told all the same, since the beginning was.
    bench.driver.pipe("subscriber/anna", &over("b", "e")).unwrap();
    bench.driver.pipe("subscriber/anna", &over("x", "other")).unwrap();
    let written = bench.later(0);
    assert_eq!(outcomes(&written), [("email".into(), "suppressed".into())]);
    assert!(written[0].json()["reason"].as_str().unwrap().contains("was not sent either"), "{written:?}");
    bench.later(30_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned()])], "the first comes first");
    bench.restart();
    bench.later(30_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned()])]);
    bench.reply_all(&Reply::Sent(String::new()));
    bench.later(10_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["b".to_owned()])]);
}

#[test]
fn a_message_takes_only_so_much() {
    let mut bench = Bench::new(without_sms);
    for alert in 0..60 {
        let long = Bench::notice("subscriber/anna", &format!("a{alert}"), "info", "2026-01-01")
            .replace(r#""message":"cold""#, &format!(r#""message":"{}""#, "x".repeat(7_000)));
        bench.driver.pipe("subscriber/anna", &long).unwrap();
    }
    let mut told = 0;
    for _ in 0..5 {
        bench.later(10_000);
        told += bench.handed_out().iter().map(|(_, alerts)| alerts.len()).sum::<usize>();
        bench.reply_all(&Reply::Sent(String::new()));
    }
    assert_eq!(told, 60, "in several messages");
    assert_eq!(bench.driver.counts[count::SENT], 3);
}

#[test]
fn history_is_recorded_and_nobody_is_told() {
    let mut bench = Bench::new(without_sms);
    bench
        .driver
        .pipe("subscriber/anna", &Bench::notice("subscriber/anna", "a", "critical", "2016-02-24"))
        .unwrap();
    bench
        .driver
        .pipe("subscriber/anna", &Bench::notice("subscriber/anna", "b", "info", "2025-12-29"))
        .unwrap();
    let written = bench.later(MINUTE_MS);
    assert_eq!(outcomes(&written), [("email".into(), "suppressed".into())]);
    assert!(written[0].json()["reason"].as_str().unwrap().contains("max_age_days"));
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["b".to_owned()])], "three days ago");
}

#[test]
fn whom_nobody_can_reach_is_a_dead_letter_with_advice() {
    let mut bench = Bench::new(|_| {});
    bench.tell("subscriber/nobody", "a");
    bench.tell("subscriber/deaf", "a");
    bench.tell("address/0123", "a");
    bench
        .driver
        .pipe("subscriber/anna", &Bench::notice("subscriber/barn", "a", "info", "2026-01-01"))
        .unwrap();
    bench.driver.pipe("subscriber/anna", "{}").unwrap();
    let own = Recipient::of_address(&crate::rules::Address("old@example.org".into())).to_string();
    bench.tell(&own, "a");
    let written = bench.later(MINUTE_MS);
    let reasons: Vec<String> = written.iter().map(|written| written.header("frostline-reason")).collect();
    let expected = [
        "no subscriber `nobody`",
        "[notify.webhooks.elsewhere]",
        "any more",
        "expected the key",
        "not a notice",
    ];
    assert_eq!(reasons.len(), expected.len(), "{reasons:?}");
    assert!(reasons.iter().zip(expected).all(|(reason, part)| reason.contains(part)), "{reasons:?}");
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned()])], "the rule's own address");
}

#[test]
fn what_ends_an_event_answers_the_message_that_began_it() {
    let mut bench = Bench::new(without_sms);
    let episode = |alert: &str, transition: &str| {
        Bench::notice("subscriber/anna", alert, "info", "2026-01-01")
            .replace(r#""episode":null"#, r#""episode":"e""#)
            .replace(r#""transition":"fired""#, &format!(r#""transition":"{transition}""#))
    };
    bench.driver.pipe("subscriber/anna", &episode("a", "fired")).unwrap();
    bench.later(MINUTE_MS);
    let first = bench.reply_all(&Reply::Sent(String::new()));
    bench.driver.pipe("subscriber/anna", &episode("b", "resolved")).unwrap();
    bench.later(MINUTE_MS);
    assert_eq!(bench.sent.lock().unwrap()[0].message.answers.as_deref(), Some(first[0].as_str()));
    bench.reply_all(&Reply::Sent(String::new()));
    // Begun and ended in one message, which answers nothing.
    let other = |alert: &str, transition: &str| episode(alert, transition).replace(r#":"e""#, r#":"f""#);
    bench.driver.pipe("subscriber/anna", &other("c", "fired")).unwrap();
    bench.driver.pipe("subscriber/anna", &other("d", "resolved")).unwrap();
    bench.later(MINUTE_MS);
    let sent = bench.sent.lock().unwrap();
    assert_eq!((sent.len(), sent[0].message.notices.len(), &sent[0].message.answers), (1, 2, &None));
}

#[test]
fn a_task_that_stops_waits_for_what_is_on_its_way_and_begins_nothing() {
    let mut bench = Bench::new(|settings| settings.group_wait_ms = 0);
    bench.tell("subscriber/barn", "a");
    bench.later(0);
    bench.tell("subscriber/barn", "b");
    bench.driver.stop();
    assert_eq!(bench.driver.on_its_way(), 1);
    bench.later(MINUTE_MS);
    assert_eq!(bench.handed_out().len(), 1, "the second is the next owner's");
    assert!(!bench.sent.lock().unwrap()[0].is_wanted(), "what has not begun shall not begin");
    bench.reply_all(&Reply::Sent("200 OK".into()));
    let written = bench.later(0);
    assert_eq!(outcomes(&written), [("webhook".into(), "sent".into())]);
    assert_eq!(bench.driver.on_its_way(), 0);
}

#[test]
fn a_server_that_says_when_to_come_again_is_left_alone_until_then() {
    let mut bench = Bench::new(|settings| {
        without_sms(settings);
        settings.retry_max_ms = 10 * MINUTE_MS;
    });
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    bench.reply_all_after(&Reply::Again("429 slow down".into()), Some(Duration::from_secs(120)));
    bench.later(0);
    bench.later(2 * MINUTE_MS - 1_000);
    assert!(bench.handed_out().is_empty(), "not before the time that it asked for");
    bench.later(MINUTE_MS);
    assert_eq!(bench.handed_out().len(), 1);
    // A day is too long.
    bench.reply_all_after(&Reply::Down("503 closed".into()), Some(Duration::from_secs(86_400)));
    bench.later(0);
    bench.later(13 * MINUTE_MS);
    assert_eq!(bench.handed_out().len(), 1);
}

#[test]
fn a_phone_does_not_ring_at_night_and_gets_several_alerts_at_once() {
    let mut bench = Bench::new(|_| {});
    // 23:00.
    bench.later(11 * 60 * MINUTE_MS);
    bench.tell("subscriber/pat", "a");
    bench.tell("subscriber/pat", "b");
    bench.later(10_000);
    assert_eq!(bench.handed_out(), [], "quiet hours");
    bench.later(7 * 60 * MINUTE_MS);
    assert_eq!(bench.handed_out(), [(Channel::Ntfy, vec!["a".to_owned(), "b".to_owned()])]);
    bench.reply_all(&Reply::Sent("200 OK".into()));
    let written = bench.later(1);
    assert_eq!(outcomes(&written), [("ntfy".to_owned(), "sent".to_owned())]);
}
