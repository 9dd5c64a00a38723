//! A rule's own text for its alerts, with fields in braces: `Frost at {station.name}: {TMIN} °C on {date}`.

use std::fmt::Write;

use super::condition::{Feed, HourName, Input, MomentView, NightField, Unit};
use crate::noaa::{Date, Element, ObservationView};
use crate::printable::at_most;

/// Longest text of a rule, in bytes.
const TEXT_BYTES_MAX: usize = 1_000;
/// Longest text of an alert, in characters.
const RENDERED_CHARS_MAX: usize = 2_000;
/// Replaces a value that was not reported.
const MISSING: &str = "–";
/// Listed in messages about mistakes.
const FIELDS: &str = "station, station.id, station.name, station.state, station.country, date, rule, when, severity or \
                      days";

/// The fields that only rules of this feed have, for messages about mistakes.
fn own_fields(feed: Feed) -> &'static str {
    match feed {
        Feed::Day => "an element such as TMIN or f(TMIN)",
        Feed::Hour => "T, TD, WETBULB, WIND, RH or f(T)",
        Feed::Night => "chance, limit, night.min, night.p10, night.p90 or f(night.min)",
    }
}

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
    Number(Option<Unit>, Number),
    /// As a percentage, with its sign.
    Chance,
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

/// A number that can be converted to a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Number {
    Element(Element),
    Hour(HourName),
    Night(NightField),
    /// The limit of a rule about nights.
    Limit,
}

/// The values for a text's fields, besides the observation.
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
    /// How many days the episode has lasted; 1 for a day that fires alone.
    pub days: i32,
}

impl Template {
    /// Parses a text. A literal brace is doubled. `feed`: that of its rule, if known.
    ///
    /// # Errors
    /// The first mistake, and its place in the text, in bytes.
    pub(super) fn compile(text: &str, feed: Option<Feed>) -> Result<Self, (usize, String)> {
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
                    let name = &rest[..end];
                    let field = Field::parse(name.trim())
                        .ok_or_else(|| (at, unknown(name, feed.unwrap_or(Feed::Day))))?;
                    if let (Some(feed), Some(of_field)) = (feed, field.feed())
                        && feed != of_field
                    {
                        return Err((at, misplaced(name, feed, of_field)));
                    }
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

    /// The text for one alert about a day.
    pub fn render(&self, subject: &Subject<'_>, view: &ObservationView) -> String {
        self.fill(subject, Input::Day(view), None)
    }

    /// The text for one alert about an hour or a night. `limit_c`: see [`Rule::night_limit`](super::Rule::night_limit).
    pub fn render_moment(&self, subject: &Subject<'_>, moment: &MomentView, limit_c: Option<f64>) -> String {
        self.fill(subject, Input::Moment(moment), limit_c)
    }

    fn fill(&self, subject: &Subject<'_>, input: Input<'_>, limit_c: Option<f64>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Field(field) => field.render(&mut out, subject, input, limit_c),
            }
        }
        // Texts of observations may have any length, but not the text of an alert.
        at_most(&out, RENDERED_CHARS_MAX).into_owned()
    }
}

