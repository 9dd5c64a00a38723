//! NOAA's daily data, followed by differences.
//!
//! NOAA publishes how the archive of one day differs from that of an earlier one: inserted, updated and deleted
//! lines. The differences form a chain: the position has the day up to which the archive is known, and only a
//! difference that starts exactly there comes next. If there are later ones but none that starts there, the chain is
//! broken, and the files of this year and the last one are read instead; deletions in between are not seen then.
//!
//! A poll sends at most one request, and emits a bounded number of lines; the position has the number of lines of a
//! file that are done. The file itself is in a temporary file, and another process that continues fetches it again.

mod lines;
mod names;
#[cfg(test)]
mod tests;
mod year;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use frostline_engine::{Batch, PollError, Poller, Position, SourceRecord};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use self::lines::{Lines, as_by_year};
use self::names::{Difference, Next, compact, differences, next};
use self::year::Download;
use super::client::{Answer, Fetch, Fresh, Request};
use crate::noaa::{Date, StationId};
use crate::stages::CHANGE_HEADER;

/// The name of the sink for lines.
pub const GHCN_SINK: &str = "lines";

/// The list of differences has a few kilobytes a year.
const LISTING_BYTES_MAX: usize = 8 << 20;
/// A difference usually has 300 kB; after a reconstruction of the archive it may have far more.
const DIFFERENCE_BYTES_MAX: usize = 64 << 20;
const DIFFERENCE_UNPACKED_MAX: u64 = 2 << 30;
/// Most days that a difference may span when names are tried because there is no list.
const SPAN_MAX: i32 = 10;
/// A poll skips up to this many times as many unwanted lines as it may emit.
const PASSED_SHARE: usize = 20;
const DAY_MS: i64 = 86_400_000;
/// This many days after the end of a broken chain, a missing file of a year is no longer awaited.
const YEAR_WAIT_DAYS: i32 = 10;

/// The key of the day up to which the archive is known: eight digits.
const END_KEY: &[u8] = b"end";
/// The key of the file in progress.
const WORK_KEY: &[u8] = b"work";

/// The behaviour of the source.
#[derive(Clone, Debug)]
pub struct GhcnSettings {
    /// The address of the folder.
    pub base: String,
    /// Where to start at the very first start; `None` for after the newest difference.
    pub since: Option<Date>,
    /// Most lines per poll.
    pub lines_max: usize,
    /// The stations whose lines are emitted; `None` for all.
    pub stations: Option<HashSet<StationId>>,
}

impl GhcnSettings {
    /// All lines from now on, from the service at `base`.
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), since: None, lines_max: 50_000, stations: None }
    }
}

/// The poller of daily data; see the module's description.
pub struct Ghcn {
    fetch: Arc<dyn Fetch>,
    settings: GhcnSettings,
    /// The lines of the file in progress.
    lines: Option<Lines>,
    /// A year's file, as far as it has been fetched, and how many bytes to ask for next.
    download: Option<Download>,
    part_bytes: u64,
    /// While names are tried: how many days the next one spans.
    trial: Option<i32>,
}

/// A file in progress, as the position has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Work {
    /// The day up to which the archive is known afterwards: eight digits.
    end: String,
    /// The years whose files are read, the present one first; empty while it is a difference.
    years: Vec<u16>,
    /// The version of the file: for a year in the service's words, for a difference by its bytes.
    version: String,
    /// How many of its lines are done.
    lines: u64,
}

impl Ghcn {
    /// A poller that has fetched nothing yet.
    pub fn new(fetch: Arc<dyn Fetch>, settings: GhcnSettings) -> Self {
        Self { fetch, settings, lines: None, download: None, part_bytes: year::PART_BYTES_MAX, trial: None }
    }

