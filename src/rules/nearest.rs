//! Finds the nearest station that really reports what a rule needs.

use std::collections::HashMap;

use super::{Near, Nearest};
use crate::noaa::{Date, Element, ObservationView, StationId, StationView};

/// Mean radius of the earth, in kilometres (IUGG).
const EARTH_KM: f64 = 6_371.009;
/// A station that has not reported an element for this many days before the newest date counts as not reporting it.
const SILENT_DAYS: i32 = 30;

/// A station further away than this has different weather, in kilometres.
const FAR_KM: f64 = 50.0;
/// The same for the difference in elevation, in metres: about two degrees.
const FAR_M: f64 = 300.0;

/// How many of the newest records of each partition show which station reports what. All searches for the nearest
/// station read the same number, so they find the same station.
pub const REPORTING_RECORDS: i64 = 200_000;

/// The reports that a rule needs from a station.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// All these elements, in daily observations.
    Elements(Vec<Element>),
    /// Hourly observations, for rules about hours and nights.
    Hours,
}

/// For messages: `TMIN and PRCP`.
impl std::fmt::Display for Needs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Elements(elements) if elements.is_empty() => f.write_str("anything"),
            Self::Elements(elements) => {
                let names: Vec<String> = elements.iter().map(ToString::to_string).collect();
                f.write_str(&names.join(" and "))
            }
            Self::Hours => f.write_str("hourly observations"),
        }
    }
}

/// Which station reports what, according to observations and outlooks.
#[derive(Default)]
pub struct Reporting {
    stations: HashMap<StationId, Reporter, foldhash::fast::RandomState>,
    /// The newest day of an observation.
    newest: Option<Date>,
    /// The newest day of an outlook.
    newest_hours: Option<Date>,
}

#[derive(Default)]
struct Reporter {
    name: Option<String>,
    place: Option<(f64, f64)>,
    elevation: Option<f64>,
    /// Whether there are daily observations of it.
    has_days: bool,
    /// Its elements, with the newest date of each.
    elements: Vec<(Element, Date)>,
    /// The newest day on which it reported hours.
    hours: Option<Date>,
}

impl Reporter {
    fn take(&mut self, station: &StationView) {
        if let (Some(lat), Some(lon)) = (station.latitude, station.longitude) {
            self.place = Some((lat, lon));
        }
        self.elevation = station.elevation.or(self.elevation);
        if self.name.is_none() {
            self.name = station.name.as_deref().map(str::to_owned);
        }
    }
}

impl Reporting {
    /// Takes an observation into account.
    pub fn take(&mut self, view: &ObservationView) {
        self.newest = self.newest.max(Some(view.date));
        let reporter = self.stations.entry(view.station.id).or_default();
        reporter.take(&view.station);
        reporter.has_days = true;
        for (element, _) in &view.elements {
            match reporter.elements.iter_mut().find(|(known, _)| known == element) {
                Some((_, date)) => *date = view.date.max(*date),
                None => reporter.elements.push((*element, view.date)),
            }
        }
    }

    /// Takes a record about a station's hours or its night into account: a JSON object whose `station` has the same
    /// form as in observations. The record's time, in milliseconds since 1970, is its age. Other records are ignored.
    pub fn take_moment(&mut self, document: &[u8], timestamp_ms: i64) {
        #[derive(serde::Deserialize)]
        struct Document {
            station: serde_json::Value,
        }
        let Ok(Document { station }) = serde_json::from_slice(document) else { return };
        let Some(date) = Date::from_unix_ms(timestamp_ms) else { return };
        let document = serde_json::json!({ "station": station, "date": date.to_string() });
        let Ok(view) = ObservationView::parse(document.to_string().as_bytes()) else { return };
        self.newest_hours = self.newest_hours.max(Some(date));
        let reporter = self.stations.entry(view.station.id).or_default();
        reporter.take(&view.station);
        reporter.hours = reporter.hours.max(Some(date));
    }

    /// Whether any station reports hours.
    pub fn has_hours(&self) -> bool {
        self.newest_hours.is_some()
    }

