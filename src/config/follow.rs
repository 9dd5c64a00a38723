//! Public services that the daemon follows: `[follow]`.

use serde::{Deserialize, Serialize};

use super::section::check_url;
use super::{ConfigError, within};

/// Highest rate of requests to one host: one a minute. Shorter intervals are for your own services, at addresses that
/// begin with `http://`. These reach private networks only (see [`crate::outbound::Reach`]), so that no public
/// service is polled too often by mistake.
const INTERVAL_SECONDS_MIN: u64 = 60;

/// Public services that the daemon polls. A service is polled if its section exists.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FollowConfig {
    /// A mail address or a web page where the services can reach the operator of this daemon. They require it.
    pub contact: String,
    /// Shortest time between two requests to one host, in seconds; below 60 only if all addresses begin with
    /// `http://`.
    pub request_interval_seconds: u64,
    /// Whether services on this machine or in private networks are allowed.
    pub allow_private: bool,
    /// Hourly observations of the world's airports.
    pub metar: Option<MetarFollow>,
    /// NOAA's daily differences: new days, corrections, deletions.
    pub ghcn: Option<GhcnFollow>,
    /// Forecasts of the coming night for the stations that rules watch.
    pub forecast: Option<ForecastFollow>,
    /// The addresses from which `frostline stations fetch` downloads the station files.
    pub stations: StationFiles,
}

impl Default for FollowConfig {
    fn default() -> Self {
        Self {
            contact: String::new(),
            request_interval_seconds: INTERVAL_SECONDS_MIN,
            allow_private: false,
            metar: None,
            ghcn: None,
            forecast: None,
            stations: StationFiles::default(),
        }
    }
}

/// Hourly observations of the world's airports, from one small file a minute.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MetarFollow {
    /// The address of the service.
    pub url: String,
    /// Time between two polls, in seconds.
    pub interval_seconds: u64,
    /// The source counts as late after this many minutes without a newer observation.
    pub late_after_minutes: u64,
}

impl Default for MetarFollow {
    fn default() -> Self {
        Self { url: "https://aviationweather.gov".into(), interval_seconds: 60, late_after_minutes: 30 }
    }
}

/// NOAA's daily differences.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GhcnFollow {
    /// The address of the archive's folder.
    pub url: String,
    /// Time between two polls, in seconds.
    pub interval_seconds: u64,
    /// The source counts as late after this many hours without a newer difference.
    pub late_after_hours: u64,
    /// The day after which differences are fetched at the first start, such as 2026-11-01; empty to start after the
    /// newest difference.
    pub since: String,
}

impl Default for GhcnFollow {
    fn default() -> Self {
        Self {
            url: GHCN_DAILY.into(),
            interval_seconds: 3_600,
            // One or two days is usual, plus a weekend.
            late_after_hours: 120,
            since: String::new(),
        }
    }
}

const GHCN_DAILY: &str = "https://www.ncei.noaa.gov/pub/data/ghcn/daily";

/// Forecasts of the coming night.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ForecastFollow {
    /// The address of the US National Weather Service, for stations in the United States.
    pub nws_url: String,
    /// The address of MET Norway, for all other stations.
    pub met_norway_url: String,
    /// Time between two forecasts of a station, in seconds.
    pub interval_seconds: u64,
    /// The source counts as late after this many hours without a newer forecast.
    pub late_after_hours: u64,
}

impl Default for ForecastFollow {
    fn default() -> Self {
        Self {
            nws_url: "https://api.weather.gov".into(),
            met_norway_url: "https://api.met.no".into(),
            interval_seconds: 3_600,
            late_after_hours: 24,
        }
    }
}

/// The addresses of the station files for `frostline stations fetch`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StationFiles {
    /// The address of the folder with ghcnd-stations.txt, ghcnd-states.txt and ghcnd-countries.txt.
    pub url: String,
    /// The address of the list with the ICAO ids of stations.
    pub hourly_url: String,
}

impl Default for StationFiles {
    fn default() -> Self {
        Self {
            url: GHCN_DAILY.into(),
            hourly_url:
                "https://www.ncei.noaa.gov/oa/global-historical-climatology-network/hourly/doc/ghcnh-station-list.csv"
                    .into(),
        }
    }
}

