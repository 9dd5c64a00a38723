//! The US National Weather Service: cells of 2.5 km, looked up by place, each with a layer of nightly minima.

use serde::Deserialize;

use crate::hourly::{parse_time, standard_offset};
use crate::noaa::Date;

/// The name of the source in forecasts.
pub(super) const NAME: &str = "nws";
/// Half a day, in seconds: the middle of a night is this long after the noon of its date.
const HALF_DAY: i64 = 12 * 3_600;
const DAY: i64 = 24 * 3_600;

/// A cell of the forecast grid. Cells may move: one that is not found is looked up again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cell(String);

impl Cell {
    /// Reads the answer of `/points/LAT,LON`.
    pub(super) fn of_point(answer: &[u8]) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Point {
            properties: Properties,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Properties {
            grid_id: String,
            grid_x: i64,
            grid_y: i64,
        }
        let point: Point = serde_json::from_slice(answer).map_err(|error| format!("not a point: {error}"))?;
        let Properties { grid_id, grid_x, grid_y } = point.properties;
        if grid_id.is_empty() || !grid_id.chars().all(|c| c.is_ascii_uppercase()) {
            return Err(format!("not a point: gridId {grid_id:?}"));
        }
        Ok(Self(format!("{grid_id}/{grid_x},{grid_y}")))
    }

    /// Parses a remembered cell.
    pub(super) fn of_position(bytes: &[u8]) -> Option<Self> {
        let text = str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
        Some(Self(text.to_owned()))
    }

    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// The forecast of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cold {
    /// When it was made, in seconds since 1970.
    pub(super) issued: i64,
    /// The nights, by the date of their evening, with their lowest temperature in °C.
    pub(super) nights: Vec<(Date, f64)>,
}

/// Parses the answer of `/gridpoints/OFFICE/X,Y`. A night without a value is left out.
pub(super) fn read(answer: &[u8], longitude: f64) -> Result<Cold, String> {
    #[derive(Deserialize)]
    struct Grid {
        properties: Properties,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Properties {
        update_time: String,
        min_temperature: Option<Layer>,
    }
    #[derive(Deserialize)]
    struct Layer {
        uom: Option<String>,
        #[serde(default)]
        values: Vec<Interval>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Interval {
        valid_time: String,
        value: Option<f64>,
    }
    let grid: Grid = serde_json::from_slice(answer).map_err(|error| format!("not a grid: {error}"))?;
    let Properties { update_time, min_temperature } = grid.properties;
    let issued =
        parse_time(&update_time).ok_or_else(|| format!("updateTime {update_time:?} is not a time"))?;
    let layer = min_temperature.ok_or("not a grid: the layer minTemperature is missing")?;
    let to_celsius = unit(layer.uom.as_deref().unwrap_or_default())?;
    let night = |interval: &Interval| {
        let middle = middle(&interval.valid_time)?;
        let local = middle + standard_offset(longitude) - HALF_DAY;
        let date = Date::from_days_since_1970(i32::try_from(local.div_euclid(DAY)).ok()?)?;
        Some((date, to_celsius(interval.value?)))
    };
    Ok(Cold { issued, nights: layer.values.iter().filter_map(night).collect() })
}

/// Converts values of a unit into °C; an unknown unit is refused, because a wrong guess would be a false alarm.
fn unit(name: &str) -> Result<fn(f64) -> f64, String> {
    match name.rsplit(':').next().unwrap_or_default() {
        "degC" => Ok(|value| value),
        "degF" => Ok(|value| (value - 32.0) / 1.8),
        "K" => Ok(|value| value - 273.15),
        _ => Err(format!("minTemperature is in {name:?}: expected degC, degF or K")),
    }
}

/// The middle of an interval such as `2026-09-27T02:00:00+00:00/PT14H`, in seconds since 1970.
fn middle(interval: &str) -> Option<i64> {
    let (begins, duration) = interval.split_once('/')?;
    let span: jiff::Span = duration.parse().ok()?;
    let seconds = span.total((jiff::Unit::Second, jiff::SpanRelativeTo::days_are_24_hours())).ok()?;
    Some(parse_time(begins)? + (seconds / 2.0) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_night_is_that_of_its_middle() {
        let grid = |uom: &str, values: &str| {
            format!(
                r#"{{"properties":{{"updateTime":"2026-09-26T16:51:43+00:00","minTemperature":{{"uom":"{uom}","values":[{values}]}}}}}}"#
            )
        };
        let values = r#"{"validTime":"2026-09-27T02:00:00+00:00/PT14H","value":4.5},
            {"validTime":"2026-09-28T02:00:00+00:00/P1DT0H","value":null},
            {"validTime":"2026-09-29T01:00:00+00:00/PT15H","value":-1.25}"#;
        let found = read(grid("wmoUnit:degC", values).as_bytes(), -111.9).unwrap();
        let date = |day| Date::new(2026, 9, day).unwrap();
        assert_eq!(found.nights, [(date(26), 4.5), (date(28), -1.25)]);
        assert_eq!(found.issued, parse_time("2026-09-26T16:51:43Z").unwrap());
        let one = r#"{"validTime":"2026-09-27T02:00:00+00:00/PT14H","value":32.0}"#;
        assert_eq!(read(grid("wmoUnit:degF", one).as_bytes(), -111.9).unwrap().nights, [(date(26), 0.0)]);
        assert!(read(grid("wmoUnit:tenths", one).as_bytes(), -111.9).unwrap_err().contains("tenths"));
        assert!(read(br#"{"properties":{"updateTime":"2026-09-26T16:51:43Z"}}"#, 0.0).is_err());
    }

    #[test]
    fn cells_are_read_from_points() {
        let answer =
            br#"{"properties":{"gridId":"PSR","gridX":161,"gridY":57,"forecastGridData":"https://x/"}}"#;
        let cell = Cell::of_point(answer).unwrap();
        assert_eq!((cell.as_str(), Cell::of_position(b"PSR/161,57")), ("PSR/161,57", Some(cell.clone())));
        assert!(Cell::of_point(br#"{"properties":{"gridId":"../x","gridX":1,"gridY":2}}"#).is_err());
    }
}
