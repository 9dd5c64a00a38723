//! The sources of a configuration, as values of the topology.

use std::sync::Arc;
use std::time::Duration;

use frostline_engine::{Poller, Source, SourceId, TopicPlan};

use super::client::{Client, ClientSettings, Fetch};
use super::{
    FORECASTS_SINK, FindStation, Forecasts, GHCN_SINK, Ghcn, GhcnSettings, HOURLY_SINK, METAR_SINK, Metar,
    WatchedStations,
};
use crate::config::{Config, FollowConfig, ForecastFollow, GhcnFollow, MetarFollow, topic};
use crate::noaa::Date;

/// The name of each source, and its partition of the positions; neither may change.
const METAR: (SourceId, i32) = (SourceId::new("metar"), 0);
const GHCN: (SourceId, i32) = (SourceId::new("ghcn"), 1);
const FORECAST: (SourceId, i32) = (SourceId::new("forecast"), 2);

/// The data that sources need about this installation.
#[derive(Clone)]
pub struct Known {
    /// The station of an ICAO id.
    pub find: FindStation,
    /// The stations whose nights rules watch.
    pub watched: WatchedStations,
    /// The tables that must be read before stations are known, and before rules are.
    pub needs: [&'static [&'static str]; 2],
}

/// The sources that `[follow]` names. Nothing is fetched before they are polled.
///
/// # Errors
/// The contact cannot be sent by any client.
pub fn sources(config: &Config, known: &Known) -> Result<Vec<Source>, String> {
    let follow = &config.follow;
    if !follow.is_on() {
        return Ok(Vec::new());
    }
    let fetch: Arc<dyn Fetch> = Arc::new(client(follow)?);
    let metar = follow.metar.as_ref().map(|metar| of_metar(config, metar, Arc::clone(&fetch), known));
    let ghcn = follow.ghcn.as_ref().map(|ghcn| of_ghcn(config, ghcn, Arc::clone(&fetch)));
    let forecast = follow.forecast.as_ref().map(|forecast| of_forecast(config, forecast, fetch, known));
    Ok([metar, ghcn, forecast].into_iter().flatten().collect())
}

/// The client that all sources share.
fn client(follow: &FollowConfig) -> Result<Client, String> {
    let interval = Duration::from_secs(follow.request_interval_seconds);
    Client::new(ClientSettings {
        allow_private: follow.allow_private,
        host_interval: interval,
        path_interval: interval,
        ..ClientSettings::new(&follow.contact)
    })
}

/// A source with times in seconds: between polls, and after which it is late. It needs no tables.
fn source<P: Poller + 'static>(
    (id, partition): (SourceId, i32),
    sinks: Vec<(&'static str, TopicPlan)>,
    (interval, late_after): (u64, u64),
    poller: impl Fn() -> P + Send + Sync + 'static,
) -> Source {
    let (interval, late_after) = (Duration::from_secs(interval), Duration::from_secs(late_after));
    let poller = Arc::new(move || -> Box<dyn Poller> { Box::new(poller()) });
    Source { id, partition, sinks, interval, late_after, needs: &[], poller }
}

fn of_metar(config: &Config, metar: &MetarFollow, fetch: Arc<dyn Fetch>, known: &Known) -> Source {
    let (url, find) = (metar.url.clone(), Arc::clone(&known.find));
    let sinks = vec![(METAR_SINK, config.topic(topic::HOURLY))];
    let times = (metar.interval_seconds, 60 * metar.late_after_minutes);
    let poller = move || Metar::new(Arc::clone(&fetch), &url, Arc::clone(&find));
    Source { needs: known.needs[0], ..source(METAR, sinks, times, poller) }
}

fn of_ghcn(config: &Config, ghcn: &GhcnFollow, fetch: Arc<dyn Fetch>) -> Source {
    let settings = GhcnSettings { since: Date::parse_iso(&ghcn.since), ..GhcnSettings::new(&ghcn.url) };
    let sinks = vec![(GHCN_SINK, config.topic(topic::CSV_RAW))];
    let times = (ghcn.interval_seconds, 3_600 * ghcn.late_after_hours);
    source(GHCN, sinks, times, move || Ghcn::new(Arc::clone(&fetch), settings.clone()))
}

fn of_forecast(config: &Config, forecast: &ForecastFollow, fetch: Arc<dyn Fetch>, known: &Known) -> Source {
    let (urls, stations) =
        ((forecast.nws_url.clone(), forecast.met_norway_url.clone()), Arc::clone(&known.watched));
    let sinks =
        vec![(FORECASTS_SINK, config.topic(topic::FORECASTS)), (HOURLY_SINK, config.topic(topic::HOURLY))];
    // One request per poll, for the station whose forecast has been due longest.
    let interval = forecast.interval_seconds.min(config.follow.request_interval_seconds.max(1));
    let times = (interval, 3_600 * forecast.late_after_hours);
    let each = Duration::from_secs(forecast.interval_seconds);
    let poller = move || Forecasts::new(Arc::clone(&fetch), Arc::clone(&stations), &urls.0, &urls.1, each);
    Source { needs: known.needs[1], ..source(FORECAST, sinks, times, poller) }
}
