//! The life of a message: collected, handed out, retried, and its outcome.

use super::*;

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
fn time_in_which_nobody_tried_does_not_end_a_message() {
    let mut bench = Bench::new(without_sms);
    let days_ms = 2 * 24 * 60 * MINUTE_MS;
    let down = Reply::Down("421 busy".into());
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    bench.reply_all(&down);
    bench.later(0);
    // No daemon runs for two days; or the next machine's clock is right, and this one's was two days behind.
    bench.restart();
    bench.later(days_ms);
    assert_eq!(bench.reply_all(&down).len(), 1);
    bench.later(0);
    assert_eq!((bench.driver.counts[count::RETRIED], bench.driver.counts[count::FAILED]), (2, 0));
}

#[test]
fn a_server_that_is_down_for_long_ends_a_message_and_the_night_does_not_count() {
    let mut bench = Bench::new(|settings| {
        without_sms(settings);
        settings.give_up_ms = 120 * MINUTE_MS;
    });
    // 21:00, an hour before the quiet hours.
    bench.driver.now_ms += 9 * 60 * MINUTE_MS;
    bench.tell("subscriber/anna", "a");
    let mut minutes = 0;
    while bench.driver.counts[count::FAILED] == 0 {
        for _ in 0..30 {
            bench.later(2_000);
            bench.reply_all(&Reply::Down("421 busy".into()));
        }
        minutes += 1;
        assert!(minutes < 12 * 60, "it is never given up");
        if minutes % 40 == 0 {
            bench.restart();
        }
    }
    let (evening, night, morning) = (60, 8 * 60, 60);
    let expected = evening + night + morning;
    assert!((expected..expected + 15).contains(&minutes), "given up after {minutes} minutes");
}

#[test]
fn a_message_does_not_wait_long_for_a_server_that_is_back() {
    let mut bench = Bench::new(|settings| {
        without_sms(settings);
        settings.retry_max_ms = 30 * MINUTE_MS;
    });
    bench.tell("subscriber/anna", "a");
    for _ in 0..60 {
        bench.later(MINUTE_MS);
        bench.reply_all(&Reply::Down("421 busy".into()));
    }
    // The server is back.
    bench.tell("subscriber/anna", "b");
    for _ in 0..6 {
        bench.later(MINUTE_MS);
        bench.reply_all(&Reply::Sent(String::new()));
    }
    assert_eq!(bench.driver.counts[count::SENT], 2);
}

#[test]
fn hours_behind_a_dead_server_count_whoever_waits() {
    let mut bench = Bench::new(without_sms);
    bench.tell("subscriber/anna", "a");
    let mut minutes = 0;
    while bench.driver.counts[count::FAILED] == 0 {
        bench.later(MINUTE_MS);
        let wait = Duration::from_secs(50);
        bench.reply_all(&Reply::Postponed { reason: "dead".into(), wait });
        minutes += 1;
        assert!(minutes < 4 * 24 * 60, "it is never given up");
        if minutes % 500 == 0 {
            bench.restart();
        }
    }
    assert!(minutes >= 24 * 60, "given up after {minutes} minutes");
}

