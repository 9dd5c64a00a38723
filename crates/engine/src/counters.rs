//! What a task has done: plain numbers, added up at each commit.

use std::fmt;
use std::ops::{AddAssign, Index, IndexMut};

use serde::ser::{Serialize, SerializeMap, Serializer};

/// How many counters an application may have in addition to the engine's own.
const APPLICATION_MAX: usize = 28;
const OWN: usize = 4;
const MAX: usize = OWN + APPLICATION_MAX;

/// One kind of thing that a stage counts: a name for metrics and summaries, and a place in [`Counts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counter {
    place: usize,
    name: &'static str,
    meaning: &'static str,
}

impl Counter {
    /// Records read.
    pub const RECORDS_IN: Self = Self { place: 0, name: "records_in", meaning: "" };
    /// Dead letters written.
    pub const DEAD_LETTERS: Self = Self { place: 1, name: "dead_letters", meaning: "" };
    /// Harmless records that need no work, such as tombstones.
    pub const SKIPPED: Self = Self { place: 2, name: "skipped", meaning: "" };
    /// Records skipped without reading them, because no output depends on them.
    pub const SKIPPED_UNREAD: Self = Self { place: 3, name: "skipped_unread", meaning: "" };

    /// A counter of the application: each has its own `place`, from 0. An application can print `meaning`
    /// next to the number; it may be empty.
    ///
    /// # Panics
    /// If `place` is 28 or more. In a constant this is a compile error.
    pub const fn new(place: usize, name: &'static str, meaning: &'static str) -> Self {
        assert!(place < APPLICATION_MAX, "an application has at most 28 counters");
        Self { place: OWN + place, name, meaning }
    }

    /// Its name in metrics and summaries.
    pub fn name(self) -> &'static str {
        self.name
    }

    /// What a summary prints next to the number, such as "known already"; may be empty.
    pub fn meaning(self) -> &'static str {
        self.meaning
    }

    pub(crate) fn place(self) -> usize {
        self.place
    }

    /// The engine's own counters.
    pub const ENGINE: &[Self] = &[Self::RECORDS_IN, Self::DEAD_LETTERS, Self::SKIPPED, Self::SKIPPED_UNREAD];
}

/// Counts of one task since its last commit, or sums of such counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts([u64; MAX]);

impl Index<Counter> for Counts {
    type Output = u64;

    fn index(&self, counter: Counter) -> &u64 {
        &self.0[counter.place]
    }
}

impl IndexMut<Counter> for Counts {
    fn index_mut(&mut self, counter: Counter) -> &mut u64 {
        &mut self.0[counter.place]
    }
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.0.iter_mut().zip(more.0).for_each(|(sum, more)| *sum += more);
    }
}

/// Counts under their names, as JSON objects have them.
#[derive(Clone, PartialEq, Eq)]
pub struct NamedCounts {
    /// The numbers.
    pub counts: Counts,
    /// Which of them, in this order.
    pub counters: Vec<Counter>,
}

impl Index<Counter> for NamedCounts {
    type Output = u64;

    fn index(&self, counter: Counter) -> &u64 {
        &self.counts[counter]
    }
}

impl fmt::Debug for NamedCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(self.counters.iter().map(|counter| (counter.name, self.counts[*counter])))
            .finish()
    }
}

impl Serialize for NamedCounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.counters.len()))?;
        for counter in &self.counters {
            map.serialize_entry(counter.name, &self.counts[*counter])?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_kept_apart_and_have_names() {
        const WORDS: Counter = Counter::new(0, "words", "");
        let mut counts = Counts::default();
        counts[WORDS] += 2;
        counts[Counter::RECORDS_IN] += 1;
        let mut sum = counts;
        sum += counts;
        let named = NamedCounts { counts: sum, counters: vec![Counter::RECORDS_IN, WORDS] };
        assert_eq!(serde_json::to_string(&named).unwrap(), r#"{"records_in":2,"words":4}"#);
    }
}
