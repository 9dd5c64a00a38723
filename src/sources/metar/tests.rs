//! The poller of METARs with canned answers.

use std::time::Duration;

use super::*;
use crate::hourly::parse_time;
use crate::sources::canned::{Canned, poll, version};

const HEADER: &str = "raw_text,station_id,observation_time,latitude,longitude,temp_c,dewpoint_c,wind_dir_degrees,\
    wind_speed_kt,wind_gust_kt,visibility_statute_mi,altim_in_hg,sea_level_pressure_mb,sky_cover,cloud_base_ft_agl,\
    sky_cover,cloud_base_ft_agl";
const OLD_BEGINNING: &str = "No errors\nNo warnings\n12 ms\ndata source=metars\n3 results\n";
const NOW: &str = "2026-11-28T18:00:00Z";

/// A poller of two stations, with its answers and its position.
struct Setting {
    canned: Arc<Canned>,
    poller: Metar,
    position: Position,
    now_ms: i64,
}

impl Setting {
    fn new() -> Self {
        let canned = Canned::new();
        let find: FindStation = Arc::new(|icao| match icao {
            "KSDL" => StationId::parse(b"USW00003192"),
            "KSFO" => StationId::parse(b"USW00023234"),
            _ => None,
        });
        let poller = Metar::new(canned.clone(), "https://metar.example/", find);
        let now_ms = parse_time(NOW).unwrap() * 1_000;
        Self { canned, poller, position: Position::default(), now_ms }
    }

    fn poll(&mut self) -> Batch {
        poll(&mut self.poller, &mut self.position, self.now_ms).unwrap()
    }

    /// What a file of these rows gives: `KSDL 17:53 3.9`.
    fn rows(&mut self, rows: &[&str]) -> Vec<String> {
        self.text(&format!("{HEADER}\n{}\n", rows.join("\n")))
    }

    fn text(&mut self, text: &str) -> Vec<String> {
        self.canned.file(text, "\"same\"");
        let batch = self.poll();
        assert_eq!(batch.remark, None);
        said(&batch)
    }
}

/// The records of a batch, checked and shortened.
fn said(batch: &Batch) -> Vec<String> {
    let say = |record: &frostline_engine::SourceRecord| {
        let hour = Hour::parse(&record.value).unwrap();
        assert_eq!((record.sink, record.key.as_slice()), (METAR_SINK, hour.station.as_bytes().as_slice()));
        assert_eq!((record.timestamp_ms, hour.source.as_deref()), (hour.time * 1_000, Some("metar")));
        let dew_point = hour.dew_point_c.map_or(String::new(), |dew_point| format!("/{dew_point}"));
        format!("{} {} {}{dew_point}", hour.station, crate::hourly::iso_time(hour.time), hour.temperature_c)
    };
    batch.records.iter().map(say).collect()
}

/// A row of the newer form, whose fields after the place are `fields`.
fn row(text: &str, icao: &str, time: &str, fields: &str) -> String {
    let commas = ",".repeat(11 - fields.matches(',').count());
    format!("\"METAR {text}\",{icao},{time},33.6,-111.9,{fields}{commas}")
}

fn ksdl(clock: &str, temperature: &str) -> String {
    let (hour, minute) = clock.split_at(2);
    let text = format!("KSDL 28{clock}Z 00000KT 10SM CLR {temperature} A3012");
    row(&text, "KSDL", &format!("2026-11-28T{hour}:{minute}:00.000Z"), "")
}

#[test]
fn observations_of_known_stations_become_records() {
    let mut setting = Setting::new();
    let tenths = row(
        "KSFO 281756Z 28011KT 10SM SCT110 11/06 A3001 RMK AO2 SLP161 T01110056 $",
        "KSFO",
        "2026-11-28T17:56:00.000Z",
        "52.0,42.1,280,11",
    );
    let unknown = row("EGLL 281750Z 05005KT 05/04 Q1016", "EGLL", "2026-11-28T17:50:00.000Z", "5,4");
    let expected = ["USW00003192 2026-11-28T17:53:00Z 4/-3", "USW00023234 2026-11-28T17:56:00Z 11.1/5.6"];
    setting.canned.file(format!("{HEADER}\n{tenths}\n{unknown}\n{}\n", ksdl("1753", "04/M03")), "\"a\"");
    let batch = setting.poll();
    assert_eq!(said(&batch), expected, "the text counts, and not a field in °F");
    assert_eq!(batch.newest_ms, parse_time("2026-11-28T17:56:00Z").map(|time| time * 1_000));
    assert_eq!((batch.remark, batch.next_in), (None, None));
    assert_eq!(setting.position.len(), 3);
    let asked = setting.canned.asked();
    assert_eq!(asked[0].url, "https://metar.example/data/cache/metars.cache.csv.gz");
    assert!(asked[0].validators.is_empty());

    setting.canned.then(Ok(Answer::Unchanged { fresh_for: None }));
    let nothing = setting.poll();
    assert!(nothing.is_empty());
    assert_eq!(nothing.newest_ms, batch.newest_ms, "a source is late by its newest observation");
    assert_eq!(setting.canned.asked()[0].validators, version("\"a\""));
    setting.canned.then(Ok(Answer::NotDue(Duration::from_secs(20))));
    assert_eq!(setting.poll().next_in, Some(Duration::from_secs(20)));
}

