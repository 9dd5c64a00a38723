//! Conditions over hours and nights: what decides their feed, what is refused and where, and what they say of a moment.

use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::noaa::ObservationView;
use crate::rules::{
    Condition, ConditionError, Conditions, DayVerdict, Definition, EvaluationError, Evaluator, Feed, Scope,
    Verdict,
};

const OBSERVATION: &[u8] =
    br#"{"station":{"id":"USW00003192","state_code":"AZ","name":"SCOTTSDALE"},"date":"2016-02-24","TMIN":-8.9}"#;

fn compile(text: &str) -> Result<Condition, ConditionError> {
    Condition::compile(text, Scope::Observation)
}

/// A cold evening: 1.5 °C, a dry wind, and a night between about -4 and 0 °C.
fn moment() -> MomentView {
    let view = ObservationView::parse(OBSERVATION).unwrap();
    MomentView {
        station: view.station,
        date: view.date,
        hour: HourValues {
            temperature_c: 1.5,
            dew_point_c: Some(-6.0),
            wet_bulb_c: Some(-1.2),
            wind_m_s: Some(4.0),
            humidity_percent: None,
        },
        night: Some(Distribution::of(|p| -2.0 + 0.9 * (p / (1.0 - p)).ln())),
    }
}

fn verdict(text: &str, moment: &MomentView) -> Result<Verdict, EvaluationError> {
    Evaluator::new()
        .evaluate_moment(&compile(text).unwrap_or_else(|error| panic!("{text}: {error:?}")), moment)
}

#[test]
fn the_names_decide_the_feed() {
    for (text, feed) in [
        ("TMIN <= 10.0", Feed::Day),
        ("station.state_code == 'AZ' && date > '2016-01-01'", Feed::Day),
        ("true", Feed::Day),
        ("T <= 1.0 && WETBULB <= -1.0", Feed::Hour),
        ("TD < 0.0 || WIND > 3.0 || RH > 90.0", Feed::Hour),
        ("station.elevation > 500.0 && f(T) < 33", Feed::Hour),
        ("chance(-2.0) >= 0.3", Feed::Night),
        ("date > '2016-03-01' && night.min <= 0.0", Feed::Night),
        ("has(night.p10) && night.p10 < c(28)", Feed::Night),
    ] {
        let condition = compile(text).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(condition.feed(), feed, "{text}");
        assert!(feed == Feed::Day || condition.native().is_none(), "{text}");
    }
}

#[test]
fn mistakes_say_where_and_what() {
    for (text, offset, message) in [
        (
            "T <= 1.0 && chance(-2.0) > 0.3",
            12,
            "`T` is measured now, `chance` is about the coming night: write two rules",
        ),
        ("chance(-2.0) > 0.3 && night.min < TMIN", 34, "`TMIN` is reported once for a whole day"),
        ("TMIN < 0.0 && WIND < 2.0", 14, "write two rules, one for each"),
        ("T < 0.0 && chance() > 0.3", 11, "`chance` takes 1 value, not 0"),
        ("chance(1, 2) > 0.3", 0, "not 2: write it as in chance(-2.0) >= 0.3"),
        ("true || chance(T) > 0.3", 8, "must be a constant"),
        ("chance('cold') > 0.3", 0, "must be a constant"),
        ("chance(chance(1)) > 0.3", 0, "must be a constant"),
        ("chance(1 / 0) > 0.3", 0, "must be a constant"),
        ("night.min.chance(-2.0) > 0.3", 10, "takes 1 value, not 2"),
        ("chance(100) > 0.3", 0, "a limit of 100 °C: expected -90 to 60 °C"),
        ("chance(-91.0) > 0.3", 0, "a limit of -91 °C"),
        ("chance > 0.3", 0, "needs a limit"),
        ("true && chance(-2.0) + 'x' > 0.3", 8, "cannot be evaluated"),
        ("chance(-2.0)", 0, "not true or false"),
        ("night.max > 3.0", 0, "`night` has min, p10 and p90"),
        ("t < 3.0", 0, "a value of an hour (T, TD, WETBULB, WIND, RH)"),
        ("changes(-2.0) > 0.3", 0, "chance"),
    ] {
        let error = compile(text).expect_err(text);
        assert!(error.message.contains(message), "{text}: {error:?}");
        assert_eq!(error.offset, offset, "{text}: {error:?}");
    }
    let limits = |count: i32| {
        let calls: Vec<String> = (0..count).map(|limit| format!("chance({limit}) > 0.3")).collect();
        compile(&calls.join(" || "))
    };
    assert!(limits(20).is_ok());
    assert!(limits(21).unwrap_err().message.contains("more than 20 different limits"));
    let same = vec!["chance(-2.0) > 0.3"; 30].join(" || ");
    assert_eq!(compile(&same).unwrap().chance_limits().count(), 1);
}

