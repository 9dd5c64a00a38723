//! Sentences of alerts about hours and nights, in anybody's units and time zone.

use jiff::Timestamp;
use jiff::tz::{Offset, TimeZone};

use super::{Moment, NightFacts};
use crate::rules::{Transition, Units};

/// From this chance on it is likely.
const LIKELY: f64 = 0.6;

/// How somebody is spoken to.
pub struct Speech {
    units: Units,
    zone: TimeZone,
    /// Nothing is known of either time zone: hours say which they are.
    is_utc: bool,
}

impl Speech {
    /// In these units and in the time zone of this name; without one, in local standard time of the station, which is
    /// `offset` seconds ahead of UTC.
    pub fn new(units: Units, timezone: Option<&str>, offset: i32) -> Self {
        let named = timezone.and_then(|name| TimeZone::get(name).ok());
        let standard = || Offset::from_seconds(offset).map_or(TimeZone::UTC, TimeZone::fixed);
        let is_utc = named.is_none() && offset == 0;
        Self { units, zone: named.unwrap_or_else(standard), is_utc }
    }

    fn time(&self, time: i64) -> String {
        let Ok(time) = Timestamp::from_second(time) else { return time.to_string() };
        let time = time.to_zoned(self.zone.clone());
        let form = match self.units {
            Units::Metric => "%H:%M",
            Units::Us => "%-I:%M %p",
        };
        let utc = if self.is_utc { " UTC" } else { "" };
        format!("{}{utc}", time.strftime(form))
    }

    /// One or two sentences.
    pub fn sentence(&self, transition: Transition, moment: &Moment, place: &str, when: &str) -> String {
        match &moment.night {
            Some(night) => self.of_night(transition, moment, night, place),
            None => self.of_hour(transition, moment, place, when),
        }
    }

    fn of_night(&self, transition: Transition, moment: &Moment, night: &NightFacts, place: &str) -> String {
        let (units, limit) = (self.units, night.limit_c);
        let (term, limit_text) = (units.term(limit), units.degrees(limit));
        let lowest = night.lowest_so_far_c;
        match transition {
            Transition::Expected => {
                let likely = if night.chance.unwrap_or(0.0) >= LIKELY { "likely" } else { "possible" };
                let mut text = format!("{term} {likely} tonight at {place}: {}", self.outlook(night));
                text.push_str(&self.instruments(moment));
                text.push('.');
                text.push_str(&track(night));
                if let Some(crop) = &moment.crop {
                    text.push_str(&format!(" {crop}"));
                }
                text
            }
            Transition::Withdrawn => {
                format!(
                    "Withdrawn: {} at {place} is no longer expected: {}.",
                    term.to_lowercase(),
                    self.outlook(night)
                )
            }
            Transition::Confirmed => {
                let lowest = lowest.unwrap_or(limit);
                // Found in the morning it was the night's lowest; in the night it is the newest observation.
                let at = night.lowest_at.filter(|_| night.chance.is_none()).unwrap_or(moment.time);
                let (at, lowest_text) = (self.time(at), units.degrees(lowest));
                let side = self.beside(lowest - limit);
                format!("{term} at {place}: {lowest_text} at {at}, {side} your limit of {limit_text}.")
            }
            Transition::Averted => {
                let lowest = lowest.map_or("unknown".to_owned(), |lowest| {
                    format!(
                        "{}, {} your limit of {limit_text}",
                        units.degrees(lowest),
                        self.beside(lowest - limit)
                    )
                });
                format!(
                    "The night at {place} is over: the lowest was {lowest}. The warning did not come true."
                )
            }
            _ => format!(
                "No report from {place} since {}: whether it got as cold as {limit_text} is unknown.",
                self.time(moment.time)
            ),
        }
    }

    /// `62 % for -2.0 °C or less; lowest -2.6 °C (-4.4 to -0.9) about 06:00`
    fn outlook(&self, night: &NightFacts) -> String {
        let units = self.units;
        let percent = (night.chance.unwrap_or(0.0) * 100.0).round();
        let mut text = format!("{percent:.0} % for {} or less", units.degrees(night.limit_c));
        if let (Some(p10), Some(p50), Some(p90)) = (night.p10_c, night.p50_c, night.p90_c) {
            let (p10, p50, p90) = (units.number(p10), units.degrees(p50), units.number(p90));
            text.push_str(&format!("; lowest {p50} ({p10} to {p90})"));
            if let Some(at) = night.lowest_at {
                text.push_str(&format!(" about {}", self.time(at)));
            }
        }
        text
    }

