//! Conditions: what they accept, and what they say of an observation.

use super::*;
use proptest::prelude::*;

fn verdict(condition: &str, observation: &str) -> Verdict {
    let condition = Condition::compile(condition, Scope::Observation).unwrap();
    let view = ObservationView::parse(observation.as_bytes()).unwrap();
    Evaluator::new().evaluate(&condition, &view).unwrap()
}

const FROST: &str = r#"{"station":{"id":"USW00003192","country_code":"US","state_code":"AZ"},
    "date":"2016-02-24T00:00:00","TMIN":8.9,"SNOW":0}"#;

#[test]
fn three_outcomes() {
    assert_eq!(verdict("TMIN <= 10.0", FROST), Verdict::Holds);
    assert_eq!(verdict("TMIN <= 10", FROST), Verdict::Holds);
    assert_eq!(verdict("TMIN < 8.9", FROST), Verdict::HoldsNot);
    assert_eq!(verdict("TMAX <= 10.0", FROST), Verdict::Unknown);
    assert_eq!(verdict("TMAX <= 10.0 || TMIN <= 10.0", FROST), Verdict::Holds);
    assert_eq!(verdict("SNOW <= 10.5", FROST), Verdict::Holds);
    assert_eq!(verdict("station.state_code == 'AZ' && date == '2016-02-24'", FROST), Verdict::Holds);
    assert_eq!(verdict("station.elevation > 100.0", FROST), Verdict::Unknown);
}

#[test]
fn common_conditions_are_native() {
    for text in [
        "TMIN <= 10.0",
        "TMAX - TMIN > 20.0 && !(PRCP > 0.5)",
        "station.country_code == 'US' && station.state_code in ['AZ', 'NM'] || has(station.elevation)",
        "date >= '2016-11-01' && station.lat > -(12.5) && true",
    ] {
        assert!(Condition::compile(text, Scope::Observation).unwrap().native.is_some(), "{text}");
    }
    let filter = "station.country_code == 'US' && station.state_code == 'AZ'";
    let required = |text| Condition::compile(text, Scope::Filter).unwrap().required_text().map(str::to_owned);
    assert_eq!(required(filter).as_deref(), Some("AZ"));
    assert_eq!(required("station.state_code == 'AZ' || TMIN < 0.0"), None);
    assert_eq!(required("station.name != 'AZ'"), None);
    assert_eq!(required("station.name == 'A\"Z'"), None);
}

/// Conditions of the common kinds, and some that must be left to the interpreter.
fn conditions() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        Just("TMIN"),
        Just("TMAX"),
        Just("SNOW"),
        Just("PRCP"),
        Just("station.lat"),
        Just("0"),
        Just("-3"),
        Just("10.0"),
        Just("8.9"),
        Just("(TMAX - TMIN)"),
        Just("(TMIN * 2.0)"),
        Just("(SNOW + 1)"),
        Just("(-TMIN)"),
        Just("(TMAX / PRCP)"),
        Just("(1 / SNOW)"),
        Just("9223372036854775807"),
        Just("(SNOW + 9223372036854775807)"),
        Just("double(SNOW)"),
        Just("f(TMIN)"),
        Just("inches(SNOW)"),
        Just("f(PRCP + 1.0)"),
    ];
    let text = prop_oneof![
        Just("station.state_code"),
        Just("station.name"),
        Just("station.id"),
        Just("date"),
        Just("'AZ'"),
        Just("'2016-02-24'"),
        Just("''"),
    ];
    let compare = prop_oneof![Just("=="), Just("!="), Just("<"), Just("<="), Just(">"), Just(">=")];
    let leaf = prop_oneof![
        8 => (number.clone(), compare.clone(), number).prop_map(|(l, c, r)| format!("{l} {c} {r}")),
        4 => (text.clone(), compare, text.clone()).prop_map(|(l, c, r)| format!("{l} {c} {r}")),
        1 => text.clone().prop_map(|text| format!("{text} in ['AZ', 'NM', 'X']")),
        1 => text.prop_map(|text| format!("{text} in ['AZ']")),
        1 => Just("has(station.state)".to_owned()),
        1 => Just("station.name.startsWith('A')".to_owned()),
        1 => Just("true".to_owned()),
    ];
    leaf.prop_recursive(4, 16, 2, |inner| {
        let pair = (inner.clone(), prop_oneof![Just("&&"), Just("||")], inner.clone());
        prop_oneof![
            3 => pair.prop_map(|(l, c, r)| format!("({l} {c} {r})")),
            1 => inner.prop_map(|test| format!("!({test})")),
        ]
    })
}

