//! The imitated weather services that the daemons of a run follow: airports' reports and daily differences. They run
//! in the checker's own process, and only the checker moves their clocks, each separately.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::service_faults::{OF_DAYS, OF_REPORTS, of_content};
use super::serving::Serving;
use super::{ChaosError, world};
use crate::config::{FollowConfig, GhcnFollow, MetarFollow};
use crate::noaa::Date;
use crate::weather_server::{Clock, Script, WeatherServer, World};

/// When the services' time begins: 5 November 1990, in seconds since 1970. So long ago that no process's clock, right
/// or wrong, matters.
const BEGIN: i64 = 657_763_200;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How long faults in airports' reports last, in seconds.
const REPORTS_BLOCK: i64 = 3 * HOUR;
/// The longest times that the settings allow, so that no log reports late data.
const LATE_MINUTES: u64 = 10_080;
const LATE_HOURS: u64 = 8_760;

/// One service.
pub(super) struct Service {
    pub(super) server: Arc<WeatherServer>,
    /// The faults in its content.
    pub(super) script: Script,
    /// By how much its time moves on at once, at least and at most, in minutes.
    pub(super) step_minutes: (i64, i64),
}

/// Running services; they stop when this is dropped.
pub(super) struct Services {
    pub(super) world: World,
    metar: Arc<Service>,
    ghcn: Arc<Service>,
    _serving: Serving,
}

impl Services {
    pub(super) fn start(seed: u64) -> Result<Self, ChaosError> {
        let (world, mut rng) = (world::world(seed), fastrand::Rng::with_seed(seed));
        // A correction of a report is in the file for 73 minutes: a poller that looks at every step misses none.
        let metar = (of_content(&OF_REPORTS, (BEGIN, REPORTS_BLOCK), &mut rng), (30, 60));
        let ghcn = (of_content(&OF_DAYS, (BEGIN, DAY), &mut rng), (DAY / MINUTE, DAY / MINUTE));
        let there = world.clone();
        let (serving, [metar, ghcn]) = Serving::start("the weather services", move || {
            let start = |(script, step_minutes): (Script, (i64, i64))| -> std::io::Result<Service> {
                let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
                let server =
                    WeatherServer::start(listen, there.clone(), script.clone(), Clock::new(BEGIN, 0.0))?;
                Ok(Service { server: Arc::new(server), script, step_minutes })
            };
            Ok([start(metar)?, start(ghcn)?])
        })?;
        Ok(Self { world, metar: Arc::new(metar), ghcn: Arc::new(ghcn), _serving: serving })
    }

    /// The service that a source polls.
    pub(super) fn of(&self, source: &str) -> Option<Arc<Service>> {
        match source {
            "metar" => Some(Arc::clone(&self.metar)),
            "ghcn" => Some(Arc::clone(&self.ghcn)),
            _ => None,
        }
    }

    /// When a service's time begins, in seconds since 1970.
    pub(super) fn begin(&self) -> i64 {
        BEGIN
    }

    /// The day of the archive after which differences are fetched.
    pub(super) fn since(&self) -> Date {
        self.world.newest_edition(BEGIN)
    }

    /// The settings with which the daemons follow the services.
    pub(super) fn follow(&self) -> FollowConfig {
        let url = |service: &Service| format!("http://{}", service.server.address);
        FollowConfig {
            contact: "chaos@example.org".into(),
            request_interval_seconds: 0,
            allow_private: true,
            metar: Some(MetarFollow {
                url: url(&self.metar),
                interval_seconds: 1,
                late_after_minutes: LATE_MINUTES,
            }),
            ghcn: Some(GhcnFollow {
                url: format!("{}/pub/data/ghcn/daily", url(&self.ghcn)),
                interval_seconds: 1,
                late_after_hours: LATE_HOURS,
                since: self.since().to_string(),
            }),
            ..FollowConfig::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_daemons_can_follow_them() {
        let services = Services::start(7).unwrap();
        let config = Config { follow: services.follow(), ..Config::default() };
        config.validate().unwrap();
        let port = services.metar.server.address.port();
        assert_eq!(super::super::http::get(port, "/control").unwrap().0, 200);
        assert_ne!(port, services.ghcn.server.address.port());
        let outline = crate::app::outline(&config).unwrap();
        assert!(outline.sources().iter().all(|source| services.of(source.id.as_str()).is_some()));
        assert_eq!(outline.sources().len(), 2);
    }
}
