//! Outlooks: how cold the coming night becomes, from what a station has shown so far.
//!
//! Pure functions on plain values, like [`hourly`](crate::hourly): the stage, the back-test and the page work with the same
//! ones. A station's [`Nights`] take its observations in the order of time. From 15:00 local standard time on each gives
//! what is [`Expected`] of the coming night, as a [`Distribution`] of its lowest temperature; the first one after 09:00 the
//! next morning gives the [`Outcome`], and [`Lessons`] for the nights to come. So a prediction never knows what was
//! observed later.

mod backtest;
mod course;
mod distribution;
mod guidance;
mod ledger;
mod model;
mod recent;
mod record;
mod score;
mod station;
mod warnings;

pub use backtest::{Issue, Tally, tally};
pub use distribution::{Degrees, Distribution, PROBABILITIES};
pub use guidance::{Guidance, Guide};
pub use ledger::Ledger;
pub use recent::{Point, RecentOutlook, RecentOutlooks, SILENT_AFTER, Standing};
pub use record::{CurvePoint, Expected, NightBounds, Observed, Outcome, OutlookRecord};
pub use score::{ReliabilityBin, Score, ScoredNight};
pub use station::{Lessons, News, Nights, Spot, Taken};
pub use warnings::{WarningLog, WarningSums};
