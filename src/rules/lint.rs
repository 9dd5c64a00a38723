//! Rules that are valid but probably mistaken: units that look wrong, conditions that never or always hold.
//!
//! A condition of comparisons with literals changes only at those literals. So it is tried at, below and above each
//! of them, in all combinations: if it holds nowhere there, it holds nowhere.

use std::rc::Rc;

use super::condition::{Condition, Number, Test, Unit, Verdict};
use super::lint_moments;
use super::{Place, Problem, Rule};
use crate::noaa::{Date, Element, ElementList, ElementValue, ObservationView, StationId, StationView};

/// More combinations than this are not tried.
const COMBINATIONS_MAX: usize = 20_000;
/// The same limit, times the bytes of the conditions: a long one is tried with fewer combinations, so that a file of
/// many such conditions does not keep a check, or an HTTP request, busy for minutes.
const WORK_MAX: usize = 2_000_000;
/// The smallest step of values in tenths, halved.
const STEP: f64 = 0.05;

const NEVER: &str = "this never holds for any report, so the rule can never fire";
const ALWAYS: &str = "this holds whenever the elements are reported, so the rule fires every day";
const NULL: &str = "no value is null: a condition is unknown where an element was not reported, and does not fire; for a \
                    field of `station` write has(station.elevation)";

/// Warnings about a rule.
pub fn lint(rule: &Rule) -> Vec<Problem> {
    let mut problems = Vec::new();
    let clear = rule.clear.as_deref();
    units("when", &rule.when, &mut problems);
    lint_moments::lint("when", &rule.when, &mut problems);
    if let Some(clear) = clear {
        units("clear", clear, &mut problems);
        lint_moments::lint("clear", clear, &mut problems);
    }
    let chosen = match &rule.place {
        Place::Where(condition) => Some(&**condition),
        Place::Station(_) | Place::Unresolved(_) => None,
    };
    for (field, condition) in [("when", Some(&*rule.when)), ("clear", clear), ("where", chosen)] {
        if let Some(offset) = condition.and_then(Condition::null) {
            problems.push(Problem { field, offset, message: NULL.to_owned() });
        }
    }
    let mut add =
        |field, message: &str| problems.push(Problem { field, offset: 0, message: message.to_owned() });
    if let Place::Station(station) = rule.place
        && station.country_code().bytes().any(|byte| byte.is_ascii_lowercase())
    {
        add("station", "stations' ids begin with a country code in capitals, as in USW00003192");
    }
    if rule.when.is_constant() {
        let verdict = nowhere(ElementList::new())
            .and_then(|view| super::Evaluator::new().evaluate(&rule.when, &view).ok());
        match verdict {
            Some(Verdict::Holds) => add("when", ALWAYS),
            _ => add("when", NEVER),
        }
        return problems;
    }
    let Some(tried) = try_all(&rule.when, clear) else { return problems };
    if tried.iter().all(|(when, _)| !when) {
        add("when", NEVER);
    } else if tried.iter().all(|(when, _)| *when) {
        add("when", ALWAYS);
    }
    if clear.is_some() {
        if tried.iter().any(|(when, clear)| *when && *clear) {
            add(
                "clear",
                "this can hold together with `when`, and then the episode continues: leave a gap between the two",
            );
        }
        if !tried.iter().any(|(when, clear)| !*when && *clear) {
            add("clear", "this holds only together with `when`, so an episode would never end");
        }
    }
    problems
}

/// Thresholds that are unlikely in metric units.
fn units(field: &'static str, condition: &Condition, problems: &mut Vec<Problem>) {
    let Some(test) = condition.native() else { return };
    test.visit_thresholds(true, &mut |element, value, is_below| {
        let Some(unit) = element.unit() else { return };
        let (mut low, mut high) = plausible(element, is_below);
        if field == "clear" {
            // `clear` may compare in either direction.
            let other = plausible(element, !is_below);
            (low, high) = (low.min(other.0), high.max(other.1));
        }
        if (low..=high).contains(&value) {
            return;
        }
        let advice = match unit {
            "°C" => {
                format!("for degrees Fahrenheit write f({element}), for tenths of a degree divide by ten")
            }
            "mm" => format!("for inches write inches({element}), for tenths of a millimetre divide by ten"),
            "m/s" => format!("for miles an hour write mph({element})"),
            _ => "check the unit".to_owned(),
        };
        let word = if is_below { "below" } else { "above" };
        problems.push(Problem {
            field,
            offset: condition.offset_of(element),
            message: format!("{element} {word} {value:.1} {unit} looks like another unit: {advice}"),
        });
    });
}

