//! Sources: what frostline fetches from public weather services while it runs.
//!
//! A source asks one service and turns its answers into records. The engine says when, and commits the records together with
//! what the source remembers (see [`frostline_engine::Poller`]). All sources share one [`Client`], which keeps the manners
//! that services ask for; tests give sources canned answers instead.
//!
//! | source | what it gives | topic |
//! | --- | --- | --- |
//! | [`Metar`] | the airports' observations of the last hours, minutes after they are made | `noaa-hourly` |
//! | [`Ghcn`] | the daily values of all stations, one or two days after they are made, with their corrections | `noaa-csv-raw` |

#[cfg(test)]
mod canned;
pub mod client;
mod ghcn;
mod metar;

pub use self::client::{Answer, Client, ClientSettings, Fetch, Fresh, Part, Request, Validators};
pub use self::ghcn::{CHANGE_HEADER, GHCN_BASE, GHCN_SINK, Ghcn, GhcnSettings};
pub use self::metar::{FindStation, METAR_BASE, METAR_SINK, Metar};
