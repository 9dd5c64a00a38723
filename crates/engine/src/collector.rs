//! Collects the outputs of a task in one growing buffer until the worker hands them to the producer.

use std::borrow::Cow;
use std::ops::Range;

use crate::record::Record;
use crate::topology::StageId;

/// Prefix of the headers that belong to the engine and to the stages that run on it.
pub const HEADER_PREFIX: &str = "frostline-";

/// Marks a record of the dead-letter topic that is not itself a dead letter: it says that the letter at the place in
/// this header's value was retried.
pub const RETRIED_HEADER: &str = "frostline-retried";

/// The topic of a stage that an output goes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// The stage's own topic.
    Output,
    /// A further topic of the stage, by its name in the topology; see [`Stage::named_sink`](crate::Stage::named_sink).
    Named(&'static str),
    /// The dead-letter topic.
    DeadLetters,
}

/// A header of an output: name and value.
pub type OutputHeader = (Cow<'static, str>, Option<Vec<u8>>);

/// The header of a dead letter with the reason.
pub(crate) const REASON_HEADER: &str = "frostline-reason";

/// Longest reason of a dead letter, in characters.
const REASON_CHARS_MAX: usize = 500;

struct Entry {
    sink: Sink,
    /// Range within `bytes`. Dead letters may have no key.
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    timestamp_ms: i64,
    headers: Vec<OutputHeader>,
}

/// One collected output.
pub struct Output<'a> {
    /// The topic it goes to.
    pub sink: Sink,
    /// Its key; `None` only for dead letters whose record had none.
    pub key: Option<&'a [u8]>,
    /// Its value; empty values are allowed.
    pub value: Option<&'a [u8]>,
    /// The timestamp of the record that caused it, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Its headers; usually none.
    pub headers: &'a [OutputHeader],
}

/// A place between two outputs.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    bytes: usize,
    entries: usize,
}

/// The outputs of one task since they were last taken.
#[derive(Default)]
pub struct Collector {
    bytes: Vec<u8>,
    entries: Vec<Entry>,
    /// Headers with the engine's own prefix that dead letters keep.
    kept_headers: &'static [&'static str],
    /// See [`drop_dead_letters`](Self::drop_dead_letters).
    drops_dead_letters: bool,
}

impl Collector {
    /// A collector whose dead letters keep these headers of the record, although they have the engine's prefix.
    pub fn keeping(kept_headers: &'static [&'static str]) -> Self {
        Self { kept_headers, ..Self::default() }
    }

    /// Adds an output to the stage's topic; `write` appends the value to the buffer.
    pub fn emit(&mut self, key: &[u8], timestamp_ms: i64, write: impl FnOnce(&mut Vec<u8>)) {
        self.emit_to(Sink::Output, key, timestamp_ms, write);
    }

    /// As [`emit`](Self::emit), to any topic of the stage.
    pub fn emit_to(&mut self, sink: Sink, key: &[u8], timestamp_ms: i64, write: impl FnOnce(&mut Vec<u8>)) {
        let key = self.append(key);
        let start = self.bytes.len();
        write(&mut self.bytes);
        let value = Some(start..self.bytes.len());
        self.entries.push(Entry { sink, key: Some(key), value, timestamp_ms, headers: Vec::new() });
    }

    /// Adds a header to the output that was emitted last.
    pub fn header(&mut self, name: &'static str, value: &[u8]) {
        if let Some(entry) = self.entries.last_mut() {
            entry.headers.push((Cow::Borrowed(name), Some(value.to_vec())));
        }
    }

    /// Adds a dead letter with the original key, `value` and headers; origin and reason are added as headers. Returns
    /// `false` if it was written before: the record is being read again because its stage was set back.
    pub fn dead_letter(
        &mut self,
        stage: StageId,
        record: &Record<'_>,
        value: Option<&[u8]>,
        reason: &str,
    ) -> bool {
        if self.drops_dead_letters {
            return false;
        }
        let (mut headers, kept_headers) = (Vec::new(), self.kept_headers);
        record.headers.visit(&mut |name, value| {
            // A dead letter that was retried and failed again carries only its newest reason.
            if !name.starts_with(HEADER_PREFIX) || kept_headers.contains(&name) {
                headers.push((Cow::Owned(name.to_owned()), value.map(<[u8]>::to_vec)));
            }
        });
        say_why(&mut headers, stage, reason, record.topic);
        say(&mut headers, "frostline-partition", record.partition.to_string());
        say(&mut headers, "frostline-offset", record.offset.to_string());
        say(&mut headers, "frostline-timestamp-ms", record.timestamp_ms.to_string());
        let key = record.key.map(|key| self.append(key));
        let value = value.map(|value| self.append(value));
        let timestamp_ms = record.timestamp_ms;
        self.entries.push(Entry { sink: Sink::DeadLetters, key, value, timestamp_ms, headers });
        true
    }

    /// Where the next output begins.
    pub(crate) fn mark(&self) -> Mark {
        Mark { bytes: self.bytes.len(), entries: self.entries.len() }
    }

    /// Takes back all outputs since a mark.
    pub(crate) fn take_back(&mut self, mark: Mark) {
        self.bytes.truncate(mark.bytes);
        self.entries.truncate(mark.entries);
    }

    /// Sets whether dead letters are dropped from now on.
    pub(crate) fn drop_dead_letters(&mut self, drops: bool) {
        self.drops_dead_letters = drops;
    }

    /// The outputs, in the order in which they were emitted.
    pub fn outputs(&self) -> impl Iterator<Item = Output<'_>> {
        let bytes = &self.bytes;
        self.entries.iter().map(move |entry| Output {
            sink: entry.sink,
            key: entry.key.clone().map(|range| &bytes[range]),
            value: entry.value.clone().map(|range| &bytes[range]),
            timestamp_ms: entry.timestamp_ms,
            headers: &entry.headers,
        })
    }

    /// Size of the outputs in bytes, without headers.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Forgets all outputs. Keeps the memory, unless a burst has made it large.
    pub fn clear(&mut self) {
        const KEEP_BYTES: usize = 1 << 20;
        self.bytes.clear();
        self.bytes.shrink_to(KEEP_BYTES);
        self.entries.clear();
        self.entries.shrink_to(KEEP_BYTES / 64);
    }

    fn append(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        start..self.bytes.len()
    }
}

/// The headers of a dead letter that holds an output which is too large for the stage's own topic: those of the
/// output, and the reason. It has no partition and no offset, because it was never in that topic.
pub(crate) fn refused_headers(
    output: &Output<'_>,
    stage: StageId,
    topic: &str,
    reason: &str,
) -> Vec<OutputHeader> {
    let mut headers = output.headers.to_vec();
    say_why(&mut headers, stage, reason, topic);
    say(&mut headers, "frostline-timestamp-ms", output.timestamp_ms.to_string());
    headers
}

fn say_why(headers: &mut Vec<OutputHeader>, stage: StageId, reason: &str, topic: &str) {
    say(headers, "frostline-stage", stage.to_string());
    say(headers, REASON_HEADER, reason.chars().take(REASON_CHARS_MAX).collect());
    say(headers, "frostline-topic", topic.to_owned());
}

fn say(headers: &mut Vec<OutputHeader>, name: &'static str, value: String) {
    headers.push((Cow::Borrowed(name), Some(value.into_bytes())));
}
