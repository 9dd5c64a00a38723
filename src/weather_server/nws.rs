//! Forecasts of the National Weather Service: points, grid cells, and the reports of problems.

use serde_json::{Value, json};

use super::document::Document;
use super::fault::Fault;
use super::forecast::Forecast;
use super::script::Script;
use super::times::{DAY, HOUR, MINUTE, offset_form};
use super::world::World;
use crate::noaa::Location;
use crate::synthetic::random::{between, hash};

const GEO_JSON: &str = "application/geo+json";
/// Width of a cell, in degrees: about 2.5 km.
const CELL_DEGREES: f64 = 0.025;
/// Cells of an office from south to north, and from west to east.
const OFFICE_CELLS: (i64, i64) = (200, 400);
/// The area with forecasts.
const LATITUDES: std::ops::Range<f64> = 24.0..50.0;
const LONGITUDES: std::ops::Range<f64> = -125.0..-66.0;
/// How far a forecast reaches, in hours.
const HOURS: i64 = 7 * 24 + 12;
/// The service rounds places to this fraction of a degree.
const DECIMALS_MAX: usize = 4;
/// A night lasts from 19 o'clock by local standard time for 14 hours, a day from 7 o'clock for 13.
const NIGHT: (i64, i64) = (19, 14);
const DAYTIME: (i64, i64) = (7, 13);
const LETTERS: &[u8; 36] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

/// A cell: rows from 90° south, columns from 180° west.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cell {
    row: i64,
    column: i64,
}

impl Cell {
    fn of(location: Location) -> Self {
        let count = |degrees: f64| (degrees / CELL_DEGREES + 1e-9).floor() as i64;
        Self { row: count(location.lat + 90.0), column: count(location.lon + 180.0) }
    }

    /// Its middle.
    fn location(self) -> Location {
        let degrees = |count: i64| (count as f64 + 0.5) * CELL_DEGREES;
        Location { lat: degrees(self.row) - 90.0, lon: degrees(self.column) - 180.0 }
    }

    /// Office and numbers; offices begin with `Q`, or with `R` after the grid has moved.
    fn name(self, has_moved: bool) -> (String, i64, i64) {
        let letter = |number: i64, shift: i64| char::from(LETTERS[(number + shift).rem_euclid(36) as usize]);
        let (rows, columns) = OFFICE_CELLS;
        let first = if has_moved { 'R' } else { 'Q' };
        let office = format!("{first}{}{}", letter(self.row / rows, -14), letter(self.column / columns, 0));
        (office, self.column % columns, self.row % rows)
    }

    /// The cell of a name, and whether the name is from after the move.
    fn named(office: &str, x: i64, y: i64) -> Option<(Self, bool)> {
        let &[first @ (b'Q' | b'R'), south, west] = office.as_bytes() else { return None };
        let number = |letter: u8, shift: i64| {
            let at = LETTERS.iter().position(|known| *known == letter)?;
            Some((i64::try_from(at).ok()? - shift).rem_euclid(36))
        };
        let (rows, columns) = OFFICE_CELLS;
        let is_inside = (0..columns).contains(&x) && (0..rows).contains(&y);
        let cell = Self { row: number(south, -14)? * rows + y, column: number(west, 0)? * columns + x };
        is_inside.then_some((cell, first == b'R'))
    }
}

/// The answer to a path of this service; `base` is the start of links.
pub(super) fn nws(world: &World, script: &Script, now: i64, path: &str, base: &str) -> Option<Document> {
    if let Some(place) = path.strip_prefix("/points/") {
        return Some(point(script, now, place, base));
    }
    let cell = path.strip_prefix("/gridpoints/")?;
    let not_found = || Document::problem(404, "NotFound", "Not Found", "Not a valid grid cell");
    Some(gridpoint(world, script, now, cell).unwrap_or_else(not_found))
}