    /// Looks for the file that follows `end`.
    fn look(&mut self, end: Option<Date>, now_ms: i64) -> Result<Batch, PollError> {
        if let (Some(end), Some(days)) = (end, self.trial) {
            return self.try_name(end, days, now_ms);
        }
        let url = format!("{}/superghcnd/", self.settings.base);
        let request = Request { is_html: true, ..Request::text(&url, LISTING_BYTES_MAX, LISTING_BYTES_MAX) };
        let found = match self.fetch.get(&request) {
            Ok(Answer::NotDue(wait)) => return Ok(Batch { next_in: Some(wait), ..Batch::default() }),
            Ok(Answer::New(Fresh { bytes, .. })) => {
                let found = differences(&String::from_utf8_lossy(&bytes));
                match found.is_empty() {
                    true => Err(PollError::new(format!("{url}: it lists no differences"))),
                    false => Ok(found),
                }
            }
            Ok(Answer::Unchanged { .. }) => return Ok(Batch::default()),
            Ok(Answer::NotFound) => {
                Err(PollError::new(format!("{url}: the list of differences does not exist (404)")))
            }
            Err(error) => Err(error),
        };
        match (found, end) {
            (Ok(found), None) => Ok(begin(&found)),
            (Ok(found), Some(end)) => Ok(go_on(&found, end, now_ms)),
            // Without a list the next name can be guessed, but not the first one.
            (Err(error), None) => Err(error),
            (Err(error), Some(_)) => {
                self.trial = Some(1);
                let remark = format!("searching for the next difference by its name: {}", error.reason);
                Ok(Batch { next_in: Some(Duration::ZERO), remark: Some(remark), ..Batch::default() })
            }
        }
    }

    /// Requests the difference from `end` that spans this many days.
    fn try_name(&mut self, end: Date, days: i32, now_ms: i64) -> Result<Batch, PollError> {
        self.trial = None;
        let to = Date::from_days_since_1970(end.days_since_1970() + days);
        let Some(to) = to.filter(|to| days <= SPAN_MAX && Some(*to) <= Date::from_unix_ms(now_ms)) else {
            return Ok(Batch::default());
        };
        let difference = Difference { from: end, to };
        match self.fetch_difference(difference)? {
            Answer::New(_) => {
                let mut batch = Batch { next_in: Some(Duration::ZERO), ..Batch::default() };
                set_work(&mut batch, &Work::of(difference));
                Ok(batch)
            }
            Answer::NotDue(wait) => {
                self.trial = Some(days);
                Ok(Batch { next_in: Some(wait), ..Batch::default() })
            }
            Answer::NotFound | Answer::Unchanged { .. } => {
                self.trial = Some(days + 1);
                Ok(Batch { next_in: Some(Duration::ZERO), ..Batch::default() })
            }
        }
    }

    /// Fetches a difference and decompresses it.
    fn fetch_difference(&mut self, difference: Difference) -> Result<Answer, PollError> {
        let name = difference.name();
        let url = self.settings.url(&name);
        let answer = self.fetch.get(&Request::packed(&url, DIFFERENCE_BYTES_MAX))?;
        if let Answer::New(fresh) = &answer {
            let file = Lines::of_difference(&fresh.bytes, DIFFERENCE_UNPACKED_MAX);
            // The same bytes are the same version, whatever the service calls it: no line is emitted twice.
            let digest = Sha256::digest(&fresh.bytes);
            let version = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
            let lines = file.and_then(|file| Lines::marked(name, version.into_bytes(), file));
            self.lines = Some(lines.map_err(|reason| PollError::new(format!("{url}: {reason}")))?);
        }
        Ok(answer)
    }

