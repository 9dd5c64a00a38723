//! The files of NOAA's archive: inventories, years, differences, and their listing.

use std::collections::BTreeMap;

use super::daily::Difference;
use super::document::{Document, gzip};
use super::fault::Fault;
use super::script::Script;
use super::times::{date_of, date_of_day, day_of, listed};
use super::world::World;
use crate::noaa::{Date, Reading, Station};
use crate::synthetic::random::chance;
use crate::synthetic::{WorldStation, code_lines};

/// The folder of GHCN-Daily.
const DAILY: &str = "/pub/data/ghcn/daily/";
/// The list of hourly stations, with ICAO ids.
const HOURLY_LIST: &str = "/oa/global-historical-climatology-network/hourly/doc/ghcnh-station-list.csv";
/// The first year of the archive.
pub const FIRST_YEAR: u16 = 2020;
/// How many differences the folder keeps.
const DIFFERENCES_KEPT: i64 = 40;
/// The archive is rebuilt on one day of seven.
const DAYS_BETWEEN_RECONSTRUCTIONS: i64 = 7;

const GZIP: &str = "application/x-gzip";
const TEXT: &str = "text/plain; charset=UTF-8";

/// The file of a path at a time; `None` outside the archive.
pub(super) fn archive(world: &World, script: &Script, now: i64, path: &str) -> Option<Document> {
    let edition = world.newest_edition(now);
    let published = world.edition_published(edition);
    let text = |text: String| Document::file(TEXT, text.into_bytes(), published);
    if path == HOURLY_LIST {
        return Some(Document::file("text/csv", hourly_list(world).into_bytes(), published));
    }
    let name = path.strip_prefix(DAILY)?;
    Some(match name {
        "ghcnd-version.txt" => text(version(edition)),
        "ghcnd-stations.txt" => text(lines(world.stations().iter().map(|one| one.station.to_line()))),
        "ghcnd-countries.txt" => text(codes(world, |one| (Some(&one.country_code), Some(&one.country)))),
        "ghcnd-states.txt" => text(codes(world, |one| (one.state_code.as_ref(), one.state.as_ref()))),
        "ghcnd-inventory.txt" => text(inventory(world, edition)),
        "superghcnd" | "superghcnd/" => {
            Document::passing(200, "text/html;charset=UTF-8", listing(world, script, now))
        }
        _ => match (name.strip_prefix("superghcnd/"), name.strip_prefix("by_year/")) {
            (Some(file), _) => difference_file(world, script, now, file),
            (_, Some(file)) => year_file(world, script, now, file),
            _ => None,
        }
        .unwrap_or_else(Document::not_found),
    })
}

fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.map(|line| line + "\n").collect()
}

/// Such as `3.34-upd-2026112818`, with the last rebuild, which gives all years new timestamps.
fn version(edition: Date) -> String {
    let day = day_of(edition);
    let reconstructed = date_of_day(day - day.rem_euclid(DAYS_BETWEEN_RECONSTRUCTIONS));
    format!(
        "3.34-upd-{}18 (last full reprocess 3.34-por-{}23)\n",
        edition.to_compact(),
        reconstructed.to_compact()
    )
}

/// Sorted codes with their names, without duplicates.
fn codes<'a>(
    world: &'a World,
    pair: impl Fn(&'a Station) -> (Option<&'a String>, Option<&'a String>),
) -> String {
    let pairs = world.stations().iter().filter_map(|station| {
        let (code, name) = pair(&station.station);
        code.map(String::as_str).zip(name.map(String::as_str))
    });
    code_lines(pairs.collect::<BTreeMap<_, _>>())
}

fn inventory(world: &World, edition: Date) -> String {
    let line = |station: &WorldStation, element: &str| {
        let (id, place) = (station.id(), station.location());
        format!("{id} {:8.4} {:9.4} {element} {FIRST_YEAR} {}", place.lat, place.lon, edition.year())
    };
    let of_station =
        |station| ["TMAX", "TMIN", "PRCP"].into_iter().map(move |element| line(station, element));
    lines(world.stations().iter().flat_map(of_station))
}

/// The list that maps GHCN ids to ICAO ids. Cooperative stations are not in it. Like the real one it has lines with
/// latitude and longitude exchanged, and unknown elevations.
fn hourly_list(world: &World) -> String {
    let mut text =
        "GHCN_ID,LATITUDE,LONGITUDE,ELEVATION,STATE,NAME,GSN,(US)HCN_(US)CRN,WMO_ID,ICAO,ISO_CODE\n"
            .to_owned();
    for station in world.stations().iter().filter(|station| !station.is_cooperative()) {
        let (place, inner) = (station.location(), &station.station);
        let fields = [&inner.gsn_flag, &inner.hcn_crn_flag, &inner.wmo_id, &inner.icao];
        let fields = fields.map(|field| field.as_deref().unwrap_or_default()).join(",");
        let state = inner.state_code.as_deref().unwrap_or_default();
        text.push_str(&format!(
            "{},{:.4},{:.4},{:.1},{state},{},{fields},{}\n",
            inner.id,
            place.lat,
            place.lon,
            station.elevation_m(),
            inner.name,
            station.iso_country
        ));
    }
    text.push_str("RUU99-00099,135.1170,48.8000,-999.9,,EXCHANGED,,,,,XX\n");
    text
}

