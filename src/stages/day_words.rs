//! Sentences of alerts about days, in any units.

use super::notice::Notice;
use crate::noaa::Element;
use crate::rules::{Condition, Scope, Transition, Units};

/// The text of a day's alert: the measurement, its place and date, and its distance from the limit. `None` if the
/// usual text says the same.
pub(super) fn sentence(notice: &Notice, units: Units) -> Option<String> {
    say(notice, units, &notice.place(), true)
}

/// A shorter form for an SMS: without the station's id and the limit.
pub(super) fn short_sentence(notice: &Notice, units: Units) -> Option<String> {
    say(notice, units, notice.station_name.as_deref().unwrap_or(&notice.station), false)
}

fn say(notice: &Notice, units: Units, place: &str, has_limit: bool) -> Option<String> {
    let is_over = match notice.transition {
        Transition::Fired => false,
        Transition::Resolved => true,
        _ => return None,
    };
    // It was compiled when the rule was read.
    let condition = Condition::compile(&notice.when, Scope::Observation).ok()?;
    let asked: Vec<Element> = condition.elements().collect();
    let values = notice.values.iter().filter_map(|(name, value)| {
        Element::parse(name.as_bytes())
            .filter(|element| asked.contains(element))
            .map(|element| (element, *value))
    });
    let values: Vec<(Element, f64)> = values.collect();
    let limit = condition.single_limit().filter(|_| has_limit && !is_over).zip(values.first().copied());
    let beside = limit.map(|((element, limit), (_, value))| beside(element, value, limit, units));
    let measured: Vec<String> = match (&beside, values.first()) {
        // It has as many digits as the difference needs.
        (Some((amount, ..)), Some((element, _))) => vec![format!("{} {amount}", name(*element))],
        _ => values
            .iter()
            .map(|(element, value)| format!("{} {}", name(*element), units.amount(*element, *value)))
            .collect(),
    };
    if measured.is_empty() {
        return None;
    }
    let (measured, date) = (capitalised(&measured.join(", ")), &notice.date);
    if is_over {
        return Some(format!("Ended: {measured} at {place} on {date}."));
    }
    let limit = beside.map_or(String::new(), |(_, side, limit)| format!(", {side} your limit of {limit}"));
    let days = notice.days.filter(|days| *days > 1).map_or(String::new(), |days| format!("; day {days}"));
    Some(format!("{measured} at {place} on {date}{limit}{days}."))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_uppercase().chain(chars).collect())
}

/// The name of an element in a sentence.
fn name(element: Element) -> &'static str {
    match element.as_str() {
        "TMIN" => "lowest temperature",
        "TMAX" => "highest temperature",
        "TOBS" => "temperature",
        "TAVG" => "mean temperature",
        "PRCP" => "precipitation",
        "SNOW" => "snowfall",
        "SNWD" => "snow depth",
        "AWND" => "mean wind",
        _ => "value",
    }
}

/// A value, where it is next to a limit, and the limit: `26 °F`, `2 °F below` and `28 °F`.
fn beside(element: Element, value: f64, limit: f64, units: Units) -> (String, String, String) {
    if element.unit() == Some("°C") {
        let (value, side) = units.beside(value, limit);
        return (value, side, units.limit(limit));
    }
    let difference = value - limit;
    let side = match difference {
        _ if difference.abs() < 0.05 => "at".to_owned(),
        _ if difference < 0.0 => format!("{} below", units.amount(element, -difference)),
        _ => format!("{} above", units.amount(element, difference)),
    };
    (units.amount(element, value), side, units.amount(element, limit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stages::notice::AlertText;

    fn say(when: &str, values: &str, units: Units) -> Option<String> {
        let alert = format!(
            r#"{{"station":{{"id":"USW00003192","name":"SCOTTSDALE"}},"date":"2016-02-24T00:00:00",{values},
            "alert_id":"frost/USW00003192/2016-02-24/fired","rule_id":"frost","transition":"fired","when":"{when}","message":"m"}}"#
        );
        sentence(&AlertText::parse(alert.as_bytes()).unwrap().notice, units)
    }

    #[test]
    fn a_day_says_how_far_it_is_from_the_limit() {
        assert_eq!(
            say("f(TMIN) <= 36", r#""TMIN":-1.1"#, Units::Us).unwrap(),
            "Lowest temperature 30 °F at SCOTTSDALE (USW00003192) on 2016-02-24, 6 °F below your limit of 36 °F."
        );
        assert_eq!(
            say("TMIN <= 10.0", r#""TMIN":8.9,"PRCP":2.0"#, Units::Metric).unwrap(),
            "Lowest temperature 8.9 °C at SCOTTSDALE (USW00003192) on 2016-02-24, 1.1 °C below your limit of 10.0 °C."
        );
        assert_eq!(
            say("TMIN <= 0.0 && PRCP > 0.0", r#""TMIN":-1.0,"PRCP":25.4"#, Units::Us).unwrap(),
            "Lowest temperature 30 °F, precipitation 1.00 in at SCOTTSDALE (USW00003192) on 2016-02-24."
        );
        assert_eq!(
            say("f(TMIN) <= 32", r#""TMIN":-0.1"#, Units::Us).unwrap(),
            "Lowest temperature 31.8 °F at SCOTTSDALE (USW00003192) on 2016-02-24, 0.2 °F below your limit of 32 °F."
        );
        assert_eq!(say("station.id == 'x'", r#""TMIN":-1.0"#, Units::Us), None);
    }
}