#[test]
fn filters_and_choices_of_stations_know_no_moments() {
    for text in ["chance(-2.0) > 0.3", "night.min < 0.0", "T < 0.0"] {
        for (scope, word) in
            [(Scope::Filter, "the filter sees daily"), (Scope::Station, "chosen by `station` alone")]
        {
            let error = Condition::compile(text, scope).unwrap_err();
            assert!(error.offset == 0 && error.message.contains(word), "{text} {scope:?}: {error:?}");
        }
    }
}

#[test]
fn hours() {
    let moment = moment();
    for (text, expected) in [
        ("T <= 1.5", Verdict::Holds),
        ("T < 1", Verdict::HoldsNot),
        ("T <= 2.0 && WETBULB <= -1.0", Verdict::Holds),
        ("TD < c(22)", Verdict::Holds),
        ("RH > 90.0", Verdict::Unknown),
        ("RH > 90.0 || WIND >= 4.0", Verdict::Holds),
        ("f(T) < 35 && station.state_code == 'AZ' && date == '2016-02-24'", Verdict::Holds),
        ("mph(WIND) > 8.9", Verdict::Holds),
        ("date == '2016-02-24'", Verdict::Holds),
        ("TMIN < 0.0 || true", Verdict::Unknown),
    ] {
        assert_eq!(verdict(text, &moment), Ok(expected), "{text}");
    }
}

#[test]
fn nights() {
    let known = moment();
    for (text, expected) in [
        ("night.min <= -2.0", Verdict::Holds),
        ("night.min > -2.0", Verdict::HoldsNot),
        ("night.p10 < -3.5 && night.p90 < 0.1 && night.p10 < night.min", Verdict::Holds),
        ("chance(-2.0) >= 0.49 && chance(-2) <= 0.51", Verdict::Holds),
        ("chance(c(28)) == chance(-(20.0 / 9.0))", Verdict::Holds),
        ("chance(-2.0) > chance(-3.0) && station.id == 'USW00003192'", Verdict::Holds),
        ("chance(40) == 1.0", Verdict::Holds),
        ("station.name.startsWith('SCOTT') && chance(-2.0 + 1.0) > 0.6", Verdict::Holds),
    ] {
        assert_eq!(verdict(text, &known), Ok(expected), "{text}");
        let open = MomentView { night: None, ..known.clone() };
        assert_eq!(verdict(text, &open), Ok(Verdict::Unknown), "{text}");
    }
}

#[test]
fn days_say_nothing_of_moments() {
    let day = ObservationView::parse(OBSERVATION).unwrap();
    for text in ["T <= 1.0 || true", "chance(-2.0) >= 0.3 || true", "night.min < 0.0 || station.id != ''"] {
        assert_eq!(Evaluator::new().evaluate(&compile(text).unwrap(), &day), Ok(Verdict::Unknown), "{text}");
    }
}

#[test]
fn parts_of_a_condition_are_conditions() {
    let whole = "(chance(-2.0) >= 0.3 && date > '2016') || night.min <= -4.0";
    let texts: Vec<String> = compile(whole).unwrap().clauses().into_iter().map(|part| part.text).collect();
    assert_eq!(
        texts,
        [
            whole,
            "(chance(-2.0) >= 0.3 && date > '2016')",
            "chance(-2.0) >= 0.3",
            "date > '2016'",
            "night.min <= -4.0"
        ]
    );
    texts.iter().for_each(|text| drop(compile(text).unwrap()));
}

