//! Sentences about hours and nights.

use super::*;
use crate::hourly::parse_time;
use crate::outlook::Observed;

fn moment() -> Moment {
    let time = |text: &str| parse_time(text).unwrap();
    Moment {
        time: time("2026-11-29T01:53:00Z"),
        offset: -7 * 3_600,
        observed: Some(Observed {
            temperature_c: 3.0,
            dew_point_c: Some(-9.0),
            wet_bulb_c: Some(-3.4),
            humidity_percent: Some(40.0),
            wind_m_s: Some(1.1),
        }),
        night: Some(NightFacts {
            limit_c: -2.0,
            ends: time("2026-11-29T16:00:00Z"),
            chance: Some(0.618),
            p10_c: Some(-4.4),
            p50_c: Some(-2.6),
            p90_c: Some(-0.9),
            lowest_at: Some(time("2026-11-29T13:00:00Z")),
            lowest_so_far_c: Some(-2.04),
            warnings: 20,
            came_true: 16,
            ..NightFacts::default()
        }),
        crop: None,
    }
}

fn say(units: Units, zone: Option<&str>, transition: Transition, moment: &Moment) -> String {
    let occasion = Occasion { transition, moment, place: "SCOTTSDALE MUNI AP", when: "T <= 1.0" };
    Speech::new(units, zone, moment.offset).sentence(occasion)
}

#[test]
fn a_warning_says_what_how_likely_when_and_how_often_it_was_right() {
    assert_eq!(
        say(Units::Metric, None, Transition::Expected, &moment()),
        "Frost likely tonight at SCOTTSDALE MUNI AP: 62 % for -2.0 °C or less; lowest -2.6 °C (-4.4 to -0.9 in 8 of 10 such \
         nights) about 06:00. At 18:53: 3.0 °C, wet bulb -3.4 °C, wind 1 m/s. Of the last 20 such warnings here 16 came true."
    );
    assert_eq!(
        say(Units::Us, Some("America/New_York"), Transition::Expected, &moment()),
        "Freeze likely tonight at SCOTTSDALE MUNI AP: 62 % for 28.4 °F or less; lowest 27.3 °F (24 to 30 in 8 of 10 such \
         nights) about 8:00 AM. At 8:53 PM: 37 °F, wet bulb 26 °F, wind 2 mph. Of the last 20 such warnings here 16 came true."
    );
}

#[test]
fn what_follows_a_warning() {
    let say = |transition| say(Units::Metric, Some("America/Phoenix"), transition, &moment());
    assert_eq!(
        say(Transition::Confirmed),
        "Frost at SCOTTSDALE MUNI AP: lowest so far -2.0 °C, by the report of 18:53, at your limit of -2.0 °C."
    );
    assert!(
        say(Transition::Withdrawn)
            .starts_with("Withdrawn: frost at SCOTTSDALE MUNI AP has become less likely: 62 %")
    );
    assert!(say(Transition::Stale).starts_with("No report from SCOTTSDALE MUNI AP since 18:53: whether"));
    let mut moment = moment();
    // The report of the morning ends a night of which much is missing.
    let night_end = moment.night.as_ref().unwrap().ends;
    let morning = Moment { time: night_end + 3_180, ..moment.clone() };
    assert_eq!(
        self::say(Units::Metric, Some("America/Phoenix"), Transition::Stale, &morning),
        "Reports from SCOTTSDALE MUNI AP are missing in the night that is over: whether it got as cold as -2.0 °C is \
         unknown. Look at a thermometer of your own."
    );
    if let Some(night) = &mut moment.night {
        night.lowest_so_far_c = Some(-0.4);
    }
    let occasion = Occasion { transition: Transition::Averted, moment: &moment, place: "X", when: "" };
    let averted = Speech::new(Units::Us, None, 0).sentence(occasion);
    assert_eq!(
        averted,
        "The night at X is over: the lowest was 31.3 °F, 2.9 °F above your limit of 28.4 °F. The warning did not come true."
    );
}

