//! Sentences of alerts about hours and nights, in any units and time zone.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::{Moment, NightFacts};
use crate::rules::{Condition, HourName, Scope, Transition, Units};

/// From this chance on, a night is called likely to reach the limit, as in CAP 1.2.
pub const LIKELY: f64 = 0.5;

/// The precision of crossings, in seconds.
const CROSSING_STEP: i64 = 1_800;
/// How much of a place's name remains in the shortest text, in characters.
const PLACE_CHARS_MIN: usize = 10;

/// The level of detail: an SMS has little room.
#[derive(Clone, Copy)]
struct Detail {
    /// Explain the band of the lowest temperature.
    explains_band: bool,
    /// Add the outcomes of the last warnings, and the meaning of the limit for a crop.
    track: bool,
    wet_bulb: bool,
    wind: bool,
    /// Add the band of the lowest temperature, and the limits of a rule over hours.
    band: bool,
}

impl Detail {
    const FULL: Self = Self { explains_band: true, track: true, wet_bulb: true, wind: true, band: true };

    /// From most to least detail, the least important parts first.
    fn less_and_less() -> [Self; 5] {
        let first = Self { explains_band: false, ..Self::FULL };
        let second = Self { track: false, ..first };
        let third = Self { wet_bulb: false, ..second };
        let fourth = Self { wind: false, ..third };
        [first, second, third, fourth, Self { band: false, ..fourth }]
    }
}

/// The content of a sentence: the transition, the time and the place.
#[derive(Clone, Copy)]
pub struct Occasion<'a> {
    /// What happened.
    pub transition: Transition,
    /// The observation, and the night if the rule is about nights.
    pub moment: &'a Moment,
    /// The station's name.
    pub place: &'a str,
    /// The rule's condition.
    pub when: &'a str,
}

/// The reader's units and time zone.
pub struct Speech {
    units: Units,
    zone: TimeZone,
    /// Both time zones are unknown, so times are in UTC and say so.
    is_utc: bool,
}

impl Speech {
    /// With these units and the time zone of this name; without one, in local standard time of the station, which is
    /// `offset` seconds ahead of UTC.
    pub fn new(units: Units, timezone: Option<&str>, offset: i32) -> Self {
        let named = timezone.and_then(|name| TimeZone::get(name).ok());
        let standard = || Offset::from_seconds(offset).map_or(TimeZone::UTC, TimeZone::fixed);
        let is_utc = named.is_none() && offset == 0;
        Self { units, zone: named.unwrap_or_else(standard), is_utc }
    }

    fn time(&self, time: i64) -> String {
        self.clock(time, "%-I:%M %p")
    }

    fn clock(&self, time: i64, us_form: &str) -> String {
        let Ok(time) = Timestamp::from_second(time) else { return time.to_string() };
        let time = time.to_zoned(self.zone.clone());
        let form = match self.units {
            Units::Metric => "%H:%M",
            Units::Us => us_form,
        };
        let utc = if self.is_utc { " UTC" } else { "" };
        format!("{}{utc}", time.strftime(form))
    }

    /// A time with the precision of half an hour: `8 PM`.
    fn half_hour(&self, time: i64) -> String {
        let time = to_half_hour(time);
        // Full hours of its own: some time zones are half an hour ahead of others.
        let minute = Timestamp::from_second(time).map_or(0, |time| time.to_zoned(self.zone.clone()).minute());
        self.clock(time, if minute == 0 { "%-I %p" } else { "%-I:%M %p" })
    }

    /// One or two sentences.
    pub fn sentence(&self, occasion: Occasion<'_>) -> String {
        self.say(Detail::FULL, occasion)
    }

    /// The same for an SMS: the most detailed text that `fits`, otherwise one that the sender truncates.
    pub fn short_sentence(&self, occasion: Occasion<'_>, fits: impl Fn(&str) -> bool) -> String {
        let texts = Detail::less_and_less().map(|detail| self.say(detail, occasion));
        if let Some(text) = texts.into_iter().find(|text| fits(text)) {
            return text;
        }
        let mut place = occasion.place.to_owned();
        loop {
            let text = self.compact(Occasion { place: &place, ..occasion });
            let chars = place.chars().count();
            if fits(&text) || chars <= PLACE_CHARS_MIN {
                return text;
            }
            place = place.chars().take(chars - 1).collect();
        }
    }

