//! Outlooks: how cold the coming night will be, from a station's observations so far.
//!
//! Pure functions on plain values, like [`hourly`](crate::hourly): the stage, the back-test and the page use the same
//! ones. A station's [`Nights`] take its observations in the order of time. From 15:00 local standard time on, each
//! observation gives the [`Expected`] course of the coming night, with a [`Distribution`] of its lowest temperature;
//! the first one after 09:00 the next morning gives the [`Outcome`], and [`Lessons`] for later nights. So a
//! prediction never uses later observations.

mod backtest;
mod course;
mod distribution;
mod guidance;
mod ledger;
mod model;
mod older;
mod recent;
mod record;
mod score;
mod station;
mod warnings;

pub use backtest::{Issue, Tally, tally};
pub use distribution::{Degrees, Distribution, PROBABILITIES};
pub use guidance::Guidance;
pub use ledger::Ledger;
pub use older::OlderLessons;
pub use recent::{Point, RecentOutlook, RecentOutlooks, Standing};
pub use record::{CurvePoint, Expected, Guide, NightBounds, Observed, Outcome, OutlookRecord};
pub use score::{ReliabilityBin, Score, ScoredNight};
pub use station::{Lessons, News, Nights, SILENCE, Spot, Taken};
pub use warnings::{WarningLog, WarningSums};