fn point(script: &Script, now: i64, place: &str, base: &str) -> Document {
    let invalid = || Document::problem(400, "InvalidParameter", "Invalid Parameter", "Not a place");
    let Some((lat, lon)) = place.split_once(',') else { return invalid() };
    let (Ok(latitude), Ok(longitude)) = (lat.parse::<f64>(), lon.parse::<f64>()) else { return invalid() };
    let decimals = |text: &str| text.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    if decimals(lat).max(decimals(lon)) > DECIMALS_MAX {
        let mut moved =
            Document::problem(301, "AdjustPointPrecision", "Adjusting Precision", "Too many decimals");
        moved.headers.push(("location", format!("/points/{},{}", short(latitude), short(longitude))));
        return moved;
    }
    if !(LATITUDES.contains(&latitude) && LONGITUDES.contains(&longitude)) {
        let detail = format!("Unable to provide data for requested point {place}");
        return Document::problem(404, "InvalidPoint", "Data Unavailable For Requested Point", &detail);
    }
    let cell = Cell::of(Location { lat: latitude, lon: longitude });
    let (office, x, y) = cell.name(script.has(Fault::GridMoved, now));
    let grid = format!("{base}/gridpoints/{office}/{x},{y}");
    let json = json!({
        "id": format!("{base}/points/{place}"),
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [longitude, latitude]},
        "properties": {
            "@id": format!("{base}/points/{place}"),
            "@type": "wx:Point",
            "cwa": office,
            "gridId": office,
            "gridX": x,
            "gridY": y,
            "forecast": format!("{grid}/forecast"),
            "forecastHourly": format!("{grid}/forecast/hourly"),
            "forecastGridData": grid,
            "timeZone": time_zone(longitude),
        },
    });
    let mut document = Document::json(GEO_JSON, &json, now - now.rem_euclid(DAY));
    document.headers.push(("cache-control", "public, max-age=21600, s-maxage=120".to_owned()));
    document
}

