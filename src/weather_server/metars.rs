//! The METAR cache of the Aviation Weather Center: one file with the reports of the last one and a half hours.

use super::fault::Fault;
use super::report::{Kind, Report};
use super::script::Script;
use super::times::{DAY, HOUR, MINUTE};
use super::world::{World, hour_of};
use crate::hourly::{Hour, iso_time};
use crate::noaa::StationId;
use crate::synthetic::WorldStation;
use crate::synthetic::random::{chance, mix};

/// The columns of the file, in both of its forms. Four names repeat.
pub const METAR_HEADER: &str = "raw_text,station_id,observation_time,latitude,longitude,temp_c,dewpoint_c,\
    wind_dir_degrees,wind_speed_kt,wind_gust_kt,visibility_statute_mi,altim_in_hg,sea_level_pressure_mb,corrected,auto,\
    auto_station,maintenance_indicator_on,no_signal,lightning_sensor_off,freezing_rain_sensor_off,\
    present_weather_sensor_off,wx_string,sky_cover,cloud_base_ft_agl,sky_cover,cloud_base_ft_agl,sky_cover,\
    cloud_base_ft_agl,sky_cover,cloud_base_ft_agl,flight_category,three_hr_pressure_tendency_mb,maxT_c,minT_c,maxT24hr_c,\
    minT24hr_c,precip_in,pcp3hr_in,pcp6hr_in,pcp24hr_in,snow_in,vert_vis_ft,metar_type,elevation_m";

/// How long a report stays in the file, in seconds after its observation.
pub const METAR_KEPT: i64 = 90 * MINUTE;
/// A correction comes this long after the report.
const CORRECTED_AFTER: i64 = 12 * MINUTE;
/// A missing temperature comes this long after the report.
const FILLED_AFTER: i64 = 6 * MINUTE;
/// The error of a report that will be corrected, in tenths of a degree.
const WRONG_BY: i32 = 45;

impl World {
    /// The hourly observations of a station after all corrections of a script; otherwise as [`World::hours`]. Whether
    /// a follower saw each of them depends on when it polled: see [`World::cached_reports`].
    pub fn final_hours(&self, script: &Script, station: StationId, from: i64, to: i64) -> Vec<Hour> {
        let Some((index, _)) = self.find(station) else { return Vec::new() };
        let reports = self.reports(station, from, to).into_iter();
        let last = |report: Report| self.versions(index, script, report).pop();
        reports.filter_map(last).filter_map(|report| hour_of(station, &report)).collect()
    }

    /// The reports of a station that the cache has at a time, newest first, without the faults of rows.
    pub fn cached_reports(&self, script: &Script, station: StationId, now: i64) -> Vec<Report> {
        let Some((index, _)) = self.find(station) else { return Vec::new() };
        let mut rows = Vec::new();
        for report in self.reports(station, now - METAR_KEPT, now + 1) {
            let mut versions = self.versions(index, script, report);
            versions.retain(|version| version.published <= now);
            let is_corrected = versions.last().is_some_and(|version| version.is_correction);
            // A correction appears in addition to the report that it corrects; a completed row replaces the other.
            let first = if is_corrected { 0 } else { versions.len().saturating_sub(1) };
            rows.extend(versions.drain(first..));
        }
        rows.reverse();
        rows
    }

    /// A report in the versions that are published one after the other.
    fn versions(&self, index: usize, script: &Script, report: Report) -> Vec<Report> {
        let lot = mix(&[self.key(index), report.observed.cast_unsigned()]);
        if script.has(Fault::Corrected, report.observed) && chance(0.5, &[lot, 1]) {
            let by = if chance(0.5, &[lot, 2]) { WRONG_BY } else { -WRONG_BY };
            let add = |tenths: Option<i32>| tenths.map(|tenths| tenths + by);
            let (temperature, dew_point) = (add(report.temperature), add(report.dew_point));
            let wrong = Report { temperature, dew_point, ..report.clone() };
            let published = report.published + CORRECTED_AFTER;
            return vec![wrong, Report { is_correction: true, published, ..report }];
        }
        if script.has(Fault::Nulled, report.observed) && chance(0.5, &[lot, 3]) {
            let empty = Report { temperature: None, dew_point: None, ..report.clone() };
            return vec![empty, Report { published: report.published + FILLED_AFTER, ..report }];
        }
        vec![report]
    }
}

