//! Hourly observations in all their forms: nothing panics, and an hour that is accepted is accepted again as a record.

#![no_main]

use frostline::hourly::{AwcCsv, Forecast, Ghcnh, Hour, HourlyCsv, Metar};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &[u8]| {
    let _ = Forecast::parse(text);
    if let Ok(hour) = Hour::parse(text) {
        let json = hour.to_json();
        let again = Hour::parse(json.as_bytes()).expect("its own record is accepted");
        assert_eq!(json, again.to_json());
    }
    let Ok(text) = std::str::from_utf8(text) else { return };
    let _ = Metar::parse(text);
    // The first line is the header.
    let Some((header, rows)) = text.split_once('\n') else { return };
    let (hourly, ghcnh, awc) = (HourlyCsv::parse(header), Ghcnh::parse(header), AwcCsv::parse(header));
    for row in rows.lines() {
        hourly.iter().for_each(|form| drop(form.read(row)));
        ghcnh.iter().for_each(|form| drop(form.read(row)));
        awc.iter().for_each(|form| drop(form.read(row)));
    }
});