    /// Opens the lines of the file in progress, or fetches a part of it. `Ok(Some(batch))` if there is more to fetch.
    fn prepare(&mut self, work: &mut Work, from: Date, now_ms: i64) -> Result<Option<Batch>, PollError> {
        let name =
            work.name(from).ok_or_else(|| PollError::new("the position names a day that does not exist"))?;
        if self.lines.as_ref().is_none_or(|lines| lines.name != name) {
            self.lines = None;
            let answer = match work.years.first() {
                Some(year) => self.fetch_year(*year)?,
                None => match work.difference(from) {
                    Some(difference) => self.fetch_difference(difference)?,
                    None => Answer::NotFound,
                },
            };
            let next_in = match answer {
                Answer::New(_) if self.lines.is_some() => None,
                Answer::New(_) | Answer::Unchanged { .. } => Some(Duration::ZERO),
                Answer::NotDue(wait) => Some(wait),
                Answer::NotFound => return Ok(Some(without(work, now_ms))),
            };
            if next_in.is_some() {
                return Ok(Some(Batch { next_in, ..Batch::default() }));
            }
        }
        if let Some(lines) = &mut self.lines {
            let version = String::from_utf8_lossy(&lines.version).into_owned();
            if version != work.version {
                // This is another version than the one whose lines were counted.
                (work.version, work.lines) = (version, 0);
            }
            // After a poll that was not committed, the lines have advanced too far.
            if lines.done > work.lines {
                lines.rewind().map_err(|reason| self.settings.wrong(&name, &reason))?;
            }
            while lines.done < work.lines {
                let line = lines.next().map_err(|reason| self.settings.wrong(&name, &reason))?;
                if line.is_none() {
                    break;
                }
            }
        }
        Ok(None)
    }

    /// Emits lines up to the limit. Returns whether the file is done.
    fn emit(&mut self, batch: &mut Batch, now_ms: i64) -> Result<bool, PollError> {
        let Some(lines) = &mut self.lines else { return Ok(false) };
        let name = lines.name.clone();
        let wrong = |reason: String| self.settings.wrong(&name, &reason);
        let passed_max = self.settings.lines_max.saturating_mul(PASSED_SHARE);
        for _ in 0..passed_max {
            if batch.records.len() >= self.settings.lines_max {
                return Ok(false);
            }
            let Some((change, line)) = lines.next().map_err(wrong)? else { return Ok(true) };
            let key = line.split(|byte| *byte == b',').next().unwrap_or_default();
            let is_header = line.starts_with(b"ID,DATE,ELEMENT");
            let stations = self.settings.stations.as_ref();
            let is_other = |stations: &HashSet<StationId>| {
                StationId::parse(key).is_some_and(|station| !stations.contains(&station))
            };
            if line.is_empty() || is_header || stations.is_some_and(is_other) {
                continue;
            }
            batch.records.push(SourceRecord {
                sink: GHCN_SINK,
                key: key.to_vec(),
                value: as_by_year(line),
                headers: vec![(CHANGE_HEADER, change.as_str().into())],
                // Timestamps as in `replay`: with the days of the lines, Kafka would delete late values at once.
                timestamp_ms: now_ms,
            });
        }
        Ok(false)
    }

    /// Continues with the file in progress.
    fn give(&mut self, mut work: Work, from: Date, now_ms: i64) -> Result<Batch, PollError> {
        let mut batch = Batch { next_in: Some(Duration::ZERO), ..Batch::default() };
        let is_done = match self.prepare(&mut work, from, now_ms) {
            Ok(Some(batch)) => return Ok(batch),
            Ok(None) => self.emit(&mut batch, now_ms),
            Err(error) => Err(error),
        };
        if is_done.is_err() {
            self.lines = None;
        }
        let is_done = is_done?;
        if !is_done {
            work.lines = self.lines.as_ref().map_or(work.lines, |lines| lines.done);
            set_work(&mut batch, &work);
            return Ok(batch);
        }
        finish(&mut batch, &work);
        Ok(batch)
    }
}

impl GhcnSettings {
    /// The address of a file.
    fn url(&self, name: &str) -> String {
        let folder = if name.starts_with("superghcnd") { "superghcnd" } else { "by_year" };
        format!("{}/{folder}/{name}", self.base)
    }

    fn wrong(&self, name: &str, reason: &str) -> PollError {
        PollError::new(format!("{}: {reason}; fetching the file again", self.url(name)))
    }
}