    fn say(&self, detail: Detail, occasion: Occasion<'_>) -> String {
        match &occasion.moment.night {
            Some(night) => self.of_night(detail, occasion, night),
            None => self.of_hour(detail, occasion),
        }
    }

    fn of_night(&self, detail: Detail, occasion: Occasion<'_>, night: &NightFacts) -> String {
        let Occasion { transition, moment, place, .. } = occasion;
        let (units, limit) = (self.units, night.limit_c);
        let (term, limit_text) = (units.term(limit), units.limit(limit));
        let lowest = night.lowest_so_far_c;
        match transition {
            Transition::Expected => {
                let likely = if night.chance.unwrap_or(0.0) >= LIKELY { "likely" } else { "possible" };
                let crossing = self.crossing(moment, night);
                let outlook = self.outlook(detail, night, &crossing);
                let mut text = format!("{term} {likely} {} at {place}: {outlook}.", self.tonight(moment));
                text.push_str(&self.present(detail, moment));
                if detail.track {
                    text.push_str(&track(night));
                    moment.crop.iter().for_each(|crop| text.push_str(&format!(" {crop}")));
                }
                text
            }
            Transition::Withdrawn => {
                let outlook = self.outlook(detail, night, "");
                format!("Withdrawn: {} at {place} has become less likely: {outlook}.", term.to_lowercase())
            }
            Transition::Confirmed => {
                let lowest = lowest.unwrap_or(limit);
                let at = self.time(confirmed_at(moment, night));
                // The report that brings it may be a late one, or a colder one has come before the rule.
                let is_now = night.chance.is_none()
                    || match moment.observed {
                        Some(observed) => observed.temperature_c <= lowest,
                        None => night.lowest_at.is_some_and(|at| at <= moment.time),
                    };
                let term = if lowest > 0.0 { "Limit reached" } else { term };
                let (lowest, side) = units.beside(lowest, limit);
                let lowest = match is_now {
                    true => format!("{lowest} at {at}"),
                    false => format!("lowest so far {lowest}, by the report of {at}"),
                };
                format!("{term} at {place}: {lowest}, {side} your limit of {limit_text}.")
            }
            Transition::Averted => {
                let lowest = lowest.map_or("unknown".to_owned(), |lowest| {
                    let (lowest, side) = units.beside(lowest, limit);
                    format!("{lowest}, {side} your limit of {limit_text}")
                });
                format!(
                    "The night at {place} is over: the lowest was {lowest}. The warning did not come true."
                )
            }
            _ => {
                // Only the record of a finished night has this time.
                let is_over = night.ends > 0 && moment.time >= night.ends;
                let silence = match is_over {
                    true => format!("Reports from {place} are missing in the night that is over"),
                    false => format!("No report from {place} since {}", self.time(moment.time)),
                };
                let advice = if detail.track { " Look at a thermometer of your own." } else { "" };
                format!("{silence}: whether it got as cold as {limit_text} is unknown.{advice}")
            }
        }
    }