/// The range of thresholds of a comparison that can distinguish days.
fn plausible(element: Element, is_below: bool) -> (f64, f64) {
    match (element.unit(), is_below) {
        (Some("°C"), true) if element == Element::TMIN => (-70.0, 25.0),
        (Some("°C"), true) => (-70.0, 40.0),
        (Some("°C"), false) if element == Element::TMIN => (-40.0, 38.0),
        (Some("°C"), false) => (-40.0, 56.0),
        (Some("mm"), _) if element == Element::SNWD => (0.0, 12_000.0),
        (Some("mm"), _) => (0.0, 2_000.0),
        (Some("m/s"), _) => (0.0, 110.0),
        (Some("%"), _) => (0.0, 100.0),
        _ => (f64::NEG_INFINITY, f64::INFINITY),
    }
}

/// The range of possible measurements.
fn possible(element: Element) -> (f64, f64) {
    match element.unit() {
        Some("°C") => (-90.0, 60.0),
        Some("%") => (0.0, 100.0),
        Some(_) => (0.0, 100_000.0),
        None => (0.0, 1.0),
    }
}

/// Whether `when` and `clear` hold, for each combination of values at which they can change. `None` if this method
/// does not apply.
fn try_all(when: &Condition, clear: Option<&Condition>) -> Option<Vec<(bool, bool)>> {
    let tests: Vec<&Test> =
        [Some(when), clear].into_iter().flatten().map(Condition::native).collect::<Option<_>>()?;
    let mut axes: Vec<(Element, Vec<f64>)> = Vec::new();
    for test in &tests {
        if !test.is_of_thresholds() {
            return None;
        }
        test.visit_thresholds(true, &mut |element, value, _| {
            let (low, high) = possible(element);
            let values = [value - STEP, value, value + STEP, low, high].map(|value| value.clamp(low, high));
            match axes.iter_mut().find(|(known, _)| *known == element) {
                Some((_, known)) => known.extend(values),
                None => axes.push((element, values.into())),
            }
        });
    }
    for (_, values) in &mut axes {
        values.sort_by(f64::total_cmp);
        values.dedup();
    }
    let combinations = axes.iter().map(|(_, values)| values.len()).try_fold(1, usize::checked_mul)?;
    let bytes = when.text().len() + clear.map_or(0, |clear| clear.text().len());
    if combinations > COMBINATIONS_MAX || combinations.saturating_mul(bytes) > WORK_MAX || axes.is_empty() {
        return None;
    }
    let try_one = |mut number: usize| {
        let mut elements = ElementList::new();
        for (element, values) in &axes {
            elements.push((*element, ElementValue::Float(values[number % values.len()])));
            number /= values.len();
        }
        elements.sort_by_key(|(element, _)| *element);
        let view = nowhere(elements)?;
        let holds = |test: &Test| Some(test.run(&view)? == Verdict::Holds);
        Some((holds(tests[0])?, tests.get(1).map_or(Some(false), |clear| holds(clear))?))
    };
    (0..combinations).map(try_one).collect()
}

fn nowhere(elements: ElementList) -> Option<ObservationView> {
    Some(ObservationView {
        station: Rc::new(StationView {
            id: StationId::parse(b"USW00000000")?,
            country_code: None,
            country: None,
            state_code: None,
            state: None,
            name: None,
            latitude: None,
            longitude: None,
            elevation: None,
        }),
        date: Date::new(2016, 1, 1)?,
        revision: 1,
        elements,
    })
}

impl Test {
    /// Whether it consists only of comparisons of elements with literals.
    fn is_of_thresholds(&self) -> bool {
        match self {
            Self::Literal(_) => true,
            Self::Not(test) => test.is_of_thresholds(),
            Self::And(tests) | Self::Or(tests) => tests.iter().all(Self::is_of_thresholds),
            Self::Numbers(_, left, right) => threshold(left, right).or(threshold(right, left)).is_some(),
            Self::Texts(..) | Self::OneOf(..) | Self::Has(_) => false,
        }
    }

    /// Visits each comparison of an element with a literal: the element, the literal as a metric value, and whether
    /// it holds below that. `is_asked`: not inside an odd number of negations.
    fn visit_thresholds(&self, is_asked: bool, visit: &mut impl FnMut(Element, f64, bool)) {
        match self {
            Self::Literal(_) | Self::Texts(..) | Self::OneOf(..) | Self::Has(_) => {}
            Self::Not(test) => test.visit_thresholds(!is_asked, visit),
            Self::And(tests) | Self::Or(tests) => {
                tests.iter().for_each(|test| test.visit_thresholds(is_asked, visit));
            }
            Self::Numbers(comparison, left, right) => {
                let below = comparison.is_below() == is_asked;
                if let Some((element, value)) = threshold(left, right) {
                    visit(element, value, below);
                } else if let Some((element, value)) = threshold(right, left) {
                    visit(element, value, !below);
                }
            }
        }
    }
}

