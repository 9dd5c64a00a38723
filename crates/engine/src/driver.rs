//! Runs a processor without a broker: pipe records in, read records out, look into the store, move the clock by hand.
//! For tests, and for programs that need a processor's answer for records at hand, such as a back-test.

use crate::record::{Header, HeaderList, NO_HEADERS, Record, day_at};
use crate::store::{Checkpoint, StateError, Store};
use crate::{Collector, Context, Counter, Counts, EngineSettings, Output, Processor, Sink, Stage, StageId};

/// The time at which drivers start: 2026-01-01.
const BEGIN_MS: i64 = 1_767_225_600_000;

/// One record that a processor wrote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Which topic of the stage it goes to.
    pub sink: Sink,
    /// Its key; `None` if it has none.
    pub key: Option<Vec<u8>>,
    /// Its value, as bytes.
    pub value: Option<Vec<u8>>,
    /// Its timestamp, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its headers, in order.
    pub headers: Vec<Header>,
}

impl Written {
    /// The value as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.value.as_deref().unwrap_or_default()).into_owned()
    }

    /// The value as JSON; null if it is not valid JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(self.value.as_deref().unwrap_or_default()).unwrap_or_default()
    }

    /// The text of a header; empty if it is missing.
    pub fn header(&self, name: &str) -> String {
        let found = self.headers.iter().find(|(found, _)| found == name);
        found
            .and_then(|(_, value)| value.as_deref())
            .map(String::from_utf8_lossy)
            .unwrap_or_default()
            .into_owned()
    }
}

/// One partition of one stage, processed as the engine does, with these differences: turns come only from
/// [`turn`](Self::turn) and [`advance_ms`](Self::advance_ms), while the engine gives one after each batch of records; a
/// commit comes only from [`commit`](Self::commit); and a panic of the processor is not caught.
pub struct TestDriver {
    stage: StageId,
    processor: Box<dyn Processor>,
    /// The partition's state, for tests to look into.
    pub store: Store,
    collector: Collector,
    /// Counts so far.
    pub counts: Counts,
    /// The clock, in milliseconds since 1970.
    pub now_ms: i64,
    next_offset: i64,
    idle_since_ms: Option<i64>,
    /// The newest day of the records, and the day for which expired entries were last deleted.
    stream_day: u32,
    swept_day: u32,
    muted_below: i64,
    /// The committed position: a restart reads from here.
    rewind_offset: i64,
}

impl TestDriver {
    /// Starts with an empty store, at offset 0, on 2026-01-01. Entries expire after the usual number of days.
    pub fn new(stage: StageId, processor: Box<dyn Processor>) -> Self {
        Self {
            stage,
            processor,
            store: Store::in_memory_for(EngineSettings::default().remember_days),
            collector: Collector::default(),
            counts: Counts::default(),
            now_ms: BEGIN_MS,
            next_offset: 0,
            idle_since_ms: Some(BEGIN_MS),
            stream_day: 0,
            swept_day: 0,
            muted_below: 0,
            rewind_offset: 0,
        }
    }

    /// As [`new`](Self::new), for a stage of a topology.
    pub fn of_stage(stage: &Stage) -> Self {
        let collector = Collector::keeping(stage.kept_headers);
        Self { collector, ..Self::new(stage.id, (stage.processor)()) }
    }

    /// Pipes a keyed value in, as the next record. Returns its offset.
    pub fn pipe(&mut self, key: &str, value: &str) -> Result<i64, StateError> {
        self.pipe_bytes(Some(key.as_bytes()), Some(value.as_bytes()), NO_HEADERS)
    }

