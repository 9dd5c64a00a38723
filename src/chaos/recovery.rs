//! How long it takes until all is well again after a fault of each kind: for the daemons, and for a plain producer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::rounded;

/// Recoveries of one party, by kind of fault.
#[derive(Debug)]
pub(super) struct Recoveries<Then> {
    /// Faults without recovery yet: their kinds and times, and how things were then.
    pub(super) open: Vec<(String, Instant, Then)>,
    over: Vec<(String, Duration)>,
}

impl<Then> Default for Recoveries<Then> {
    fn default() -> Self {
        Self { open: Vec::new(), over: Vec::new() }
    }
}

impl<Then> Recoveries<Then> {
    /// A fault happens now.
    pub(super) fn fault(&mut self, kind: String, then: Then) {
        self.open.push((kind, Instant::now(), then));
    }

    /// Those faults are over for which this holds.
    pub(super) fn close(&mut self, now: Instant, is_over: impl Fn(Instant, &Then) -> bool) {
        for (kind, since, _) in self.open.extract_if(.., |(_, since, then)| is_over(*since, then)) {
            self.over.push((kind, now.saturating_duration_since(since)));
        }
    }

    fn by_kind(&self) -> BTreeMap<&str, Vec<Duration>> {
        let mut by_kind: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
        for (kind, time) in &self.over {
            by_kind.entry(kind).or_default().push(*time);
        }
        by_kind.values_mut().for_each(|times| times.sort_unstable());
        by_kind
    }
}

/// Recoveries from one kind of fault, in seconds. They overlap if faults do.
#[derive(Debug, PartialEq, Serialize)]
pub struct Recovery {
    /// Until every partition of every stage had moved on or had nothing to do: the median.
    pub median_seconds: f64,
    /// The longest of these times.
    pub longest_seconds: f64,
    /// Until a plain producer had records of all partitions acknowledged that it sent after the fault: the median.
    pub plain_producer_median_seconds: f64,
    /// The longest of these times.
    pub plain_producer_longest_seconds: f64,
}

/// By kind of fault, for the daemons and for a plain producer.
pub(super) fn table<A, B>(daemons: &Recoveries<A>, plain: &Recoveries<B>) -> BTreeMap<String, Recovery> {
    let mut of_plain = plain.by_kind();
    let rows = daemons.by_kind().into_iter().map(|(kind, times)| {
        let (median, longest) = median_and_longest(&times);
        let (plain_median, plain_longest) = median_and_longest(&of_plain.remove(kind).unwrap_or_default());
        let recovery = Recovery {
            median_seconds: median,
            longest_seconds: longest,
            plain_producer_median_seconds: plain_median,
            plain_producer_longest_seconds: plain_longest,
        };
        (kind.to_owned(), recovery)
    });
    rows.collect()
}

/// Of sorted times, in seconds.
fn median_and_longest(times: &[Duration]) -> (f64, f64) {
    let seconds = |time: Option<&Duration>| time.copied().map_or(0.0, rounded);
    (seconds(times.get(times.len() / 2)), seconds(times.last()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_faults_that_are_over() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut daemons = Recoveries::default();
        let faults = [("kill", 0, 1), ("kill", 10, 2), ("kill", 20, 3), ("pause", 30, 4), ("add", 40, 9)];
        daemons.open.extend(faults.map(|(kind, since, then)| (kind.to_owned(), at(since), then)));
        daemons.close(at(31), |_, then| *then < 4);
        daemons.close(at(38), |since, _| since < at(35));
        let mut plain = Recoveries::default();
        plain.open.push(("kill".to_owned(), at(0), ()));
        plain.close(at(2), |_, ()| true);
        let table = table(&daemons, &plain);
        assert_eq!(table.keys().collect::<Vec<_>>(), ["kill", "pause"]);
        let (kill, pause) = (&table["kill"], &table["pause"]);
        assert_eq!((kill.median_seconds, kill.longest_seconds), (21.0, 31.0));
        assert_eq!((kill.plain_producer_median_seconds, kill.plain_producer_longest_seconds), (2.0, 2.0));
        assert_eq!((pause.median_seconds, pause.plain_producer_longest_seconds), (8.0, 0.0));
    }
}
