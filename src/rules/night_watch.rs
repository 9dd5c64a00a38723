//! The life cycle of a rule over nights at one station: from outlooks to alerts, night by night.
//!
//! ```text
//!            the condition holds                 the limit is reached
//!   quiet ───────────────────────► expected ──────────────────────────► confirmed
//!     │                             │  ▲ │
//!     │ the limit is reached        │  │ └─ the night ends ─► averted, or stale where the station fell silent
//!     └──────────► confirmed        ▼  │
//!                                withdrawn: the condition has not held for an hour, or `clear` holds
//! ```
//!
//! A standing warning is repeated when the limit will be crossed an hour or more earlier than the last alert said. Three hours
//! without an observation make it *stale*, once a night: silence never means "no frost". A station that is back goes on
//! where it was.
//!
//! Every alert has an id made of rule, station, night and transition, with a number from the second on, so the same outlooks
//! give the same alerts in any process at any time.

use serde::{Deserialize, Serialize};

use super::{Identity, Transition};
use crate::noaa::{Date, StationId};

/// How long a condition must not hold before a warning is withdrawn, where the rule has no `clear`, in seconds.
const PATIENCE: i64 = 3_600;
/// By how much earlier a crossing must come to be worth another alert, in seconds.
const EARLIER: i64 = 3_600;
/// For how long a station may be silent while a warning stands, in seconds.
const SILENCE: i64 = 3 * 3_600;
/// How many settled warnings a rule remembers at a station.
const SETTLED_MAX: u8 = 20;

/// One outlook as a rule sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// The night, by the date of its evening.
    pub night: Date,
    /// When it was issued, in seconds since 1970.
    pub time: i64,
    /// When the night ends, in seconds since 1970.
    pub ends: i64,
    /// Whether the condition holds; `None` where it cannot be decided.
    pub holds: Option<bool>,
    /// Whether `clear` holds; `None` for a rule without it.
    pub clears: Option<bool>,
    /// Whether the rule's limit has been reached in this night.
    pub is_reached: bool,
    /// When the limit is expected to be crossed, in seconds since 1970.
    pub crossing: Option<i64>,
}

/// How a night went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The night.
    pub night: Date,
    /// Whether the rule's limit was reached.
    pub is_reached: bool,
    /// Whether the station reported without a long gap: only then a limit that was not seen was not reached.
    pub is_complete: bool,
}

/// An alert to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NightEvent {
    /// What happened.
    pub transition: Transition,
    /// The night.
    pub night: Date,
    /// How often this transition has been alerted in this night, from 1.
    pub times: u16,
}

impl NightEvent {
    /// The id of its alert.
    pub fn alert_id(&self, rule: &str, station: StationId) -> String {
        let (night, transition) = (self.night, self.transition.as_str());
        let times = if self.times > 1 { format!("/{}", self.times) } else { String::new() };
        format!("{rule}/{station}/{night}/{transition}{times}")
    }
}

/// How the last warnings of a rule at a station turned out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackRecord {
    /// One bit a settled warning, the newest lowest: set where it came true.
    came_true: u32,
    warnings: u8,
}

impl TrackRecord {
    fn settle(&mut self, came_true: bool) {
        self.came_true = (self.came_true << 1 | u32::from(came_true)) & ((1 << SETTLED_MAX) - 1);
        self.warnings = (self.warnings + 1).min(SETTLED_MAX);
    }

    /// How many warnings are remembered, at most 20.
    pub fn warnings(self) -> u8 {
        self.warnings
    }

    /// How many of them came true.
    pub fn came_true(self) -> u8 {
        self.came_true.count_ones() as u8
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Standing {
    Quiet,
    Expected,
    Withdrawn,
    Confirmed,
    /// Nothing more will be said of this night.
    Settled,
}

/// Of a rule over nights at one station: the present night, and how the last warnings turned out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NightWatch {
    fingerprint: u32,
    incarnation: u32,
    /// Days since 1970.
    night: i32,
    standing: Standing,
    ends: i64,
    /// The newest observation, in seconds since 1970.
    heard: i64,
    /// The crossing that was alerted last.
    crossing: Option<i64>,
    /// Since when the condition has not held, while a warning stands.
    not_since: Option<i64>,
    was_expected: bool,
    is_stale: bool,
    /// How often each transition was alerted in this night.
    times: Vec<(Transition, u16)>,
    track: TrackRecord,
    /// For alerts that come when the station itself is silent; empty where it is not known.
    pub station_name: String,
}

impl NightWatch {
    /// Nothing is known yet.
    pub fn new(identity: Identity) -> Self {
        Self {
            fingerprint: identity.fingerprint,
            incarnation: identity.incarnation,
            night: i32::MIN,
            standing: Standing::Quiet,
            ends: 0,
            heard: 0,
            crossing: None,
            not_since: None,
            was_expected: false,
            is_stale: false,
            times: Vec::new(),
            track: TrackRecord::default(),
            station_name: String::new(),
        }
    }

