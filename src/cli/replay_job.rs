//! Sends a sequence of records into a topic, block by block.
//!
//! A block is a transaction: its records, dead letters, and the position after them, which counts the records of the
//! sequence that have been sent. The position is kept as an offset of a group that nobody joins, named after
//! everything that defines the sequence. A replay that is resumed reads it, skips that many records, and continues.
//! Its producer has the same transactional id, so a transaction that a killed replay left open is aborted before the
//! position is read.

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use frostline_engine::kafka::{
    Admin, ClientSettings, GroupOffsets, KafkaError, OffsetCommit, Outgoing, Producer, TransactionSettings,
};
use indicatif::ProgressBar;

use serde::Serialize;

use super::history_arguments::OnError;
use super::output;
use super::pace::{Calendar, Pace};
use crate::history::{Bad, Flow, Place, Plan, Watch, station_of, time_of};

/// A block ends after this many records.
const BLOCK_RECORDS: u64 = 50_000;
/// A block ends after this time, even with fewer records.
const BLOCK_TIME: Duration = Duration::from_millis(250);
/// A pause longer than this also ends a block: records that have been sent should not wait.
const PAUSE: Duration = Duration::from_millis(20);
/// How long registering with the brokers may take.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// Invalid lines that are logged one by one; further ones are only counted.
const TOLD_MAX: u64 = 5;

/// The result of a run.
#[derive(Default, Serialize)]
pub(super) struct ReplaySummary {
    pub(super) topic: String,
    pub(super) files: usize,
    /// Records sent by this run.
    pub(super) records: u64,
    /// Records that an earlier run sent.
    pub(super) resumed_after: u64,
    pub(super) without_key: u64,
    pub(super) bad: u64,
    pub(super) dead_letters: u64,
    pub(super) bytes: u64,
    pub(super) seconds: f64,
}

/// The records to send, and how.
pub(super) struct Job {
    pub(super) plan: Plan,
    /// The file with the stations of METARs, if there is one.
    pub(super) stations: Option<PathBuf>,
    pub(super) file_bytes: u64,
    pub(super) topic: String,
    pub(super) dead_letters: String,
    pub(super) pace: Pace,
    pub(super) calendar: Option<Calendar>,
    pub(super) resume: bool,
    pub(super) on_error: OnError,
    pub(super) is_exactly_once: bool,
    pub(super) namespace: String,
    pub(super) transaction_timeout_ms: u64,
    pub(super) settings: ClientSettings,
    pub(super) stop: Arc<AtomicBool>,
}

impl Job {
    /// Sends all records, or stops when it is asked to. Returns the place, in words.
    pub(super) fn send_all(&self) -> anyhow::Result<(ReplaySummary, String)> {
        let name = self.name();
        let transaction =
            TransactionSettings { transactional_id: name.clone(), timeout_ms: self.transaction_timeout_ms };
        let producer = Producer::new(&self.settings, self.is_exactly_once.then_some(&transaction))?;
        ready(&producer)?;
        let group = Admin::new(&self.settings)?.group(&name)?;
        let mut sender = Sender {
            job: self,
            producer,
            group,
            passed: 0,
            start_after: 0,
            in_block: 0,
            block_since: Instant::now(),
            start: Instant::now(),
            first_time: None,
            last_place: None,
            failure: None,
            summary: ReplaySummary { topic: self.topic.clone(), ..ReplaySummary::default() },
            bar: output::bar(self.file_bytes, "{wide_bar} {percent}%  {msg}  {eta} left"),
        };
        sender.begin()?;
        let position = Arc::<AtomicU64>::default();
        let shared = Mutex::new(sender);
        let lock = || shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (is_done, watch) = (AtomicBool::new(false), Watch { position: &position, stop: &self.stop });
        let outcome = std::thread::scope(|scope| {
            // While no record comes, those that have been sent must neither wait nor time out.
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    std::thread::sleep(BLOCK_TIME);
                    lock().commit_if_due();
                }
            });
            let outcome = self.plan.run(
                watch,
                &mut |place, text, bad| lock().bad(place, text, bad),
                &mut |place, text| record(&shared, place, text, &position),
            );
            is_done.store(true, Ordering::Relaxed);
            outcome
        });
        let mut sender = shared.into_inner().unwrap_or_else(PoisonError::into_inner);
        // Records that were sent count even if reading has failed, and the user must know how many.
        sender.commit()?;
        sender.producer.wait_acknowledged()?;
        sender.bar.finish_and_clear();
        if sender.passed < sender.start_after && outcome.is_ok() && !self.stop.load(Ordering::Relaxed) {
            anyhow::bail!(
                "the input has only {} records, but the earlier replay sent {}: this is a different input",
                sender.passed,
                sender.start_after
            );
        }
        let resume = if self.is_exactly_once { "; use --resume to continue there" } else { "" };
        match sender.summary.records {
            0 => outcome?,
            sent => outcome.with_context(|| format!("{sent} records were sent before{resume}"))?,
        }
        sender.summary.files = self.plan.files.len();
        sender.summary.seconds = sender.start.elapsed().as_secs_f64();
        let stopped_at = sender.stopped_at();
        Ok((sender.summary, stopped_at))
    }

    /// Names the sequence: the same for the same topic, files, order, selection and treatment of invalid lines.
    fn name(&self) -> String {
        let files: Vec<PathBuf> = self
            .plan
            .files
            .iter()
            .map(|file| std::path::absolute(file).unwrap_or_else(|_| file.clone()))
            .collect();
        let mut sequence = format!(
            "{} {files:?} {:?} {:?} {:?}",
            self.topic, self.plan.order, self.plan.selection, self.on_error
        );
        // Without it, the name is that of earlier versions, whose replays can be resumed.
        if let Some(units) = self.plan.settings.units {
            sequence.push_str(&format!(" {units:?}"));
        }
        // With other stations, other METARs are skipped.
        if let Some(stations) = &self.stations {
            sequence.push_str(&format!(" {stations:?}"));
        }
        let mut crc = flate2::Crc::new();
        crc.update(sequence.as_bytes());
        format!("{}frostline-replay-{:08x}", self.namespace, crc.sum())
    }
}