#[test]
fn a_clock_that_was_ahead_does_not_delay_a_message() {
    let mut bench = Bench::new(without_sms);
    let days_ms = 2 * 24 * 60 * MINUTE_MS;
    bench.driver.now_ms += days_ms;
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    bench.reply_all(&Reply::Down("421 busy".into()));
    bench.later(0);
    bench.driver.now_ms -= days_ms;
    bench.restart();
    bench.later(0);
    bench.later(60_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["a".to_owned()])]);
    // Set back while the daemon runs.
    bench.reply_all(&Reply::Sent(String::new()));
    bench.later(0);
    bench.tell("subscriber/anna", "b");
    bench.driver.now_ms -= days_ms;
    bench.later(0);
    bench.later(10_000);
    assert_eq!(bench.handed_out(), [(Channel::Email, vec!["b".to_owned()])]);
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
    // The dead letter goes back to where it came from, and counts as new, on its channel only.
    let value = dead.text();
    bench
        .driver
        .pipe("subscriber/anna", &value.replace(r#""channel":"email""#, r#""channel":"sms""#))
        .unwrap();
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
fn one_message_waits_for_the_one_before_it_and_nobody_hears_the_end_of_what_they_never_heard_of() {
    let mut bench = Bench::new(without_sms);
    let over = |alert: &str, episode: &str| {
        Bench::of_episode(episode, alert, "resolved").replace("2026-01-01", "2025-01-01")
    };
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("e", "a", "fired")).unwrap();
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
fn nobody_hears_the_end_of_what_could_not_be_sent() {
    let mut bench = Bench::new(without_sms);
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("e", "a", "fired")).unwrap();
    bench.later(10_000);
    bench.reply_all(&Reply::Refused("550 no such user".into()));
    bench.later(0);
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("e", "b", "resolved")).unwrap();
    let written = bench.later(10_000);
    assert_eq!(outcomes(&written), [("email".into(), "suppressed".into())]);
    assert!(bench.handed_out().is_empty());
    // Also if it was waiting behind that already.
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("f", "c", "fired")).unwrap();
    bench.later(10_000);
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("f", "d", "resolved")).unwrap();
    bench.later(20_000);
    bench.reply_all(&Reply::Refused("550 no such user".into()));
    let outcomes = outcomes(&bench.later(10_000));
    assert_eq!(outcomes, [("email".into(), "failed".into()), ("email".into(), "suppressed".into())]);
    assert!(bench.handed_out().is_empty());
}

#[test]
fn a_task_that_opens_again_gets_the_outcome_of_the_attempt_under_way() {
    for is_answered_late in [true, false] {
        let (mut bench, mut attempts) = (Bench::new(without_sms), Attempts::default());
        bench.tell("subscriber/anna", "a");
        bench.later(10_000);
        let first = bench.sent.lock().unwrap().pop().unwrap();
        let mut first = attempts.begin(first);
        bench.restart();
        let mut answer = |attempts: &mut Attempts| {
            first.take().into_iter().for_each(|first| attempts.end(first, Reply::Sent(String::new()), None));
        };
        if !is_answered_late {
            answer(&mut attempts);
        }
        bench.later(10_000);
        let again = bench.sent.lock().unwrap().pop().unwrap();
        assert!(attempts.begin(again).is_none(), "it is sent once");
        answer(&mut attempts);
        bench.later(0);
        assert_eq!(bench.driver.counts[count::SENT], 1);
        assert!(bench.handed_out().is_empty());
    }
}

#[test]
fn an_attempt_whose_task_was_closed_is_that_of_the_next_task() {
    let (mut bench, mut attempts) = (Bench::new(without_sms), Attempts::default());
    bench.tell("subscriber/anna", "a");
    bench.later(10_000);
    let first = attempts.begin(bench.sent.lock().unwrap().pop().unwrap()).unwrap();
    bench.restart();
    bench.later(10_000);
    let again = bench.sent.lock().unwrap().pop().unwrap();
    assert!(attempts.begin(again).is_none());
    let wanted = attempts.wanted(first).unwrap();
    assert!(wanted.is_wanted());
    bench.restart();
    assert!(attempts.wanted(wanted).is_none(), "nobody waits for it any more");
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
        "no longer names this address",
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
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("e", "a", "fired")).unwrap();
    bench.later(MINUTE_MS);
    let first = bench.reply_all(&Reply::Sent(String::new()));
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("e", "b", "resolved")).unwrap();
    bench.later(MINUTE_MS);
    assert_eq!(bench.sent.lock().unwrap()[0].message.answers.as_deref(), Some(first[0].as_str()));
    bench.reply_all(&Reply::Sent(String::new()));
    // Begun and ended in one message, which answers nothing.
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("f", "c", "fired")).unwrap();
    bench.driver.pipe("subscriber/anna", &Bench::of_episode("f", "d", "resolved")).unwrap();
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