impl FollowConfig {
    /// Whether any service is followed.
    pub fn is_on(&self) -> bool {
        self.metar.is_some() || self.ghcn.is_some() || self.forecast.is_some()
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        if self.is_on() {
            self.check_contact()?;
        }
        let urls = [
            ("follow.metar.url", self.metar.as_ref().map(|metar| &metar.url)),
            ("follow.ghcn.url", self.ghcn.as_ref().map(|ghcn| &ghcn.url)),
            ("follow.forecast.nws_url", self.forecast.as_ref().map(|forecast| &forecast.nws_url)),
            (
                "follow.forecast.met_norway_url",
                self.forecast.as_ref().map(|forecast| &forecast.met_norway_url),
            ),
            ("follow.stations.url", Some(&self.stations.url)),
            ("follow.stations.hourly_url", Some(&self.stations.hourly_url)),
        ];
        for (key, url) in urls {
            if let Some(Err(reason)) = url.map(|url| check_url(url, self.allow_private)) {
                return Err(ConfigError::of_key(key, reason));
            }
        }
        let of_host = if self.is_private() { 0 } else { INTERVAL_SECONDS_MIN };
        within("follow.request_interval_seconds", self.request_interval_seconds, of_host, 3_600)?;
        let least = of_host.max(1);
        if let Some(metar) = &self.metar {
            within("follow.metar.interval_seconds", metar.interval_seconds, least, 3_600)?;
            within("follow.metar.late_after_minutes", metar.late_after_minutes, 1, 10_080)?;
        }
        if let Some(ghcn) = &self.ghcn {
            within("follow.ghcn.interval_seconds", ghcn.interval_seconds, least, 604_800)?;
            within("follow.ghcn.late_after_hours", ghcn.late_after_hours, 1, 8_760)?;
            if !ghcn.since.is_empty() && crate::noaa::Date::parse_iso(&ghcn.since).is_none() {
                let message = format!("{:?}: expected a date, such as 2026-11-01", ghcn.since);
                return Err(ConfigError::of_key("follow.ghcn.since", message));
            }
        }
        if let Some(forecast) = &self.forecast {
            within("follow.forecast.interval_seconds", forecast.interval_seconds, least, 86_400)?;
            within("follow.forecast.late_after_hours", forecast.late_after_hours, 1, 8_760)?;
        }
        Ok(())
    }

    /// Whether all followed services can only be in private networks.
    fn is_private(&self) -> bool {
        let metar = self.metar.iter().map(|metar| &metar.url);
        let ghcn = self.ghcn.iter().map(|ghcn| &ghcn.url);
        let forecast =
            self.forecast.iter().flat_map(|forecast| [&forecast.nws_url, &forecast.met_norway_url]);
        self.allow_private && metar.chain(ghcn).chain(forecast).all(|url| url.starts_with("http://"))
    }

    /// The services refuse requests whose sender they cannot reach.
    ///
    /// # Errors
    /// There is no contact, or it is neither a mail address nor an https address.
    pub fn check_contact(&self) -> Result<(), ConfigError> {
        let contact = &self.contact;
        let is_plain =
            contact.len() <= 200 && contact.chars().all(|c| c.is_ascii_graphic() && !"()".contains(c));
        let is_mail =
            contact.split_once('@').is_some_and(|(user, host)| !user.is_empty() && host.contains('.'));
        if is_plain && (is_mail || contact.starts_with("https://")) {
            return Ok(());
        }
        let expected = "expected a mail address or an https address: the services refuse requests without a \
                        contact that they can reach";
        Err(ConfigError::of_key("follow.contact", format!("{contact:?}: {expected}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> String {
        let config: FollowConfig = toml::from_str(text).unwrap();
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_is_named_by_its_key() {
        FollowConfig::default().validate().unwrap();
        let contact = "contact = \"anna@example.org\"\n";
        let followed: FollowConfig =
            toml::from_str(&format!("{contact}[metar]\n[ghcn]\nsince = \"2026-11-01\"\n[forecast]\n"))
                .unwrap();
        followed.validate().unwrap();
        assert!(error("[metar]\n").contains("follow.contact"));
        assert!(error("contact = \"anna\"\n[metar]\n").contains("follow.contact"));
        let close = error(&format!("{contact}[metar]\ninterval_seconds = 5\n"));
        assert!(close.contains("follow.metar.interval_seconds"), "{close}");
        assert!(
            error(&format!("{contact}[metar]\nurl = \"http://127.0.0.1:1\"\n")).contains("follow.metar.url")
        );
        assert!(error(&format!("{contact}[ghcn]\nsince = \"yesterday\"\n")).contains("follow.ghcn.since"));
    }

    #[test]
    fn only_services_of_ones_own_are_asked_more_than_once_a_minute() {
        let often = "contact = \"anna@example.org\"\nallow_private = true\nrequest_interval_seconds = 0\n";
        let own = format!("{often}[metar]\nurl = \"http://10.0.0.7\"\ninterval_seconds = 1\n");
        toml::from_str::<FollowConfig>(&own).unwrap().validate().unwrap();
        let refused = error(&format!("{own}[ghcn]\n"));
        assert!(refused.contains("follow.request_interval_seconds"), "NOAA is public: {refused}");
        let refused = error(&own.replace("allow_private = true\n", ""));
        assert!(refused.contains("follow.metar.url"), "{refused}");
    }
}