/// The element on the one side and the literal on the other, as a metric value.
fn threshold(variable: &Number, literal: &Number) -> Option<(Element, f64)> {
    let value = match literal {
        Number::Literal(value) => value.as_f64(),
        Number::Negated(number) => match number.as_ref() {
            Number::Literal(value) => -value.as_f64(),
            _ => return None,
        },
        Number::In(Unit::Celsius, number) => match number.as_ref() {
            Number::Literal(value) => Unit::Celsius.convert(value.as_f64()),
            _ => return None,
        },
        _ => return None,
    };
    match variable {
        Number::Element(element, _) => Some((*element, value)),
        Number::In(unit, number) => match number.as_ref() {
            Number::Element(element, _) => Some((*element, unit.invert(value))),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Conditions, Definition};

    fn lint_of(when: &str, clear: Option<&str>) -> String {
        let definition = Definition {
            id: "r".into(),
            station: Some("USW00003192".into()),
            when: when.into(),
            clear: clear.map(str::to_owned),
            ..Definition::default()
        };
        let rule = definition.compile(1, None, &mut Conditions::default()).unwrap();
        lint(&rule).iter().map(|problem| format!("{}: {}\n", problem.field, problem.message)).collect()
    }

    #[test]
    fn units() {
        for wrong in ["TMIN <= 40", "TMIN <= 32.0", "40 >= TMIN", "!(TMIN > 40)", "TMIN <= 100", "TMAX > 450"]
        {
            assert!(lint_of(wrong, None).contains("Fahrenheit"), "{wrong}: {}", lint_of(wrong, None));
        }
        for right in
            ["TMIN <= 10.0", "TMIN >= 30.0", "f(TMIN) <= 28", "TMAX >= 45", "PRCP > 100.0 && TMIN < 0.0"]
        {
            assert_eq!(lint_of(right, None), "", "{right}");
        }
        assert!(lint_of("mph(AWND) > 300", None).contains("mph"));
    }

    #[test]
    fn never_and_always() {
        assert!(lint_of("TMIN < 5.0 && TMIN > 10.0", None).contains("never holds"));
        assert!(lint_of("PRCP < 0.0", None).contains("never holds"));
        assert!(lint_of("TMIN <= 10.0 || TMIN > 10.0", None).contains("holds whenever"));
        assert!(lint_of("PRCP >= 0.0", None).contains("holds whenever"));
        assert_eq!(lint_of("TMIN > 5.0 && TMIN < 5.1 || TMAX > 40.0", None), "");
        assert_eq!(lint_of("TMAX - TMIN > 200.0", None), "", "arithmetic is not looked into");
        let elements =
            ["TMIN", "TMAX", "PRCP", "SNWD"].map(|element| format!("{element} > 1.0 && {element} > 2.0"));
        let long = vec![elements.join(" && "); 15].join(" || ");
        let begun = std::time::Instant::now();
        assert_eq!(lint_of(&long, None), "");
        assert!(begun.elapsed() < std::time::Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[test]
    fn conditions_without_a_value_and_null() {
        for always in ["true", "1 < 2", "!(2.0 < 1.0)", "true || TMIN < 1.0", "'a' in ['a']"] {
            assert!(lint_of(always, None).contains("holds whenever"), "{always}: {}", lint_of(always, None));
        }
        for never in ["false", "1 > 2", "false && TMIN < 1.0"] {
            assert!(lint_of(never, None).contains("never holds"), "{never}: {}", lint_of(never, None));
        }
        for null in
            ["TMIN == null", "TMIN != null", "null == TMIN", "PRCP > 1.0 && station.elevation != null"]
        {
            assert!(lint_of(null, None).contains("no value is null"), "{null}: {}", lint_of(null, None));
        }
        assert!(lint_of("TMIN < 0.0", Some("TMIN == null")).contains("clear: no value is null"));
        assert_eq!(lint_of("TMIN < 1.0 && has(station.elevation)", None), "");
    }

    #[test]
    fn ends_of_episodes() {
        assert_eq!(lint_of("TMIN <= 10.0", Some("TMIN > 12.0")), "");
        assert_eq!(lint_of("TMAX >= 45.0", Some("TMAX < 43.0")), "");
        assert!(lint_of("TMIN <= 10.0", Some("TMIN > 54.0")).contains("Fahrenheit"));
        assert!(lint_of("TMIN <= 10.0", Some("TMIN > 8.0")).contains("leave a gap"));
        assert!(lint_of("TMIN <= 10.0", Some("TMIN < 8.0")).contains("never end"));
    }
}
