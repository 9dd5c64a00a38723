//! The newest elements of a list, bounded in number and bytes.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::shorten::json_within;

/// Elements kept per list.
pub(super) const KEPT: usize = 500;
/// Larger elements are shortened. Alerts have one or two thousand bytes.
pub(super) const ELEMENT_BYTES_MAX: usize = 16 << 10;
/// Bytes kept per list, and so the limit of an answer.
pub(super) const LIST_BYTES_MAX: usize = 4 << 20;
/// How many lists there are.
pub(super) const LISTS: usize = 3;

/// A list whose newest elements are shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum List {
    Alerts,
    DeadLetters,
    Deliveries,
}

impl List {
    /// The name of its events in the stream.
    pub(super) fn event(self) -> &'static str {
        match self {
            Self::Alerts => "alert",
            Self::DeadLetters => "dead_letter",
            Self::Deliveries => "delivery",
        }
    }
}

/// Elements of a list with their timestamps in milliseconds since 1970, newest first.
#[derive(Default)]
pub(super) struct Elements {
    newest_first: VecDeque<(i64, Arc<str>)>,
    bytes: usize,
}

impl Elements {
    /// Adds an element, and returns it in the form that is kept.
    pub(super) fn add(&mut self, timestamp_ms: i64, element: &Map<String, Value>) -> Arc<str> {
        let element: Arc<str> = json_within(element, ELEMENT_BYTES_MAX).into();
        self.insert(timestamp_ms, Arc::clone(&element));
        element
    }

    /// Old elements are read partition by partition, so the next one may belong after others.
    fn insert(&mut self, timestamp_ms: i64, element: Arc<str>) {
        let place = self.newest_first.partition_point(|(other_ms, _)| *other_ms > timestamp_ms);
        self.bytes += element.len();
        self.newest_first.insert(place, (timestamp_ms, element));
        while self.newest_first.len() > KEPT || self.bytes > LIST_BYTES_MAX {
            let Some((_, oldest)) = self.newest_first.pop_back() else { break };
            self.bytes -= oldest.len();
        }
    }

    /// Up to `limit` elements, the newest first.
    pub(super) fn newest(&self, limit: usize) -> Vec<Arc<str>> {
        self.newest_first.iter().take(limit).map(|(_, element)| Arc::clone(element)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_come_first_whatever_partition_is_read_first() {
        let mut list = Elements::default();
        let take = |list: &mut Elements, times: std::ops::Range<i64>| {
            times.for_each(|ms| list.insert(ms, format!("{ms}").into()));
        };
        take(&mut list, 400..1_000);
        take(&mut list, 0..450);
        take(&mut list, 990..992);
        let newest = list.newest(12);
        let expected = ["999", "998", "997", "996", "995", "994", "993", "992", "991", "991", "990", "990"];
        assert!(newest.iter().map(|element| &**element).eq(expected), "{newest:?}");
        let list = list.newest_first;
        assert_eq!((list.len(), list.back().map(|(ms, _)| *ms)), (KEPT, Some(502)));
    }
}
