//! A rule without `clear`: judges each day alone.

use serde::{Deserialize, Serialize};

use super::{DayVerdict, Event, Taken, Transition};

/// The state of a rule without `clear`: one day that has fired or was corrected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoneDay {
    /// The revision that was judged last.
    revision: u32,
    /// How often it has fired.
    times: u16,
    /// Whether the last firing has not been retracted.
    stands: bool,
}

impl LoneDay {
    /// Judges a day. Returns the new state, if it has changed, and the events.
    pub fn judge(
        known: Option<Self>,
        day: i32,
        revision: u32,
        verdict: DayVerdict,
    ) -> (Option<Self>, Option<Event>, Taken) {
        let matches = verdict == DayVerdict::Matches;
        let Some(before) = known else {
            // A first revision that does not match needs no state, and most days are like that.
            let remembered = (matches || revision > 1).then_some(Self {
                revision,
                times: u16::from(matches),
                stands: matches,
            });
            let event = matches.then_some(Self::event(Transition::Fired, day, 1));
            return (remembered, event, Taken::Changed);
        };
        if revision < before.revision {
            return (None, None, Taken::Outdated);
        }
        // One revision has one content; parts of an observation that arrive separately do not contradict each other.
        if matches == before.stands || revision == before.revision {
            let newer = (revision > before.revision).then_some(Self { revision, ..before });
            return (newer, None, Taken::Known);
        }
        let times = before.times.saturating_add(u16::from(matches));
        let transition = if matches { Transition::Fired } else { Transition::Retracted };
        let event = Self::event(transition, day, times);
        (Some(Self { revision, times, stands: matches }), Some(event), Taken::Changed)
    }

    fn event(transition: Transition, day: i32, times: u16) -> Event {
        Event { transition, of: Transition::Fired, day, since: day, times, silent_from: None }
    }

    /// Whether it has fired and was not retracted.
    pub fn stands(&self) -> bool {
        self.stands
    }
}