    /// How the last warnings turned out.
    pub fn track(&self) -> TrackRecord {
        self.track
    }

    /// The night that is watched, by its date.
    pub fn night(&self) -> Option<Date> {
        Date::from_days_since_1970(self.night)
    }

    /// The warning that stands in one word, for people.
    pub fn describe(&self) -> &'static str {
        match self.standing {
            Standing::Quiet => "no warning",
            Standing::Expected if self.is_stale => "expected; the station is silent",
            Standing::Expected => "expected",
            Standing::Withdrawn => "withdrawn",
            Standing::Confirmed => "confirmed",
            Standing::Settled => "settled",
        }
    }

    /// Takes an outlook. Alerts are pushed to `events`.
    pub fn judge(&mut self, identity: Identity, sight: Sight, events: &mut Vec<NightEvent>) {
        self.follow(identity);
        if !self.turn_to(sight.night, events) || self.standing == Standing::Settled {
            return;
        }
        self.ends = sight.ends;
        self.heard = self.heard.max(sight.time);
        let holds = sight.holds == Some(true);
        if sight.is_reached && self.standing != Standing::Confirmed && (holds || self.was_expected) {
            self.standing = Standing::Confirmed;
            return self.push(Transition::Confirmed, events);
        }
        match self.standing {
            Standing::Quiet | Standing::Withdrawn if holds => self.expect(sight.crossing, events),
            Standing::Expected if holds => {
                self.not_since = None;
                self.is_stale = false;
                let is_earlier = matches!((sight.crossing, self.crossing),
                    (Some(now), Some(before)) if now <= before - EARLIER && now > sight.time);
                if is_earlier {
                    self.expect(sight.crossing, events);
                }
            }
            Standing::Expected if sight.holds == Some(false) => {
                let since = *self.not_since.get_or_insert(sight.time);
                if sight.clears.unwrap_or(sight.time - since >= PATIENCE) {
                    self.withdraw(events);
                }
            }
            _ => {}
        }
    }

    /// The night is over.
    pub fn settle(&mut self, identity: Identity, settled: Settled, events: &mut Vec<NightEvent>) {
        self.follow(identity);
        if Some(settled.night) != self.night() || self.standing == Standing::Settled {
            return;
        }
        if self.standing == Standing::Expected {
            match (settled.is_reached, settled.is_complete) {
                (true, _) => self.push(Transition::Confirmed, events),
                (false, true) => self.push(Transition::Averted, events),
                (false, false) if !self.is_stale => self.push(Transition::Stale, events),
                (false, false) => {}
            }
        }
        if self.was_expected && (settled.is_reached || settled.is_complete) {
            self.track.settle(settled.is_reached);
        }
        self.standing = Standing::Settled;
    }

    /// The newest observation of the whole partition, or the clock, has come to `now` (seconds since 1970).
    pub fn wait_until(&mut self, now: i64, events: &mut Vec<NightEvent>) {
        if self.deadline().is_some_and(|deadline| now > deadline) {
            self.is_stale = true;
            self.push(Transition::Stale, events);
        }
    }

    /// The newest observation, in seconds since 1970.
    pub fn heard(&self) -> i64 {
        self.heard
    }

    /// Until when silence says nothing, in seconds since 1970; `None` where no warning stands, or it is stale already.
    pub fn deadline(&self) -> Option<i64> {
        (self.standing == Standing::Expected && !self.is_stale).then_some(self.heard + SILENCE)
    }

    /// A rule with other conditions starts the night again; one that was removed and published again starts from nothing.
    fn follow(&mut self, identity: Identity) {
        if identity.incarnation != self.incarnation {
            *self = Self { station_name: std::mem::take(&mut self.station_name), ..Self::new(identity) };
        } else if identity.fingerprint != self.fingerprint {
            self.fingerprint = identity.fingerprint;
            // The ids of this night's alerts go on counting.
            self.track = TrackRecord::default();
            self.not_since = None;
        }
    }