#[test]
fn both_forms_of_the_file_say_the_same() {
    let mut setting = Setting::new();
    let old = "KSDL 281753Z 00000KT 10SM CLR 04/M03 A3012,KSDL,2026-11-28T17:53:00Z,33.6,-111.9,,,,,,,,,,,,";
    let expected = ["USW00003192 2026-11-28T17:53:00Z 4/-3"];
    assert_eq!(setting.text(&format!("{OLD_BEGINNING}{HEADER}\n{old}\n")), expected);
    assert!(setting.rows(&[&ksdl("1753", "04/M03")]).is_empty(), "the form changes, and nothing is repeated");
}

#[test]
fn nothing_is_repeated() {
    let mut setting = Setting::new();
    let (early, late) = (ksdl("1653", "05/M03"), ksdl("1753", "04/M03"));
    assert_eq!(setting.rows(&[&early]).len(), 1);
    assert_eq!(setting.rows(&[&late, &early, &late]), ["USW00003192 2026-11-28T17:53:00Z 4/-3"]);
    let before = setting.position.clone();
    for rows in [vec![&late, &early], vec![&early, &late], vec![&early], vec![], vec![&late, &late]] {
        let rows: Vec<&str> = rows.into_iter().map(String::as_str).collect();
        setting.canned.file(format!("{HEADER}\n{}\n", rows.join("\n")), "\"same\"");
        let batch = setting.poll();
        assert!(batch.is_empty(), "{rows:?}: {batch:?}");
    }
    assert_eq!(setting.position, before);
    setting.canned.file(format!("{HEADER}\n{late}\n"), "\"other\"");
    let batch = setting.poll();
    assert!(batch.records.is_empty());
    assert_eq!(batch.changes.len(), 1, "the version of the file alone");
    let mut restarted = Setting { position: setting.position.clone(), ..Setting::new() };
    assert!(restarted.rows(&[&early, &late]).is_empty(), "another process");
}

#[test]
fn observations_come_in_the_order_of_their_times() {
    let mut setting = Setting::new();
    let ksfo = |clock: &str| ksdl(clock, "11/06").replace("KSDL", "KSFO");
    let times =
        setting.rows(&[&ksdl("1753", "04/M03"), &ksdl("1553", "05/M03"), &ksfo("1756"), &ksfo("1556")]);
    let times: Vec<&str> = times.iter().map(|said| &said[12..]).collect();
    let expected = ["T15:53", "T15:56", "T17:53", "T17:56"];
    assert!(times.iter().zip(expected).all(|(time, expected)| time.contains(expected)), "{times:?}");
}

#[test]
fn corrections_and_late_values_come_once() {
    let mut setting = Setting::new();
    let first = ksdl("1753", "04/M03");
    let corrected = first.replace("KSDL 281753Z", "COR KSDL 281753Z").replace("04/M03", "02/M03");
    let again = first.replace("281753Z", "281753Z CCB").replace("04/M03", "01/M03");
    assert_eq!(setting.rows(&[&first]), ["USW00003192 2026-11-28T17:53:00Z 4/-3"]);
    assert_eq!(setting.rows(&[&first, &corrected]), ["USW00003192 2026-11-28T17:53:00Z 2/-3"]);
    assert!(setting.rows(&[&corrected, &first]).is_empty() && setting.rows(&[&first]).is_empty());
    assert_eq!(setting.rows(&[&again, &corrected]), ["USW00003192 2026-11-28T17:53:00Z 1/-3"]);
    assert!(setting.rows(&[&corrected]).is_empty(), "an older file");

    let empty = row("KSFO 281756Z AUTO 28011KT", "KSFO", "2026-11-28T17:56:00.000Z", "null,null,280,11");
    let nines = row("KSFO 281756Z AUTO 28011KT", "KSFO", "2026-11-28T17:56:00.000Z", "-99.99,-99.99");
    let filled = row("KSFO 281756Z AUTO 28011KT", "KSFO", "2026-11-28T17:56:00.000Z", "7.5,,280,11");
    let moist = row("KSFO 281756Z AUTO 28011KT", "KSFO", "2026-11-28T17:56:00.000Z", "7.5,3.0,280,11");
    assert!(setting.rows(&[&empty]).is_empty() && setting.rows(&[&nines]).is_empty());
    assert_eq!(setting.rows(&[&filled]), ["USW00023234 2026-11-28T17:56:00Z 7.5"]);
    assert_eq!(setting.rows(&[&moist]), ["USW00023234 2026-11-28T17:56:00Z 7.5/3"]);
    assert!(setting.rows(&[&empty]).is_empty() && setting.rows(&[&filled]).is_empty(), "an older file");
}

