//! Reads several files as one sequence of records: selected, in their own order, by day, or shuffled.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::DaySorter;
use super::item::{Bad, Flow, Item};
use super::read_settings::ReadSettings;
use super::reader::read_in;
use super::selection::{Selection, time_of};

/// The key of records without an hour, after all hours.
const NO_HOUR: i32 = i32::MAX;
/// Seconds of an hour.
const HOUR: i64 = 3_600;
/// Number of parts of a shuffle.
const SHUFFLE_PARTS: i32 = 1_024;

/// The order of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The order of the files.
    AsGiven,
    /// By day, hourly observations by hour; within these in the order of the files.
    ByDay,
    /// At random, the same for the same seed.
    Shuffled(u64),
}

/// The input, and how to read it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The files, in order.
    pub files: Vec<PathBuf>,
    /// Facts that the files do not contain, and their required kind.
    pub settings: ReadSettings,
    /// The wanted records.
    pub selection: Selection,
    /// In which order.
    pub order: Order,
    /// Memory limit for records while they are sorted, in bytes.
    pub memory_bytes: usize,
    /// The directory for the others.
    pub folder: PathBuf,
}

/// The place of a record; the line is 0 if the order is not the files' own.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The file.
    pub file: &'a Path,
    /// The line, from 1.
    pub line: u64,
}

/// Progress and cancellation.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Counts the bytes of files that have been read.
    pub position: &'a Arc<AtomicU64>,
    /// Set to stop.
    pub stop: &'a Arc<AtomicBool>,
}

/// What to do with a record that cannot be parsed.
pub type OnBad<'a> = dyn FnMut(Place<'_>, &[u8], &Bad) -> anyhow::Result<bool> + 'a;
/// Handles a record. Without a place if the order is not the files' own.
pub type OnRecord<'a> = dyn FnMut(Option<Place<'_>>, &[u8]) -> Flow + 'a;

impl Plan {
    /// Calls `on_record` with each wanted record, in order, until it stops. `on_bad` decides about an invalid record,
    /// and returns whether to pass it on anyway.
    ///
    /// # Errors
    /// A file cannot be read, the temporary file cannot be written, or one of the calls fails.
    pub fn run(
        &self,
        watch: Watch<'_>,
        on_bad: &mut OnBad<'_>,
        on_record: &mut OnRecord<'_>,
    ) -> anyhow::Result<()> {
        match self.order {
            Order::AsGiven => {
                self.read_all(watch, on_bad, &mut |place, text| on_record(Some(place), text)).map(drop)
            }
            Order::ByDay => {
                let mut sorter = DaySorter::new(self.memory_bytes, &self.folder);
                let flow = self.read_all(watch, on_bad, &mut |_, text| {
                    let hour = time_of(text).and_then(|time| i32::try_from(time.div_euclid(HOUR)).ok());
                    sorter.push(hour.unwrap_or(NO_HOUR), text)?;
                    Ok(ControlFlow::Continue(()))
                })?;
                if flow.is_break() {
                    return Ok(());
                }
                sorter.drain(&mut |_, text| on_record(None, text))
            }
            Order::Shuffled(seed) => self.shuffle(seed, watch, on_bad, on_record),
        }
    }

    /// Distributes records randomly over parts, then shuffles each part: equivalent to one shuffle of all.
    fn shuffle(
        &self,
        seed: u64,
        watch: Watch<'_>,
        on_bad: &mut OnBad<'_>,
        on_record: &mut OnRecord<'_>,
    ) -> anyhow::Result<()> {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut sorter = DaySorter::new(self.memory_bytes, &self.folder);
        let flow = self.read_all(watch, on_bad, &mut |_, text| {
            sorter.push(random.i32(0..SHUFFLE_PARTS), text)?;
            Ok(ControlFlow::Continue(()))
        })?;
        if flow.is_break() {
            return Ok(());
        }
        let (mut part, mut records) = (0, Vec::new());
        let mut flow = ControlFlow::Continue(());
        let mut give = |records: &mut Vec<Vec<u8>>| -> Flow {
            random.shuffle(records);
            for record in records.drain(..) {
                if on_record(None, &record)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
            Ok(ControlFlow::Continue(()))
        };
        sorter.drain(&mut |number, text| {
            if number != part {
                part = number;
                flow = give(&mut records)?;
            }
            records.push(text.to_vec());
            Ok(flow)
        })?;
        if flow.is_continue() {
            let _ = give(&mut records)?;
        }
        Ok(())
    }

    fn read_all(
        &self,
        watch: Watch<'_>,
        on_bad: &mut OnBad<'_>,
        on_item: &mut dyn FnMut(Place<'_>, &[u8]) -> Flow,
    ) -> Flow {
        for file in &self.files {
            let position = Arc::clone(watch.position);
            let read = read_in(&self.settings, file, position, watch.stop, &mut |(item, checked)| {
                let Item { text, line } = item;
                if watch.stop.load(Ordering::Relaxed) {
                    return Ok(ControlFlow::Break(()));
                }
                let place = Place { file, line };
                let is_taken = match checked {
                    Ok(()) => true,
                    Err(bad) => on_bad(place, text, &bad)?,
                };
                if is_taken && self.selection.wants(text) {
                    on_item(place, text)
                } else {
                    Ok(ControlFlow::Continue(()))
                }
            });
            // A compressed file that was not read to its end cannot be checked.
            if watch.stop.load(Ordering::Relaxed) {
                return Ok(ControlFlow::Break(()));
            }
            let flow = read?;
            if flow.is_break() {
                return Ok(flow);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(order: Order, memory_bytes: usize) -> Vec<String> {
        let dir = tempfile::tempdir().unwrap();
        let line = |station: usize, day: usize| {
            format!("USC{station:08},201603{:02},TMIN,{station},,,7,\n", day + 1)
        };
        let text: String = (0..200).map(|n| line(n / 20, n % 20)).collect();
        let path = dir.path().join("a.csv");
        std::fs::write(&path, text).unwrap();
        let plan = Plan {
            files: vec![path],
            settings: ReadSettings::default(),
            selection: Selection::default(),
            order,
            memory_bytes,
            folder: dir.path().into(),
        };
        let mut found = Vec::new();
        let watch = Watch { position: &Arc::default(), stop: &Arc::default() };
        plan.run(watch, &mut |_, _, bad| panic!("{bad:?}"), &mut |_, text| {
            found.push(String::from_utf8_lossy(text).into_owned());
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        found
    }

    #[test]
    fn orders() {
        let given = run(Order::AsGiven, 0);
        let by_day = run(Order::ByDay, 2_000);
        let mut expected = given.clone();
        expected.sort_by_key(|line| line[12..20].to_owned());
        assert_eq!(by_day, expected);
        let shuffled = run(Order::Shuffled(7), 2_000);
        assert_eq!(shuffled, run(Order::Shuffled(7), 1_000_000), "whatever the memory");
        assert!(shuffled != given && shuffled != run(Order::Shuffled(8), 2_000));
        let sorted = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        assert_eq!(sorted(shuffled), sorted(given));
    }
}