/// Registers with the brokers, which first end a transaction that a killed replay left open.
fn ready(producer: &Producer) -> Result<(), KafkaError> {
    let deadline = Instant::now() + READY_PATIENCE;
    loop {
        match producer.ready() {
            Err(KafkaError::Retry(_)) if Instant::now() < deadline => std::thread::sleep(PAUSE),
            outcome => return outcome,
        }
    }
}

/// Takes the next record of the sequence. While it waits for its turn, the block may end.
fn record(sender: &Mutex<Sender<'_>>, place: Option<Place<'_>>, text: &[u8], position: &AtomicU64) -> Flow {
    let lock = || sender.lock().unwrap_or_else(PoisonError::into_inner);
    let mut locked = lock();
    if locked.passed < locked.start_after {
        locked.passed += 1;
        return Ok(locked.flow());
    }
    if locked.summary.records.is_multiple_of(4_096) {
        locked.report(position);
    }
    loop {
        if locked.flow().is_break() {
            return Ok(ControlFlow::Break(()));
        }
        let wait = locked.wait(text);
        if wait.is_zero() {
            return locked.send_next(place, text);
        }
        if wait > PAUSE {
            locked.commit()?;
        }
        locked.report(position);
        drop(locked);
        std::thread::sleep(wait.min(Duration::from_millis(100)));
        locked = lock();
    }
}

struct Sender<'a> {
    job: &'a Job,
    producer: Producer,
    group: GroupOffsets,
    /// Records of the sequence and dead letters sent by this run or earlier ones.
    passed: u64,
    /// Records sent before this run.
    start_after: u64,
    in_block: u64,
    block_since: Instant,
    start: Instant,
    first_time: Option<i64>,
    last_place: Option<(PathBuf, u64)>,
    /// The end of a block that ended while no record came.
    failure: Option<anyhow::Error>,
    summary: ReplaySummary,
    bar: ProgressBar,
}