/// The names of the existing differences at a time, the newest last, with their editions.
fn differences(world: &World, script: &Script, now: i64) -> Vec<(String, Date, Date)> {
    let newest = day_of(world.newest_edition(now));
    let editions = (newest - DIFFERENCES_KEPT..=newest).map(date_of_day);
    let named = |to: Date| {
        let from = world.difference_before(script, to)?;
        Some((format!("superghcnd_diff_{}_to_{}.tar.gz", from.to_compact(), to.to_compact()), from, to))
    };
    editions.filter_map(named).collect()
}

fn listing(world: &World, script: &Script, now: i64) -> String {
    let row = |name: &str, time: i64, size: &str| {
        format!(
            "<tr><td><a href=\"{name}\">{name}</a></td><td align=\"right\">{}  </td><td align=\"right\">{size}</td>\
             <td>&nbsp;</td></tr>\n",
            listed(time)
        )
    };
    let mut text = "<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<html>\n <head>\n  \
        <title>Index of /pub/data/ghcn/daily/superghcnd</title>\n </head>\n <body>\n\
        <h1>Index of /pub/data/ghcn/daily/superghcnd</h1>\n  <table>\n\
        <tr><th><a href=\"?C=N;O=D\">Name</a></th><th><a href=\"?C=M;O=A\">Last modified</a></th>\
        <th><a href=\"?C=S;O=A\">Size</a></th><th><a href=\"?C=D;O=A\">Description</a></th></tr>\n\
        <tr><td><a href=\"/pub/data/ghcn/daily/\">Parent Directory</a></td><td>&nbsp;</td><td align=\"right\">  - </td>\
        <td>&nbsp;</td></tr>\n"
        .to_owned();
    for (name, _, to) in differences(world, script, now) {
        text.push_str(&row(&name, world.edition_published(to), "214K"));
    }
    let newest = world.newest_edition(now);
    let full = format!("superghcnd_full_{}.csv.gz", newest.to_compact());
    text.push_str(&row(&full, world.edition_published(newest), " 12G"));
    text.push_str("</table>\n</body></html>\n");
    text
}

fn difference_file(world: &World, script: &Script, now: i64, file: &str) -> Option<Document> {
    let found = differences(world, script, now).into_iter().find(|(name, ..)| name == file)?;
    let (_, from, to) = found;
    let difference = world.difference(script, day_of(from), day_of(to));
    let published = world.edition_published(to);
    // In some archives the members are in a folder.
    let is_nested = chance(0.5, &[world.seed(), day_of(to).cast_unsigned(), 30]);
    let folder = if is_nested { file.trim_end_matches(".tar.gz").to_owned() + "/" } else { String::new() };
    Some(Document::file(GZIP, gzip(&tar(&difference, &folder, published)), published))
}

fn tar(difference: &Difference, folder: &str, published: i64) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, rows) in
        [("insert", &difference.insert), ("update", &difference.update), ("delete", &difference.delete)]
    {
        let text = lines(rows.iter().map(difference_line));
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(published.cast_unsigned());
        // Names are short, and writing to a vector cannot fail.
        let written = builder.append_data(&mut header, format!("{folder}{name}.csv"), text.as_bytes());
        debug_assert!(written.is_ok(), "{written:?}");
    }
    builder.into_inner().unwrap_or_default()
}

/// As in a `by_year` file, but with times like `700`.
fn difference_line(row: &Reading) -> String {
    let line = year_line(row);
    let (head, time) = line.rsplit_once(',').unwrap_or((&line, ""));
    format!("{head},{}", time.trim_start_matches('0'))
}

fn year_line(row: &Reading) -> String {
    let mut line = Vec::new();
    row.to_line_into(&mut line);
    String::from_utf8_lossy(&line).into_owned()
}

/// All rows of a year, by date. Every edition writes every year, so the times of files mean nothing.
fn year_file(world: &World, script: &Script, now: i64, file: &str) -> Option<Document> {
    let year: u16 = file.strip_suffix(".csv.gz")?.parse().ok()?;
    let current = date_of(now).year();
    let edition = world.newest_edition(now);
    let is_missing = year == current && script.has(Fault::NewYearMissing, now);
    if is_missing || !(FIRST_YEAR..=edition.year()).contains(&year) {
        return None;
    }
    let (first, last) = (day_of(Date::new(year, 1, 1)?), day_of(Date::new(year, 12, 31)?));
    let mut text = String::new();
    for day in first..=last.min(day_of(edition)) {
        for index in 0..world.stations().len() {
            for row in world.rows(script, index, date_of_day(day), day_of(edition)) {
                text.push_str(&year_line(&row));
                text.push('\n');
            }
        }
    }
    let published = world.edition_published(edition);
    Some(Document::file(GZIP, gzip(text.as_bytes()), published))
}

#[cfg(test)]
#[path = "archive_tests.rs"]
mod tests;