    /// The night is called by what its reader calls it: after midnight it is the morning's.
    fn tonight(&self, moment: &Moment) -> &'static str {
        let time = Timestamp::from_second(moment.time).unwrap_or_default().to_zoned(self.zone.clone());
        if time.hour() < 12 { "this morning" } else { "tonight" }
    }

    /// The shortest text: `Frost 85% for 32 °F tonight PORTLAND INTL AP, low 29 °F 6:41 AM, below 32 °F from 8 PM`.
    fn compact(&self, Occasion { transition, moment, place, .. }: Occasion<'_>) -> String {
        let units = self.units;
        let Some(night) = &moment.night else {
            let since = self.time(moment.time);
            let Some(observed) = moment.observed.filter(|_| transition != Transition::Stale) else {
                return format!("No report from {place} since {since}");
            };
            let over = if transition == Transition::Resolved { "Ended: " } else { "" };
            return format!("{over}{} {place} {since}", units.degrees(observed.temperature_c));
        };
        let (term, limit) = (units.term(night.limit_c), units.degrees(night.limit_c));
        let percent = (night.chance.unwrap_or(0.0) * 100.0).round();
        let low = night.p50_c.map(|p50| {
            let at = night.lowest_at.map(|at| format!(" {}", self.time(at))).unwrap_or_default();
            format!(", low {}{at}", units.degrees(p50))
        });
        let low = low.unwrap_or_default();
        let lowest = night.lowest_so_far_c.map_or("unknown".to_owned(), |lowest| units.degrees(lowest));
        match transition {
            Transition::Expected => {
                let from = crossing_ahead(moment, night).map(|at| self.half_hour(at));
                let below = from.map(|from| format!(", below {limit} from {from}")).unwrap_or_default();
                format!("{term} {percent:.0}% for {limit} {} {place}{low}{below}", self.tonight(moment))
            }
            Transition::Withdrawn => format!("Withdrawn: {term} {place}, {percent:.0}% for {limit}{low}"),
            Transition::Confirmed => {
                format!("{term} {place}: {lowest} {}, limit {limit}", self.time(confirmed_at(moment, night)))
            }
            Transition::Averted => format!("Night over {place}: lowest {lowest}, limit {limit}"),
            _ => format!("No report from {place} since {}, limit {limit}", self.time(moment.time)),
        }
    }

    /// `62 % for -2.0 °C or less, from about 03:30 on; lowest -2.6 °C (-4.4 to -0.9 in 8 of 10 such nights) about 06:00`
    fn outlook(&self, detail: Detail, night: &NightFacts, crossing: &str) -> String {
        let units = self.units;
        let percent = (night.chance.unwrap_or(0.0) * 100.0).round();
        let mut text = format!("{percent:.0} % for {} or less{crossing}", units.limit(night.limit_c));
        if let (Some(p10), Some(p50), Some(p90)) = (night.p10_c, night.p50_c, night.p90_c) {
            let p50 = units.beside(p50, night.limit_c).0;
            let (p10, p90) = (units.number(p10), units.number(p90));
            text.push_str(&format!("; lowest {p50}"));
            if detail.band {
                // The band is from the 10 % to the 90 % quantile.
                let words = if detail.explains_band { " in 8 of 10 such nights" } else { "" };
                text.push_str(&format!(" ({p10} to {p90}{words})"));
            }
            if let Some(at) = night.lowest_at {
                text.push_str(&format!(" about {}", self.time(at)));
            }
        }
        text
    }

    /// When the limit will be crossed, and how much earlier that is than in the last alert: `, now from about 20:00
    /// on, an hour and a half earlier than expected before`. Empty if the median stays above the limit.
    fn crossing(&self, moment: &Moment, night: &NightFacts) -> String {
        let Some(at) = crossing_ahead(moment, night) else { return String::new() };
        let from = self.half_hour(at);
        let earlier = night.crossing_before.map(|before| to_half_hour(before) - to_half_hour(at));
        match earlier.filter(|earlier| *earlier > 0) {
            Some(earlier) => {
                format!(
                    ", now from about {from} on, {} earlier than expected before",
                    hours_in_words(earlier)
                )
            }
            None => format!(", from about {from} on"),
        }
    }

    /// ` At 18:53: 3.0 °C, wet bulb -3.4 °C, wind 1 m/s.`; without the temperature where there is little room.
    fn present(&self, detail: Detail, moment: &Moment) -> String {
        let instruments = self.instruments(detail, moment).join(", ");
        match moment.observed.filter(|_| !instruments.is_empty()) {
            Some(observed) if detail.explains_band => {
                let (time, temperature) =
                    (self.time(moment.time), self.units.degrees(observed.temperature_c));
                format!(" At {time}: {temperature}, {instruments}.")
            }
            Some(_) => format!(" At {}: {instruments}.", self.time(moment.time)),
            None => String::new(),
        }
    }

    /// `wet bulb -3.4 °C`, `wind 1 m/s`
    fn instruments(&self, detail: Detail, moment: &Moment) -> Vec<String> {
        let Some(observed) = &moment.observed else { return Vec::new() };
        let wet_bulb = observed.wet_bulb_c.filter(|_| detail.wet_bulb);
        let wet_bulb = wet_bulb.map(|value| format!("wet bulb {}", self.units.degrees(value)));
        let wind = observed.wind_m_s.filter(|_| detail.wind);
        let wind = wind.map(|value| format!("wind {}", self.units.wind(value)));
        wet_bulb.into_iter().chain(wind).collect()
    }

    /// ` Your limits: 1.0 °C, wet bulb -1.0 °C.`; the condition if it has no limits.
    fn own_limits(&self, when: &str) -> String {
        // It was compiled when the rule was read.
        let condition = Condition::compile(when, Scope::Observation);
        let limits = condition.map(|condition| condition.hour_limits()).unwrap_or_default();
        let limits: Vec<String> = limits.into_iter().map(|limit| self.hour_limit(limit)).collect();
        match limits.len() {
            0 => format!(" Your rule: {when}."),
            1 => format!(" Your limit: {}.", limits[0]),
            _ => format!(" Your limits: {}.", limits.join(", ")),
        }
    }

    fn hour_limit(&self, (name, value): (HourName, f64)) -> String {
        match name {
            HourName::Temperature => self.units.limit(value),
            HourName::DewPoint => format!("dew point {}", self.units.limit(value)),
            HourName::WetBulb => format!("wet bulb {}", self.units.limit(value)),
            HourName::Wind => format!("wind {}", self.units.wind(value)),
            HourName::Humidity => format!("humidity {value:.0} %"),
        }
    }

    fn of_hour(&self, detail: Detail, Occasion { transition, moment, place, when }: Occasion<'_>) -> String {
        let time = self.time(moment.time);
        let Some(observed) = moment.observed.filter(|_| transition != Transition::Stale) else {
            let limits = self.own_limits(when);
            return format!(
                "No report from {place} since {time}: whether this alert still holds is unknown.{limits}"
            );
        };
        let mut measured = vec![format!("{} at {place} at {time}", self.units.limit(observed.temperature_c))];
        measured.extend(self.instruments(detail, moment));
        let measured = measured.join(", ");
        match transition {
            Transition::Resolved => format!("Ended: {measured}."),
            _ if detail.band => format!("{measured}.{}", self.own_limits(when)),
            _ => format!("{measured}."),
        }
    }
}