    /// Turns to a new night. `false` for one that is over.
    fn turn_to(&mut self, night: Date, events: &mut Vec<NightEvent>) -> bool {
        let day = night.days_since_1970();
        if day <= self.night {
            return day == self.night;
        }
        if self.standing == Standing::Expected && !self.is_stale {
            // Its end was not seen.
            self.push(Transition::Stale, events);
        }
        let (fingerprint, incarnation, track) = (self.fingerprint, self.incarnation, self.track);
        let station_name = std::mem::take(&mut self.station_name);
        let identity = Identity { fingerprint, incarnation, place: 0 };
        *self = Self { night: day, track, station_name, ..Self::new(identity) };
        true
    }

    fn expect(&mut self, crossing: Option<i64>, events: &mut Vec<NightEvent>) {
        self.standing = Standing::Expected;
        self.was_expected = true;
        self.is_stale = false;
        self.not_since = None;
        self.crossing = crossing;
        self.push(Transition::Expected, events);
    }

    fn withdraw(&mut self, events: &mut Vec<NightEvent>) {
        self.standing = Standing::Withdrawn;
        self.not_since = None;
        self.push(Transition::Withdrawn, events);
    }

    fn push(&mut self, transition: Transition, events: &mut Vec<NightEvent>) {
        let Some(night) = self.night() else { return };
        let times = count(&mut self.times, transition);
        events.push(NightEvent { transition, night, times });
    }
}

