//! The life cycle of a rule over nights, outlook by outlook.

use super::*;

const IDENTITY: Identity = Identity { fingerprint: 1, incarnation: 0, place: 0 };
const HOUR: i64 = 3_600;

fn night(day: i32) -> Date {
    Date::from_days_since_1970(day).unwrap()
}

/// An outlook at this hour of the day, counted on through the night.
fn sight(day: i32, hour: f64, holds: bool) -> Sight {
    let midnight = i64::from(day) * 24 * HOUR;
    let (time, ends) = (midnight + (hour * 3_600.0) as i64, midnight + 33 * HOUR);
    Sight {
        night: night(day),
        time,
        ends,
        holds: Some(holds),
        clears: None,
        is_reached: false,
        crossing: None,
    }
}

struct Driver(NightWatch, Vec<String>);

impl Driver {
    fn new() -> Self {
        Self(NightWatch::new(IDENTITY), Vec::new())
    }

    fn take(&mut self, work: impl FnOnce(&mut NightWatch, &mut Vec<NightEvent>)) -> Vec<String> {
        let mut events = Vec::new();
        work(&mut self.0, &mut events);
        let told: Vec<String> =
            events.iter().map(|event| format!("{} {}", event.transition.as_str(), event.times)).collect();
        self.1.extend(
            events.iter().map(|event| event.alert_id("r", StationId::parse(b"USW00003192").unwrap())),
        );
        told
    }

    fn judge(&mut self, sight: Sight) -> Vec<String> {
        self.take(|watch, events| watch.judge(IDENTITY, sight, events))
    }

    fn settle(&mut self, day: i32, is_reached: bool, is_complete: bool) -> Vec<String> {
        let settled = Settled { night: night(day), is_reached, is_complete };
        self.take(|watch, events| watch.settle(IDENTITY, settled, events))
    }
}

#[test]
fn a_warning_is_sent_once_confirmed_and_settled() {
    let mut driver = Driver::new();
    assert!(driver.judge(sight(10, 17.0, false)).is_empty());
    assert_eq!(driver.judge(sight(10, 18.0, true)), ["expected 1"]);
    assert!(driver.judge(sight(10, 19.0, true)).is_empty());
    let reached = Sight { is_reached: true, ..sight(10, 29.0, true) };
    assert_eq!(driver.judge(reached), ["confirmed 1"]);
    assert!(driver.judge(Sight { time: reached.time + HOUR, ..reached }).is_empty());
    assert!(driver.settle(10, true, true).is_empty());
    assert!(driver.judge(sight(10, 32.0, true)).is_empty(), "nothing after the end");
    assert_eq!((driver.0.track().warnings(), driver.0.track().came_true()), (1, 1));
    assert_eq!(driver.1[0], "r/USW00003192/1970-01-11/expected");
}

#[test]
fn what_did_not_come_is_averted_and_silence_is_not() {
    let mut driver = Driver::new();
    driver.judge(sight(10, 18.0, true));
    assert_eq!(driver.settle(10, false, true), ["averted 1"]);
    driver.judge(sight(11, 18.0, true));
    assert_eq!(driver.settle(11, false, false), ["stale 1"]);
    // The end of this night is never seen.
    driver.judge(sight(12, 18.0, true));
    assert_eq!(driver.judge(sight(14, 18.0, false)), ["stale 1"]);
    assert_eq!(
        (driver.0.track().warnings(), driver.0.track().came_true()),
        (1, 0),
        "unknown counts for nothing"
    );
    assert_eq!(driver.1[5], "r/USW00003192/1970-01-13/stale", "of the night that it is about");
}

#[test]
fn a_warning_is_withdrawn_when_it_has_not_held_for_an_hour() {
    let mut driver = Driver::new();
    driver.judge(sight(10, 18.0, true));
    assert!(driver.judge(sight(10, 18.5, false)).is_empty());
    assert!(driver.judge(sight(10, 19.0, true)).is_empty(), "it holds again");
    assert!(driver.judge(sight(10, 20.0, false)).is_empty());
    assert_eq!(driver.judge(sight(10, 21.0, false)), ["withdrawn 1"]);
    assert_eq!(driver.judge(sight(10, 23.0, true)), ["expected 2"]);
    let clears = Sight { clears: Some(true), ..sight(10, 23.2, false) };
    assert_eq!(driver.judge(clears), ["withdrawn 2"], "`clear` decides at once");
    assert!(driver.settle(10, false, true).is_empty());
    assert_eq!(driver.0.track().warnings(), 1, "it was false all the same");
}

#[test]
fn an_earlier_crossing_is_worth_another_alert() {
    let mut driver = Driver::new();
    let at = |hour: f64, crossing: f64| Sight {
        crossing: Some(sight(10, crossing, true).time),
        ..sight(10, hour, true)
    };
    assert_eq!(driver.judge(at(18.0, 30.0)), ["expected 1"]);
    assert!(driver.judge(at(19.0, 29.5)).is_empty());
    assert_eq!(driver.judge(at(20.0, 29.0)), ["expected 2"]);
    assert!(driver.judge(at(21.0, 28.5)).is_empty());
}

#[test]
fn silence_is_reported_once_and_a_station_that_is_back_goes_on() {
    let mut driver = Driver::new();
    driver.judge(sight(10, 18.0, true));
    let until = |driver: &mut Driver, hour: f64| {
        let now = sight(10, hour, true).time;
        driver.take(|watch, events| watch.wait_until(now, events))
    };
    assert!(until(&mut driver, 22.0).is_empty());
    assert_eq!(until(&mut driver, 22.1), ["stale 1"]);
    assert!(until(&mut driver, 23.0).is_empty());
    assert!(driver.judge(sight(10, 24.0, true)).is_empty());
    let reached = Sight { is_reached: true, ..sight(10, 25.0, true) };
    assert_eq!(driver.judge(reached), ["confirmed 1"]);
}

