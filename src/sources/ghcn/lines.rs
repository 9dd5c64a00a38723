//! Lines that have been fetched and are emitted part by part, from a temporary file.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::bounded::read_line;

/// Longest line, in bytes; usual ones have 40.
const LINE_BYTES_MAX: usize = 4_096;
/// The first bytes of gzip.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The change that a line makes to the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Insert,
    Update,
    Delete,
}

impl Change {
    /// The value of the record header.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }

    /// The change of the lines in a file of a difference.
    fn of_member(path: &Path) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|change| {
            path.file_name().is_some_and(|name| name == format!("{}.csv", change.as_str()).as_str())
        })
    }

    fn mark(self) -> u8 {
        self.as_str().as_bytes()[0]
    }

    fn of_mark(mark: u8) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete].into_iter().find(|change| change.mark() == mark)
    }
}

/// Lines to emit.
pub(super) struct Lines {
    /// The file and its version.
    pub(super) name: String,
    pub(super) version: Vec<u8>,
    file: File,
    is_packed: bool,
    input: Box<dyn BufRead + Send>,
    /// The change of all lines; `None` if a mark before each line has it.
    change: Option<Change>,
    /// How many have been read.
    pub(super) done: u64,
    line: Vec<u8>,
}

impl Lines {
    /// The lines of a difference: a compressed archive with files of inserted, updated and deleted lines. The whole
    /// archive is read first, so no line of a damaged one is emitted.
    ///
    /// # Errors
    /// The archive is damaged, truncated or too large, or has no such files.
    pub(super) fn of_difference(archive: &[u8], bytes_max: u64) -> Result<File, String> {
        let damaged = |error: io::Error| format!("the archive is damaged, truncated or too large ({error})");
        let input: Box<dyn Read + '_> = match archive.starts_with(&GZIP) {
            true => Box::new(MultiGzDecoder::new(archive)),
            false => Box::new(archive),
        };
        let mut input = Bounded { input, left: bytes_max };
        let mut output = BufWriter::new(tempfile::tempfile().map_err(no_file)?);
        let (mut members, mut line) = (0, Vec::new());
        let mut archive = tar::Archive::new(&mut input);
        for entry in archive.entries().map_err(damaged)? {
            let entry = entry.map_err(damaged)?;
            let change = entry.path().ok().and_then(|path| Change::of_member(&path));
            let Some(change) = change.filter(|_| entry.header().entry_type().is_file()) else { continue };
            members += 1;
            let mut entry = BufReader::new(entry);
            while read_line(&mut entry, &mut line, LINE_BYTES_MAX).map_err(damaged)? {
                let text = line.trim_ascii_end();
                let parts = [&[change.mark()], text, b"\n"];
                parts.into_iter().try_for_each(|part| output.write_all(part)).map_err(no_file)?;
            }
        }
        // To the trailer, which shows whether all was right.
        io::copy(&mut input, &mut io::sink()).map_err(damaged)?;
        if members == 0 {
            return Err("the archive has no insert.csv, update.csv or delete.csv".to_owned());
        }
        output.into_inner().map_err(|error| no_file(error.into_error()))
    }

    /// Reads lines with marks, as [`Lines::of_difference`] wrote them.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(super) fn marked(name: String, version: Vec<u8>, file: File) -> Result<Self, String> {
        let input = open(&file, false)?;
        Ok(Self { name, version, file, is_packed: false, input, change: None, done: 0, line: Vec::new() })
    }

    /// Reads a file of a year, compressed or not. All of it is read once first, so no line of a damaged one is
    /// emitted.
    ///
    /// # Errors
    /// The file is damaged, truncated or too large.
    pub(super) fn of_year(
        name: String,
        version: Vec<u8>,
        file: File,
        bytes_max: u64,
    ) -> Result<Self, String> {
        let damaged = |error: io::Error| format!("the file is damaged, truncated or too large ({error})");
        let mut beginning = Vec::new();
        open(&file, false)?.take(2).read_to_end(&mut beginning).map_err(no_file)?;
        let is_packed = beginning == GZIP;
        let mut whole = Bounded { input: open(&file, is_packed)?, left: bytes_max };
        io::copy(&mut whole, &mut io::sink()).map_err(damaged)?;
        let (input, change) = (open(&file, is_packed)?, Some(Change::Update));
        Ok(Self { name, version, file, is_packed, input, change, done: 0, line: Vec::new() })
    }

    /// Starts again with the first line.
    ///
    /// # Errors
    /// The temporary file cannot be read.
    pub(super) fn rewind(&mut self) -> Result<(), String> {
        self.input = open(&self.file, self.is_packed)?;
        self.done = 0;
        Ok(())
    }

    /// The next line, without its end.
    ///
    /// # Errors
    /// The temporary file cannot be read, or the line is too long.
    pub(super) fn next(&mut self) -> Result<Option<(Change, &[u8])>, String> {
        let read = read_line(&mut self.input, &mut self.line, LINE_BYTES_MAX);
        if !read.map_err(|error| format!("line {} cannot be read ({error})", self.done + 1))? {
            return Ok(None);
        }
        self.done += 1;
        let line = self.line.trim_ascii_end();
        match (self.change, line.split_first()) {
            (Some(change), _) => Ok(Some((change, line))),
            (None, Some((mark, line))) => match Change::of_mark(*mark) {
                Some(change) => Ok(Some((change, line))),
                None => Err(format!("line {} has no mark", self.done)),
            },
            (None, None) => Err(format!("line {} has no mark", self.done)),
        }
    }
}

