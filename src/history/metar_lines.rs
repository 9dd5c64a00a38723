//! The lines of a file of METARs. A METAR lacks year and month, so a time must stand before it:
//!
//! ```text
//! 2016/01/31 04:56                             a line of its own, as in the cycle files of NOAA
//! KSFO 310456Z 28011KT 10SM 11/06 A3001
//! 201601310456 METAR KSFO 310456Z 28011KT 10SM 11/06 A3001=
//! 2016-01-31T04:56:00Z KSFO 310456Z 28011KT 10SM 11/06 A3001
//! ```
//!
//! A line that begins with a blank continues the previous METAR. Lines that begin with `#` are comments.

use std::ops::ControlFlow;

use super::hourly_line::Found;
use super::item::Flow;
use crate::hourly::{Metar, parse_time, utc_time};
use crate::noaa::IcaoIndex;

type Give<'a> = dyn FnMut(u64, &str, Found) -> Flow + 'a;

/// The state of reading the file.
pub(super) struct MetarLines<'a> {
    icao: &'a IcaoIndex,
    /// The time in the last line that contained only a time.
    cycle: Option<i64>,
    /// A METAR that the next line may continue.
    pending: Option<Pending>,
}

struct Pending {
    line: u64,
    near: Option<i64>,
    text: String,
}

impl<'a> MetarLines<'a> {
    pub(super) fn new(icao: &'a IcaoIndex) -> Self {
        Self { icao, cycle: None, pending: None }
    }

    /// Whether a line may be the first of such a file.
    pub(super) fn are_likely(line: &str) -> bool {
        match stamp(line.trim_end()) {
            Some((_, rest)) => rest.is_empty() || Metar::is_likely(rest),
            None => Metar::is_likely(line),
        }
    }

    /// Takes a line that is not empty. A METAR is passed on when the next one begins.
    pub(super) fn take(&mut self, number: u64, line: &str, give: &mut Give<'_>) -> Flow {
        let is_continuation = line.starts_with([' ', '\t']);
        let line = line.trim();
        match &mut self.pending {
            Some(pending) if is_continuation => {
                pending.text.push(' ');
                pending.text.push_str(line);
                Ok(ControlFlow::Continue(()))
            }
            _ => {
                let flow = self.finish(give)?;
                match stamp(line) {
                    Some((time, "")) => self.cycle = Some(time),
                    Some((time, text)) => self.begin(number, Some(time), text),
                    None => self.begin(number, self.cycle, line),
                }
                Ok(flow)
            }
        }
    }

    fn begin(&mut self, line: u64, near: Option<i64>, text: &str) {
        self.pending = Some(Pending { line, near, text: text.to_owned() });
    }

    /// Passes on the METAR that was read last.
    pub(super) fn finish(&mut self, give: &mut Give<'_>) -> Flow {
        match self.pending.take() {
            Some(pending) => give(pending.line, &pending.text, self.read(&pending)),
            None => Ok(ControlFlow::Continue(())),
        }
    }

    fn read(&self, Pending { near, text, .. }: &Pending) -> Found {
        let metar = match Metar::parse(text) {
            Ok(metar) => metar,
            Err(error) => return Found::Bad(error.to_string()),
        };
        if metar.is_nil {
            return Found::Nothing;
        }
        let Some(station) = self.icao.get(&metar.icao) else { return Found::Unknown(metar.icao) };
        let Some(near) = near else {
            let reason = "a METAR has no year and month, so it needs a time before it, as in \
                          2016-01-31T04:56:00Z KSFO 310456Z";
            return Found::Bad(reason.to_owned());
        };
        let Some(time) = metar.time(*near) else {
            let reason = "its day and time, as in 310456Z, are missing or more than three days from the time before it";
            return Found::Bad(reason.to_owned());
        };
        Found::of(metar.hour(station, time, text).map_err(|error| error.to_string()))
    }
}

