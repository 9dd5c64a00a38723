//! A rule's own text for its alerts, with fields in braces: `Frost at {station.name}: {TMIN} °C on {date}`.

use std::fmt::Write;

use super::unit::Unit;
use crate::noaa::{Date, Element, ObservationView};

/// Longest text of a rule, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;
/// Longest text of an alert, in characters.
const RENDERED_CHARS_MAX: usize = 2_000;
/// What stands for a value that was not reported.
const MISSING: &str = "–";
/// For messages about mistakes.
const FIELDS: &str = "an element such as TMIN or f(TMIN), station, station.id, station.name, station.state, \
                      station.country, date, rule, when, severity or days";

/// A compiled text.
#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Text(String),
    Field(Field),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Field {
    Element(Element),
    ElementIn(Unit, Element),
    Station,
    StationId,
    StationName,
    StationState,
    StationCountry,
    Date,
    Rule,
    When,
    Severity,
    Days,
}

/// What a text can speak of, besides the observation.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The rule's id.
    pub rule: &'a str,
    /// Its condition.
    pub when: &'a str,
    /// How urgent it is.
    pub severity: &'a str,
    /// The day that the alert is about.
    pub date: Date,
    /// How many days the episode has lasted; 1 for a day that fires by itself.
    pub days: i32,
}

impl Template {
    /// Reads a text. A brace that is meant as such is doubled.
    ///
    /// # Errors
    /// The first mistake, and where in the text it is, in bytes.
    pub(super) fn compile(text: &str) -> Result<Self, (usize, String)> {
        if text.trim().is_empty() || text.len() > TEXT_BYTES_MAX {
            return Err((0, format!("expected a text of at most {TEXT_BYTES_MAX} bytes")));
        }
        if let Some((at, control)) = text.char_indices().find(|(_, c)| is_steering(*c)) {
            return Err((at, format!("{control:?}: expected one line without control characters")));
        }
        let (mut parts, mut plain, mut at) = (Vec::new(), String::new(), 0);
        while let Some(c) = text[at..].chars().next() {
            let rest = &text[at + c.len_utf8()..];
            match c {
                '{' | '}' if rest.starts_with(c) => {
                    plain.push(c);
                    at += 2;
                }
                '{' => {
                    let Some(end) = rest.find('}') else {
                        return Err((at, "this brace is not closed".into()));
                    };
                    let field = Field::parse(rest[..end].trim()).ok_or_else(|| {
                        (at, format!("unknown field {{{}}}: expected {FIELDS}", &rest[..end]))
                    })?;
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Field(field));
                    at += end + 2;
                }
                '}' => return Err((at, "this brace was not opened: write }} for a brace".into())),
                other => {
                    plain.push(other);
                    at += other.len_utf8();
                }
            }
        }
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// The text for one alert.
    pub fn render(&self, subject: &Subject<'_>, view: &ObservationView) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(field) => field.render(&mut out, subject, view),
            }
        }
        // Texts of observations may be of any length; what people read is not.
        match out.char_indices().nth(RENDERED_CHARS_MAX) {
            Some((end, _)) => format!("{}…", &out[..end]),
            None => out,
        }
    }
}

/// Characters that change how text is shown, and are not seen themselves.
fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

impl Field {
    fn parse(name: &str) -> Option<Self> {
        let element = |name: &str| Element::parse(name.as_bytes()).filter(|element| element.is_known());
        Some(match name {
            "station" => Self::Station,
            "station.id" => Self::StationId,
            "station.name" => Self::StationName,
            "station.state" => Self::StationState,
            "station.country" => Self::StationCountry,
            "date" => Self::Date,
            "rule" => Self::Rule,
            "when" => Self::When,
            "severity" => Self::Severity,
            "days" => Self::Days,
            other => match other.strip_suffix(')').and_then(|call| call.split_once('(')) {
                Some((function, name)) => {
                    Self::ElementIn(Unit::of_function(function)?, element(name.trim())?)
                }
                None => Self::Element(element(other)?),
            },
        })
    }

    fn render(self, out: &mut String, subject: &Subject<'_>, view: &ObservationView) {
        let station = &view.station;
        // Writing into a string cannot fail.
        let _ = match self {
            Self::Element(element) => match view.element(element) {
                Some(value) => write!(out, "{value}"),
                None => write!(out, "{MISSING}"),
            },
            Self::ElementIn(unit, element) => match view.element(element) {
                Some(value) => write!(out, "{:.1}", unit.convert(value.as_f64())),
                None => write!(out, "{MISSING}"),
            },
            Self::Station => match &station.name {
                Some(name) => write!(out, "{name} ({})", station.id),
                None => write!(out, "{}", station.id),
            },
            Self::StationId => write!(out, "{}", station.id),
            Self::StationName => write!(out, "{}", station.name.as_deref().unwrap_or(MISSING)),
            Self::StationState => write!(out, "{}", station.state.as_deref().unwrap_or(MISSING)),
            Self::StationCountry => write!(out, "{}", station.country.as_deref().unwrap_or(MISSING)),
            Self::Date => write!(out, "{}", subject.date),
            Self::Rule => write!(out, "{}", subject.rule),
            Self::When => write!(out, "{}", subject.when),
            Self::Severity => write!(out, "{}", subject.severity),
            Self::Days => write!(out, "{}", subject.days),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_filled_in() {
        let view =
            br#"{"station":{"id":"USW00003192","name":"SCOTTSDALE MUNI AP"},"date":"2016-02-24","TMIN":8.9}"#;
        let view = ObservationView::parse(view).unwrap();
        let subject =
            Subject { rule: "frost", when: "TMIN <= 10.0", severity: "info", date: view.date, days: 3 };
        let text = "{{{rule}}} {station.name}: {TMIN} °C = {f(TMIN)} °F, snow {SNOW}, day {days}, {date}";
        assert_eq!(
            Template::compile(text).unwrap().render(&subject, &view),
            "{frost} SCOTTSDALE MUNI AP: 8.9 °C = 48.0 °F, snow –, day 3, 2016-02-24"
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        let mistake = |text: &str| Template::compile(text).unwrap_err();
        assert_eq!(mistake("frost {TMIM}").0, 6);
        assert!(mistake("frost {TMIM}").1.contains("unknown field {TMIM}"));
        assert_eq!(mistake("a {TMIN").0, 2);
        assert_eq!(mistake("a} b").0, 1);
        assert!(mistake("a\nb").1.contains("control"));
        assert!(mistake(" ").1.contains("at most"));
    }
}