    /// `; wet bulb -3.4 °C; wind 1 m/s`
    fn instruments(&self, moment: &Moment) -> String {
        let Some(observed) = &moment.observed else { return String::new() };
        let wet_bulb = observed.wet_bulb_c.map(|value| format!("; wet bulb {}", self.units.degrees(value)));
        let wind = observed.wind_m_s.map(|value| format!("; wind {}", self.units.wind(value)));
        wet_bulb.into_iter().chain(wind).collect()
    }

    fn beside(&self, difference: f64) -> String {
        if difference.abs() < 0.05 {
            return "at".to_owned();
        }
        let side = if difference < 0.0 { "below" } else { "above" };
        format!("{} {side}", self.units.difference(difference))
    }

    fn of_hour(&self, transition: Transition, moment: &Moment, place: &str, when: &str) -> String {
        let time = self.time(moment.time);
        let Some(observed) = moment.observed.filter(|_| transition != Transition::Stale) else {
            return format!("No report from {place} since {time}: whether {when} still holds is unknown.");
        };
        let measured = format!(
            "{} at {place} at {time}{}",
            self.units.degrees(observed.temperature_c),
            self.instruments(moment)
        );
        match transition {
            Transition::Resolved => format!("Over: {measured}."),
            _ => format!("{measured}: {when}"),
        }
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
mod tests {
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
        Speech::new(units, zone, moment.offset).sentence(transition, moment, "SCOTTSDALE MUNI AP", "T <= 1.0")
    }

    #[test]
    fn a_warning_says_what_how_likely_when_and_how_often_it_was_right() {
        assert_eq!(
            say(Units::Metric, None, Transition::Expected, &moment()),
            "Frost likely tonight at SCOTTSDALE MUNI AP: 62 % for -2.0 °C or less; lowest -2.6 °C (-4.4 to -0.9) about \
             06:00; wet bulb -3.4 °C; wind 1 m/s. Of the last 20 such warnings here 16 came true."
        );
        assert_eq!(
            say(Units::Us, Some("America/New_York"), Transition::Expected, &moment()),
            "Freeze likely tonight at SCOTTSDALE MUNI AP: 62 % for 28 °F or less; lowest 27 °F (24 to 30) about 8:00 AM; wet \
             bulb 26 °F; wind 2 mph. Of the last 20 such warnings here 16 came true."
        );
    }

    #[test]
    fn what_follows_a_warning() {
        let say = |transition| say(Units::Metric, Some("America/Phoenix"), transition, &moment());
        assert_eq!(
            say(Transition::Confirmed),
            "Frost at SCOTTSDALE MUNI AP: -2.0 °C at 18:53, at your limit of -2.0 °C."
        );
        assert!(
            say(Transition::Withdrawn)
                .starts_with("Withdrawn: frost at SCOTTSDALE MUNI AP is no longer expected: 62 %")
        );
        assert!(say(Transition::Stale).starts_with("No report from SCOTTSDALE MUNI AP since 18:53: whether"));
        let mut moment = moment();
        if let Some(night) = &mut moment.night {
            night.lowest_so_far_c = Some(-0.4);
        }
        let averted = Speech::new(Units::Us, None, 0).sentence(Transition::Averted, &moment, "X", "");
        assert_eq!(
            averted,
            "The night at X is over: the lowest was 31 °F, 3 °F above your limit of 28 °F. The warning did not come true."
        );
    }

    #[test]
    fn an_hour_says_what_is_measured() {
        let moment = Moment { night: None, ..moment() };
        assert_eq!(
            say(Units::Metric, None, Transition::Fired, &moment),
            "3.0 °C at SCOTTSDALE MUNI AP at 18:53; wet bulb -3.4 °C; wind 1 m/s: T <= 1.0"
        );
        assert!(say(Units::Us, None, Transition::Resolved, &moment).starts_with("Over: 37 °F at"));
        assert!(Units::Metric.degrees(-0.04) == "0.0 °C");
    }
}
