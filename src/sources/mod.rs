//! Sources: data that frostline fetches from public weather services while it runs.
//!
//! A source polls one service and turns its answers into records. The engine decides when, and commits the records
//! together with the source's position (see [`frostline_engine::Poller`]). All sources share one [`Client`], which
//! follows the rules of the services; in tests, sources get canned answers instead.
//!
//! | source | what it gives | topic |
//! | --- | --- | --- |
//! | [`Metar`] | the airports' observations of the last hours, minutes after they are made | `noaa-hourly` |
//! | [`Forecasts`] | the lowest temperature of the coming night, by two weather services | `noaa-forecasts`, `noaa-hourly` |
//! | [`Ghcn`] | the daily values of all stations, one or two days after they are made, with their corrections | `noaa-csv-raw` |

#[cfg(test)]
mod canned;
pub mod client;
mod forecast;
mod ghcn;
mod metar;
mod topology;

pub use self::client::{Answer, Client, ClientSettings, Fetch, Fresh, Part, Request, Time, Validators};
pub use self::forecast::{Forecasts, Watched, WatchedStations};
pub use self::ghcn::{GHCN_SINK, Ghcn, GhcnSettings};
pub use self::metar::{FindStation, METAR_SINK, Metar};
pub use self::topology::{Known, sources};

/// The name of the sink for hourly observations, and for the forecasts with them.
pub const HOURLY_SINK: &str = "hourly";
/// The name of the sink for forecasts.
pub const FORECASTS_SINK: &str = "forecasts";