#[test]
fn a_station_that_reports_every_three_hours_is_not_silent() {
    let mut driver = Driver::new();
    assert_eq!(driver.judge(sight(10, 18.0, true)), ["expected 1"]);
    for hour in [21.2, 24.0, 27.3] {
        let now = sight(10, hour, true).time;
        assert!(driver.take(|watch, events| watch.wait_until(now, events)).is_empty(), "{hour}");
        assert!(driver.judge(sight(10, hour, true)).is_empty());
    }
}

#[test]
fn what_happened_in_a_silence_is_unknown_and_nothing_is_withdrawn() {
    let settled = |is_complete: bool| {
        let mut driver = Driver::new();
        driver.judge(sight(10, 18.0, true));
        assert!(driver.judge(sight(10, 20.0, false)).is_empty());
        let now = sight(10, 24.5, true).time;
        assert_eq!(driver.take(|watch, events| watch.wait_until(now, events)), ["stale 1"]);
        for hour in [25.0, 28.0, 31.0] {
            assert!(driver.judge(sight(10, hour, false)).is_empty(), "{hour}");
        }
        driver.settle(10, false, is_complete)
    };
    assert_eq!(settled(true), ["averted 1"], "the silence was short");
    assert!(settled(false).is_empty());
}

#[test]
fn a_station_that_is_back_does_not_know_what_it_has_missed() {
    let mut driver = Driver::new();
    driver.judge(sight(10, 18.0, true));
    let now = sight(10, 24.5, true).time;
    assert_eq!(driver.take(|watch, events| watch.wait_until(now, events)), ["stale 1"]);
    assert!(driver.judge(sight(10, 25.0, true)).is_empty());
    for hour in [26.0, 27.0, 29.0] {
        assert!(driver.judge(sight(10, hour, false)).is_empty(), "{hour}");
    }
    assert!(driver.settle(10, false, false).is_empty(), "that it is unknown is in the last message");
}

#[test]
fn a_rule_that_is_published_again_has_other_ids() {
    let mut driver = Driver::new();
    driver.judge(sight(10, 18.0, true));
    let again = Identity { incarnation: 1, ..IDENTITY };
    let events = driver.take(|watch, events| watch.judge(again, sight(10, 19.0, true), events));
    assert_eq!(events, ["expected 2"]);
}

#[test]
fn what_a_wrong_observation_has_confirmed_is_taken_back() {
    let (mut driver, reached) = (Driver::new(), Sight { is_reached: true, ..sight(10, 22.0, true) });
    assert_eq!(driver.judge(reached), ["confirmed 1"]);
    assert_eq!(driver.judge(sight(10, 22.0, false)), ["withdrawn 1"], "corrected");
    assert!(driver.judge(sight(10, 23.0, false)).is_empty());
    assert!(driver.settle(10, false, true).is_empty(), "nothing stands");
    let reached = Sight { is_reached: true, ..sight(11, 22.0, true) };
    assert_eq!(driver.judge(reached), ["confirmed 1"]);
    assert_eq!(driver.judge(sight(11, 22.0, true)), ["expected 1"], "corrected, and still likely");
    assert_eq!(driver.judge(Sight { time: reached.time + HOUR, ..reached }), ["confirmed 2"]);
    let unknown = Sight { holds: None, ..sight(11, 23.5, false) };
    assert!(driver.judge(unknown).is_empty());
}

#[test]
fn a_limit_reached_without_a_warning_is_confirmed_at_once() {
    let mut driver = Driver::new();
    let reached = Sight { is_reached: true, ..sight(10, 19.0, true) };
    assert_eq!(driver.judge(reached), ["confirmed 1"]);
    driver.settle(10, true, true);
    assert_eq!(driver.0.track().warnings(), 0, "nobody was warned before");
    let out_of_season = Sight { holds: Some(false), ..Sight { is_reached: true, ..sight(11, 19.0, false) } };
    assert!(driver.judge(out_of_season).is_empty());
}

#[test]
fn a_late_outlook_of_a_night_before_changes_nothing() {
    let mut driver = Driver::new();
    driver.judge(sight(11, 18.0, true));
    assert!(driver.judge(sight(10, 30.0, true)).is_empty());
    assert_eq!(driver.settle(10, true, true), Vec::<String>::new());
    assert_eq!(driver.0.describe(), "expected");
}

#[test]
fn a_crossing_that_moved_earlier_says_from_when() {
    let mut watch = NightWatch::new(IDENTITY);
    let mut at = |hour: f64, crossing: i64| {
        let mut events = Vec::new();
        let crossing = Some(10 * 24 * HOUR + crossing);
        watch.judge(IDENTITY, Sight { crossing, ..sight(10, hour, true) }, &mut events);
        events.iter().map(|event| event.crossing_before.map(|time| time - 10 * 24 * HOUR)).collect::<Vec<_>>()
    };
    assert_eq!(at(18.0, 23 * HOUR), [None]);
    assert_eq!(at(18.5, 23 * HOUR - HOUR / 2), [], "half an hour is not worth it");
    assert_eq!(at(19.0, 21 * HOUR), [Some(23 * HOUR)]);
}
