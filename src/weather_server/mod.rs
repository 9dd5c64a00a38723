//! A server that imitates public weather services, with their faults, for tests of the code that follows them.
//!
//! A [`World`] is derived from a seed: stations with their [synthetic weather](crate::synthetic) at every hour of
//! every year, airports' reports, the content of the archive in each edition, and forecasts. A [`Script`] has the
//! [`Fault`]s of each service and their times. The answer to a request depends only on these two, the simulated time
//! and the request, so a test can compute the expected result:
//!
//! | function | what it returns |
//! |---|---|
//! | [`World::hours`] | hourly observations of a station, as a service without faults would have delivered them |
//! | [`World::final_hours`] | the same after all corrections of a script |
//! | [`World::cached_reports`] | the reports in the METAR cache at a time |
//! | [`World::days`] | rows of GHCN-Daily of a station |
//! | [`World::final_days`] | the same after all differences of a script: corrected, flagged, deleted |
//! | [`World::days_in_edition`] | the same in the archive of one day |
//! | [`World::newest_edition`], [`World::difference_before`] | the existing differences at a time |
//! | [`answer`] | the answer to a request, without a socket |
//!
//! Paths are those of the real services, all under one address:
//!
//! | path | service |
//! |---|---|
//! | `/data/cache/metars.cache.csv.gz` | Aviation Weather Center |
//! | `/pub/data/ghcn/daily/…` | NCEI, GHCN-Daily: version, inventories, `superghcnd/`, `by_year/` |
//! | `/oa/…/ghcnh-station-list.csv` | NCEI, the list of hourly stations with ICAO ids |
//! | `/points/LAT,LON`, `/gridpoints/OFFICE/X,Y` | National Weather Service |
//! | `/weatherapi/locationforecast/2.0/complete` | MET Norway |
//! | `/control` | GET: time, faults, requests by path and minute; POST: `time`, `advance_seconds`, `speed`, `faults`, `forget_requests` |
//!
//! All headers are in simulated time, including `Date`. Nothing here is data of NOAA or others: stations and weather
//! are synthetic.

mod answer;
mod archive;
mod control;
mod daily;
mod document;
mod fault;
mod forecast;
mod met_norway;
mod metars;
mod nws;
mod report;
mod script;
mod server;
mod times;
mod world;

pub use answer::{Answer, Delivery, Request, answer};
pub use archive::FIRST_YEAR;
pub use control::{Clock, SPEED_MAX};
pub use daily::Difference;
pub use fault::Fault;
pub use metars::{METAR_HEADER, METAR_KEPT};
pub use report::{Kind, Report};
pub use script::{Script, Window};
pub use server::WeatherServer;
pub use world::World;

pub use crate::synthetic::{STATIONS_MAX, WorldStation};
