//! The life cycle of a rule over hours at one station: from observations to alerts.
//!
//! A rule with `clear` *fires* when its condition holds, and *resolves* when `clear` does; silence
//! ([`SILENCE`]) in between makes it *stale*. A rule without `clear` fires once a night; if its condition still holds in
//! the morning, it fires again only after it has not held, so that the frost of one night is not taken for that of the
//! next. Alert ids are numbered within a night, which lasts from one morning to the next. All alerts of one episode
//! carry the night in which it fired: those who were notified of its beginning are notified of its end, also if that is
//! after the morning.

use serde::{Deserialize, Serialize};

use super::{DayVerdict, Identity, NightEvent, Transition};
use crate::noaa::Date;
use crate::outlook::SILENCE;

/// The state of a rule over hours at one station: whether an alert stands, and which alerts were written in the
/// present night.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HourWatch {
    incarnation: u32,
    /// The night in which it last fired, in days since 1970.
    night: i32,
    stands: bool,
    is_stale: bool,
    /// The newest observation, in seconds since 1970.
    heard: i64,
    /// How many times each transition was alerted in this night.
    times: Vec<(Transition, u16)>,
    /// The station's name, for alerts about its silence; empty if unknown.
    pub station_name: String,
}

impl HourWatch {
    /// Nothing is known yet.
    pub fn new(identity: Identity) -> Self {
        Self {
            incarnation: identity.incarnation,
            night: i32::MIN,
            stands: false,
            is_stale: false,
            heard: i64::MIN,
            times: Vec::new(),
            station_name: String::new(),
        }
    }

    /// Whether it is of this rule, and not of an earlier one with the same id.
    pub fn is_of(&self, identity: Identity) -> bool {
        self.incarnation == identity.incarnation
    }

