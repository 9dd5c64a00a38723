//! The sources of a configuration, as values of the topology.

use std::sync::Arc;
use std::time::Duration;

use frostline_engine::{Poller, Source, SourceId};

use super::client::{Client, ClientSettings, Fetch};
use super::{
    FORECASTS_SINK, FindStation, Forecasts, GHCN_SINK, Ghcn, GhcnSettings, HOURLY_SINK, METAR_SINK, Metar,
    WatchedStations,
};
use crate::config::{Config, FollowConfig, ForecastFollow, GhcnFollow, MetarFollow, topic};
use crate::noaa::Date;

/// The name of each source, and its partition of the positions: they stay the same for good.
const METAR: (SourceId, i32) = (SourceId::new("metar"), 0);
const GHCN: (SourceId, i32) = (SourceId::new("ghcn"), 1);
const FORECAST: (SourceId, i32) = (SourceId::new("forecast"), 2);

/// What sources know of this installation.
#[derive(Clone)]
pub struct Known {
    /// The station of an ICAO id.
    pub find: FindStation,
    /// The stations whose nights somebody watches.
    pub watched: WatchedStations,
    /// The tables that must have been read before stations are known, and before rules are.
    pub needs: [&'static [&'static str]; 2],
}

/// The sources that `[follow]` names. Nothing is fetched before they are polled.
///
/// # Errors
/// A contact that no client can send.
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

fn of_metar(config: &Config, metar: &MetarFollow, fetch: Arc<dyn Fetch>, known: &Known) -> Source {
    let (url, find) = (metar.url.clone(), Arc::clone(&known.find));
    Source {
        id: METAR.0,
        partition: METAR.1,
        sinks: vec![(METAR_SINK, config.topic(topic::HOURLY))],
        interval: Duration::from_secs(metar.interval_seconds),
        late_after: Duration::from_secs(60 * metar.late_after_minutes),
        needs: known.needs[0],
        poller: Arc::new(move || -> Box<dyn Poller> {
            Box::new(Metar::new(Arc::clone(&fetch), &url, Arc::clone(&find)))
        }),
    }
}

fn of_ghcn(config: &Config, ghcn: &GhcnFollow, fetch: Arc<dyn Fetch>) -> Source {
    let settings = GhcnSettings { since: Date::parse_iso(&ghcn.since), ..GhcnSettings::new(&ghcn.url) };
    Source {
        id: GHCN.0,
        partition: GHCN.1,
        sinks: vec![(GHCN_SINK, config.topic(topic::CSV_RAW))],
        interval: Duration::from_secs(ghcn.interval_seconds),
        late_after: Duration::from_secs(3_600 * ghcn.late_after_hours),
        needs: &[],
        poller: Arc::new(move || -> Box<dyn Poller> {
            Box::new(Ghcn::new(Arc::clone(&fetch), settings.clone()))
        }),
    }
}

fn of_forecast(config: &Config, forecast: &ForecastFollow, fetch: Arc<dyn Fetch>, known: &Known) -> Source {
    let (forecast_of, stations) = (forecast.clone(), Arc::clone(&known.watched));
    let interval = Duration::from_secs(forecast.interval_seconds);
    Source {
        id: FORECAST.0,
        partition: FORECAST.1,
        sinks: vec![
            (FORECASTS_SINK, config.topic(topic::FORECASTS)),
            (HOURLY_SINK, config.topic(topic::HOURLY)),
        ],
        // One request with each poll, of the station whose forecast is due longest.
        interval: interval.min(Duration::from_secs(config.follow.request_interval_seconds.max(1))),
        late_after: Duration::from_secs(3_600 * forecast.late_after_hours),
        needs: known.needs[1],
        poller: Arc::new(move || -> Box<dyn Poller> {
            let ForecastFollow { nws_url, met_norway_url, .. } = &forecast_of;
            Box::new(Forecasts::new(
                Arc::clone(&fetch),
                Arc::clone(&stations),
                nws_url,
                met_norway_url,
                interval,
            ))
        }),
    }
}
