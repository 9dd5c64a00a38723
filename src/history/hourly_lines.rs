//! Reads files of hourly observations: each observation becomes a document of `noaa-hourly`.

use std::collections::BTreeSet;
use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;

use anyhow::Context;

use super::form::Form;
use super::hourly_line::Found;
use super::item::{Bad, Flow, Given, Item};
use super::line::{BYTE_ORDER_MARK, LINE_BYTES_MAX, without_line_end};
use super::metar_lines::MetarLines;
use crate::bounded::read_line;
use crate::hourly::{AwcCsv, Ghcnh, HourlyCsv};
use crate::noaa::IcaoIndex;

/// This many unknown stations are logged by name.
const NAMED_MAX: usize = 5;

/// The readers, each after its header.
enum Reader<'a> {
    Csv(Option<HourlyCsv>),
    Ghcnh(Option<Ghcnh>),
    Awc(Option<AwcCsv>, &'a IcaoIndex),
    Metar(MetarLines<'a>),
}

impl<'a> Reader<'a> {
    fn new(form: Form, icao: Option<&'a IcaoIndex>) -> Result<Self, String> {
        let icao = || match icao {
            Some(icao) if icao.is_empty() => {
                Err("METARs name stations by ICAO id, but no station of --stations has one: use --stations \
                ghcnh-station-list.csv (NOAA's list of hourly stations)")
            }
            Some(icao) => Ok(icao),
            None => Err(
                "METARs name stations by ICAO id: add --stations ghcnh-station-list.csv, NOAA's list of hourly \
                stations, which has their GHCN ids",
            ),
        };
        Ok(match form {
            Form::Ghcnh => Self::Ghcnh(None),
            Form::AwcCsv => Self::Awc(None, icao()?),
            Form::Metar => Self::Metar(MetarLines::new(icao()?)),
            _ => Self::Csv(None),
        })
    }

    /// Reads a line with its number. METARs may continue in the next line, so `give` may get an earlier line.
    fn take(&mut self, number: u64, line: &str, give: &mut dyn FnMut(u64, &str, Found) -> Flow) -> Flow {
        if line.starts_with('#') {
            return Ok(ControlFlow::Continue(()));
        }
        let before_header = || Found::Bad("it has no header before it".to_owned());
        let found = match self {
            Self::Csv(columns) => match (HourlyCsv::parse(line), &columns) {
                (Some(header), _) => {
                    *columns = Some(header);
                    Found::Nothing
                }
                (None, Some(columns)) => Found::of(columns.read(line)),
                (None, None) => before_header(),
            },
            Self::Ghcnh(columns) => match &columns {
                // This line is a header: no station has the name of a column.
                Some(columns) if !line.starts_with("STATION|") && !line.starts_with("Station_ID|") => {
                    Found::of(columns.read(line))
                }
                _ => match Ghcnh::parse(line) {
                    Some(header) => {
                        *columns = Some(header);
                        Found::Nothing
                    }
                    None => before_header(),
                },
            },
            Self::Awc(columns, icao) => match (AwcCsv::parse(line), &columns) {
                (Some(header), _) => {
                    *columns = Some(header);
                    Found::Nothing
                }
                (None, Some(columns)) => awc(columns, line, icao),
                // Older files have lines about the query before the header.
                (None, None) => Found::Nothing,
            },
            Self::Metar(lines) => return lines.take(number, line, give),
        };
        give(number, line, found)
    }
}

fn awc(columns: &AwcCsv, line: &str, icao: &IcaoIndex) -> Found {
    match columns.read(line) {
        Err(reason) => Found::Bad(reason),
        Ok(report) => match icao.get(&report.metar.icao) {
            None => Found::Unknown(report.metar.icao),
            Some(station) => {
                let hour = report.metar.hour(station, report.time, &report.raw);
                Found::of(hour.map_err(|error| error.to_string()))
            }
        },
    }
}

/// Reads a file in one of the hourly formats, line by line.
pub(super) fn read_hourly(
    path: &Path,
    mut input: Box<dyn BufRead + Send>,
    (form, icao): (Form, Option<&IcaoIndex>),
    visit: &mut dyn FnMut(Given<'_>) -> Flow,
) -> Flow {
    let reader = Reader::new(form, icao).map_err(anyhow::Error::msg);
    let mut reader = reader.with_context(|| path.display().to_string())?;
    let (mut unknown, mut names) = (0_u64, BTreeSet::new());
    let mut give = |line: u64, text: &str, found: Found| match found {
        Found::Nothing => Ok(ControlFlow::Continue(())),
        Found::Hour(hour) => visit((Item { text: hour.to_json().as_bytes(), line }, Ok(()))),
        Found::Bad(reason) => visit((Item { text: text.as_bytes(), line }, Err(Bad { reason }))),
        Found::Unknown(icao) => {
            unknown += 1;
            if names.len() < NAMED_MAX {
                names.insert(icao);
            }
            Ok(ControlFlow::Continue(()))
        }
    };
    let mut line = Vec::with_capacity(4_096);
    let mut flow = ControlFlow::Continue(());
    for number in 1_u64.. {
        let read = read_line(&mut input, &mut line, LINE_BYTES_MAX);
        if !read.with_context(|| format!("{}:{number} cannot be read", path.display()))? {
            break;
        }
        let text = without_line_end(&line);
        let text = String::from_utf8_lossy(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
        if text.trim().is_empty() {
            continue;
        }
        flow = reader.take(number, &text, &mut give)?;
        if flow.is_break() {
            break;
        }
    }
    if let (Reader::Metar(lines), true) = (&mut reader, flow.is_continue()) {
        flow = lines.finish(&mut give)?;
    }
    if unknown > 0 {
        let (file, stations) = (path.display(), names);
        tracing::warn!(%file, reports = unknown, ?stations, "METARs of stations without a GHCN id skipped");
    }
    Ok(flow)
}
