//! Reading a file of any form, record by record.

use std::io::BufRead;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};

use anyhow::Context;

use super::array::Objects;
use super::dly;
use super::form::Form;
use super::open::open_until;
use super::station_csv::Columns;
use super::units::Units;
use crate::bounded::read_line;
use crate::noaa::{Line, Reading, ReadingError, ViewError, check_json};

/// What some editors put before a text; in files that were joined it also stands before a line.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A record of a file.
#[derive(Clone, Copy, Debug)]
pub struct Item<'a> {
    /// A by_year line or a JSON document, without the end of line.
    pub text: &'a [u8],
    /// The line of the file in which it stands, from 1.
    pub line: u64,
}

/// What is wrong with a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// In a sentence.
    pub reason: String,
}

/// Whether to go on.
pub type Flow = anyhow::Result<ControlFlow<()>>;

/// A record, or what stands where one should be.
pub type Given<'a> = (Item<'a>, Result<(), Bad>);

/// Calls `visit` with each record of a file until it breaks off. Empty lines and headers are left out. Standard input
/// counts as ended once `stop` is set.
///
/// # Errors
/// Where the file cannot be opened or read to its end (a packed file that is cut off, say), with the line.
pub fn read(
    path: &Path,
    position: Arc<AtomicU64>,
    stop: &Arc<AtomicBool>,
    visit: &mut dyn FnMut(Given<'_>) -> Flow,
) -> Flow {
    read_in(None, path, position, stop, visit)
}

/// As [`read`]; a station CSV that does not say its units has these.
///
/// # Errors
/// As [`read`].
pub fn read_in(
    units: Option<Units>,
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
    match Form::of(start) {
        Form::JsonArray => read_array(path, input, visit),
        form => read_lines(path, input, (form, units), visit),
    }
}

fn read_array(path: &Path, input: Box<dyn BufRead + Send>, visit: &mut dyn FnMut(Given<'_>) -> Flow) -> Flow {
    let mut objects = Objects::new(input);
    loop {
        let line = objects.line;
        let object = objects.next().with_context(|| format!("{}:{line} cannot be read", path.display()))?;
        let Some(object) = object else { return Ok(ControlFlow::Continue(())) };
        // Records are one line each, whatever the array's layout.
        let text: Vec<u8> =
            object.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect();
        if visit((Item { text: &text, line }, check_document(&text)))?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
}

fn read_lines(
    path: &Path,
    mut input: Box<dyn BufRead + Send>,
    (form, units): (Form, Option<Units>),
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
            Form::JsonLines | Form::JsonArray => give(text, check_document(text))?,
            Form::Dly => expand(text, &mut give, |visit| dly::read_line(text, visit))?,
            Form::StationCsv => {
                let text_line = String::from_utf8_lossy(text);
                match columns.as_ref().filter(|_| !Columns::is_header(&text_line)) {
                    Some(columns) => expand(text, &mut give, |visit| columns.read_line(&text_line, visit))?,
                    None => {
                        let header = Columns::parse(&text_line, units).map_err(anyhow::Error::msg);
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

fn without_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    &line[..end]
}

type Give<'a> = dyn FnMut(&[u8], Result<(), Bad>) -> anyhow::Result<()> + 'a;

/// Gives the lines that a line of another form stands for, or that line itself, where it is wrong.
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

/// Gives a reading of another form as a by_year line, if that is one which the stages take. `text`: a buffer.
pub(super) fn give_line(
    reading: &Reading,
    text: &mut Vec<u8>,
    visit: &mut dyn FnMut(&[u8]),
) -> Result<(), ReadingError> {
    text.clear();
    reading.to_line_into(text);
    if let Line::Reading(_) = Reading::parse(text)? {
        visit(text);
    }
    Ok(())
}

/// A document must be a JSON object, as the stages read it; what it says is for them to find out.
fn check_document(text: &[u8]) -> Result<(), Bad> {
    check_json(text).map_err(|error: ViewError| Bad { reason: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

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
            "a document among lines is none of them"
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
            let flow = read_in(units, &path, Arc::default(), &Arc::default(), &mut |(item, _)| {
                found.push(String::from_utf8_lossy(item.text).into_owned());
                Ok(ControlFlow::Continue(()))
            });
            flow.map(|_| found)
        };
        let error = format!("{:#}", read(None).unwrap_err());
        assert!(error.contains("cdo.csv:1: the units"), "{error}");
        assert_eq!(read(Some(Units::Standard)).unwrap(), ["USC00020080,20160101,TMIN,11,,,,"]);
    }

    #[test]
    fn documents_that_no_stage_reads_are_refused() {
        for (text, is_sound) in [
            ("{\"a\":{\"b\":[1,\"\\ud83d\\ude00\"]}}", true),
            ("{\"TMIN\":1e999}", false),
            ("{\"a\":[{\"b\":-1e999}]}", false),
            ("{\"name\":\"\\ud800\"}", false),
            ("[1]", false),
            ("{\"a\":1} x", false),
        ] {
            assert_eq!(check_document(text.as_bytes()).is_ok(), is_sound, "{text}");
        }
    }
}