    /// How many stations report anything.
    pub fn len(&self) -> usize {
        self.stations.len()
    }

    /// Whether no station reports anything.
    pub fn is_empty(&self) -> bool {
        self.stations.is_empty()
    }

    /// Whether there are daily observations of this station.
    pub fn knows(&self, station: StationId) -> bool {
        self.stations.get(&station).is_some_and(|reporter| reporter.has_days)
    }

    /// Whether the station has ever reported the element.
    pub fn reports(&self, station: StationId, element: Element) -> bool {
        let reporter = self.stations.get(&station);
        reporter.is_some_and(|reporter| reporter.elements.iter().any(|(known, _)| *known == element))
    }

    /// Whether the station still reports what a rule needs.
    pub fn still_reports(&self, station: StationId, needs: &Needs) -> bool {
        let Some(reporter) = self.stations.get(&station) else { return false };
        let is_current = |date: Date, newest: Option<Date>| {
            newest.map_or(0, Date::days_since_1970) - date.days_since_1970() <= SILENT_DAYS
        };
        match needs {
            Needs::Elements(elements) => {
                let reports = |element: &Element| {
                    let is_it =
                        |(known, date): &(Element, Date)| known == element && is_current(*date, self.newest);
                    reporter.elements.iter().any(is_it)
                };
                reporter.has_days && elements.iter().all(reports)
            }
            Needs::Hours => reporter.hours.is_some_and(|date| is_current(date, self.newest_hours)),
        }
    }

    /// The nearest station that reports what a rule needs.
    pub fn nearest(&self, near: &Near, needs: &Needs) -> Option<Nearest> {
        let max_km = near.max_km();
        self.stations
            .iter()
            .filter(|(id, _)| self.still_reports(**id, needs))
            .filter_map(|(id, reporter)| {
                Some((km_between((near.lat, near.lon), reporter.place?), id, reporter))
            })
            .filter(|(km, ..)| *km <= max_km)
            .min_by(|(left, left_id, _), (right, right_id, _)| {
                left.total_cmp(right).then(left_id.cmp(right_id))
            })
            .map(|(km, id, reporter)| Nearest {
                station: *id,
                name: reporter.name.clone(),
                km: (km * 10.0).round() / 10.0,
                higher_by_m: reporter
                    .elevation
                    .zip(near.elevation)
                    .map(|(station, point)| (station - point).round()),
            })
    }
}

/// A warning if the station that was found for `near` is far away, or much higher or lower.
pub fn far(nearest: &Nearest) -> Option<String> {
    let is_far = nearest.km > FAR_KM || nearest.higher_by_m.is_some_and(|metres| metres.abs() > FAR_M);
    is_far.then(|| {
        let height = match nearest.higher_by_m {
            Some(metres) if metres < 0.0 => format!("{} m lower", -metres),
            Some(metres) => format!("{metres} m higher"),
            None => "the difference in elevation is unknown (of the station, or near.elevation is not set)".into(),
        };
        let name = nearest.name.as_deref().map(|name| format!(" {name}")).unwrap_or_default();
        format!(
            "the nearest station that reports it is {}{name}, {} km away and {height}: its weather may differ; name a \
             station, or lower max_km",
            nearest.station, nearest.km
        )
    })
}