/// The time at the start of a line, and the text after it.
fn stamp(line: &str) -> Option<(i64, &str)> {
    let (first, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let rest = rest.trim();
    let bytes = first.as_bytes();
    let part = |from: usize, to: usize| first.get(from..to).unwrap_or_default();
    let is_numeric = bytes.iter().all(u8::is_ascii_digit);
    let time = match bytes.len() {
        // A cycle file: date and time, and nothing else.
        10 if bytes[4] == b'/' && rest.len() == 5 => {
            return Some((utc_time(&format!("{}T{rest}", first.replace('/', "-")))?, ""));
        }
        12 if is_numeric => utc_time(&format!(
            "{}-{}-{}T{}:{}",
            part(0, 4),
            part(4, 6),
            part(6, 8),
            part(8, 10),
            part(10, 12)
        )),
        17.. if bytes[4] == b'-' => parse_time(first),
        _ => None,
    };
    Some((time?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hourly::iso_time;
    use crate::noaa::{HourlyList, Station};

    fn stations() -> IcaoIndex {
        let list = HourlyList::parse("GHCN_ID,LATITUDE,LONGITUDE,NAME,ICAO").unwrap();
        let station =
            |line: &str| -> Station { list.station(line, &Default::default(), &Default::default()).unwrap() };
        IcaoIndex::new(&[
            station("USW00023234,37.62,-122.37,SAN FRANCISCO,KSFO"),
            station("USW00003192,33.62,-111.91,SCOTTSDALE,KSDL"),
        ])
    }

    fn read(text: &str) -> Vec<String> {
        let icao = stations();
        let mut lines = MetarLines::new(&icao);
        let mut found = Vec::new();
        let mut give = |line: u64, _: &str, what: Found| {
            match what {
                Found::Nothing => {}
                Found::Hour(hour) => {
                    found.push(format!(
                        "{line} {} {} {}",
                        hour.station,
                        iso_time(hour.time),
                        hour.temperature_c
                    ));
                }
                Found::Unknown(icao) => found.push(format!("{line} unknown {icao}")),
                Found::Bad(reason) => found.push(format!("{line} {reason}")),
            }
            Ok(ControlFlow::Continue(()))
        };
        // The reader passes over empty lines and comments.
        let is_passed_over = |line: &str| line.trim().is_empty() || line.starts_with('#');
        for (number, line) in (1..).zip(text.lines()).filter(|(_, line)| !is_passed_over(line)) {
            let _ = lines.take(number, line, &mut give).unwrap();
        }
        let _ = lines.finish(&mut give).unwrap();
        found
    }

    #[test]
    fn all_layouts_give_the_same() {
        let metar = "KSFO 310456Z 28011KT 10SM 11/06 A3001 RMK AO2 T01110056";
        for (text, line) in [
            (format!("2016/01/31 04:56\n{metar}\n\n"), 2),
            (format!("# all of a day\n201601310456 METAR {metar}=\n"), 2),
            (format!("2016-01-31T04:56:00Z {metar}\n"), 1),
            (format!("201601310456 METAR {}\n   RMK AO2 T01110056=\n", &metar[..38]), 1),
        ] {
            assert_eq!(read(&text), [format!("{line} USW00023234 2016-01-31T04:56:00Z 11.1")], "{text}");
            let first = text.lines().find(|line| !line.starts_with('#')).unwrap();
            assert!(MetarLines::are_likely(first), "{first}");
        }
    }

    #[test]
    fn a_cycle_file_goes_on() {
        let text = "2016/01/31 23:53\nKSDL 312353Z 00000KT 10SM CLR M01/M06 A3012\n\n2016/02/01 00:00\n\
                    KSDL 312358Z 00000KT CLR M02/M06\nXXXX 010000Z 11/06\nKSFO 010000Z NIL\n";
        assert_eq!(
            read(text),
            [
                "2 USW00003192 2016-01-31T23:53:00Z -1",
                "5 USW00003192 2016-01-31T23:58:00Z -2",
                "6 unknown XXXX"
            ]
        );
    }

    #[test]
    fn invalid_lines_have_reasons() {
        for (text, reason) in [
            ("KSFO 310456Z 11/06", "no year and month"),
            ("201602150000 KSFO 310456Z 11/06", "three days"),
            ("201601310456 KSFO 11/06", "missing"),
            ("201601310456 what is this?", "ICAO id"),
            ("201601310456 KSFO 310456Z 99/26", "temperature_c"),
        ] {
            let found = read(text);
            assert!(found.len() == 1 && found[0].contains(reason), "{found:?}");
        }
        for line in ["2016/13/31 04:56", "what is this?", "USW00003192,20160215,AWND,14,,,W,", "310456Z KSFO"]
        {
            assert!(!MetarLines::are_likely(line), "{line}");
        }
    }
}