#[test]
fn after_midnight_the_night_is_this_mornings() {
    let at = |time: &str| Moment { time: parse_time(time).unwrap(), ..moment() };
    let say = |moment: &Moment| say(Units::Us, Some("America/Phoenix"), Transition::Expected, moment);
    assert!(say(&at("2026-11-29T06:59:00Z")).starts_with("Freeze likely tonight at"));
    assert!(say(&at("2026-11-29T07:00:00Z")).starts_with("Freeze likely this morning at"));
}

#[test]
fn a_limit_is_reached_by_the_newest_report_or_by_an_earlier_one() {
    let confirmed = |temperature_c: f64, limit_c: f64, lowest_c: f64| {
        let mut moment = moment();
        moment.observed.as_mut().unwrap().temperature_c = temperature_c;
        let night = moment.night.as_mut().unwrap();
        (night.limit_c, night.lowest_so_far_c) = (limit_c, Some(lowest_c));
        say(Units::Metric, Some("America/Phoenix"), Transition::Confirmed, &moment)
    };
    let place = "at SCOTTSDALE MUNI AP:";
    assert_eq!(
        confirmed(-2.4, -2.0, -2.4),
        format!("Frost {place} -2.4 °C at 18:53, 0.4 °C below your limit of -2.0 °C.")
    );
    assert_eq!(
        confirmed(-0.5, -2.0, -2.4),
        format!(
            "Frost {place} lowest so far -2.4 °C, by the report of 18:53, 0.4 °C below your limit of -2.0 °C."
        )
    );
    assert_eq!(
        confirmed(1.9, 2.0, 1.9),
        format!("Limit reached {place} 1.9 °C at 18:53, 0.1 °C below your limit of 2.0 °C.")
    );
}

#[test]
fn an_hour_says_what_is_measured() {
    let moment = Moment { night: None, ..moment() };
    assert_eq!(
        say(Units::Metric, None, Transition::Fired, &moment),
        "3.0 °C at SCOTTSDALE MUNI AP at 18:53, wet bulb -3.4 °C, wind 1 m/s. Your limit: 1.0 °C."
    );
    let all = "T <= c(36.0) && WETBULB <= -1.0 && TD < -1.0 && WIND < 2.0 && RH > 80.0 && T <= c(36.0)";
    let occasion = |when| Occasion { transition: Transition::Fired, moment: &moment, place: "X", when };
    let said = |when| Speech::new(Units::Us, None, moment.offset).sentence(occasion(when));
    assert!(
        said(all).ends_with(
            " Your limits: 36 °F, wet bulb 30.2 °F, dew point 30.2 °F, wind 4 mph, humidity 80 %."
        ),
        "{}",
        said(all)
    );
    assert!(said("T < TD + 1.0").ends_with(" Your rule: T < TD + 1.0."), "{}", said("T < TD + 1.0"));
    assert!(say(Units::Us, None, Transition::Resolved, &moment).starts_with("Ended: 37.4 °F at"));
    assert!(Units::Metric.degrees(-0.04) == "0.0 °C");
}

/// With a limit that will be crossed: now 32 °F at Portland.
fn portland() -> Moment {
    let time = |text: &str| parse_time(text).unwrap();
    let night = NightFacts {
        limit_c: 0.0,
        chance: Some(0.85),
        p10_c: Some(-5.0),
        p50_c: Some(-1.7),
        p90_c: Some(0.0),
        lowest_at: Some(time("2014-12-31T14:41:00Z")),
        crossing_at: Some(time("2014-12-31T04:06:00Z")),
        lowest_so_far_c: Some(3.0),
        warnings: 20,
        came_true: 16,
        ..NightFacts::default()
    };
    let time = time("2014-12-31T00:53:00Z");
    let crop = Some("a sentence about a crop that is long".into());
    Moment { time, offset: -8 * 3_600, night: Some(night), crop, ..moment() }
}

