//! The life cycle of a rule at one station: from judged days to alerts.
//!
//! A rule without `clear` judges each day alone ([`LoneDay`]): a matching day fires once, and is retracted if
//! a correction no longer matches.
//!
//! A rule with `clear` has *episodes* ([`Episodes`]). Which alerts there should be is a pure function of the known
//! days, taken in the order of the calendar (see `walk.rs`): an episode fires on the `for_days`-th reported day in a
//! row that matches, again every `repeat_days` on matching days, and resolves on the first day that clears. Whenever
//! a day becomes known, that function is compared with the alerts written so far: missing alerts are written, and
//! wrong ones are retracted. So late days, corrections and days in any order lead to the same alerts in the end as an
//! ordered stream; an ordered stream never retracts.
//!
//! **Silence**: a day that was not reported, or lacks the elements of the rule, has no verdict. After more than three
//! times the station's usual interval between such reports (at least three days), a standing episode becomes *stale*,
//! as of the last day on which a report could still be expected. The calendar that decides is the newest date of the
//! whole partition, and it decides as it moves on: history that comes station by station does not count as silence. A
//! stale episode continues when the station is back, and fires again on the first matching day: it is unknown what
//! happened in between, so everyone who was warned before the silence is warned again. A row of matching days that
//! has not fired yet does not survive a silence.
//!
//! **Bounds**: days are remembered up to [`HORIZON_DAYS`] before the station's newest one; older ones have no effect
//! any more. When a rule's conditions change, earlier days are not judged again: a standing episode continues under
//! the new conditions.

mod day_verdict;
mod days;
mod episodes;
mod hour_watch;
mod identity;
mod lone_day;
mod night_watch;
mod transition;
mod walk;

pub use day_verdict::DayVerdict;
pub use episodes::{Episodes, Event, HORIZON_DAYS, Taken};
pub use hour_watch::HourWatch;
pub use identity::Identity;
pub(super) use identity::fingerprint;
pub use lone_day::LoneDay;
pub use night_watch::{NightEvent, NightWatch, Settled, Sight, TrackRecord};
pub use transition::Transition;
pub use walk::Terms;
