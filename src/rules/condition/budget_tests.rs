//! What a condition may cost: whatever is written, it is refused or its evaluation is bounded.

use std::time::{Duration, Instant};

use super::*;
use proptest::prelude::*;

fn compile(text: &str) -> Result<Condition, ConditionError> {
    Condition::compile(text, Scope::Observation)
}

/// Eight loops, one in another, over sixty numbers each: 60^8 steps.
fn loops(macro_name: &str, end: &str) -> String {
    let numbers = vec!["1"; 60].join(",");
    let names = "TMIN TMAX PRCP SNOW SNWD TAVG AWND TOBS".split(' ');
    names.fold(end.to_owned(), |inner, name| format!("[{numbers}].{macro_name}({name},{inner})"))
}

#[test]
fn loops_are_refused_at_once() {
    // Sixteen bytes, doubled 28 times.
    let twice = |inner: String, _| format!("[{inner}].map(TMIN,TMIN+TMIN)[0]");
    let doubled = format!("size({}) > 0", (0..28).fold("'aaaaaaaaaaaaaaaa'".to_owned(), twice));
    let begun = Instant::now();
    for (text, name) in [
        (loops("all", "true"), "all"),
        (loops("exists", "false"), "exists"),
        (loops("exists_one", "false"), "exists_one"),
        (loops("existsOne", "false"), "existsOne"),
        (format!("size({}) > 0", loops("map", "1")), "map"),
        (format!("size({}) > 0", loops("filter", "true")), "filter"),
        (doubled, "map"),
        ("TMIN > 0.0 && [1, 2].all (station, station > 0)".to_owned(), "all"),
        ("TMIN > 0.0 || [1.0].map(TMIN, TMIN > 0.5, TMIN)[0] > 1.0".to_owned(), "map"),
    ] {
        let mistake = compile(&text).unwrap_err();
        assert!(mistake.message.contains(&format!("`{name}` runs over a list")), "{mistake:?}");
        assert!(text[mistake.offset..].starts_with(name), "{mistake:?}");
    }
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

/// What nests in each way that the grammar has, on a thread with the usual stack.
#[test]
fn deep_nesting_is_refused() {
    let nested = |open: &str, close: &str, count| format!("{}1{}", open.repeat(count), close.repeat(count));
    for count in [40, 100, 333, 499, 999, 100_000] {
        for text in [
            format!("{} > 0", nested("(", ")", count)),
            format!("{} == 0", nested("[", "]", count)),
            format!("{} == 0", nested("{1:", "}", count)),
            format!("{} > 0", nested("int(", ")", count)),
            format!("{} > 0", nested("-", "", count)),
            format!("{} > 0", nested("- ", "", count)),
            format!("{} > 0", nested("-(", ")", count)),
            nested("true?", ":2", count),
            nested("true?2:", "", count),
            format!("station{} == 'a'", ".name".repeat(count)),
            format!("[1]{} > 0", "[0]".repeat(count)),
            format!("station{}", ".size()".repeat(count)),
            format!("1{}", "<1".repeat(count)),
        ] {
            assert!(compile(&text).is_err(), "{count}: {}", &text[..text.len().min(40)]);
        }
        for text in [
            format!("{} > 0", nested("1+", "", count)),
            format!("{} > 0", nested("", "+1", count)),
            format!("{} > 0", nested("1-", "*1", count)),
        ] {
            assert!(count < 64 || compile(&text).is_err(), "{count}: {}", &text[..text.len().min(40)]);
        }
        // Rows of these are made into a balanced tree.
        for text in [format!("true{}", "&&true".repeat(count)), format!("true{}", "||!true".repeat(count))] {
            assert!(text.len() > 2_000 || compile(&text).is_ok(), "{count}: {:?}", compile(&text));
        }
    }
}

#[test]
fn the_growth_of_texts_is_bounded() {
    let twice =
        |text: &str, levels| (0..levels).fold(text.to_owned(), |inner, _| format!("({inner}+{inner})"));
    // 128 times the name of a station, which may be long.
    let refused = compile(&format!("size({}) > 0", twice("station.name", 7))).unwrap_err().message;
    assert!(refused.contains("the limit is"), "{refused}");
    compile(&format!("size({}) > 0", twice("station.name", 3))).unwrap();
    // A use of the station costs little where nothing is joined.
    compile(&vec!["station.name == 'A'"; 80].join(" || ")).unwrap();
    let items: Vec<String> = (0..140).map(|item| format!("'USW{item:08}'")).collect();
    compile(&format!("station.id in [{}]", items.join(","))).unwrap();
}

#[test]
fn a_station_with_endless_texts_is_judged_by_what_is_read_of_them() {
    let name = "N".repeat(STATION_BYTES_MAX + 1);
    let document = format!(r#"{{"station":{{"id":"USW00003192","name":"{name}"}},"date":"2016-02-24"}}"#);
    let view = ObservationView::parse(document.as_bytes()).unwrap();
    let outcome = Evaluator::new().evaluate(&compile("size(station.name) > 3").unwrap(), &view);
    assert_eq!(outcome, Ok(Verdict::Holds));
    // However a view comes about, the interpreter does not start on more.
    let mut station = (*view.station).clone();
    station.name = Some(name.into());
    let view = ObservationView { station: station.into(), ..view };
    let outcome = Evaluator::new().evaluate(&compile("size(station.name) > 3").unwrap(), &view);
    assert!(matches!(outcome, Err(EvaluationError::Failed(_))), "{outcome:?}");
}

#[test]
fn functions_are_one_list() {
    let message = compile("nofunc(TMIN)").unwrap_err().message;
    let listed: Vec<&str> = message.split("one of ").nth(1).unwrap().split(", ").collect();
    // One of each; the next test would be forgotten for a new one otherwise.
    let calls = [
        "bool('true')",
        "c(28.0) < 0.0",
        "chance(1.0) > 0.0",
        "station.name.contains('A')",
        "double('1') > 0.0",
        "station.name.endsWith('P')",
        "f(TMIN) > 0.0",
        "feet(1.0) > 0.0",
        "has(station.name)",
        "inches(1.0) > 0.0",
        "int('1') > 0",
        "mph(1.0) > 0.0",
        "size('1') > 0",
        "station.name.startsWith('A')",
        "string(1) == '1'",
    ];
    assert_eq!(listed.len(), calls.len(), "{listed:?}");
    for (call, name) in calls.into_iter().zip(listed) {
        assert!(call.contains(&format!("{name}(")), "{call}: {name}");
        compile(call).unwrap();
    }
    for text in [
        "timestamp('2016-01-01T00:00:00Z') > timestamp('2015-01-01T00:00:00Z')",
        "duration('1h') > duration('1m')",
        "station.name.matches('(a*)*b')",
        "type(1) == int",
        "dyn(1) == 1",
        "true || _f(TMIN) > 1.0",
        ".size('a') > 0",
        "optional.of(1) == 1",
        "Station{name: 'a'} == 1",
        "max(1, 2) == 2",
    ] {
        assert!(compile(text).is_err(), "{text}");
    }
}

#[test]
fn mistakes_are_placed_by_the_tree() {
    let at = |text: &str, part: &str, nth: usize| {
        let (offset, _) = text.match_indices(part).nth(nth).unwrap();
        let mistake = compile(text).unwrap_err();
        assert_eq!(mistake.offset, offset, "{text}: {mistake:?}");
    };
    at("station.name == 'TMIM' && TMIM < 1.0", "TMIM", 1);
    at("TMAX < 1.0 && TMA < 1.0", "TMA ", 0);
    at("'foo(' == station.name || foo(TMIN)", "foo(", 1);
    at("size('sizes(') > 0 || sizes('a') > 2", "sizes(", 1);
    at("station.name == 'éé' && TMIM < 1.0", "TMIM", 0);
    at("station.name == 'éé' && TMIN < ) ", ")", 0);
    at("TMAX > 1.0 &&\n  TMAX - 3 > 1.0", "TMAX", 1);
    // A branch is looked at, whichever is taken.
    at("TMIN > 0.0 ? TMAX > 1.0 : TMIN < 'x'", "TMIN", 1);
    at("TMIN > 0.0 ? station.nam == 'x' : true", "station", 0);
    at("TMIN > 0.0 ? 1 : 2", "TMIN", 0);
    at("TMAX > 1.0 && TMIN", "TMIN", 0);
}

#[test]
fn what_depends_on_made_up_values_is_left_to_the_day() {
    for text in [
        "10 % (SNOW - 1) == 0",
        "10 / (SNOW - 1) > 0 || TMIN < 0.0",
        "[1, 2][SNOW + 5] > 0",
        "{'NM': 1.0}[station.state_code] > TMIN",
        "SNOW > 1 ? 10 / (SNOW - 1) > 2 : false",
    ] {
        assert!(compile(text).is_ok(), "{text}: {:?}", compile(text));
    }
    for text in ["1 / 0 > 0", "5 % 0 == 0", "TMIN > 1.0 || 1 / (1 - 1) > 0", "[1][5] > 0"] {
        let mistake = compile(text).unwrap_err();
        let is_said = mistake.message.contains("divides by zero") || mistake.message.contains("an item");
        assert!(is_said, "{mistake:?}");
    }
}

/// Anything that looks like a condition, loops and joined texts among it.
fn anything() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("TMIN"),
        Just("SNOW"),
        Just("night"),
        Just("night.min"),
        Just("chance(-2.0)"),
        Just("station"),
        Just("station.name"),
        Just("station['name']"),
        Just("date"),
        Just("1"),
        Just("2.5"),
        Just("1e308"),
        Just("'aaaaaaaaaaaaaaaa'"),
        Just("true"),
        Just("null"),
        Just("b'ab'"),
        Just("[]"),
    ];
    leaf.prop_map(str::to_owned).prop_recursive(8, 100, 3, |inner| {
        let operators =
            proptest::sample::select(vec!["+", "+", "+", "*", "-", "/", "%", "&&", "||", "==", "<", "in"]);
        let functions = proptest::sample::select(vec![
            "size", "string", "int", "double", "bool", "f", "c", "chance", "has", "!", "-",
        ]);
        let members = proptest::sample::select(vec!["all", "map", "contains", "startsWith"]);
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            6 => (inner.clone(), operators, inner.clone()).prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            2 => (functions, inner.clone()).prop_map(|(name, of)| format!("{name}({of})")),
            1 => (two.clone(), members.clone()).prop_map(|((l, r), m)| format!("{l}.{m}(TMAX, {r})")),
            1 => (two.clone(), members).prop_map(|((l, r), m)| format!("{l}.{m}({r})")),
            1 => two.clone().prop_map(|(l, r)| format!("[{l}, {r}]")),
            1 => two.clone().prop_map(|(l, r)| format!("{{{l}: {r}}}")),
            1 => two.prop_map(|(l, r)| format!("{l}[{r}]")),
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(i, l, r)| format!("({i} ? {l} : {r})")),
        ]
    })
}

