//! What waits: for the morning, for the next hour, and for a server that asks for time.

use super::*;

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
fn what_is_sent_in_the_morning_names_the_night() {
    let mut bench = Bench::new(without_sms);
    bench.driver.now_ms += 11 * 60 * MINUTE_MS;
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("e", "a", "expected")).unwrap();
    bench.tell("subscriber/anna", "b");
    bench.later(8 * 60 * MINUTE_MS);
    let texts: Vec<String> = {
        let sent = bench.sent.lock().unwrap();
        sent[0].message.notices.iter().map(|told| told.notice.message.clone()).collect()
    };
    assert!(texts[0].starts_with("Night of 2026-01-01: ") && !texts[1].contains("Night"), "{texts:?}");
    // A server that is not there for hours: once more, but not twice the same words.
    for _ in 0..3 {
        bench.reply_all(&Reply::Down("dead".into()));
        bench.later(0);
        bench.later(60 * MINUTE_MS);
    }
    let sent = bench.sent.lock().unwrap();
    assert_eq!(sent[0].message.notices[0].notice.message, texts[0]);
}

#[test]
fn what_is_full_goes_before_what_is_urgent() {
    let mut bench = Bench::new(without_sms);
    bench.driver.now_ms += 11 * 60 * MINUTE_MS;
    for alert in 0..101 {
        bench.tell("subscriber/anna", &format!("a{alert}"));
    }
    bench.later(MINUTE_MS);
    assert!(bench.handed_out().is_empty(), "it is night");
    let urgent = Bench::notice("subscriber/anna", "c", "critical", "2026-01-01");
    bench.driver.pipe("subscriber/anna", &urgent).unwrap();
    let mut order = Vec::new();
    for _ in 0..3 {
        bench.later(10_000);
        order.extend(bench.handed_out().into_iter().map(|(_, alerts)| alerts));
        bench.reply_all(&Reply::Sent(String::new()));
    }
    assert_eq!(order.iter().map(Vec::len).collect::<Vec<_>>(), [100, 2], "{order:?}");
    assert_eq!(order[1], ["a100", "c"]);
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
fn what_a_clock_ahead_has_sent_holds_nothing() {
    let mut bench = Bench::new(|settings| {
        without_sms(settings);
        settings.per_hour = 1;
    });
    let day_ms = 24 * 60 * MINUTE_MS;
    bench.driver.now_ms += day_ms;
    bench.tell("subscriber/anna", "a");
    bench.later(MINUTE_MS);
    assert_eq!(bench.reply_all(&Reply::Sent(String::new())).len(), 1);
    bench.later(0);
    bench.driver.now_ms -= day_ms;
    bench.restart();
    bench.tell("subscriber/anna", "b");
    bench.later(MINUTE_MS);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["b".to_owned()])]);
}

/// A mail that has failed a minute before the quiet hours begin.
fn failed_in_the_evening() -> Bench {
    let mut bench = Bench::new(without_sms);
    // 21:59.
    bench.driver.now_ms += 10 * 60 * MINUTE_MS - MINUTE_MS;
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    bench.reply_all(&Reply::Down("it is dead".into()));
    bench.later(0);
    bench
}

#[test]
fn a_critical_notice_does_not_wait_for_the_morning_behind_another() {
    let critical = Bench::notice("subscriber/anna", "c", "critical", "2026-01-01");
    let handed_out =
        |bench: &Bench| bench.handed_out().into_iter().map(|(_, alerts)| alerts).collect::<Vec<_>>();
    for joins in [false, true] {
        let mut bench = failed_in_the_evening();
        if joins {
            bench.tell("subscriber/anna", "b");
        }
        bench.later(60 * MINUTE_MS);
        assert!(bench.handed_out().is_empty(), "quiet hours");
        bench.driver.pipe("subscriber/anna", &critical).unwrap();
        bench.later(10_000);
        assert_eq!(handed_out(&bench), [["a"]], "in their order");
        bench.reply_all(&Reply::Sent(String::new()));
        bench.later(0);
        let last = if joins { vec!["b", "c"] } else { vec!["c"] };
        assert_eq!(handed_out(&bench), [last]);
    }
}

#[test]
fn a_failure_is_not_tried_again_in_the_night() {
    let mut bench = failed_in_the_evening();
    bench.later(10 * MINUTE_MS);
    bench.restart();
    bench.later(7 * 60 * MINUTE_MS);
    assert!(bench.handed_out().is_empty());
    bench.later(2 * 60 * MINUTE_MS);
    assert_eq!(bench.handed_out().len(), 1);
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
