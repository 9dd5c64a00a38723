//! Checks the written form of a rule, and compiles it.

use std::collections::HashSet;
use std::sync::Arc;

use super::active::Active;
use super::condition::{Condition, Feed, Scope, mixed};
use super::conditions::Conditions;
use super::crops::Crop;
use super::definition::Definition;
use super::lifecycle::{Identity, fingerprint};
use super::message::Template;
use super::plain_words::shown;
use super::problem::{Problem, Problems, check_email, check_id};
use super::rule::{Place, Rule, feed_of};
use crate::noaa::StationId;

/// Most subscribers of one rule.
const SUBSCRIBERS_MAX: usize = 1_000;
/// Longest `for_days` and `repeat_days`.
const DAYS_MAX: u16 = 366;

/// When a rule fires, compiled.
struct Fires {
    when: Arc<Condition>,
    clear: Option<Arc<Condition>>,
    crop: Option<Crop>,
}

impl Definition {
    /// Checks the definition and compiles it. `nearest`: the station that was found for `near`.
    ///
    /// # Errors
    /// All mistakes.
    pub fn compile(
        &self,
        version: u32,
        nearest: Option<StationId>,
        conditions: &mut Conditions,
    ) -> Result<Rule, Vec<Problem>> {
        let mut problems = Problems::default();
        check_id("rule", &self.id, &mut problems);
        let place = self.place(nearest, conditions, &mut problems);
        let fires = self.conditions(conditions, &mut problems);
        self.check_subscribers(&mut problems);
        let feed = fires.as_ref().map(|fires| feed_of(&fires.when, fires.clear.as_deref()));
        let message = self.message.as_ref().and_then(|text| match Template::compile(text, feed) {
            Ok(template) => Some(Box::new(template)),
            Err((offset, message)) => {
                problems.add("message", offset, message);
                None
            }
        });
        let active = self.active.as_ref().and_then(|written| match Active::compile(written) {
            Ok(active) => Some(Box::new(active)),
            Err(message) => {
                problems.add("active", 0, message);
                None
            }
        });
        let (Some(place), Some(Fires { when, clear, crop }), true) = (place, fires, problems.0.is_empty())
        else {
            return Err(problems.0);
        };
        let identity = Identity {
            fingerprint: self.fingerprint(when.text()),
            incarnation: 0,
            place: self.place_fingerprint(nearest),
        };
        Ok(Rule {
            id: self.id.as_str().into(),
            version,
            place,
            when,
            clear,
            crop: crop.map(Box::new),
            for_days: self.for_days.unwrap_or(1),
            repeat_days: self.repeat_days,
            severity: self.severity,
            message,
            active,
            subscribers: self.subscribers.iter().map(|id| conditions.subscriber(id)).collect(),
            email: self.email.clone(),
            identity,
        })
    }

    /// Compiles `when` and `clear`, and checks settings that depend on their feed.
    fn conditions(&self, conditions: &mut Conditions, problems: &mut Problems) -> Option<Fires> {
        let (when, crop) = self.chosen(problems);
        let mut condition = |field, text: &str| match conditions.compile(text, Scope::Observation) {
            Ok(condition) => Some(condition),
            Err(error) => {
                problems.add(field, error.offset, error.message);
                None
            }
        };
        // An unknown crop stands for no condition, and is reported already.
        let is_known = self.crop.is_none() || crop.is_some();
        let when = if is_known { condition("when", &when) } else { None };
        let clear = self.clear.as_ref().map(|clear| condition("clear", clear));
        let is_of_days = match &when {
            Some(when) => {
                self.check_feed(when, clear.as_ref().and_then(Option::as_deref), problems) == Feed::Day
            }
            None => true,
        };
        if is_of_days {
            self.check_days(problems);
        }
        Some(Fires { when: when?, clear: clear.flatten(), crop })
    }