/// The tokens of the grammar, and some that it does not have.
const TOKENS: [&str; 31] = [
    "(", ")", "[", "]", "{", "}", "?", ":", ".", ",", "-", "!", "+", "<", "&&", "||", " in ", "'", "\"",
    "'''", "r'", "\\", "//", "\n", "TMIN", "1", "1.5", "é", "`", "size", "true",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever compiles stays within its budget, and nothing takes long.
    #[test]
    fn conditions_are_refused_or_stay_within_their_budget(part in anything(), name_bytes in 0..4_000_usize) {
        let begun = Instant::now();
        let name = "N".repeat(name_bytes);
        let document = format!(
            r#"{{"station":{{"id":"USW00003192","name":"{name}"}},"date":"2016-02-24","TMIN":1.5,"SNOW":3}}"#
        );
        let view = ObservationView::parse(document.as_bytes()).unwrap();
        for text in [format!("size({part}) > 0"), format!("{part} == {part}"), part.clone()] {
            let Ok(condition) = compile(&text) else { continue };
            let _ = Evaluator::new().interpret(&condition, Input::Day(&view));
            let _ = Evaluator::new().evaluate(&condition, &view);
        }
        prop_assert!(begun.elapsed() < Duration::from_secs(2), "{:?}: {part}", begun.elapsed());
    }

    /// The bound of a text's size holds.
    #[test]
    fn no_text_grows_beyond_the_budget(part in anything()) {
        let Ok(condition) = compile(&format!("string({part}) != '' || size({part}) > 0")) else { return Ok(()) };
        prop_assert!(cost::cost(condition.program.expression()) <= COST_MAX);
        let evaluator = Evaluator::new();
        for text in [format!("size(string({part})) > {COST_MAX}"), format!("size({part}) > {COST_MAX}")] {
            let Ok(condition) = compile(&text) else { continue };
            let document = r#"{"station":{"id":"USW00003192","name":"N"},"date":"2016-02-24","TMIN":1.5,"SNOW":3}"#;
            let view = ObservationView::parse(document.as_bytes()).unwrap();
            prop_assert_ne!(evaluator.interpret(&condition, Input::Day(&view)), Ok(Verdict::Holds));
        }
    }

    /// The parser and what stands before it come to an end, whatever they are given.
    #[test]
    fn any_text_is_refused_or_compiled_soon(
        tokens in proptest::collection::vec(proptest::sample::select(TOKENS.to_vec()), 0..900),
    ) {
        let begun = Instant::now();
        let _ = compile(&tokens.concat());
        prop_assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}