#[test]
fn limits_of_nights() {
    for (text, limit) in [
        ("chance(-2.0) >= 0.3", Some(-2.0)),
        ("chance(-2.0) >= 0.3 || chance(-1) > 0.8 && chance(-5) > 0.1", Some(-1.0)),
        ("night.min <= 0.0", Some(0.0)),
        ("-1.5 >= night.p10", Some(-1.5)),
        ("f(night.min) <= 14.0", Some(-10.0)),
        ("!(night.p90 > c(50))", Some(10.0)),
        ("night.min <= night.p90", None),
        ("night.min - 1.0 <= 0.0", None),
        ("T <= 0.0", None),
        ("TMIN <= 0.0", None),
    ] {
        assert_eq!(compile(text).unwrap().night_limit(), limit, "{text}");
    }
}

fn definition(when: &str) -> Definition {
    let station = Some("USW00003192".into());
    Definition { id: "r".into(), station, when: when.into(), ..Definition::default() }
}

#[test]
fn rules_of_moments() {
    let problems = |definition: Definition| {
        let problems = definition.compile(0, None, &mut Conditions::default()).unwrap_err();
        problems
            .into_iter()
            .map(|problem| (problem.field, problem.offset, problem.message))
            .collect::<Vec<_>>()
    };
    let clear = |clear: &str, when| Definition { clear: Some(clear.into()), ..definition(when) };
    let found = problems(clear("true && T > 2.0", "chance(-2.0) > 0.3"));
    assert!(found[0].0 == "clear" && found[0].1 == 8 && found[0].2.contains("write two rules"), "{found:?}");
    for when in ["T <= 1.0", "chance(-2.0) > 0.3"] {
        let found = problems(Definition { for_days: Some(1), repeat_days: Some(3), ..definition(when) });
        let fields: Vec<&str> = found.iter().map(|(field, ..)| *field).collect();
        assert_eq!(fields, ["for_days", "repeat_days"], "{found:?}");
        assert!(found[0].2.contains("counts reported days"), "{found:?}");
    }
    let found = problems(definition("date > '2016' && night.min < night.p90"));
    assert!(found[0].0 == "when" && found[0].1 == 17, "{found:?}");
    assert!(found[0].2.starts_with("expected chance(-2.0) or"), "{found:?}");
    let compiled = |definition: Definition| definition.compile(0, None, &mut Conditions::default()).unwrap();
    assert_eq!(compiled(clear("date > '2016'", "T <= 1.0")).feed(), Feed::Hour);
    assert_eq!(compiled(clear("T > 1.0", "date > '2016'")).feed(), Feed::Hour);
    assert_eq!(compiled(definition("night.min < 0.0")).night_limit(), Some(0.0));
}

#[test]
fn moments_are_judged_as_days_are() {
    let rule = Definition { clear: Some("T > 2.0".into()), ..definition("T <= 1.0 && WETBULB <= -1.0") };
    let active = crate::rules::ActiveDefinition { months: vec![2], ..Default::default() };
    let rule = Definition { active: Some(active), ..rule };
    let rule = rule.compile(0, None, &mut Conditions::default()).unwrap();
    let evaluator = Evaluator::new();
    let at = |temperature_c, wet_bulb_c, date: &str| {
        let hour = HourValues { temperature_c, wet_bulb_c, ..moment().hour };
        let moment = MomentView { hour, date: Date::parse_iso(date).unwrap(), ..moment() };
        rule.judge_moment(&evaluator, &moment).unwrap().verdict
    };
    assert_eq!(at(0.5, Some(-1.5), "2016-02-24"), DayVerdict::Matches);
    assert_eq!(at(0.5, Some(-1.5), "2016-03-24"), DayVerdict::Between, "outside its season");
    assert_eq!(at(0.5, None, "2016-02-24"), DayVerdict::Unknown);
    assert_eq!(at(1.5, Some(-1.5), "2016-02-24"), DayVerdict::Between);
    assert_eq!(at(2.5, Some(0.5), "2016-02-24"), DayVerdict::Clears);
    let day = ObservationView::parse(OBSERVATION).unwrap();
    assert_eq!(rule.judge(&evaluator, &day).unwrap().verdict, DayVerdict::Unknown);
    assert!(rule.watches(&evaluator, &Rc::clone(&day.station)));
}

