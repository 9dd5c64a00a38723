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
//! If the observation that reached the limit is corrected, a confirmed warning becomes expected again, or withdrawn.
//!
//! A standing warning is repeated when the limit will be crossed at least an hour earlier than the last alert said.
//! A silence of the station ([`SILENCE`]) makes it *stale*: that never means "no frost". When the station is back, the
//! warning continues where it was if its condition holds. Otherwise it is not withdrawn, because nobody knows what
//! happened meanwhile.
//!
//! Every alert has an id made of rule, station, night and transition, numbered from the second on, so the same
//! outlooks give the same alerts in any process at any time.

use serde::{Deserialize, Serialize};

use super::{Identity, Transition};
use crate::noaa::{Date, StationId};
use crate::outlook::SILENCE;

/// If the rule has no `clear`, a warning is withdrawn after its condition has not held for this long, in seconds.
const PATIENCE: i64 = 3_600;
/// A crossing must move this much earlier to cause another alert, in seconds.
const EARLIER: i64 = 3_600;
/// How many settled warnings a rule remembers at a station.
const SETTLED_MAX: u8 = 20;

/// One outlook, as a rule sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sight {
    /// The night, by the date of its evening.
    pub night: Date,
    /// When it was issued, in seconds since 1970.
    pub time: i64,
    /// When the night ends, in seconds since 1970.
    pub ends: i64,
    /// Whether the condition holds; `None` if it cannot be decided.
    pub holds: Option<bool>,
    /// Whether `clear` holds; `None` for a rule without it.
    pub clears: Option<bool>,
    /// Whether the rule's limit has been reached in this night.
    pub is_reached: bool,
    /// When the limit is expected to be crossed, in seconds since 1970.
    pub crossing: Option<i64>,
}

/// The outcome of a night.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settled {
    /// The night.
    pub night: Date,
    /// Whether the rule's limit was reached.
    pub is_reached: bool,
    /// Whether the station reported without a long gap: only then an unobserved limit counts as not reached.
    pub is_complete: bool,
}

/// An alert to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NightEvent {
    /// The transition.
    pub transition: Transition,
    /// The night.
    pub night: Date,
    /// How many times this transition has been alerted in this night, from 1.
    pub times: u16,
    /// If this alert reports an earlier crossing: the time at which the last alert expected it, in seconds since
    /// 1970.
    pub crossing_before: Option<i64>,
}

impl NightEvent {
    /// The id of its alert.
    pub fn alert_id(&self, rule: &str, station: StationId) -> String {
        let (night, transition) = (self.night, self.transition.as_str());
        let times = if self.times > 1 { format!("/{}", self.times) } else { String::new() };
        format!("{rule}/{station}/{night}/{transition}{times}")
    }
}

/// The outcomes of the last warnings of a rule at a station.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackRecord {
    /// One bit per settled warning, the newest lowest: set if it came true.
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
    /// No more alerts about this night.
    Settled,
}

/// The state of a rule over nights at one station: the present night, and the outcomes of the last warnings.
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
    /// The crossing that was last alerted.
    crossing: Option<i64>,
    /// Since when the condition has not held while a warning stands.
    not_since: Option<i64>,
    was_expected: bool,
    is_stale: bool,
    /// How many times each transition was alerted in this night.
    times: Vec<(Transition, u16)>,
    track: TrackRecord,
    /// The station's name, for alerts about its silence; empty if unknown.
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

    /// Whether it is of this rule, and not of an earlier one with the same id.
    pub fn is_of(&self, identity: Identity) -> bool {
        self.incarnation == identity.incarnation
    }

    /// The outcomes of the last warnings.
    pub fn track(&self) -> TrackRecord {
        self.track
    }

    /// The night that is watched, by its date.
    pub fn night(&self) -> Option<Date> {
        Date::from_days_since_1970(self.night)
    }

    /// The standing warning in a word, for people.
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

    /// Takes an outlook. Alerts are added to `events`.
    pub fn judge(&mut self, identity: Identity, sight: Sight, events: &mut Vec<NightEvent>) {
        self.follow(identity);
        if !self.turn_to(sight.night, events) || self.standing == Standing::Settled {
            return;
        }
        self.ends = sight.ends;
        self.heard = self.heard.max(sight.time);
        let holds = sight.holds == Some(true);
        if self.standing == Standing::Confirmed && !sight.is_reached {
            match sight.holds {
                Some(true) => self.expect(sight.crossing, events),
                Some(false) => self.withdraw(events),
                None => {}
            }
            return;
        }
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
                    let before = self.crossing;
                    self.expect(sight.crossing, events);
                    events.iter_mut().rev().take(1).for_each(|event| event.crossing_before = before);
                }
            }
            // After a silence nobody knows whether the limit was reached.
            Standing::Expected if sight.holds == Some(false) && !self.was_silent() => {
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
                (false, false) if !self.was_silent() => self.push(Transition::Stale, events),
                (false, false) => {}
            }
        }
        if self.was_expected && (settled.is_reached || settled.is_complete) {
            self.track.settle(settled.is_reached);
        }
        self.standing = Standing::Settled;
    }

    /// Notes that the newest observation of the whole partition, or the clock, has reached `now` (seconds since
    /// 1970).
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

    /// Until when silence has no effect, in seconds since 1970; `None` if no warning stands, or it is stale already.
    pub fn deadline(&self) -> Option<i64> {
        (self.standing == Standing::Expected && !self.is_stale).then_some(self.heard + SILENCE)
    }

    /// A rule with other conditions, or one that was removed and published again, has no track record, and the latter no
    /// warning that stands. The numbers in this night's ids continue.
    fn follow(&mut self, identity: Identity) {
        if !self.is_of(identity) {
            let (night, times) = (self.night, std::mem::take(&mut self.times));
            let station_name = std::mem::take(&mut self.station_name);
            *self = Self { night, times, station_name, ..Self::new(identity) };
        } else if identity.fingerprint != self.fingerprint {
            self.fingerprint = identity.fingerprint;
            self.track = TrackRecord::default();
            self.not_since = None;
        }
    }

    /// Starts a new night. `false` if it is over already.
    fn turn_to(&mut self, night: Date, events: &mut Vec<NightEvent>) -> bool {
        let day = night.days_since_1970();
        if day <= self.night {
            return day == self.night;
        }
        if self.standing == Standing::Expected && !self.was_silent() {
            // Its end was not seen.
            self.push(Transition::Stale, events);
        }
        let (fingerprint, incarnation, track) = (self.fingerprint, self.incarnation, self.track);
        let station_name = std::mem::take(&mut self.station_name);
        let identity = Identity { fingerprint, incarnation, place: 0 };
        *self = Self { night: day, track, station_name, ..Self::new(identity) };
        true
    }

    /// Whether the station fell silent in this night while a warning stood.
    fn was_silent(&self) -> bool {
        self.times.iter().any(|(transition, _)| *transition == Transition::Stale)
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
        events.push(NightEvent { transition, night, times, crossing_before: None });
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
#[path = "night_watch_tests.rs"]
mod tests;