impl Poller for Ghcn {
    fn poll(&mut self, position: &Position, now_ms: i64) -> Result<Batch, PollError> {
        let end = position.get(END_KEY).and_then(Date::parse_compact).or(self.settings.since);
        let work = position.get(WORK_KEY).map(serde_json::from_slice::<Work>).transpose();
        let work = work.map_err(|error| PollError::new(format!("the position cannot be read: {error}")))?;
        let mut batch = match (work, end) {
            (Some(work), Some(end)) => self.give(work, end, now_ms)?,
            _ => {
                // Everything emitted is committed, so the temporary files are no longer needed.
                (self.lines, self.download) = (None, None);
                self.look(end, now_ms)?
            }
        };
        let changed = batch.changes.iter().find(|(key, _)| key == END_KEY);
        let changed = changed.and_then(|(_, value)| Date::parse_compact(value.as_deref()?));
        let newest = changed.or_else(|| position.get(END_KEY).and_then(Date::parse_compact));
        batch.newest_ms = newest.map(|date| i64::from(date.days_since_1970()) * DAY_MS);
        Ok(batch)
    }
}

impl Work {
    fn of(difference: Difference) -> Self {
        Self { end: compact(difference.to), years: Vec::new(), version: String::new(), lines: 0 }
    }

    /// The difference, if it is one.
    fn difference(&self, from: Date) -> Option<Difference> {
        let to = Date::parse_compact(self.end.as_bytes())?;
        self.years.is_empty().then_some(Difference { from, to })
    }

    /// The name of the file.
    fn name(&self, from: Date) -> Option<String> {
        match self.years.first() {
            Some(year) => Some(year::name(*year)),
            None => Some(self.difference(from)?.name()),
        }
    }
}

/// The very first start: after the newest difference.
fn begin(found: &[Difference]) -> Batch {
    let mut batch = Batch::default();
    if let Some(newest) = found.iter().map(|difference| difference.to).max() {
        batch.set(END_KEY, compact(newest));
    }
    batch
}

/// Decides by the list which file is next.
fn go_on(found: &[Difference], end: Date, now_ms: i64) -> Batch {
    let mut batch = Batch { next_in: Some(Duration::ZERO), ..Batch::default() };
    match next(found, end) {
        Next::Nothing => batch.next_in = None,
        Next::Difference(difference) => set_work(&mut batch, &Work::of(difference)),
        Next::Gap(newest) => {
            let year = Date::from_unix_ms(now_ms).map_or(newest.to.year(), Date::year);
            // The newest difference is applied once more after the years: their files may be older than it.
            let (end_after, years) = (compact(newest.from), vec![year - 1, year]);
            batch.remark = Some(format!(
                "no difference starts at {end}, although later ones exist: reading the files of {} and {year} instead",
                year - 1
            ));
            set_work(&mut batch, &Work { end: end_after, years, version: String::new(), lines: 0 });
        }
    }
    batch
}

/// The file in progress does not exist: the list was out of date, or the year's file comes later. The source waits
/// for it, because it is the only source of the missing differences.
fn without(work: &Work, now_ms: i64) -> Batch {
    let mut batch = Batch::default();
    let Some(year) = work.years.first() else {
        batch.remove(WORK_KEY);
        return batch;
    };
    let days = |date: Date| date.days_since_1970();
    let waited =
        Date::from_unix_ms(now_ms).map_or(0, days) - Date::parse_compact(work.end.as_bytes()).map_or(0, days);
    if waited <= YEAR_WAIT_DAYS {
        batch.remark = Some(format!("there is no file of {year} yet; waiting for it"));
    } else {
        batch.remark = Some(format!("there is no file of {year}: continuing without it"));
        batch.next_in = Some(Duration::ZERO);
        finish(&mut batch, work);
    }
    batch
}

/// All lines of the file are done: the next year follows, or the end moves.
fn finish(batch: &mut Batch, work: &Work) {
    match work.years.get(1..) {
        Some(years) if !years.is_empty() => {
            set_work(
                batch,
                &Work { years: years.to_vec(), version: String::new(), lines: 0, ..work.clone() },
            );
        }
        _ => {
            batch.set(END_KEY, work.end.as_str());
            batch.remove(WORK_KEY);
        }
    }
}

fn set_work(batch: &mut Batch, work: &Work) {
    // Strings and numbers: serialising them cannot fail.
    batch.set(WORK_KEY, serde_json::to_vec(work).unwrap_or_default());
}