/// The distance of two places, as latitude and longitude in degrees, in kilometres (haversine, on a sphere).
pub fn km_between((lat1, lon1): (f64, f64), (lat2, lon2): (f64, f64)) -> f64 {
    let half = |from: f64, to: f64| ((to - from).to_radians() / 2.0).sin().powi(2);
    let square = half(lat1, lat2) + lat1.to_radians().cos() * lat2.to_radians().cos() * half(lon1, lon2);
    2.0 * EARTH_KM * square.sqrt().min(1.0).asin()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_is_one_that_reports_now() {
        let mut reporting = Reporting::default();
        for (id, lat, date, element) in [
            ("USW00000001", 33.1, "2016-03-01", "PRCP"),
            ("USW00000002", 33.2, "2016-01-01", "TMIN"),
            ("USW00000003", 33.3, "2016-03-01", "TMIN"),
            ("USW00000004", 33.4, "2016-03-02", "TMIN"),
        ] {
            let document = format!(
                r#"{{"station":{{"id":"{id}","name":"N","location":{{"lat":{lat},"lon":-111.0}},"elevation":500.0}},"date":"{date}","{element}":1.0}}"#
            );
            reporting.take(&ObservationView::parse(document.as_bytes()).unwrap());
        }
        let tmin = Needs::Elements(vec![Element::TMIN]);
        let near = Near { lat: 33.0, lon: -111.0, elevation: Some(420.0), max_km: None };
        let found = reporting.nearest(&near, &tmin).unwrap();
        assert_eq!((found.station.as_str(), found.km, found.higher_by_m), ("USW00000003", 33.4, Some(80.0)));
        assert!(reporting.nearest(&Near { max_km: Some(20.0), ..near }, &tmin).is_none());
        assert!(reporting.nearest(&near, &Needs::Elements(vec![Element::SNOW])).is_none());
        assert!(
            reporting.reports(found.station, Element::TMIN)
                && !reporting.reports(found.station, Element::PRCP)
        );
    }

    #[test]
    fn a_station_with_hours_is_another_one() {
        const DAY_MS: i64 = 86_400_000;
        let mut reporting = Reporting::default();
        assert!(!reporting.has_hours());
        let day = br#"{"station":{"id":"USW00000001","location":{"lat":33.1,"lon":-111.0}},"date":"2016-03-01","TMIN":1.0}"#;
        reporting.take(&ObservationView::parse(day).unwrap());
        for (id, lat, days) in [("USW00000002", 33.2, 10_i64), ("USW00000003", 33.3, 100)] {
            let outlook = format!(
                r#"{{"night":"2016-03-01","quantiles":[1,2],"station":{{"id":"{id}","name":"N","location":{{"lat":{lat},"lon":-111.0}}}}}}"#
            );
            reporting.take_moment(outlook.as_bytes(), days * DAY_MS);
        }
        for invalid in ["", "{}", "[1]", r#"{"station":{"id":"short"}}"#] {
            reporting.take_moment(invalid.as_bytes(), 100 * DAY_MS);
        }
        assert_eq!((reporting.len(), reporting.has_hours()), (3, true));
        let near = Near { lat: 33.0, lon: -111.0, elevation: None, max_km: None };
        let nearest = |needs: &Needs| reporting.nearest(&near, needs).map(|found| found.station.to_string());
        assert_eq!(nearest(&Needs::Elements(vec![Element::TMIN])).as_deref(), Some("USW00000001"));
        assert_eq!(nearest(&Needs::Elements(Vec::new())).as_deref(), Some("USW00000001"));
        assert_eq!(
            nearest(&Needs::Hours).as_deref(),
            Some("USW00000003"),
            "the other one has been silent for 90 days"
        );
    }

    #[test]
    fn distances_are_those_of_the_earth() {
        // Phoenix to Tucson, airport to airport, by the formula that pilots use: about 178 km.
        assert!((km_between((33.43, -112.01), (32.13, -110.96)) - 175.0).abs() < 3.0);
        assert!((km_between((0.0, 179.5), (0.0, -179.5)) - 111.2).abs() < 0.1);
    }

    #[test]
    fn far_stations_are_named_with_both_figures() {
        let found = |km, higher_by_m| Nearest {
            station: StationId::parse(b"USC00027281").unwrap(),
            name: Some("ROOSEVELT".into()),
            km,
            higher_by_m,
        };
        assert_eq!(far(&found(12.0, Some(-80.0))), None);
        let away = far(&found(91.8, Some(12.0))).unwrap();
        assert!(away.contains("91.8 km") && away.contains("12 m higher"), "{away}");
        let lower = far(&found(3.0, Some(-412.0))).unwrap();
        assert!(lower.contains("3 km") && lower.contains("412 m lower"), "{lower}");
    }
}