/// Characters that change how text is shown, and are invisible themselves.
fn is_steering(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn unknown(name: &str, feed: Feed) -> String {
    format!("unknown field {{{name}}}: expected {}, {FIELDS}", own_fields(feed))
}

fn misplaced(name: &str, feed: Feed, of_field: Feed) -> String {
    format!(
        "{{{name}}} is for rules about {}, and this one is about {}: expected {}, {FIELDS}",
        of_field.with_article(),
        feed.with_article(),
        own_fields(feed)
    )
}

impl Number {
    fn parse(name: &str) -> Option<Self> {
        if name == "limit" {
            return Some(Self::Limit);
        }
        if let Some(field) = name.strip_prefix("night.") {
            return NightField::parse(field).map(Self::Night);
        }
        let element = || Element::parse(name.as_bytes()).filter(|element| element.is_known());
        HourName::parse(name).map(Self::Hour).or_else(|| element().map(Self::Element))
    }

    /// Writes the value, or its replacement if it was not reported.
    fn render(self, out: &mut String, unit: Option<Unit>, input: Input<'_>, limit_c: Option<f64>) {
        let value = match (self, input) {
            // In the form of the observation.
            (Self::Element(element), Input::Day(day)) if unit.is_none() => {
                let value = day.element(element).map(|value| value.to_string());
                return out.push_str(value.as_deref().unwrap_or(MISSING));
            }
            (Self::Element(element), Input::Day(day)) => day.element(element).map(|value| value.as_f64()),
            (Self::Hour(name), Input::Moment(moment)) => name.of(&moment.hour),
            (Self::Night(field), Input::Moment(moment)) => moment.night.as_ref().map(|night| field.of(night)),
            (Self::Limit, Input::Moment(_)) => limit_c,
            (Self::Element(_), Input::Moment(_)) => None,
            (Self::Hour(_) | Self::Night(_) | Self::Limit, Input::Day(_)) => None,
        };
        let converted = value.map(|value| unit.map_or(value, |unit| unit.convert(value)));
        match converted.map(|value| format!("{value:.1}")).as_deref() {
            Some("-0.0") => out.push_str("0.0"),
            Some(text) => out.push_str(text),
            None => out.push_str(MISSING),
        }
    }
}

impl Field {
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "station" => Self::Station,
            "station.id" => Self::StationId,
            "station.name" | "station_name" => Self::StationName,
            "station.state" => Self::StationState,
            "station.country" => Self::StationCountry,
            "date" => Self::Date,
            "rule" => Self::Rule,
            "when" => Self::When,
            "severity" => Self::Severity,
            "days" => Self::Days,
            "chance" => Self::Chance,
            other => match other.strip_suffix(')').and_then(|call| call.split_once('(')) {
                Some((function, name)) => {
                    // Values are metric, so there is nothing to convert from degrees Fahrenheit.
                    let unit = Unit::of_function(function).filter(|unit| *unit != Unit::Celsius)?;
                    Self::Number(Some(unit), Number::parse(name.trim())?)
                }
                None => Self::Number(None, Number::parse(other)?),
            },
        })
    }

    /// The feed whose rules have this field; `None` for all feeds.
    fn feed(self) -> Option<Feed> {
        match self {
            Self::Number(_, Number::Element(_)) => Some(Feed::Day),
            Self::Number(_, Number::Hour(_)) => Some(Feed::Hour),
            Self::Chance | Self::Number(_, Number::Night(_) | Number::Limit) => Some(Feed::Night),
            _ => None,
        }
    }

    fn render(self, out: &mut String, subject: &Subject<'_>, input: Input<'_>, limit_c: Option<f64>) {
        let station = input.station();
        // Writing into a string cannot fail.
        let _ = match self {
            Self::Number(unit, number) => return number.render(out, unit, input, limit_c),
            Self::Chance => match (input, limit_c) {
                (Input::Moment(MomentView { night: Some(night), .. }), Some(limit)) => {
                    write!(out, "{:.0} %", night.chance(limit) * 100.0)
                }
                _ => write!(out, "{MISSING}"),
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
        let text = "{{{rule}}} {station_name}: {TMIN} °C = {f(TMIN)} °F, snow {SNOW}, day {days}, {date}";
        assert_eq!(
            Template::compile(text, Some(Feed::Day)).unwrap().render(&subject, &view),
            "{frost} SCOTTSDALE MUNI AP: 8.9 °C = 48.0 °F, snow –, day 3, 2016-02-24"
        );
    }

    #[test]
    fn mistakes_have_a_place() {
        let mistake = |text: &str| Template::compile(text, Some(Feed::Day)).unwrap_err();
        assert_eq!(mistake("frost {TMIM}").0, 6);
        assert!(mistake("frost {TMIM}").1.contains("unknown field {TMIM}"));
        assert_eq!(mistake("a {TMIN").0, 2);
        assert_eq!(mistake("a} b").0, 1);
        assert!(mistake("a\nb").1.contains("control"));
        assert!(mistake(" ").1.contains("at most"));
    }

    fn moment() -> MomentView {
        let view = br#"{"station":{"id":"USW00003192"},"date":"2016-02-24"}"#;
        let view = ObservationView::parse(view).unwrap();
        let hour = crate::rules::HourValues {
            temperature_c: 1.0,
            dew_point_c: Some(-6.04),
            wet_bulb_c: Some(-1.2),
            wind_m_s: None,
            humidity_percent: Some(60.0),
        };
        let night = crate::outlook::Distribution::of(|p| -2.0 + 0.9 * (p / (1.0 - p)).ln());
        MomentView { station: view.station, date: view.date, hour, night: Some(night) }
    }

    #[test]
    fn fields_of_hours_and_nights() {
        let moment = moment();
        let subject = Subject { rule: "r", when: "w", severity: "info", date: moment.date, days: 1 };
        let shown = |text: &str, feed, moment: &MomentView| {
            Template::compile(text, Some(feed)).unwrap().render_moment(&subject, moment, Some(-2.0))
        };
        let hour = "{T} °C, {f(T)} °F, {TD}, {WETBULB}, {WIND} m/s, {RH} % at {station} on {date}";
        let expected = "1.0 °C, 33.8 °F, -6.0, -1.2, – m/s, 60.0 % at USW00003192 on 2016-02-24";
        assert_eq!(shown(hour, Feed::Hour, &moment), expected);
        let night =
            "{chance} for {limit} °C ({f(limit)} °F): {night.p10}, {night.min}, {night.p90}, {f(night.min)}";
        let expected = "50 % for -2.0 °C (28.4 °F): -4.0, -2.0, 0.0, 28.4";
        assert_eq!(shown(night, Feed::Night, &moment), expected);
        let open = MomentView { night: None, ..moment };
        assert_eq!(shown("{chance}, {night.min}", Feed::Night, &open), "–, –");
    }

    #[test]
    fn fields_of_another_feed_are_refused() {
        for (text, feed, word) in [
            (
                "a {TMIN}",
                Feed::Night,
                "{TMIN} is for rules about a day, and this one is about a night: expected chance,",
            ),
            ("a {f(T)}", Feed::Day, "is for rules about an hour"),
            ("a {chance}", Feed::Hour, "is for rules about a night"),
            ("a {c(TMIN)}", Feed::Day, "unknown field {c(TMIN)}"),
            ("a {night.max}", Feed::Night, "unknown field {night.max}: expected chance, limit"),
        ] {
            let (offset, message) = Template::compile(text, Some(feed)).unwrap_err();
            assert!(offset == 2 && message.contains(word), "{text}: {message}");
        }
        assert!(
            Template::compile("{TMIN} {T} {chance}", None).is_ok(),
            "its conditions are broken: say so first"
        );
    }
}