/// Counts an alert of this transition. Returns how many there have been.
pub(super) fn count(times: &mut Vec<(Transition, u16)>, transition: Transition) -> u16 {
    match times.iter_mut().find(|(known, _)| *known == transition) {
        Some((_, times)) => {
            *times = times.saturating_add(1);
            *times
        }
        None => {
            times.push((transition, 1));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { fingerprint: 1, incarnation: 0, place: 0 };
    const HOUR: i64 = 3_600;

    fn night(day: i32) -> Date {
        Date::from_days_since_1970(day).unwrap()
    }

    /// An outlook at this hour of the day, counted on through the night.
    fn sight(day: i32, hour: f64, holds: bool) -> Sight {
        let midnight = i64::from(day) * 24 * HOUR;
        let (time, ends) = (midnight + (hour * 3_600.0) as i64, midnight + 33 * HOUR);
        Sight {
            night: night(day),
            time,
            ends,
            holds: Some(holds),
            clears: None,
            is_reached: false,
            crossing: None,
        }
    }

    struct Driver(NightWatch, Vec<String>);

    impl Driver {
        fn new() -> Self {
            Self(NightWatch::new(IDENTITY), Vec::new())
        }

        fn take(&mut self, work: impl FnOnce(&mut NightWatch, &mut Vec<NightEvent>)) -> Vec<String> {
            let mut events = Vec::new();
            work(&mut self.0, &mut events);
            let told: Vec<String> =
                events.iter().map(|event| format!("{} {}", event.transition.as_str(), event.times)).collect();
            self.1.extend(
                events.iter().map(|event| event.alert_id("r", StationId::parse(b"USW00003192").unwrap())),
            );
            told
        }

        fn judge(&mut self, sight: Sight) -> Vec<String> {
            self.take(|watch, events| watch.judge(IDENTITY, sight, events))
        }

        fn settle(&mut self, day: i32, is_reached: bool, is_complete: bool) -> Vec<String> {
            let settled = Settled { night: night(day), is_reached, is_complete };
            self.take(|watch, events| watch.settle(IDENTITY, settled, events))
        }
    }

    #[test]
    fn a_warning_is_sent_once_confirmed_and_settled() {
        let mut driver = Driver::new();
        assert!(driver.judge(sight(10, 17.0, false)).is_empty());
        assert_eq!(driver.judge(sight(10, 18.0, true)), ["expected 1"]);
        assert!(driver.judge(sight(10, 19.0, true)).is_empty());
        let reached = Sight { is_reached: true, ..sight(10, 29.0, true) };
        assert_eq!(driver.judge(reached), ["confirmed 1"]);
        assert!(driver.judge(Sight { time: reached.time + HOUR, ..reached }).is_empty());
        assert!(driver.settle(10, true, true).is_empty());
        assert!(driver.judge(sight(10, 32.0, true)).is_empty(), "nothing after the end");
        assert_eq!((driver.0.track().warnings(), driver.0.track().came_true()), (1, 1));
        assert_eq!(driver.1[0], "r/USW00003192/1970-01-11/expected");
    }

    #[test]
    fn what_did_not_come_is_averted_and_silence_is_not() {
        let mut driver = Driver::new();
        driver.judge(sight(10, 18.0, true));
        assert_eq!(driver.settle(10, false, true), ["averted 1"]);
        driver.judge(sight(11, 18.0, true));
        assert_eq!(driver.settle(11, false, false), ["stale 1"]);
        // The end of this night is never seen.
        driver.judge(sight(12, 18.0, true));
        assert_eq!(driver.judge(sight(14, 18.0, false)), ["stale 1"]);
        assert_eq!(
            (driver.0.track().warnings(), driver.0.track().came_true()),
            (1, 0),
            "unknown counts for nothing"
        );
        assert_eq!(driver.1[5], "r/USW00003192/1970-01-13/stale", "of the night that it is about");
    }

    #[test]
    fn a_warning_is_withdrawn_when_it_has_not_held_for_an_hour() {
        let mut driver = Driver::new();
        driver.judge(sight(10, 18.0, true));
        assert!(driver.judge(sight(10, 18.5, false)).is_empty());
        assert!(driver.judge(sight(10, 19.0, true)).is_empty(), "it holds again");
        assert!(driver.judge(sight(10, 20.0, false)).is_empty());
        assert_eq!(driver.judge(sight(10, 21.0, false)), ["withdrawn 1"]);
        assert_eq!(driver.judge(sight(10, 23.0, true)), ["expected 2"]);
        let clears = Sight { clears: Some(true), ..sight(10, 23.2, false) };
        assert_eq!(driver.judge(clears), ["withdrawn 2"], "`clear` decides at once");
        assert!(driver.settle(10, false, true).is_empty());
        assert_eq!(driver.0.track().warnings(), 1, "it was false all the same");
    }

    #[test]
    fn an_earlier_crossing_is_worth_another_alert() {
        let mut driver = Driver::new();
        let at = |hour: f64, crossing: f64| Sight {
            crossing: Some(sight(10, crossing, true).time),
            ..sight(10, hour, true)
        };
        assert_eq!(driver.judge(at(18.0, 30.0)), ["expected 1"]);
        assert!(driver.judge(at(19.0, 29.5)).is_empty());
        assert_eq!(driver.judge(at(20.0, 29.0)), ["expected 2"]);
        assert!(driver.judge(at(21.0, 28.5)).is_empty());
    }

    #[test]
    fn silence_is_reported_once_and_a_station_that_is_back_goes_on() {
        let mut driver = Driver::new();
        driver.judge(sight(10, 18.0, true));
        let until = |driver: &mut Driver, hour: f64| {
            let now = sight(10, hour, true).time;
            driver.take(|watch, events| watch.wait_until(now, events))
        };
        assert!(until(&mut driver, 21.0).is_empty());
        assert_eq!(until(&mut driver, 21.1), ["stale 1"]);
        assert!(until(&mut driver, 23.0).is_empty());
        assert!(driver.judge(sight(10, 24.0, true)).is_empty());
        let reached = Sight { is_reached: true, ..sight(10, 25.0, true) };
        assert_eq!(driver.judge(reached), ["confirmed 1"]);
    }

    #[test]
    fn a_limit_reached_without_a_warning_is_confirmed_at_once() {
        let mut driver = Driver::new();
        let reached = Sight { is_reached: true, ..sight(10, 19.0, true) };
        assert_eq!(driver.judge(reached), ["confirmed 1"]);
        driver.settle(10, true, true);
        assert_eq!(driver.0.track().warnings(), 0, "nobody was warned before");
        let out_of_season =
            Sight { holds: Some(false), ..Sight { is_reached: true, ..sight(11, 19.0, false) } };
        assert!(driver.judge(out_of_season).is_empty());
    }

    #[test]
    fn a_late_outlook_of_a_night_before_changes_nothing() {
        let mut driver = Driver::new();
        driver.judge(sight(11, 18.0, true));
        assert!(driver.judge(sight(10, 30.0, true)).is_empty());
        assert_eq!(driver.settle(10, true, true), Vec::<String>::new());
        assert_eq!(driver.0.describe(), "expected");
    }
}