/// A memory of days belongs to a fingerprint: it must be the same number in every version.
#[test]
fn fingerprints_of_rules_about_days_are_as_they_were() {
    let days = Definition {
        clear: Some("TMIN > 12.0".into()),
        for_days: Some(2),
        repeat_days: Some(7),
        ..definition("TMIN <= 10.0")
    };
    let fingerprint = |definition: &Definition| {
        definition.compile(0, None, &mut Conditions::default()).unwrap().identity.fingerprint
    };
    assert_eq!(fingerprint(&days), 969_827_746);
    assert_eq!(fingerprint(&definition("TMIN <= 10.0")), 220_277_275);
    let written = serde_json::to_string(&definition("TMIN <= 10.0")).unwrap();
    assert_eq!(written, r#"{"id":"r","station":"USW00003192","when":"TMIN <= 10.0"}"#);
}

proptest! {
    /// Whatever names stand in whatever order: one feed, or a refusal at the first name of another.
    #[test]
    fn feeds_do_not_mix(picked in proptest::collection::vec(0..12_usize, 1..6)) {
        const PARTS: [(&str, Option<Feed>); 12] = [
            ("station.lat > 3.0", None),
            ("date > '2016'", None),
            ("TMIN < 0.0", Some(Feed::Day)),
            ("PRCP > 1.0", Some(Feed::Day)),
            ("T < 0.0", Some(Feed::Hour)),
            ("TD < 0.0", Some(Feed::Hour)),
            ("WETBULB < 0.0", Some(Feed::Hour)),
            ("WIND < 0.5", Some(Feed::Hour)),
            ("RH < 9.0", Some(Feed::Hour)),
            ("night.min < 0.0", Some(Feed::Night)),
            ("chance(-2.0) > 0.3", Some(Feed::Night)),
            ("chance(c(28)) > 0.3", Some(Feed::Night)),
        ];
        let parts: Vec<_> = picked.iter().map(|index| PARTS[*index]).collect();
        let text = parts.iter().map(|(text, _)| *text).collect::<Vec<_>>().join(" && ");
        let first = parts.iter().find_map(|(_, feed)| *feed);
        let other = parts.iter().position(|(_, feed)| feed.is_some() && *feed != first);
        match (compile(&text), other) {
            (Ok(condition), None) => prop_assert_eq!(condition.feed(), first.unwrap_or_default()),
            (Err(error), Some(at)) => {
                let before: usize = parts[..at].iter().map(|(text, _)| text.len() + " && ".len()).sum();
                prop_assert_eq!(error.offset, before, "{}: {:?}", text, error);
            }
            (compiled, _) => prop_assert!(false, "{}: {:?}", text, compiled),
        }
    }

    /// A limit is worth the same in degrees Celsius and Fahrenheit, and the chance is that of the distribution.
    #[test]
    fn chances_are_those_of_the_night(tenths in -300..300_i32, least in 0..=100_u32) {
        let (limit, least) = (f64::from(tenths) / 10.0, f64::from(least) / 100.0);
        let moment = moment();
        let holds = moment.night.unwrap().chance(limit) >= least;
        let expected = if holds { Verdict::Holds } else { Verdict::HoldsNot };
        prop_assert_eq!(verdict(&format!("chance({limit:?}) >= {least:?}"), &moment), Ok(expected));
        let condition = compile(&format!("chance(c({:?})) > 0.5", limit * 1.8 + 32.0)).unwrap();
        prop_assert!((condition.night_limit().unwrap() - limit).abs() < 1e-9);
    }
}