    /// Pipes any record in. Returns its offset.
    pub fn pipe_bytes(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<i64, StateError> {
        let offset = self.next_offset;
        let headers = HeaderList(headers);
        let record = Record {
            topic: "source",
            partition: 0,
            offset,
            timestamp_ms: self.now_ms,
            key,
            value,
            headers: &headers,
        };
        self.pipe_record(&record)?;
        Ok(offset)
    }

    /// Pipes a record in as it is, with its own place and time; offsets may have gaps, as in a topic.
    pub fn pipe_record(&mut self, record: &Record<'_>) -> Result<(), StateError> {
        self.next_offset = record.offset + 1;
        self.idle_since_ms = Some(self.now_ms);
        let muted = record.offset < self.muted_below;
        self.counts[Counter::RECORDS_IN] += u64::from(!muted);
        self.stream_day = self.stream_day.max(day_at(record.timestamp_ms, self.now_ms));
        self.with_processor(muted, |processor, context| processor.process(record, context))
    }

    /// Moves the clock. A partition that has been idle for long enough is punctuated, as in the runtime.
    pub fn advance_ms(&mut self, ms: i64) -> Result<(), StateError> {
        self.now_ms += ms;
        let idle_ms = self.processor.idle_ms().and_then(|ms| i64::try_from(ms).ok());
        let due = self.idle_since_ms.zip(idle_ms).is_some_and(|(since, idle)| self.now_ms - since >= idle);
        if due {
            self.punctuate()?;
        }
        self.turn()
    }

    /// Punctuates the processor at once.
    pub fn punctuate(&mut self) -> Result<(), StateError> {
        self.idle_since_ms = None;
        self.with_processor(false, |processor, context| processor.punctuate(context))
    }

    /// Gives the processor a turn, as the runtime does repeatedly.
    pub fn turn(&mut self) -> Result<(), StateError> {
        self.with_processor(false, |processor, context| processor.turn(context))
    }

    fn with_processor(
        &mut self,
        muted: bool,
        work: impl FnOnce(&mut dyn Processor, &mut Context<'_>) -> Result<(), StateError>,
    ) -> Result<(), StateError> {
        let Self { stage, now_ms, store, collector, counts, .. } = self;
        let mut context = Context { muted, ..Context::new(*stage, *now_ms, store, collector, counts) };
        work(&mut *self.processor, &mut context)
    }

    /// Announces the end of the task to the processor; see [`Processor::stop`].
    pub fn stop(&mut self) {
        self.processor.stop();
    }

    /// How much has left the process without a known outcome; see [`Processor::on_its_way`].
    pub fn on_its_way(&self) -> usize {
        self.processor.on_its_way()
    }

    /// The outputs since the last commit or [`clear`](Self::clear), without a copy.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        self.collector.outputs()
    }

    /// Forgets the outputs without a commit; the state stays as it is.
    pub fn clear(&mut self) {
        self.collector.clear();
    }

    /// Commits, and returns the outputs since the last commit.
    pub fn commit(&mut self) -> Result<Vec<Written>, StateError> {
        self.rewind_offset = self.processor.rewind_offset().unwrap_or(self.next_offset);
        let input_offset = self.next_offset;
        if self.stream_day > self.swept_day && self.store.expire(self.stream_day, usize::MAX)? {
            self.swept_day = self.stream_day;
        }
        self.store.seal();
        self.processor.sealed();
        self.store.commit(Checkpoint { input_offset, changelog_offset: 0, at_ms: 0 })?;
        self.processor.committed();
        let written = self
            .collector
            .outputs()
            .map(|output| Written {
                sink: output.sink,
                key: output.key.map(<[u8]>::to_vec),
                value: output.value.map(<[u8]>::to_vec),
                timestamp_ms: output.timestamp_ms,
                headers: output
                    .headers
                    .iter()
                    .map(|(name, value)| (name.clone().into_owned(), value.clone()))
                    .collect(),
            })
            .collect();
        self.collector.clear();
        Ok(written)
    }

    /// Kills the task, keeping only what was committed, and starts `processor` in its place. The next record to pipe
    /// in is the one at the returned offset; outputs of records before the committed offset are muted.
    pub fn restart(&mut self, processor: Box<dyn Processor>) -> i64 {
        self.store.abort();
        self.collector.clear();
        self.processor = processor;
        let checkpoint = self.store.checkpoint();
        self.muted_below = checkpoint.input_offset.max(0);
        self.next_offset = self.rewind_offset;
        (self.idle_since_ms, self.stream_day, self.swept_day) = (Some(self.now_ms), 0, 0);
        self.next_offset
    }
}
