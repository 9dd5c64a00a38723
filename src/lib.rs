//! frostline watches weather stations through Kafka and tells people before the frost does.
//!
//! # Layout
//!
//! A layer uses only the layers under it; a test checks that.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line: one file a command |
//! | [`admin`] | HTTP for operators: health, metrics, stages and partitions |
//! | [`backtest`] | what rules would have told, over history |
//! | [`bench`] | measures how the work parallelises, on a real broker |
//! | [`chaos`] | tries to break the daemon, and proves that nothing was lost or repeated |
//! | [`runtime`] | the daemon: supervisor, workers, a partition's actor and task, restore, tables |
//! | [`stages`] | the processors, pure; [`stages::driver`] runs them without a broker |
//! | [`kafka`] | the only code that names rdkafka |
//! | [`config`] | settings, and where they come from |
//! | [`rules`] | conditions and who asked for them |
//! | [`state`] | the store of a task: the only code that names sled |
//! | [`demo`] | synthetic weather for the demo and for tests |
//! | [`generate`] | synthetic data of any size, fast |
//! | [`history`] | files of history, in any form and packing |
//! | [`fault`] | faults that `frostline chaos` plants |
//! | [`random`] | randomness of the operating system |
//! | [`bounded`] | lines and small files of bounded size |
//! | [`printable`] | text from outside, without what steers a terminal |
//! | [`record`] | a Kafka record as the stages see it |
//! | [`noaa`] | GHCN-Daily lines, stations, observations, units |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

pub mod admin;
pub mod backtest;
pub mod bench;
pub mod bounded;
pub mod chaos;
pub mod cli;
pub mod config;
pub mod demo;
pub mod fault;
pub mod generate;
pub mod history;
pub mod kafka;
pub mod noaa;
pub mod notify;
pub mod random;
pub mod printable;
pub mod record;
pub mod rules;
pub mod runtime;
pub mod stages;
pub mod state;