#[test]
fn impossible_times_are_left_out() {
    let mut setting = Setting::new();
    let at = |time: &str| row("KSDL 281753Z 00000KT 04/M03 A3012", "KSDL", time, "");
    assert!(setting.rows(&[&at("2026-11-28T18:16:00.000Z"), &at("2026-11-25T17:59:00.000Z")]).is_empty());
    assert_eq!(setting.rows(&[&at("2026-11-28T18:15:00.000Z"), &at("2026-11-25T18:00:00.000Z")]).len(), 2);
}

#[test]
fn the_time_of_the_file_says_what_is_possible() {
    let mut setting = Setting::new();
    let mut file = |time: &str, last_modified: &str| {
        let row = row("KSDL 281700Z 00000KT M10/M12 A3012", "KSDL", time, "");
        let last_modified = Some(last_modified.to_owned());
        setting.canned.then(Ok(Answer::New(Fresh {
            bytes: format!("{HEADER}\n{row}\n").into_bytes(),
            validators: Validators { etag: None, last_modified },
            ..Fresh::default()
        })));
        said(&setting.poll()).len()
    };
    let (last_year, time) = ("2025-11-28T17:00:00.000Z", "2026-11-28T17:00:00.000Z");
    assert_eq!(file(last_year, "Fri, 28 Nov 2025 17:01:00 GMT"), 1, "it was new then");
    assert_eq!(file(time, "Sat, 28 Nov 2026 16:00:00 GMT"), 0, "it was an hour ahead then");
    assert_eq!(file(time, "Sat, 28 Nov 2026 17:01:00 GMT"), 1);
    assert_eq!(file("2026-11-25T16:00:00.000Z", "Sat, 28 Nov 2026 17:02:00 GMT"), 0);
}

#[test]
fn what_cannot_be_used_is_said() {
    let mut setting = Setting::new();
    let mut remark = |rows: &str| {
        setting.canned.file(format!("{HEADER}\n{rows}\n"), "");
        let batch = setting.poll();
        (batch.remark.unwrap_or_default(), batch.records.len())
    };
    let good = ksdl("1753", "04/M03");
    let (said, records) = remark(&format!("KSDL,KSDL\n{good}"));
    assert!(said.contains("2 fields") && records == 1, "{said}");
    let hot = row("KSFO 281756Z AUTO 28011KT", "KSFO", "2026-11-28T17:56:00.000Z", "75.2,");
    let (said, records) = remark(&format!("{hot}\n{good}"));
    assert!(said.contains("one of KSFO: temperature_c 75.2") && records == 0, "{said}");
    let (said, _) = remark(&row("EGLL 281750Z 05/04", "EGLL", "2026-11-28T17:50:00.000Z", "5,4"));
    assert!(said.contains("stations import --hourly"), "{said}");
}

#[test]
fn another_answer_is_an_error() {
    let mut setting = Setting::new();
    setting.canned.file("icaoId,obsTime\nKSDL,1\n", "");
    let error = poll(&mut setting.poller, &mut setting.position, setting.now_ms).unwrap_err();
    assert!(error.reason.contains("the form of the file may have changed"), "{error}");
    setting.canned.then(Ok(Answer::NotFound));
    let error = poll(&mut setting.poller, &mut setting.position, setting.now_ms).unwrap_err();
    assert!(error.reason.contains("metar.example") && error.reason.contains("404"), "{error}");
    setting.canned.then(Err(PollError::new("no")));
    assert!(poll(&mut setting.poller, &mut setting.position, setting.now_ms).is_err());
    assert!(setting.position.is_empty());
}
