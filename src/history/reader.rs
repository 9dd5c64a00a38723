//! Reads a file of any format, record by record.

use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use anyhow::Context;

use super::array::Objects;
use super::dly;
use super::form::{Form, Kind};
use super::hourly_lines::read_hourly;
use super::item::{Bad, Flow, Given, Item};
use super::line::{BYTE_ORDER_MARK, LINE_BYTES_MAX, without_line_end};
use super::open::open_until;
use super::read_settings::{Expected, ReadSettings};
use super::station_csv::Columns;
use crate::bounded::read_line;
use crate::noaa::{Line, Reading};

/// Calls `visit` with each record of a file of daily observations until it stops. Empty lines and headers are
/// skipped. Standard input counts as ended once `stop` is set.
///
/// # Errors
/// The file cannot be opened or read to its end (for example a truncated compressed file), with the line; or the file
/// holds hourly observations.
pub fn read(
    path: &Path,
    position: Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
    visit: &mut dyn FnMut(Given<'_>) -> Flow,
) -> Flow {
    let expected = Some(Expected { kind: Kind::Daily, by: "this command".to_owned() });
    read_in(&ReadSettings { expected, ..ReadSettings::default() }, path, position, stop, visit)
}

/// The interval of a file's observations, by its first bytes; `None` if these do not show it.
///
/// # Errors
/// It cannot be opened.
pub fn kind_of(path: &Path) -> anyhow::Result<Option<Kind>> {
    let mut input = open_until(path, Arc::default(), &Arc::default())?;
    let start = input.fill_buf().with_context(|| format!("{} cannot be read", path.display()))?;
    Ok(Form::of(start).kind_of(start))
}

/// As [`read`], with other settings.
///
/// # Errors
/// As [`read`]; also METARs without stations, and observations of another kind than wanted.
pub fn read_in(
    settings: &ReadSettings,
    path: &Path,
    position: Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
    visit: &mut dyn FnMut(Given<'_>) -> Flow,
) -> Flow {
    let mut input = open_until(path, position, stop)?;
    let unreadable = || format!("{} cannot be read", path.display());
    if input.fill_buf().with_context(unreadable)?.starts_with(BYTE_ORDER_MARK) {
        input.consume(BYTE_ORDER_MARK.len());
    }
    let start = input.fill_buf().with_context(unreadable)?;
    let form = Form::of(start);
    if let Some(expected) = &settings.expected {
        expected.check(path, form, start)?;
    }
    match form {
        Form::JsonArray => read_array(path, input, settings, visit),
        form if form.kind() == Some(Kind::Hourly) => {
            read_hourly(path, input, (form, settings.icao.as_deref()), visit)
        }
        form => read_lines(path, input, (form, settings), visit),
    }
}

fn read_array(
    path: &Path,
    input: Box<dyn BufRead + Send>,
    settings: &ReadSettings,
    visit: &mut dyn FnMut(Given<'_>) -> Flow,
) -> Flow {
    let mut objects = Objects::new(input);
    loop {
        let line = objects.line;
        let object = objects.next().with_context(|| format!("{}:{line} cannot be read", path.display()))?;
        let Some(object) = object else { return Ok(ControlFlow::Continue(())) };
        // Records have one line each, whatever the array's layout.
        let text: Vec<u8> =
            object.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        if visit((Item { text: &text, line }, settings.check_document(&text)))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

fn read_lines(
    path: &Path,
    mut input: Box<dyn BufRead + Send>,
    (form, settings): (Form, &ReadSettings),
    visit: &mut dyn FnMut(Given<'_>) -> Flow,
) -> Flow {
    let (mut line, mut columns) = (Vec::with_capacity(512), None::<Columns>);
    for number in 1_u64.. {
        let read = read_line(&mut input, &mut line, LINE_BYTES_MAX);
        if !read.with_context(|| format!("{}:{number} cannot be read", path.display()))? {
            break;
        }
        let text = without_line_end(&line);
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        if text.is_empty() {
            continue;
        }
        let mut flow = ControlFlow::Continue(());
        let mut give = |text: &[u8], checked: Result<(), Bad>| -> anyhow::Result<()> {
            if flow.is_continue() {
                flow = visit((Item { text, line: number }, checked))?;
            }
            Ok(())
        };
        match form {
            Form::ByYear => match Reading::parse(text) {
                Ok(Line::Header) => {}
                Ok(Line::Reading(_)) => give(text, Ok(()))?,
                Err(error) => give(text, Err(Bad { reason: error.to_string() }))?,
            },
            Form::JsonLines | Form::JsonArray => give(text, settings.check_document(text))?,
            Form::Dly => expand(text, &mut give, |visit| dly::read_line(text, visit))?,
            // The other formats are read elsewhere.
            Form::StationCsv | Form::HourlyCsv | Form::Ghcnh | Form::Metar | Form::AwcCsv => {
                let text_line = String::from_utf8_lossy(text);
                match columns.as_ref().filter(|_| !Columns::is_header(&text_line)) {
                    Some(columns) => expand(text, &mut give, |visit| columns.read_line(&text_line, visit))?,
                    None => {
                        let header = Columns::parse(&text_line, settings.units).map_err(anyhow::Error::msg);
                        columns = Some(header.with_context(|| format!("{}:{number}", path.display()))?);
                    }
                }
            }
        }
        if flow.is_break() {
            return Ok(flow);
        }
    }
    Ok(ControlFlow::Continue(()))
}

type Give<'a> = dyn FnMut(&[u8], Result<(), Bad>) -> anyhow::Result<()> + 'a;

/// Passes on the lines that a line of another format stands for, or that line itself if it is invalid.
fn expand(
    text: &[u8],
    give: &mut Give<'_>,
    read: impl FnOnce(&mut dyn FnMut(&[u8])) -> Result<(), String>,
) -> anyhow::Result<()> {
    let mut lines: Vec<u8> = Vec::new();
    let outcome = read(&mut |line| {
        lines.extend_from_slice(line);
        lines.push(b'\n');
    });
    match outcome {
        Ok(()) => lines
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .try_for_each(|line| give(line, Ok(()))),
        Err(reason) => give(text, Err(Bad { reason })),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Units;

    #[test]
    fn documents_show_their_kind() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |text: &str| {
            let path = dir.path().join("documents.jsonl");
            std::fs::write(&path, text).unwrap();
            kind_of(&path).unwrap()
        };
        let hour = r#"{"station_id":"USW00003192","time":"2026-11-28T18:53:00Z","temperature_c":0.8}"#;
        assert_eq!(kind(&format!("{hour}\n{hour}\n")), Some(Kind::Hourly));
        assert_eq!(kind("{\"station\":{\"id\":\"USW00003192\"},\"date\":\"2026-11-28\"}\n"), None);
    }

    fn items(name: &str, text: &str) -> Vec<(u64, String, bool)> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mut found = Vec::new();
        let _ = read(&path, Arc::default(), &Arc::default(), &mut |(item, checked)| {
            found.push((item.line, String::from_utf8_lossy(item.text).into_owned(), checked.is_ok()));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        found
    }

    #[test]
    fn lines_with_their_numbers() {
        let text = "ID,DATE,ELEMENT,DATA_VALUE\nUSC00027716,20160615,TMIN,-44,,S,7,\r\n\n{\"a\":1}\n";
        assert_eq!(
            items("a.csv", text),
            [(2, "USC00027716,20160615,TMIN,-44,,S,7,".to_owned(), true), (4, "{\"a\":1}".to_owned(), false)],
            "a document among lines is not a line"
        );
        let documents = items("a.jsonl", "{\"a\":1}\n{\"a\"\n[1]\n");
        assert_eq!(
            documents.iter().map(|(.., is_sound)| *is_sound).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(
            items("a.json", "[{\"a\":\n1},{}]"),
            [(1, "{\"a\": 1}".to_owned(), true), (2, "{}".to_owned(), true)]
        );
    }

    #[test]
    fn other_forms_become_lines() {
        let dly = "USC00027716201602TMIN  -44 S7-9999   \n";
        assert_eq!(items("a.dly", dly), [(1, "USC00027716,20160201,TMIN,-44,,S,7,".to_owned(), true)]);
        let csv =
            "STATION,DATE,TMIN,TMIN_ATTRIBUTES\nUSC00027716,2016-06-15,-44,\nUSC00027716,nonsense,-44,\n";
        assert_eq!(
            items("a.csv", csv),
            [
                (2, "USC00027716,20160615,TMIN,-44,,,,".to_owned(), true),
                (3, "USC00027716,nonsense,-44,".to_owned(), false)
            ]
        );
    }

    #[test]
    fn joined_files_are_read_each_by_its_own_header() {
        let first = "\u{feff}STATION,DATE,PRCP,TMAX,TMIN,TMIN_ATTRIBUTES\nUSC00020080,2016-01-01,0,144,11,\n";
        let second = "\u{feff}DATE,STATION,TMIN,TMIN_ATTRIBUTES\n2016-01-01,USC00021248,11,\n";
        let read: Vec<String> =
            items("ab.csv", &format!("{first}{second}")).into_iter().map(|(_, text, _)| text).collect();
        assert_eq!(
            read,
            [
                "USC00020080,20160101,PRCP,0,,,,",
                "USC00020080,20160101,TMAX,144,,,,",
                "USC00020080,20160101,TMIN,11,,,,",
                "USC00021248,20160101,TMIN,11,,,,",
            ]
        );
        let by_year = "\u{feff}ID,DATE,ELEMENT,DATA_VALUE\nUSC00027716,20160615,TMIN,-44,,,7,\n";
        assert_eq!(items("a.csv", &by_year.repeat(2)).len(), 2);
    }

    #[test]
    fn a_station_csv_in_unknown_units_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cdo.csv");
        std::fs::write(&path, "\"STATION\",\"DATE\",\"TMIN\"\n\"USC00020080\",\"2016-01-01\",\"34\"\n")
            .unwrap();
        let read = |units| {
            let mut found = Vec::new();
            let settings = ReadSettings { units, ..ReadSettings::default() };
            let flow = read_in(&settings, &path, Arc::default(), &Arc::default(), &mut |(item, _)| {
                found.push(String::from_utf8_lossy(item.text).into_owned());
                Ok(ControlFlow::Continue(()))
            });
            flow.map(|_| found)
        };
        let error = format!("{:#}", read(None).unwrap_err());
        assert!(error.contains("cdo.csv:1: the units"), "{error}");
        assert_eq!(read(Some(Units::Standard)).unwrap(), ["USC00020080,20160101,TMIN,11,,,,"]);
    }
}