impl Sender<'_> {
    /// Reads the position, or starts a new one.
    fn begin(&mut self) -> anyhow::Result<()> {
        if !self.job.is_exactly_once {
            return Ok(());
        }
        if self.job.resume {
            let committed = self.group.committed(&self.job.topic, &[0])?;
            if committed.is_empty() {
                tracing::warn!(
                    "nothing to resume: no such replay was stopped; starting with the first record"
                );
            }
            let position = committed.first().map_or(0, |commit| commit.next_offset);
            self.start_after = u64::try_from(position).unwrap_or(0);
            self.summary.resumed_after = self.start_after;
            return Ok(());
        }
        // An older position of the same sequence must not count for this run.
        self.producer.send_positions(&self.group, &self.job.topic, &[OffsetCommit::new(0, 0)])?;
        Ok(self.producer.commit()?)
    }

    /// Sends the next record of the sequence.
    fn send_next(&mut self, place: Option<Place<'_>>, text: &[u8]) -> Flow {
        let is_other =
            |place: &Place<'_>| self.last_place.as_ref().is_none_or(|(_, line)| *line != place.line);
        if let Some(place) = place.filter(is_other) {
            match &mut self.last_place {
                Some((file, line)) if file == place.file => *line = place.line,
                last => *last = Some((place.file.to_owned(), place.line)),
            }
        }
        let key = key_of(text);
        self.summary.without_key += u64::from(key.is_none());
        self.send(&self.job.topic, key.as_deref(), text, &[])?;
        self.summary.records += 1;
        self.summary.bytes += text.len() as u64;
        self.count_sent()?;
        Ok(self.flow())
    }

    /// Counts the record that was just sent, and ends the block if it is time.
    fn count_sent(&mut self) -> anyhow::Result<()> {
        self.passed += 1;
        self.in_block += 1;
        let is_due = self.in_block.is_multiple_of(64) && self.block_since.elapsed() > BLOCK_TIME;
        if is_due || self.in_block >= BLOCK_RECORDS { self.commit() } else { Ok(()) }
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.job.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn send(
        &self,
        topic: &str,
        key: Option<&[u8]>,
        value: &[u8],
        headers: &[(Cow<'static, str>, Option<Vec<u8>>)],
    ) -> anyhow::Result<()> {
        let (value, partition) = (Some(value), None);
        let record = Outgoing { topic, partition, key, value, timestamp_ms: -1, headers, changelog: None };
        Ok(self.producer.send(&record)?)
    }

    /// How long the record must wait.
    fn wait(&mut self, text: &[u8]) -> Duration {
        let by_calendar = match (self.job.calendar, self.job.calendar.and_then(|_| time_of(text))) {
            (Some(calendar), Some(time)) => {
                let first = *self.first_time.get_or_insert(time);
                calendar.after(time - first).saturating_sub(self.start.elapsed())
            }
            _ => Duration::ZERO,
        };
        self.job.pace.wait(self.summary.records, self.start).max(by_calendar)
    }

    /// Ends a block that has lasted long enough. A failure is reported with the next record or at the end.
    fn commit_if_due(&mut self) {
        if self.failure.is_none() && self.in_block > 0 && self.block_since.elapsed() > BLOCK_TIME {
            self.failure = self.commit().err();
        }
    }

    /// Ends the block: from here on it counts.
    fn commit(&mut self) -> anyhow::Result<()> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        if self.in_block > 0 && self.job.is_exactly_once {
            let position = i64::try_from(self.passed).unwrap_or(i64::MAX);
            self.producer.send_positions(&self.group, &self.job.topic, &[OffsetCommit::new(0, position)])?;
            self.producer.commit()?;
        }
        self.in_block = 0;
        self.block_since = Instant::now();
        Ok(())
    }

    /// Decides about an invalid line. `true` to send it anyway.
    fn bad(&mut self, place: Place<'_>, text: &[u8], bad: &Bad) -> anyhow::Result<bool> {
        let at = format!("{}:{}", place.file.display(), place.line);
        self.summary.bad += 1;
        match self.job.on_error {
            OnError::Stop => anyhow::bail!("{at}: {}", bad.reason),
            _ if self.summary.bad > TOLD_MAX => {}
            _ => self.bar.suspend(|| tracing::warn!(at, reason = bad.reason, "this line cannot be parsed")),
        }
        match self.job.on_error {
            OnError::Pass => return Ok(true),
            OnError::DeadLetter if self.passed < self.start_after => self.passed += 1,
            OnError::DeadLetter => {
                let own = |name: &'static str, value: String| (Cow::Borrowed(name), Some(value.into_bytes()));
                let headers = [
                    own("frostline-stage", "replay".into()),
                    own("frostline-reason", bad.reason.clone()),
                    own("frostline-file", place.file.display().to_string()),
                    own("frostline-line", place.line.to_string()),
                ];
                self.send(&self.job.dead_letters, key_of(text).as_deref(), text, &headers)?;
                self.summary.dead_letters += 1;
                self.count_sent()?;
            }
            _ => {}
        }
        Ok(false)
    }

    fn report(&self, position: &AtomicU64) {
        self.bar.set_position(position.load(Ordering::Relaxed));
        let rate = self.summary.records as f64 / self.start.elapsed().as_secs_f64().max(0.001);
        let (records, rate) = (output::grouped(self.summary.records), output::grouped(rate as u64));
        self.bar.set_message(format!("{records} records  {rate}/s"));
    }

    fn stopped_at(&self) -> String {
        let records = output::grouped(self.passed);
        match &self.last_place {
            Some((file, line)) => format!("after {records} records, at {}:{line}", file.display()),
            None => format!("after {records} records"),
        }
    }
}

/// The station id of a line: the first field of CSV, `station.id` or `station_id` of JSON. A line without one is sent
/// without a key; the stage that reads it reports the problem.
fn key_of(text: &[u8]) -> Option<Vec<u8>> {
    match text.first() {
        Some(b'[') => None,
        Some(b'{') => station_of(text).map(|station| station.as_bytes().to_vec()),
        _ => memchr::memchr(b',', text).map(|comma| text[..comma].to_vec()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_keyed_by_their_station() {
        let key = |line: &str| key_of(line.as_bytes()).map(|key| String::from_utf8(key).unwrap());
        assert_eq!(key("USW00003192,20160215,AWND,14,,,W,").as_deref(), Some("USW00003192"));
        assert_eq!(
            key(r#"{"station":{"id":"USC00020287","x":1},"date":""}"#).as_deref(),
            Some("USC00020287")
        );
        assert_eq!(key(r#"{"station_id":"USC00020287"}"#).as_deref(), Some("USC00020287"));
        assert_eq!(key(r#"{"other":1}"#), None);
        assert_eq!(key("[{}]"), None);
        assert_eq!(key("no comma"), None);
    }
}
