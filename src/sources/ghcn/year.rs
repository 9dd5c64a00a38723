//! Files of years: 160 MB, so they are fetched in parts, each within the time of a poll, into a temporary file. A part
//! that does not come in time is asked for in smaller ones, which grow again with each that comes.

use std::fs::File;
use std::io::Write;

use frostline_engine::PollError;

use super::Ghcn;
use super::lines::Lines;
use crate::sources::client::{Answer, Fresh, Part, Request, Validators};

/// The largest and the smallest size of a part. The smallest comes in time at 25 kB a second.
pub(super) const PART_BYTES_MAX: u64 = 16 << 20;
const PART_BYTES_MIN: u64 = 1 << 20;
/// Most bytes of a compressed file.
const BYTES_MAX: u64 = 1 << 30;
/// Most bytes of a file after decompression.
const UNPACKED_MAX: u64 = 16 << 30;
/// After this many failures in a row a download starts again: the file may have changed without a sign from the service.
const FAILURES_MAX: u32 = 3;

/// `2026.csv.gz`.
pub(super) fn name(year: u16) -> String {
    format!("{year}.csv.gz")
}

/// A file, as far as it has been fetched.
pub(super) struct Download {
    year: u16,
    version: Validators,
    file: File,
    size: u64,
    failures: u32,
}

impl Download {
    fn new(year: u16, version: Validators) -> Result<Self, String> {
        let file =
            tempfile::tempfile().map_err(|error| format!("no temporary file can be created ({error})"))?;
        Ok(Self { year, version, file, size: 0, failures: 0 })
    }

    /// Appends a part. Returns whether the file is complete.
    fn take(&mut self, fresh: &Fresh) -> Result<bool, String> {
        self.file.write_all(&fresh.bytes).map_err(|error| {
            format!("a temporary file cannot be written ({error}); check the space in the directory for temporary files")
        })?;
        self.size += fresh.bytes.len() as u64;
        match fresh.part_of {
            Some(total) if total > BYTES_MAX => {
                Err(format!("the file has {total} bytes; at most {BYTES_MAX} are accepted"))
            }
            Some(total) if self.size > total || fresh.bytes.is_empty() => {
                Err(format!("the parts have {} bytes, but the file has {total}", self.size))
            }
            Some(total) => Ok(self.size == total),
            None => Ok(true),
        }
    }
}

impl Ghcn {
    /// Fetches the next part of a year's file; after the last one, returns its lines.
    pub(super) fn fetch_year(&mut self, year: u16) -> Result<Answer, PollError> {
        let url = self.settings.url(&name(year));
        let wrong = |reason: String| PollError::new(format!("{url}: {reason}"));
        let mut download = self.download.take().filter(|download| download.year == year);
        let from = download.as_ref().map_or(0, |download| download.size);
        let validators = download.as_ref().map(|download| download.version.clone()).unwrap_or_default();
        let part = Some(Part { from, bytes: self.part_bytes });
        // A service without support for parts sends the whole file; early in the year that is small enough.
        let request = Request { validators, part, ..Request::packed(&url, 2 * PART_BYTES_MAX as usize) };
        let answer = match self.fetch.get(&request) {
            Ok(answer) => answer,
            Err(error) => {
                self.part_bytes = (self.part_bytes / 4).max(PART_BYTES_MIN);
                self.download = download.filter(|download| download.failures + 1 < FAILURES_MAX);
                if let Some(download) = &mut self.download {
                    download.failures += 1;
                }
                return Err(error);
            }
        };
        let Answer::New(fresh) = &answer else {
            self.download = download;
            return Ok(answer);
        };
        let is_whole = fresh.part_of.is_none();
        let is_other = |download: &Download| download.version != fresh.validators;
        if from > 0 && (is_whole || download.as_ref().is_some_and(is_other)) {
            download = None;
            if !is_whole {
                // A part of another version: the next poll starts again.
                return Ok(answer);
            }
        }
        let mut download = match download {
            Some(download) => download,
            None => Download::new(year, fresh.validators.clone()).map_err(wrong)?,
        };
        download.failures = 0;
        self.part_bytes = (self.part_bytes * 2).min(PART_BYTES_MAX);
        if download.take(fresh).map_err(wrong)? {
            let version = download.version.to_bytes();
            let lines = Lines::of_year(name(year), version, download.file, UNPACKED_MAX);
            self.lines = Some(lines.map_err(wrong)?);
        } else {
            self.download = Some(download);
        }
        Ok(answer)
    }
}
