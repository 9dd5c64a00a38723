//! frostline watches weather stations through Kafka and warns people before the frost comes.
//!
//! # Layout
//!
//! The stream processor is its own crate, `frostline-engine`; this is its first user. A layer uses only the layers
//! under it; a test checks that.
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line: one file per command |
//! | [`mod@bench`] | measures how the work scales, on a real broker |
//! | [`backtest`] | what rules would have fired, over history |
//! | [`admin`] | HTTP for operators: health, metrics, stages and partitions; the page |
//! | [`notify`] | hands messages to mail servers, gateways and webhooks |
//! | [`sources`] | fetches observations from public weather services |
//! | [`chaos`] | tries to break the daemon, and proves that nothing was lost or repeated |
//! | [`contract`] | the topics and their records in machine form |
//! | [`app`] | the stages and tables as one topology, made from the configuration |
//! | [`stages`] | the processors, pure; `frostline_engine::driver` runs them without a broker |
//! | [`publishing`] | changes the published rules, for the command line and for HTTP |
//! | [`near_search`] | finds the stations of rules with `near` as observations arrive |
//! | [`config`] | settings, and where they come from |
//! | [`tables`] | stations and rules, as their topics hold them |
//! | [`rules`] | conditions and their subscribers |
//! | [`history`] | files of history, in any form and compression |
//! | [`weather_server`] | imitates public weather services with their faults, for tests |
//! | [`synthetic`] | synthetic weather by days and moments: data of any size, fast, and the errors of real files |
//! | [`outlook`] | how cold the coming night becomes |
//! | [`hourly`] | hourly observations, the sun and nights |
//! | [`noaa`] | GHCN-Daily lines, stations, observations, units |
//! | [`outbound`] | which addresses clients of HTTP may connect to, and their errors as sentences |
//! | [`printable`] | text from outside, without characters that control a terminal; numbers for people |
//! | [`spelling`] | suggestions for misspelt words |
//! | [`bounded`] | lines and small files of bounded size |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

pub mod admin;
pub mod app;
pub mod backtest;
pub mod bench;
pub mod bounded;
pub mod chaos;
pub mod cli;
pub mod config;
pub mod contract;
pub mod history;
pub mod hourly;
pub mod near_search;
pub mod noaa;
pub mod notify;
pub mod outbound;
pub mod outlook;
pub mod printable;
pub mod publishing;
pub mod rules;
pub mod sources;
pub mod spelling;
pub mod stages;
pub mod synthetic;
pub mod tables;
pub mod weather_server;
