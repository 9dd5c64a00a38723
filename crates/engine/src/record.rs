//! A Kafka record as the stages see it: borrowed bytes and their origin, independent of any client.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::fault::clock_shift_ms;

/// Reads the headers of a record; they are copied only if something asks for them.
///
/// Implemented by the client's own record and by plain lists (tests, files).
pub trait ReadHeaders {
    /// Calls `visit` with each header's name and value, in their order.
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>));
}

/// One header: its name, and its value (`None` if the producer sent null).
pub type Header = (String, Option<Vec<u8>>);

impl ReadHeaders for [Header] {
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        for (name, value) in self {
            visit(name, value.as_deref());
        }
    }
}

/// Headers of a list, for callers that need a type of known size.
pub struct HeaderList<'a>(pub &'a [Header]);

impl ReadHeaders for HeaderList<'_> {
    fn visit(&self, visit: &mut dyn FnMut(&str, Option<&[u8]>)) {
        self.0.visit(visit);
    }
}

/// No headers at all.
pub const NO_HEADERS: &[Header] = &[];

/// One record of a source topic. The bytes belong to the client's fetch buffer and are valid during the call only.
#[derive(Clone, Copy)]
pub struct Record<'a> {
    /// The topic that it was read from.
    pub topic: &'a str,
    /// The partition that it was read from.
    pub partition: i32,
    /// Its position in the partition.
    pub offset: i64,
    /// Its timestamp in milliseconds since 1970, or -1 if it has none.
    pub timestamp_ms: i64,
    /// Its key, which decides its partition; `None` if it has none.
    pub key: Option<&'a [u8]>,
    /// Its value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    /// Its headers; read only if the processor asks for them or a dead letter is written.
    pub headers: &'a dyn ReadHeaders,
}

/// One day, in milliseconds.
pub const DAY_MS: i64 = 86_400_000;

/// The wall clock, in milliseconds since 1970.
pub fn unix_ms() -> i64 {
    #[cfg(test)]
    if let Some(simulated) = crate::sim::host::unix_ms() {
        return simulated;
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX).saturating_add(clock_shift_ms())
}

/// The day of a record's timestamp, in days since 1970: the age of state is measured by the records' own clock.
pub fn day_of(timestamp_ms: i64) -> u32 {
    u32::try_from(timestamp_ms.max(0) / DAY_MS).unwrap_or(u32::MAX)
}

/// The same at `now_ms`, tomorrow at the latest: a timestamp in the future must not make everything look old.
pub(crate) fn day_at(timestamp_ms: i64, now_ms: i64) -> u32 {
    day_of(timestamp_ms.min(now_ms + DAY_MS))
}
