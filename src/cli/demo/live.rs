//! `frostline demo --live`: a night at an invented place within two minutes, from weather services that the daemon
//! follows.
//!
//! The services are imitations inside this process, with a fast clock. The night is the last one that is over at the
//! place, so that no observation comes from the future.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use indicatif::ProgressBar;

use super::super::output::{BOLD, DIM};
use super::super::{Failed, output};
use crate::app::App;
use crate::config::{Config, FollowConfig, ForecastFollow, MetarFollow};
use crate::hourly::{HOUR, Night, iso_time};
use crate::noaa::{Date, Station};
use crate::rules::RuleSet;
use crate::weather_server::{Clock, Script, WeatherServer, World, WorldStation};

/// The world of the demo.
const SEED: u64 = 4;
const STATIONS: usize = 24;
/// The services' time starts this long before the outlooks of the night, and ends this long after it, in seconds.
const MARGIN: i64 = HOUR / 2;
/// The limit is this far above the lowest temperature of the night, in K: an outlook from a single evening is no more
/// precise.
const ABOVE_LOWEST_K: f64 = 3.0;
/// How often the clock is checked.
const LOOK: Duration = Duration::from_millis(500);
/// The last alerts may take this long.
const LAST: Duration = Duration::from_secs(4);

/// A night that the daemon is about to follow.
pub(super) struct LiveNight {
    _server: WeatherServer,
    clock: Clock,
    station: WorldStation,
    night: Night,
    limit_c: f64,
    world: World,
}

impl LiveNight {
    /// Starts the services so that the night lasts about `length`, and makes the daemon follow them.
    pub(super) fn begin(config: &mut Config, length: Duration) -> Result<Self, Failed> {
        let now =
            SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()).cast_signed();
        let world = World::new(SEED, STATIONS);
        let (station, night, lowest_c) = coldest(&world, now).ok_or_else(|| {
            Failed::Working(anyhow::anyhow!("the invented world has no station with a night"))
        })?;
        let begins = night.outlooks_from - MARGIN;
        let speed = (night.ends + MARGIN - begins) as f64 / length.as_secs_f64().max(1.0);
        let clock = Clock::new(begins, speed);
        let listen = ([127, 0, 0, 1], 0).into();
        let server = WeatherServer::start(listen, World::new(SEED, STATIONS), Script::none(), clock);
        let server =
            server.map_err(|error| Failed::Working(anyhow::anyhow!("the weather services: {error}")))?;
        config.follow = follow(&format!("http://{}", server.address));
        let limit_c = ((lowest_c + ABOVE_LOWEST_K) * 2.0).floor() / 2.0;
        Ok(Self { _server: server, clock, station, night, limit_c, world })
    }

    /// All stations of the world.
    pub(super) fn stations(&self) -> Vec<Station> {
        self.world.stations().iter().map(|station| station.station.clone()).collect()
    }

    /// A warning for the night.
    pub(super) fn rules(&self) -> anyhow::Result<RuleSet> {
        let text = format!(
            "[[rule]]\nid = \"orchard-tonight\"\nstation = \"{}\"\nwhen = \"chance({:.1}) >= 0.3\"\nseverity = \"warning\"\n",
            self.station.id(),
            self.limit_c
        );
        RuleSet::parse(&text).map_err(|mistakes| anyhow::anyhow!("the demo's rule: {}", mistakes[0]))
    }

    /// Prints what there is to see.
    pub(super) fn announce(&self) {
        let name = &self.station.station.name;
        let (begins, ends) = (iso_time(self.night.begins), iso_time(self.night.ends));
        output::note(&format!(
            "A night at {BOLD}{name}{BOLD:#}, an invented place, from sunset at {begins} to {ends}.\n\
             {DIM}The daemon follows METARs and forecasts of imitated services; the rule warns of {:.1} °C.{DIM:#}",
            self.limit_c
        ));
    }

    /// Shows the time and the temperature until the night is over.
    pub(super) async fn pass(&self, daemon: &mut App, spinner: &ProgressBar) -> Result<(), Failed> {
        while self.clock.now() < self.night.ends + MARGIN {
            let now = self.clock.now();
            let newest = self.world.hours(self.station.id(), now - 2 * HOUR, now).pop();
            let shown = newest.map_or(String::new(), |hour| format!(", {:.1} °C", hour.temperature_c));
            spinner.set_message(format!("{}{shown}; Ctrl-C ends the demo", iso_time(now)));
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                failure = daemon.engine.failed() => return Err(failure.into()),
            }
        }
        tokio::time::sleep(LAST).await;
        Ok(())
    }
}

/// The station with the coldest of the last nights that are over, its night, and the lowest temperature in °C.
fn coldest(world: &World, now: i64) -> Option<(WorldStation, Night, f64)> {
    let stations = world.stations().iter().filter(|station| !station.is_cooperative());
    let nights = stations.filter_map(|station| {
        let place = station.location();
        let next = Night::at(now, place.lat, place.lon)?;
        let last = Date::from_days_since_1970(next.date.days_since_1970() - 1)?;
        let night = Night::of(last, place.lat, place.lon);
        let lowest = world.minimum(station.id(), night.begins, night.ends)?;
        Some((station.clone(), night, f64::from(lowest) / 10.0))
    });
    nights.min_by(|(.., left), (.., right)| left.total_cmp(right))
}

fn follow(base: &str) -> FollowConfig {
    FollowConfig {
        contact: "demo@example.org".into(),
        request_interval_seconds: 0,
        allow_private: true,
        // The night is hours ago, but nothing counts as late because of that.
        metar: Some(MetarFollow { url: base.into(), interval_seconds: 1, late_after_minutes: 10_080 }),
        forecast: Some(ForecastFollow {
            nws_url: base.into(),
            met_norway_url: base.into(),
            interval_seconds: 5,
            late_after_hours: 8_760,
        }),
        ..FollowConfig::default()
    }
}