fn observations() -> impl Strategy<Value = String> {
    let value = prop_oneof![Just("0"), Just("0.0"), Just("-3.5"), Just("8.9"), Just("10"), Just("10.0")];
    let element = |name: &'static str| {
        proptest::option::of(value.clone())
            .prop_map(move |value| value.map_or(String::new(), |value| format!(",\"{name}\":{value}")))
    };
    let station = prop_oneof![
        Just(""),
        Just(",\"state_code\":\"AZ\",\"state\":\"ARIZONA\""),
        Just(",\"name\":\"AZ\",\"location\":{\"lat\":8.9}"),
    ];
    (station, element("TMIN"), element("TMAX"), element("SNOW"), element("PRCP")).prop_map(
        |(station, tmin, tmax, snow, prcp)| {
            format!("{{\"station\":{{\"id\":\"USW00003192\"{station}}},\"date\":\"2016-02-24\"{tmin}{tmax}{snow}{prcp}}}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn native_conditions_agree_with_the_interpreter(text in conditions(), observation in observations()) {
        let Ok(condition) = Condition::compile(&text, Scope::Observation) else { return Ok(()) };
        let view = ObservationView::parse(observation.as_bytes()).unwrap();
        let native = condition.native.as_ref().and_then(|test| test.run(&view));
        let interpreted = Evaluator::new().interpret(&condition, Input::Day(&view));
        if let Some(verdict) = native {
            prop_assert_eq!(Ok(verdict), interpreted, "{} on {}", text, observation);
        }
        // Each part is a condition too.
        for clause in condition.clauses() {
            let part = Condition::compile(&clause.text, Scope::Observation);
            prop_assert!(part.is_ok(), "{:?} of {}: {:?}", clause, text, part);
        }
    }
}

/// Many writers of JSON write 30.0 as 30, and some write 3 as 3.0.
#[test]
fn how_a_number_is_written_decides_nothing() {
    let forms = [["30", "5.5", "3"], ["30.0", "5.50", "3.0"], ["\"30\"", "\"5.5\"", "\"3\""]];
    for text in [
        "TMAX - TMIN > 24.0",
        "-TMAX + 1.0 < 0.0",
        "f(TMAX + TMIN) > 95.0",
        "SNOW + 1 == 4",
        "TMAX / 4.0 == 7.5",
    ] {
        let texts = [text.to_owned(), format!("[{text}][0]")];
        for condition in texts.map(|text| Condition::compile(&text, Scope::Observation).unwrap()) {
            for [tmax, tmin, snow] in forms {
                let observation = format!(
                    "{{\"station\":{{\"id\":\"USW00003192\"}},\"date\":\"2016-02-24\",\"TMAX\":{tmax},\
                     \"TMIN\":{tmin},\"SNOW\":{snow}}}"
                );
                let view = ObservationView::parse(observation.as_bytes()).unwrap();
                let verdict = Evaluator::new().evaluate(&condition, &view);
                assert_eq!(verdict, Ok(Verdict::Holds), "{} on {observation}", condition.text());
            }
        }
    }
}

#[test]
fn mistakes_say_where_and_what() {
    let mistake = |text: &str| Condition::compile(text, Scope::Observation).unwrap_err();
    assert_eq!(mistake("TMIM <= 10.0").offset, 0);
    assert!(mistake("TMIM <= 10.0").message.contains("unknown name `TMIM`"));
    assert!(mistake("TMIN <=").message.contains("ends too early"), "{:?}", mistake("TMIN <="));
    assert_eq!(mistake("TMIN <= ) 3").offset, 8);
    assert!(mistake("TMIN + 1.0").message.contains("not true or false"));
    assert!(mistake("TMIN <= 'cold'").message.contains("cannot be evaluated"));
    assert!(mistake("station.stat == 'x'").message.contains("does not exist"));
    assert_eq!(mistake("TMIN <= 10.0 || nofunc(TMIN)").offset, 16);
    assert!(mistake("foo(TMIN) > 1.0").message.contains("unknown function `foo`"));
    for (wrong, expected) in [
        ("f(TMIN, TMAX) < 30.0", "`f` takes 1 value, not 2: write it as in f(TMIN)"),
        ("TMIN.f(TMAX) < 30.0", "`f` takes 1 value, not 2"),
        ("mph() > 1.0", "`mph` takes 1 value, not 0"),
        ("station.name.contains('A', 'B')", "`contains` takes 2 values, not 3"),
        ("contains(station.name, 1)", "`contains` must follow a text and a point: write it as in station"),
        (
            "station.name.contains(1)",
            "`contains` does not take values of these kinds: write it as in station",
        ),
        ("station.name.startsWith(1)", "`startsWith` does not take"),
        ("size(TMIN) > 1", "`size` does not take"),
        ("f(station.name) > 1.0", "`f` does not take"),
    ] {
        assert!(mistake(wrong).message.contains(expected), "{wrong}: {:?}", mistake(wrong));
    }
    for sound in ["station.name.startsWith('A')", "size(station.name) > 3", "has(station.elevation)"] {
        Condition::compile(sound, Scope::Observation).unwrap();
    }
    // What decides first must not hide what is wrong behind it.
    assert!(mistake("TMAX > 30.0 && station.elev > 3.0").message.contains("does not exist"));
    assert!(mistake("TMAX > 30.0 && TMAX - 3 > 1.0").message.contains("cannot be evaluated"));
    assert_eq!(mistake("TMAX > 30.0 && (TMIN > 10.0 || TMIN < 'x')").offset, 31);
    assert!(mistake("TMIN = 3.0").message.contains("write =="), "{:?}", mistake("TMIN = 3.0"));
    Condition::compile("1 / SNOW > 0 && 1 / int(PRCP) > 0", Scope::Observation).unwrap();
    assert!(mistake(" ").message.contains("empty"));
    assert!(mistake(&"(".repeat(500)).message.contains("nested deeper"));
    assert!(mistake(&format!("{}true", "!".repeat(500))).message.contains("nested deeper"));
    assert!(mistake(&format!("TMIN <= {}", "1".repeat(5_000))).message.contains("limit"));
}

#[test]
fn the_likeliest_slips_are_named() {
    for (text, advice) in [
        ("chance(-2,0) >= 0.3", "decimals have a point"),
        ("chance(-2.0) >= 0,3", "decimals have a point"),
        ("chance(-2C) >= 0.3", "degrees Celsius have no unit"),
        ("chance(c(28)) >= 30 %", "30 % is 0.3"),
        ("TMIN => 3.0", "write >= or <="),
        ("TMIN < 1.0 and TMAX < 5.0", "write && for `and`"),
        ("chance(-2.0)", "compare it with something"),
    ] {
        let error = Condition::compile(text, Scope::Observation).unwrap_err();
        assert!(error.message.contains(advice), "{text}: {}", error.message);
    }
}
