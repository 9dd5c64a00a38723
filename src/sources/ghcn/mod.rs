//! NOAA's daily data, followed by its differences.
//!
//! NOAA publishes how the archive of one day differs from that of an earlier one: lines that were inserted, updated and
//! deleted. They are a chain: the position has the day up to which the archive is known, and only a difference that begins
//! exactly there comes next. If there are later ones but none that begins there, the chain is broken, and the files of this
//! year and the last one are read instead; what was deleted in between is not seen then.
//!
//! A poll sends one request at most, and emits a bounded number of lines; the position says how many lines of a file are
//! done. The file itself lies in a temporary file, and is fetched again if another process goes on.

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

/// The name of the sink of lines.
pub const GHCN_SINK: &str = "lines";

/// The list of differences has a few kilobytes a year.
const LISTING_BYTES_MAX: usize = 8 << 20;
/// A difference usually has 300 kB; after a reconstruction of the archive it may have far more.
const DIFFERENCE_BYTES_MAX: usize = 64 << 20;
const DIFFERENCE_UNPACKED_MAX: u64 = 2 << 30;
/// So many days a difference may span, where names are tried because there is no list.
const SPAN_MAX: i32 = 10;
/// Of lines that are not wanted, a poll passes over so many times the lines that it may emit.
const PASSED_SHARE: usize = 20;
const DAY_MS: i64 = 86_400_000;
/// So many days behind the end of a broken chain, a year's file that does not exist is no longer waited for.
const YEAR_WAIT_DAYS: i32 = 10;

/// The key of the day up to which the archive is known: eight digits.
const END_KEY: &[u8] = b"end";
/// The key of the file that is being given out.
const WORK_KEY: &[u8] = b"work";

/// How the source behaves.
#[derive(Clone, Debug)]
pub struct GhcnSettings {
    /// The address of the folder.
    pub base: String,
    /// Where to begin at the very first start; `None`: behind the newest difference.
    pub since: Option<Date>,
    /// Most lines of a poll.
    pub lines_max: usize,
    /// The stations whose lines are emitted; `None`: all.
    pub stations: Option<HashSet<StationId>>,
}

impl GhcnSettings {
    /// All lines from now on, of the service at `base`.
    pub fn new(base: &str) -> Self {
        Self { base: base.trim_end_matches('/').to_owned(), since: None, lines_max: 50_000, stations: None }
    }
}

/// See the module's description.
pub struct Ghcn {
    fetch: Arc<dyn Fetch>,
    settings: GhcnSettings,
    /// The lines of the file in work.
    lines: Option<Lines>,
    /// A year's file, as far as it has come.
    download: Option<Download>,
    /// While names are tried: how many days the next one spans.
    trial: Option<i32>,
}

/// A file that is being given out, as the position has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Work {
    /// The day up to which the archive is known when all is done: eight digits.
    end: String,
    /// The years whose files are read, the first of them now; empty while it is a difference.
    years: Vec<u16>,
    /// The version of the file: a year's in the service's words, a difference's by its bytes.
    version: String,
    /// So many lines of it are done.
    lines: u64,
}

impl Ghcn {
    /// A poller that has fetched nothing yet.
    pub fn new(fetch: Arc<dyn Fetch>, settings: GhcnSettings) -> Self {
        Self { fetch, settings, lines: None, download: None, trial: None }
    }

    /// Looks for what comes after `end`.
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
                if found.is_empty() {
                    Err(PollError::new(format!("{url}: it lists no differences")))
                } else {
                    Ok(found)
                }
            }
            Ok(Answer::Unchanged { .. }) => return Ok(Batch::default()),
            Ok(Answer::NotFound) => {
                Err(PollError::new(format!("{url}: there is no list of differences (404)")))
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
                let remark = format!("the next difference is looked for by its name: {}", error.reason);
                Ok(Batch { next_in: Some(Duration::ZERO), remark: Some(remark), ..Batch::default() })
            }
        }
    }

    /// Asks for the difference from `end` that spans so many days.
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

    /// Fetches a difference and unpacks it.
    fn fetch_difference(&mut self, difference: Difference) -> Result<Answer, PollError> {
        let name = difference.name();
        let url = self.settings.url(&name);
        let answer = self.fetch.get(&Request::packed(&url, DIFFERENCE_BYTES_MAX))?;
        if let Answer::New(fresh) = &answer {
            let file = Lines::of_difference(&fresh.bytes, DIFFERENCE_UNPACKED_MAX);
            // The same bytes are the same version, whatever the service calls it: no line is given out twice.
            let digest = Sha256::digest(&fresh.bytes);
            let version = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect::<String>();
            let lines = file.and_then(|file| Lines::marked(name, version.into_bytes(), file));
            self.lines = Some(lines.map_err(|reason| PollError::new(format!("{url}: {reason}")))?);
        }
        Ok(answer)
    }

    /// Has the lines of the file in work, or fetches some of it. `Ok(Some(batch))`: they are not there yet.
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
                // Another version than the one whose lines were counted.
                (work.version, work.lines) = (version, 0);
            }
            // After a poll that was not committed the lines have gone too far.
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

    /// Emits lines up to the bound. Returns whether the file is done.
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
                // As `replay` stamps them: by the days in the lines Kafka would delete late values at once.
                timestamp_ms: now_ms,
            });
        }
        Ok(false)
    }

    /// Goes on with the file in work.
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
        PollError::new(format!("{}: {reason}; the file is fetched again", self.url(name)))
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
                // All that was given out is committed, so the temporary files are no longer needed.
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

/// The very first start: behind the newest difference.
fn begin(found: &[Difference]) -> Batch {
    let mut batch = Batch::default();
    if let Some(newest) = found.iter().map(|difference| difference.to).max() {
        batch.set(END_KEY, compact(newest));
    }
    batch
}

/// Decides what is read next, by the list.
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
                "no difference begins at {end}, although later ones exist: the files of {} and {year} are read instead",
                year - 1
            ));
            set_work(&mut batch, &Work { end: end_after, years, version: String::new(), lines: 0 });
        }
    }
    batch
}

/// The file in work does not exist: the list was out of date, or the year's file comes later. It is waited for, since what
/// the missing differences had is nowhere else.
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
        batch.remark = Some(format!("there is no file of {year} yet, it is waited for"));
    } else {
        batch.remark = Some(format!("there is no file of {year}: the source goes on without it"));
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
    // Strings and numbers: there is nothing that can fail.
    batch.set(WORK_KEY, serde_json::to_vec(work).unwrap_or_default());
}