/// Reads the file from its beginning. Earlier readers of it must not be used afterwards.
fn open(mut file: &File, is_packed: bool) -> Result<Box<dyn BufRead + Send>, String> {
    file.seek(SeekFrom::Start(0)).map_err(no_file)?;
    let file = BufReader::new(file.try_clone().map_err(no_file)?);
    Ok(if is_packed { Box::new(BufReader::new(MultiGzDecoder::new(file))) } else { Box::new(file) })
}

fn no_file(error: io::Error) -> String {
    format!(
        "a temporary file cannot be written or read ({error}); check the space in the directory for temporary files"
    )
}

/// Reads at most this many bytes.
struct Bounded<R> {
    input: R,
    left: u64,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        match self.left.checked_sub(read as u64) {
            Some(left) => self.left = left,
            None => return Err(io::Error::other("it has more bytes than are accepted")),
        }
        Ok(read)
    }
}

/// A line in the form of `by_year` files, for the stage that reads those: eight fields, and a time with four digits.
/// Differences also have `700` for `0700`, or omit the last field. Other lines stay as they are.
pub(super) fn as_by_year(line: &[u8]) -> Vec<u8> {
    let mut value = line.to_vec();
    match line.iter().filter(|byte| **byte == b',').count() {
        6 => value.push(b','),
        7 => {
            let start = line.iter().rposition(|byte| *byte == b',').map_or(0, |comma| comma + 1);
            let time = &line[start..];
            if (1..4).contains(&time.len()) && time.iter().all(u8::is_ascii_digit) {
                let zeros = 4 - time.len();
                value.splice(start..start, std::iter::repeat_n(b'0', zeros));
            }
        }
        _ => {}
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_get_the_form_of_by_year_files() {
        for (line, expected) in [
            ("USC00137859,20170328,TMAX,117,,,H,700", "USC00137859,20170328,TMAX,117,,,H,0700"),
            ("USC00137859,20170328,TMAX,117,,,H,0700", "USC00137859,20170328,TMAX,117,,,H,0700"),
            ("USC00137859,20170328,TMAX,117,,,H,", "USC00137859,20170328,TMAX,117,,,H,"),
            ("USC00137859,20170328,TMAX,117,,,H", "USC00137859,20170328,TMAX,117,,,H,"),
            ("USC00137859,20170328,TMAX,117,,,H,7x0", "USC00137859,20170328,TMAX,117,,,H,7x0"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(String::from_utf8(as_by_year(line.as_bytes())).unwrap(), expected);
        }
    }
}