    /// Checks fields that a rule may have only with some feeds, and that its conditions are of one feed, which is
    /// returned.
    fn check_feed(&self, when: &Condition, clear: Option<&Condition>, problems: &mut Problems) -> Feed {
        if let (Some(one), Some(other)) = (when.asked(), clear.and_then(Condition::asked))
            && one.feed != other.feed
        {
            problems.add("clear", other.offset, mixed(one, other));
        }
        let feed = feed_of(when, clear);
        if feed == Feed::Day {
            return feed;
        }
        for (field, days) in [("for_days", self.for_days), ("repeat_days", self.repeat_days)] {
            if days.is_some() {
                let kind = feed.with_article();
                let reason =
                    format!("{field} counts reported days, and this is a rule about {kind}: remove it");
                problems.add(field, 0, reason);
            }
        }
        if feed == Feed::Night && when.night_limit().is_none() {
            let reason = "expected chance(-2.0) or a comparison such as night.min <= 0.0: without a limit it cannot \
                          be decided in the morning whether the warning was right";
            problems.add("when", when.asked().map_or(0, |asked| asked.offset), reason);
        }
        feed
    }

    fn place(
        &self,
        nearest: Option<StationId>,
        conditions: &mut Conditions,
        problems: &mut Problems,
    ) -> Option<Place> {
        const EXPECTED: &str = "expected one of station = \"USW00003192\", near = { lat = 33.6, lon = -111.9 } and \
                                where = \"station.state_code == 'AZ'\"";
        match (&self.station, &self.near, &self.stations) {
            (Some(id), None, None) => {
                let station = StationId::parse(id.as_bytes());
                if station.is_none() {
                    let expected = "expected a GHCN-Daily id of 11 characters, such as USW00003192";
                    problems.add("station", 0, format!("station {id:?}: {expected}"));
                }
                station.map(Place::Station)
            }
            (None, Some(near), None) => {
                near.check(problems);
                Some(nearest.map_or(Place::Unresolved(*near), Place::Station))
            }
            (None, None, Some(text)) => match conditions.compile(text, Scope::Station) {
                Ok(condition) => Some(Place::Where(condition)),
                Err(error) => {
                    problems.add("where", error.offset, error.message);
                    None
                }
            },
            (None, None, None) => {
                problems.add("station", 0, format!("rule {} has no place: {EXPECTED}", shown(&self.id)));
                None
            }
            _ => {
                problems.add(
                    "id",
                    0,
                    format!("rule {} has more than one place: {EXPECTED}", shown(&self.id)),
                );
                None
            }
        }
    }

    fn check_days(&self, problems: &mut Problems) {
        for (field, days) in [("for_days", self.for_days), ("repeat_days", self.repeat_days)] {
            let Some(days) = days else { continue };
            if !(1..=DAYS_MAX).contains(&days) {
                problems.add(field, 0, format!("{field} = {days}: expected 1 to {DAYS_MAX}"));
            } else if self.clear.is_none() && (field == "repeat_days" || days > 1) {
                let advice = "say when an episode is over, as in clear = \"TMIN > 12.0\"; without that each \
                              matching day fires by itself";
                problems.add(field, 0, format!("{field} needs `clear`: {advice}"));
            }
        }
    }

    fn check_subscribers(&self, problems: &mut Problems) {
        if self.subscribers.len() > SUBSCRIBERS_MAX {
            let found = self.subscribers.len();
            problems.add("subscribers", 0, format!("{found} subscribers: the limit is {SUBSCRIBERS_MAX}"));
            return;
        }
        let mut seen = HashSet::new();
        for id in self.subscribers.iter().filter(|id| !seen.insert(id.as_str())) {
            problems.add("subscribers", 0, format!("subscriber {} is named twice", shown(id)));
        }
        if let Some(email) = &self.email {
            check_email(&email.0, problems);
        }
    }

    /// A number that changes when the conditions of the life cycle change, and only then.
    fn fingerprint(&self, when: &str) -> u32 {
        fingerprint(&(when, &self.clear, self.for_days.unwrap_or(1), self.repeat_days, &self.active))
    }

    /// A number that changes with the choice of stations.
    fn place_fingerprint(&self, nearest: Option<StationId>) -> u32 {
        match &self.near {
            Some(_) => Identity::of_nearest(nearest),
            None => fingerprint(&(&self.station, &self.stations, nearest)),
        }
    }
}
