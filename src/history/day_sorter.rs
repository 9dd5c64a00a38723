//! Sorts records by their day with little memory: a distribution sort.
//!
//! Each day has a list of records. If they exceed the memory limit, all lists are written to one temporary file, day
//! after day, and emptied; a day then also has the places of its pieces in the file. At the end the days are read in
//! order, each with its records in their original order. No record is compared with another, and each is written and
//! read at most once. The file has no name, so nothing of it remains, however the program ends.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::item::Flow;

/// The first block of a day's list, and the largest.
const BLOCK_BYTES_MIN: usize = 1 << 10;
const BLOCK_BYTES_MAX: usize = 1 << 17;

/// The sorter; see the module's description.
pub struct DaySorter {
    /// Memory limit for records, in bytes.
    memory_bytes: usize,
    folder: PathBuf,
    days: HashMap<i32, Day, foldhash::fast::RandomState>,
    bytes: usize,
    file: Option<File>,
    spilled: u64,
}

#[derive(Default)]
struct Day {
    /// Records, each preceded by its length. Blocks are never moved.
    blocks: Vec<Vec<u8>>,
    /// Offset and length of its pieces in the file.
    pieces: Vec<(u64, u64)>,
}

impl DaySorter {
    /// Keeps up to `memory_bytes` of records in memory, and the rest in a temporary file in `folder`.
    pub fn new(memory_bytes: usize, folder: &Path) -> Self {
        let days = HashMap::default();
        Self { memory_bytes, folder: folder.to_owned(), days, bytes: 0, file: None, spilled: 0 }
    }

    /// Adds a record of this day (any number that orders).
    ///
    /// # Errors
    /// The temporary file cannot be written.
    pub fn push(&mut self, day: i32, record: &[u8]) -> anyhow::Result<()> {
        let needed = 4 + record.len();
        let blocks = &mut self.days.entry(day).or_default().blocks;
        let has_room = blocks.last().is_some_and(|block| block.capacity() - block.len() >= needed);
        if !has_room {
            let grown =
                blocks.last().map_or(BLOCK_BYTES_MIN, |block| (2 * block.capacity()).min(BLOCK_BYTES_MAX));
            let block = Vec::with_capacity(grown.max(needed));
            self.bytes += block.capacity();
            blocks.push(block);
        }
        if let Some(block) = blocks.last_mut() {
            block.extend_from_slice(&u32::try_from(record.len()).unwrap_or(u32::MAX).to_le_bytes());
            block.extend_from_slice(record);
        }
        if self.bytes > self.memory_bytes { self.spill() } else { Ok(()) }
    }

    /// How many bytes were written to the temporary file.
    pub fn spilled_bytes(&self) -> u64 {
        self.spilled
    }

    /// Writes everything to the temporary file.
    fn spill(&mut self) -> anyhow::Result<()> {
        let place = self.folder.display().to_string();
        let failed = || {
            format!("no space to sort in {place}: name another directory with --tmp, or allow more --memory")
        };
        if self.file.is_none() {
            self.file = Some(tempfile::tempfile_in(&self.folder).with_context(failed)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut order: Vec<i32> = self.days.keys().copied().collect();
        order.sort_unstable();
        let mut out = BufWriter::with_capacity(1 << 20, file);
        for day in order {
            let Some(day) = self.days.get_mut(&day) else { continue };
            let length: usize = day.blocks.iter().map(Vec::len).sum();
            if length > 0 {
                day.pieces.push((self.spilled, length as u64));
                day.blocks.iter().try_for_each(|block| out.write_all(block)).with_context(failed)?;
                self.spilled += length as u64;
            }
            day.blocks = Vec::new();
        }
        out.flush().with_context(failed)?;
        self.bytes = 0;
        Ok(())
    }

    /// Calls `visit` with each day and its records, in order, until it stops.
    ///
    /// # Errors
    /// The temporary file cannot be read, or `visit` fails.
    pub fn drain(mut self, visit: &mut dyn FnMut(i32, &[u8]) -> Flow) -> anyhow::Result<()> {
        let order: BTreeSet<i32> = self.days.keys().copied().collect();
        let mut record = Vec::new();
        for number in order {
            let Some(day) = self.days.remove(&number) else { continue };
            for (offset, length) in day.pieces {
                let Some(file) = &mut self.file else { continue };
                file.seek(SeekFrom::Start(offset))?;
                let mut piece = BufReader::with_capacity(1 << 18, file).take(length);
                while read_record(&mut piece, &mut record)
                    .context("the temporary file cannot be read back")?
                {
                    if visit(number, &record)?.is_break() {
                        return Ok(());
                    }
                }
            }
            for block in day.blocks {
                let mut block = block.as_slice();
                while read_record(&mut block, &mut record)? {
                    if visit(number, &record)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        Ok(())
    }
}

/// Reads the next record; `false` at the end.
fn read_record(from: &mut impl Read, record: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; 4];
    if from.read(&mut length[..1])? == 0 {
        return Ok(false);
    }
    from.read_exact(&mut length[1..])?;
    record.resize(u32::from_le_bytes(length) as usize, 0);
    from.read_exact(record)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn it_is_a_stable_sort(records in proptest::collection::vec((-5..5_i32, ".{0,40}"), 0..400), memory in 0..40_000_usize) {
            let dir = tempfile::tempdir().unwrap();
            let mut sorter = DaySorter::new(memory, dir.path());
            for (day, text) in &records {
                sorter.push(*day, text.as_bytes()).unwrap();
            }
            let mut found = Vec::new();
            sorter.drain(&mut |day, record| {
                found.push((day, String::from_utf8_lossy(record).into_owned()));
                Ok(ControlFlow::Continue(()))
            }).unwrap();
            let mut expected = records;
            expected.sort_by_key(|(day, _)| *day);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left");
        }
    }
}