    /// Whether an alert stands, in a word for people.
    pub fn describe(&self) -> &'static str {
        match (self.stands, self.is_stale) {
            (true, true) => "stands; the station is silent",
            (true, false) => "stands",
            (false, _) => "no alert stands",
        }
    }

    /// Takes an observation of `night` at `time`. Alerts are added to `events`.
    pub fn judge(
        &mut self,
        (identity, has_clear): (Identity, bool),
        (night, time): (Date, i64),
        verdict: DayVerdict,
        events: &mut Vec<NightEvent>,
    ) {
        if !self.is_of(identity) {
            // The numbers in this night's ids continue.
            let (night, times) = (self.night, std::mem::take(&mut self.times));
            let station_name = std::mem::take(&mut self.station_name);
            *self = Self { night, times, station_name, ..Self::new(identity) };
        }
        if time < self.heard {
            return;
        }
        let is_gap = time.saturating_sub(self.heard) > SILENCE;
        self.heard = time;
        let day = night.days_since_1970();
        // A report that lacks a value ends nothing.
        let is_same = matches!(verdict, DayVerdict::Matches | DayVerdict::Unknown) && !is_gap;
        self.stands &= has_clear || day <= self.night || is_same;
        match verdict {
            DayVerdict::Matches if !self.stands || self.is_stale => {
                // It is unknown what happened during a silence, so the rule fires again.
                (self.stands, self.is_stale) = (true, false);
                if day > self.night {
                    self.night = day;
                    self.times.clear();
                }
                self.push(Transition::Fired, events);
            }
            DayVerdict::Clears if self.stands => {
                (self.stands, self.is_stale) = (false, false);
                self.push(Transition::Resolved, events);
            }
            _ => {}
        }
        if !has_clear {
            self.is_stale = false;
        }
    }

    /// Notes that the newest observation of the whole partition, or the clock, has reached `now` (seconds since
    /// 1970).
    pub fn wait_until(&mut self, has_clear: bool, now: i64, events: &mut Vec<NightEvent>) {
        if has_clear && self.deadline().is_some_and(|deadline| now > deadline) {
            self.is_stale = true;
            self.push(Transition::Stale, events);
        }
    }

    /// The newest observation, in seconds since 1970.
    pub fn heard(&self) -> i64 {
        self.heard
    }

    /// Until when silence has no effect, in seconds since 1970; `None` if no alert stands, or it is stale already.
    pub fn deadline(&self) -> Option<i64> {
        (self.stands && !self.is_stale).then_some(self.heard + SILENCE)
    }

    fn push(&mut self, transition: Transition, events: &mut Vec<NightEvent>) {
        let Some(night) = Date::from_days_since_1970(self.night) else { return };
        events.push(NightEvent {
            transition,
            night,
            times: super::night_watch::count(&mut self.times, transition),
            crossing_before: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { fingerprint: 1, incarnation: 0, place: 0 };

    fn judge(
        watch: &mut HourWatch,
        has_clear: bool,
        day: i32,
        hour: i64,
        verdict: DayVerdict,
    ) -> Vec<String> {
        let (mut events, night) = (Vec::new(), Date::from_days_since_1970(day).unwrap());
        watch.judge((IDENTITY, has_clear), (night, hour * 3_600), verdict, &mut events);
        let shown = |event: &NightEvent| {
            format!("{} {} {}", event.transition.as_str(), event.night.days_since_1970(), event.times)
        };
        events.iter().map(shown).collect()
    }

    #[test]
    fn with_clear_it_fires_and_resolves_again_and_again() {
        let mut watch = HourWatch::new(IDENTITY);
        assert_eq!(judge(&mut watch, true, 1, 40, DayVerdict::Matches), ["fired 1 1"]);
        assert!(judge(&mut watch, true, 1, 41, DayVerdict::Matches).is_empty());
        assert!(judge(&mut watch, true, 1, 41, DayVerdict::Between).is_empty());
        assert_eq!(judge(&mut watch, true, 1, 42, DayVerdict::Clears), ["resolved 1 1"]);
        assert_eq!(judge(&mut watch, true, 1, 43, DayVerdict::Matches), ["fired 1 2"]);
        assert!(judge(&mut watch, true, 1, 42, DayVerdict::Clears).is_empty(), "late");
        // It goes on into the next day, and belongs to the night in which it fired.
        assert!(judge(&mut watch, true, 2, 59, DayVerdict::Between).is_empty());
        assert_eq!(judge(&mut watch, true, 2, 60, DayVerdict::Clears), ["resolved 1 2"]);
        assert_eq!(judge(&mut watch, true, 2, 61, DayVerdict::Matches), ["fired 2 1"], "ids begin at one");
    }

    #[test]
    fn without_clear_it_fires_once_a_night() {
        let mut watch = HourWatch::new(IDENTITY);
        assert_eq!(judge(&mut watch, false, 1, 40, DayVerdict::Matches), ["fired 1 1"]);
        assert!(judge(&mut watch, false, 1, 41, DayVerdict::Between).is_empty());
        assert!(judge(&mut watch, false, 1, 42, DayVerdict::Matches).is_empty());
        assert_eq!(judge(&mut watch, false, 2, 60, DayVerdict::Matches), ["fired 2 1"]);
    }

    #[test]
    fn without_clear_a_frost_that_lasts_into_the_morning_does_not_hide_the_next_one() {
        let mut watch = HourWatch::new(IDENTITY);
        assert_eq!(judge(&mut watch, false, 1, 40, DayVerdict::Matches), ["fired 1 1"]);
        // One of the reports lacks a value.
        for (hour, verdict) in
            [(42, DayVerdict::Matches), (43, DayVerdict::Unknown), (44, DayVerdict::Matches)]
        {
            assert!(judge(&mut watch, false, 2, hour, verdict).is_empty(), "the same frost");
        }
        assert!(judge(&mut watch, false, 2, 46, DayVerdict::Between).is_empty());
        assert_eq!(judge(&mut watch, false, 2, 48, DayVerdict::Matches), ["fired 2 1"]);
    }

    #[test]
    fn silence_makes_what_stands_stale_once() {
        let mut watch = HourWatch::new(IDENTITY);
        judge(&mut watch, true, 1, 40, DayVerdict::Matches);
        let until = |watch: &mut HourWatch, hour: i64| {
            let mut events = Vec::new();
            watch.wait_until(true, hour * 3_600, &mut events);
            events.len()
        };
        assert_eq!((until(&mut watch, 44), until(&mut watch, 45), until(&mut watch, 46)), (0, 1, 0));
        assert_eq!(judge(&mut watch, true, 1, 47, DayVerdict::Matches), ["fired 1 2"]);
        assert_eq!((until(&mut watch, 52), until(&mut watch, 53)), (1, 0));
        assert_eq!(
            judge(&mut watch, true, 2, 60, DayVerdict::Clears),
            ["resolved 1 1"],
            "of the silent episode"
        );
    }
}