/// At most four decimals, in the service's form.
fn short(degrees: f64) -> String {
    format!("{degrees:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn time_zone(longitude: f64) -> &'static str {
    match utc_offset_hours(longitude) {
        ..=-8 => "America/Los_Angeles",
        -7 => "America/Phoenix",
        -6 => "America/Chicago",
        _ => "America/New_York",
    }
}

/// Standard time, with meridians as bounds of time zones.
fn utc_offset_hours(longitude: f64) -> i64 {
    let zones = [(-114.0, -8), (-102.0, -7), (-85.5, -6)];
    zones.into_iter().find(|(east, _)| longitude < *east).map_or(-5, |(_, hours)| hours)
}

fn gridpoint(world: &World, script: &Script, now: i64, name: &str) -> Option<Document> {
    let (office, numbers) = name.split_once('/')?;
    let (x, y) = numbers.split_once(',')?;
    let (cell, is_new_name) = Cell::named(office, x.parse().ok()?, y.parse().ok()?)?;
    let path = format!("/gridpoints/{name}");
    let is_on = |fault: Fault| script.at(fault, now, &path).is_some();
    if is_on(Fault::GridMoved) && !is_new_name {
        let title = "Marine Forecast Not Supported";
        return Some(Document::problem(
            404,
            "MarineForecastNotSupported",
            title,
            "Forecasts for marine areas are not yet supported by this API.",
        ));
    }
    if is_on(Fault::GridExpired) {
        let detail = format!("The requested forecast grid was issued {}", offset_form(now - 3 * DAY));
        return Some(Document::problem(503, "ForecastGridExpired", "Forecast Grid Expired", &detail));
    }
    // A new forecast comes once an hour, at a minute that depends on the office.
    let minute = between(5, 50, &[world.seed(), hash(&office.as_bytes()[1..])]) * MINUTE;
    let issued = now - (now - minute).rem_euclid(HOUR);
    let location = cell.location();
    let forecast = world.forecast(&format!("nws {}/{}", cell.row, cell.column), location, issued);
    let mut properties = properties(&forecast, location, issued);
    spoil(&mut properties, is_on);
    let geometry = json!({"type": "Polygon", "coordinates": [corners(location)]});
    let json = json!({"type": "Feature", "geometry": geometry, "properties": properties});
    let mut document = Document::json(GEO_JSON, &json, issued);
    document.headers.push(("cache-control", "public, max-age=3600, s-maxage=3600".to_owned()));
    Some(document)
}

fn corners(middle: Location) -> Vec<[f64; 2]> {
    let half = CELL_DEGREES / 2.0;
    let corner = |east: f64, north: f64| [middle.lon + east * half, middle.lat + north * half];
    vec![corner(-1.0, -1.0), corner(-1.0, 1.0), corner(1.0, 1.0), corner(1.0, -1.0), corner(-1.0, -1.0)]
}

fn properties(forecast: &Forecast, location: Location, issued: i64) -> Value {
    let first = issued - issued.rem_euclid(HOUR);
    let hourly = |value: &dyn Fn(i64) -> f64| merged(first, value);
    let wind = |time: i64| (forecast.at(time).wind_m_s * 1.943_844).round() * 1.852;
    json!({
        "@type": "wx:Gridpoint",
        "updateTime": offset_form(issued),
        "validTimes": format!("{}/{}", offset_form(first), duration(HOURS)),
        "elevation": {"unitCode": "wmoUnit:m", "value": forecast.place.elevation_m},
        "temperature": {
            "uom": "wmoUnit:degC",
            "values": hourly(&|time| from_fahrenheit(forecast.at(time).temperature_c)),
        },
        "dewpoint": {
            "uom": "wmoUnit:degC",
            "values": hourly(&|time| from_fahrenheit(forecast.at(time).dew_point_c)),
        },
        "maxTemperature": {
            "uom": "wmoUnit:degC",
            "values": periods(first, location, DAYTIME, |from, to| forecast.extremes(from, to).1),
        },
        "minTemperature": {
            "uom": "wmoUnit:degC",
            "values": periods(first, location, NIGHT, |from, to| forecast.extremes(from, to).0),
        },
        "skyCover": {
            "uom": "wmoUnit:percent",
            "values": hourly(&|time| (f64::from(forecast.at(time).cloud_oktas) * 12.5).round()),
        },
        "windSpeed": {"uom": "wmoUnit:km_h-1", "values": hourly(&wind)},
    })
}

/// Forecasters write whole degrees Fahrenheit, which are not round numbers in Celsius: 24.4444444444444.
fn from_fahrenheit(celsius: f64) -> f64 {
    ((celsius * 1.8 + 32.0).round() - 32.0) / 1.8
}

/// Hours with the same value are one interval.
fn merged(first: i64, value: &dyn Fn(i64) -> f64) -> Vec<Value> {
    let mut found: Vec<(i64, i64, f64)> = Vec::new();
    for hour in 0..HOURS {
        let time = first + hour * HOUR;
        let value = value(time);
        match found.last_mut() {
            Some((_, hours, last)) if *last == value => *hours += 1,
            _ => found.push((time, 1, value)),
        }
    }
    found.into_iter().map(|(time, hours, value)| interval(time, hours, value)).collect()
}

/// One interval for each night or day that ends in the future, with its value.
fn periods(
    first: i64,
    location: Location,
    (begins, hours): (i64, i64),
    value: impl Fn(i64, i64) -> f64,
) -> Vec<Value> {
    let offset = utc_offset_hours(location.lon) * HOUR;
    let midnight = first + offset - (first + offset).rem_euclid(DAY) - offset;
    let starts = (-1..8).map(|day| midnight + day * DAY + begins * HOUR);
    let within = |start: &i64| start + hours * HOUR > first && start + hours * HOUR <= first + HOURS * HOUR;
    let one = |start: i64| interval(start, hours, from_fahrenheit(value(start, start + hours * HOUR)));
    starts.filter(within).map(one).collect()
}

fn interval(time: i64, hours: i64, value: f64) -> Value {
    // The service writes 14 digits, not all digits of the machine.
    let value = (value * 1e13).round() / 1e13;
    json!({"validTime": format!("{}/{}", offset_form(time), duration(hours)), "value": value})
}

/// `PT14H`, `P1D`, `P1DT6H`.
fn duration(hours: i64) -> String {
    match (hours / 24, hours % 24) {
        (0, hours) => format!("PT{hours}H"),
        (days, 0) => format!("P{days}D"),
        (days, hours) => format!("P{days}DT{hours}H"),
    }
}

fn spoil(properties: &mut Value, is_on: impl Fn(Fault) -> bool) {
    let Some(layers) = properties.as_object_mut() else { return };
    if is_on(Fault::MinimumMissing) {
        layers.shift_remove("minTemperature");
    }
    let Some(layer) = layers.get_mut("minTemperature") else { return };
    if is_on(Fault::UnknownUnit) {
        layer["uom"] = json!("wmoUnit:degR");
    }
    if is_on(Fault::MinimumNull) {
        for value in layer["values"].as_array_mut().into_iter().flatten() {
            value["value"] = Value::Null;
        }
    }
}

#[cfg(test)]
#[path = "nws_tests.rs"]
mod tests;
