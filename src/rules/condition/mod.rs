//! Conditions in CEL over the elements of an observation, its `station` and its `date`; or over a station's values at
//! a moment, or over its coming night (see [`Feed`]).
//! Three outcomes: a condition holds, does not hold, or is *unknown*, because a deciding element was not reported.
//! Unknown never fires. CEL's own logic applies: `TMIN <= 10.0 || true` holds without `TMIN`. Values are metric;
//! `f(TMIN) <= 28` compares degrees Fahrenheit (see [`Unit`]).

mod chances;
mod clauses;
mod compiled;
mod cost;
mod execution;
mod feed;
mod functions;
mod input;
mod moment;
mod native;
mod outline;
mod sample;
mod scope;
mod syntax;
mod thresholds;
mod unit;
mod variables;
mod verdict;

pub use clauses::Clause;
pub use compiled::{Condition, Evaluator};
pub use execution::EvaluationError;
pub use feed::Feed;
pub(super) use feed::mixed;
pub(super) use input::Input;
pub(super) use moment::NightField;
pub use moment::{HourName, HourValues, MomentView};
pub(super) use native::{Number, Test};
pub use scope::{ConditionError, Scope};
pub(super) use thresholds::{Compared, Threshold};
pub use unit::Unit;
pub use verdict::Verdict;