#[test]
fn a_late_report_is_given_its_own_time() {
    let mut moment = portland();
    let night = moment.night.as_mut().unwrap();
    (night.lowest_so_far_c, night.lowest_at) = (Some(-1.0), Some(moment.time - 3_600));
    moment.observed = None;
    let text = say(Units::Metric, None, Transition::Confirmed, &moment);
    assert!(text.contains("-1.0 °C at 15:53"), "{text}");
    // The lowest is still to come, and when the late report was made is not known any more.
    let expected_at = moment.time + 3_600;
    moment.night.as_mut().unwrap().lowest_at = Some(expected_at);
    let text = say(Units::Metric, None, Transition::Confirmed, &moment);
    assert!(text.contains("lowest so far -1.0 °C, by the report of 16:53"), "{text}");
}

#[test]
fn a_warning_says_when_the_limit_is_crossed_and_that_it_moved() {
    let mut moment = portland();
    let first = say(Units::Us, None, Transition::Expected, &moment);
    assert!(
        first.contains(
            ": 85 % for 32 °F or less, from about 8 PM on; lowest 29 °F (23 to 32 in 8 of 10 such nights)"
        ),
        "{first}"
    );
    if let Some(night) = &mut moment.night {
        night.crossing_before = night.crossing_at.map(|at| at + 5_400);
    }
    let again = say(Units::Us, None, Transition::Expected, &moment);
    let expected = ", now from about 8 PM on, an hour and a half earlier than expected before; lowest";
    assert!(again.contains(expected), "{again}");
    let metric = say(Units::Metric, None, Transition::Expected, &moment);
    assert!(metric.contains("now from about 20:00 on"), "{metric}");
    let newfoundland = say(Units::Us, Some("America/St_Johns"), Transition::Expected, &moment);
    assert!(newfoundland.contains("now from about 12:30 AM on"), "{newfoundland}");
    // Where it has been crossed there is nothing to come.
    moment.time += 4 * 3_600;
    assert!(!say(Units::Us, None, Transition::Expected, &moment).contains("from about"));
}

#[test]
fn an_sms_drops_the_least_important_first_and_never_the_limit() {
    let fits = |room: usize| move |text: &str| text.chars().count() <= room;
    let moment = portland();
    let speech = Speech::new(Units::Us, None, moment.offset);
    let say = |room: usize, place: &str| {
        let occasion = Occasion { transition: Transition::Expected, moment: &moment, place, when: "" };
        let text = speech.short_sentence(occasion, fits(room));
        assert!(text.chars().count() <= room, "{text}");
        text
    };
    let parts = ["Of the last 20", "wet bulb", "wind 2 mph", "(23 to 32)"];
    for (room, kept) in [(300, 4), (190, 3), (150, 2), (133, 1), (118, 0)] {
        let text = say(room, "PORTLAND INTL AP");
        let found: Vec<bool> = parts.iter().map(|part| text.contains(part)).collect();
        // The record goes first, the band last.
        let expected: Vec<bool> = (0..4).map(|index| index >= 4 - kept).collect();
        assert_eq!(found, expected, "{room}: {text}");
        assert!(text.contains("85 % for 32 °F") && text.contains("from about 8 PM"), "{text}");
    }
    let shortest = "Freeze 85% for 32 °F tonight PORTLAND INTL AP, low 29 °F 6:41 AM, below 32 °F from 8 PM";
    assert_eq!(say(100, "PORTLAND INTL AP"), shortest);
    let long = say(100, &"Y".repeat(200));
    assert!(long.starts_with("Freeze 85% for 32 °F tonight YYYY") && long.ends_with("from 8 PM"), "{long}");
    for transition in [Transition::Withdrawn, Transition::Confirmed, Transition::Averted, Transition::Stale] {
        let occasion = Occasion { transition, moment: &moment, place: "PORTLAND INTL AP", when: "" };
        let text = speech.short_sentence(occasion, fits(70));
        assert!(text.contains("PORTLAND") && text.contains("32 °F"), "{text}");
    }
}
