//! Outlooks: how cold the coming night becomes, from what a station has shown so far.
//!
//! Pure functions on plain values, like [`hourly`](crate::hourly): the stage, the back-test and the page work with the same
//! ones.

mod distribution;

pub use distribution::{Distribution, PROBABILITIES};