/// The file at a time, uncompressed. It is rewritten once a minute.
pub(super) fn metar_cache(world: &World, script: &Script, now: i64) -> Vec<u8> {
    let now = now - now.rem_euclid(MINUTE);
    let is_old = script.has(Fault::OldForm, now);
    let mut lines: Vec<String> = Vec::new();
    for (index, station) in world.stations().iter().enumerate() {
        let mut reports = world.cached_reports(script, station.id(), now);
        if let Some(newest) = reports.first().cloned() {
            reports.extend(strange_stamps(script, now, &newest, world.key(index)));
        }
        for report in &reports {
            let lot = mix(&[world.key(index), report.observed.cast_unsigned()]);
            let in_fahrenheit = script.has(Fault::Fahrenheit, now) && chance(0.5, &[lot, 4]);
            let row = row(station, report, Form { is_old, in_fahrenheit, lot });
            if script.has(Fault::RowsRepeated, now) && chance(0.5, &[lot, 5]) {
                lines.push(row.clone());
            }
            lines.push(row);
        }
    }
    if script.has(Fault::RowsReordered, now) {
        fastrand::Rng::with_seed(world.seed() ^ now.cast_unsigned()).shuffle(&mut lines);
    }
    let mut text = String::new();
    if is_old {
        let milliseconds = 3 + now / MINUTE % 9;
        let results = lines.len();
        text = format!("No errors\nNo warnings\n{milliseconds} ms\ndata source=metars\n{results} results\n");
    }
    text.push_str(METAR_HEADER);
    text.push('\n');
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text.into_bytes()
}

/// Rows that must not be believed, with times far from now. Their temperatures are low.
fn strange_stamps(script: &Script, now: i64, newest: &Report, key: u64) -> Vec<Report> {
    let cold = |observed: i64| Report {
        observed,
        temperature: Some(-99),
        dew_point: Some(-120),
        six_hours: None,
        day: None,
        ..newest.clone()
    };
    let is_on = |fault: Fault| script.has(fault, now) && chance(0.4, &[key, fault as u64]);
    let future = is_on(Fault::FutureStamps).then(|| cold(newest.observed + 3 * HOUR));
    let past = is_on(Fault::PastStamps).then(|| cold(newest.observed - 365 * DAY));
    future.into_iter().chain(past).collect()
}

/// The form of a row.
#[derive(Clone, Copy)]
struct Form {
    is_old: bool,
    in_fahrenheit: bool,
    /// Chooses one of the real file's ways to write a missing value.
    lot: u64,
}

fn row(station: &WorldStation, report: &Report, form: Form) -> String {
    let kind = if report.kind == Kind::Speci { "SPECI" } else { "METAR" };
    let time = iso_time(report.observed);
    let (raw, time) = if form.is_old {
        (report.text(), time)
    } else {
        (format!("\"{kind} {}\"", report.text()), time.replace('Z', ".000Z"))
    };
    let degrees = |tenths: i32| {
        let celsius = f64::from(tenths) / 10.0;
        if form.in_fahrenheit { format!("{:.1}", celsius * 1.8 + 32.0) } else { format!("{celsius:.1}") }
    };
    let missing = ["", "null", "M"][(form.lot % 3) as usize];
    let value = |tenths: Option<i32>| tenths.map_or_else(|| missing.to_owned(), degrees);
    let extreme = |tenths: Option<i32>| tenths.map(degrees).unwrap_or_default();
    let location = station.location();
    // Some stations have no position in the file.
    let (latitude, longitude) =
        if station.station.gsn_flag.is_some() { (-99.99, -99.99) } else { (location.lat, location.lon) };
    let direction = if report.wind_knots == 0 { 0 } else { report.wind_tens * 10 };
    let sea_level =
        if report.is_american { format!("{:.1}", report.pressure_hpa) } else { "null".to_owned() };
    let visibility = if report.kind == Kind::Speci { "2.0" } else { "10+" };
    let corrected = if report.is_correction { "TRUE" } else { "" };
    let wx = if report.kind == Kind::Speci && report.is_american { "BR" } else { "" };
    let (cover, height) = report.sky();
    let base = if height.is_empty() { String::new() } else { format!("{height}00") };
    let (six, day) = (report.six_hours.unzip(), report.day.unzip());
    format!(
        "{raw},{icao},{time},{latitude:.4},{longitude:.4},{temperature},{dew_point},{direction},{knots},,{visibility},\
         {altimeter:.2},{sea_level},{corrected},TRUE,TRUE,,,,,,{wx},{cover},{base},,,,,,,VFR,,{max6},{min6},{max24},{min24},\
         ,,,,,,{kind},{elevation:.1}",
        icao = report.icao,
        temperature = value(report.temperature),
        dew_point = value(report.dew_point),
        knots = report.wind_knots,
        altimeter = report.altimeter_inches(),
        max6 = extreme(six.0),
        min6 = extreme(six.1),
        max24 = extreme(day.0),
        min24 = extreme(day.1),
        elevation = station.elevation_m(),
    )
}

#[cfg(test)]
#[path = "metars_tests.rs"]
mod tests;