/// When the limit will be crossed, if that is in the future.
fn crossing_ahead(moment: &Moment, night: &NightFacts) -> Option<i64> {
    night.crossing_at.filter(|at| *at > moment.time)
}

/// In the morning, and after a late report, it is the time of the night's lowest temperature; otherwise that of the newest
/// observation.
fn confirmed_at(moment: &Moment, night: &NightFacts) -> i64 {
    let is_newest = night.chance.is_some() && moment.observed.is_some();
    // Before the night is over it may be the time at which the lowest is expected.
    night.lowest_at.filter(|at| !is_newest && *at <= moment.time).unwrap_or(moment.time)
}

fn to_half_hour(time: i64) -> i64 {
    (time + CROSSING_STEP / 2).div_euclid(CROSSING_STEP) * CROSSING_STEP
}

/// A number of half hours: `an hour and a half`.
fn hours_in_words(seconds: i64) -> String {
    match (seconds / 3_600, seconds % 3_600 >= CROSSING_STEP) {
        (0, _) => "half an hour".to_owned(),
        (1, false) => "an hour".to_owned(),
        (1, true) => "an hour and a half".to_owned(),
        (hours, false) => format!("{hours} hours"),
        (hours, true) => format!("{hours} and a half hours"),
    }
}

/// `Of the last 20 such warnings here 16 came true.`
fn track(night: &NightFacts) -> String {
    match (night.warnings, night.came_true) {
        (0, _) => String::new(),
        (1, 0) => " The last such warning here did not come true.".to_owned(),
        (1, _) => " The last such warning here came true.".to_owned(),
        (warnings, came_true) => format!(" Of the last {warnings} such warnings here {came_true} came true."),
    }
}

#[cfg(test)]
#[path = "words_tests.rs"]
mod tests;
