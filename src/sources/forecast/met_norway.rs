//! MET Norway: a forecast for any place of the world, hour by hour and then in steps of six hours.

use serde::Deserialize;

use crate::hourly::{HOUR, Night, parse_time};

/// The name of the source in forecasts.
pub(super) const NAME: &str = "met-norway";
/// A forecast must reach at least this close to the end of the night.
const REACH: i64 = 3 * HOUR;
/// The period of a minimum in the coming hours.
const SIX_HOURS: i64 = 6 * HOUR;

/// The forecast for one night.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Coldest {
    /// When it was made, in seconds since 1970.
    pub(super) issued: i64,
    /// The lowest temperature of the rest of the night, in °C.
    pub(super) lowest_c: f64,
}

#[derive(Deserialize)]
struct Document {
    properties: Properties,
}

#[derive(Deserialize)]
struct Properties {
    meta: Meta,
    timeseries: Vec<Step>,
}

#[derive(Deserialize)]
struct Meta {
    updated_at: String,
    units: Units,
}

#[derive(Deserialize)]
struct Units {
    air_temperature: String,
    air_temperature_min: Option<String>,
}

#[derive(Deserialize)]
struct Step {
    time: String,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    instant: Details<Instant>,
    next_6_hours: Option<Details<Coming>>,
}

#[derive(Deserialize)]
struct Details<T> {
    details: T,
}

#[derive(Deserialize)]
struct Instant {
    air_temperature: Option<f64>,
}

#[derive(Deserialize)]
struct Coming {
    air_temperature_min: Option<f64>,
}

/// Parses the answer of `locationforecast/2.0/complete` for one night; `None` if it does not reach the end of the
/// night.
pub(super) fn read(answer: &[u8], night: &Night) -> Result<Option<Coldest>, String> {
    let document: Document =
        serde_json::from_slice(answer).map_err(|error| format!("not a forecast: {error}"))?;
    let Properties { meta, timeseries } = document.properties;
    let units = [Some(&meta.units.air_temperature), meta.units.air_temperature_min.as_ref()];
    if let Some(other) = units.into_iter().flatten().find(|unit| *unit != "celsius") {
        return Err(format!("temperatures are in {other:?}: expected celsius"));
    }
    let issued = parse_time(&meta.updated_at);
    let issued = issued.ok_or_else(|| format!("updated_at {:?} is not a time", meta.updated_at))?;
    let mut lowest: Option<f64> = None;
    let mut reaches = i64::MIN;
    for step in &timeseries {
        let Some(time) = parse_time(&step.time) else { continue };
        let coming = step.data.next_6_hours.as_ref().and_then(|coming| coming.details.air_temperature_min);
        let coming = coming.filter(|_| time >= night.begins && time + SIX_HOURS <= night.ends);
        let instant = step.data.instant.details.air_temperature.filter(|_| night.contains(time));
        for value in [instant, coming].into_iter().flatten() {
            lowest = Some(lowest.map_or(value, |lowest| lowest.min(value)));
            reaches = reaches.max(time);
        }
    }
    Ok(lowest.filter(|_| reaches >= night.ends - REACH).map(|lowest_c| Coldest { issued, lowest_c }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::Date;

    fn answer(steps: &[(&str, f64, Option<f64>)], unit: &str) -> String {
        let step = |(time, instant, coming): &(&str, f64, Option<f64>)| {
            let coming = coming.map_or(String::new(), |coming| {
                format!(r#","next_6_hours":{{"details":{{"air_temperature_min":{coming}}}}}"#)
            });
            format!(
                r#"{{"time":"{time}","data":{{"instant":{{"details":{{"air_temperature":{instant}}}}}{coming}}}}}"#
            )
        };
        let steps: Vec<String> = steps.iter().map(step).collect();
        format!(
            r#"{{"properties":{{"meta":{{"updated_at":"2026-11-28T15:00:00Z","units":{{"air_temperature":"{unit}"}}}},"timeseries":[{}]}}}}"#,
            steps.join(",")
        )
    }

    #[test]
    fn the_lowest_is_that_of_the_night() {
        // Oslo: dark from 14:30 to 07:45 UTC; the night ends at 08:00 UTC.
        let night = Night::of(Date::new(2026, 11, 28).unwrap(), 59.9, 10.7);
        let steps = [
            ("2026-11-28T12:00:00Z", -9.0, Some(-9.5)),
            ("2026-11-28T18:00:00Z", -1.0, Some(-2.5)),
            ("2026-11-29T00:00:00Z", -2.0, Some(-3.5)),
            ("2026-11-29T06:00:00Z", -3.0, Some(-8.0)),
            ("2026-11-29T12:00:00Z", 2.0, None),
        ];
        let found = read(answer(&steps, "celsius").as_bytes(), &night).unwrap().unwrap();
        assert_eq!((found.lowest_c, found.issued), (-3.5, parse_time("2026-11-28T15:00:00Z").unwrap()));
        assert_eq!(
            read(answer(&steps[..3], "celsius").as_bytes(), &night),
            Ok(None),
            "it ends before the night"
        );
        assert!(read(answer(&steps, "kelvin").as_bytes(), &night).unwrap_err().contains("kelvin"));
    }
}
