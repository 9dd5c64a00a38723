//! Sources of history: files of lines or documents, or a function that pushes them (from a topic).

use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

use super::Setting;
use crate::noaa::{Date, KnownStations};

/// Bytes that are passed to a lane at once.
const BLOCK_BYTES: usize = 256 * 1024;

/// Calls the function with each line or document of a file, in order.
pub type ReadFile<'a> = dyn Fn(&Path, &mut dyn FnMut(&[u8])) -> anyhow::Result<()> + Sync + 'a;

/// History.
pub enum Input<'a> {
    /// Files, one after the other.
    Files(&'a [PathBuf], &'a ReadFile<'a>),
    /// A topic with this many partitions: the function pushes each line or document, in order.
    Topic(usize, &'a dyn Fn(&mut Feed<'_>) -> anyhow::Result<()>),
}

/// Marks the length of a line that has been removed from the archive.
const DELETED: u32 = 1 << 31;

/// Lines or documents on their way to a lane, each preceded by its length.
pub(super) struct Block {
    pub(super) lane: usize,
    bytes: Vec<u8>,
}

impl Block {
    fn new(lane: usize) -> Self {
        Self { lane, bytes: Vec::new() }
    }

    /// All items, each with whether it is a line that has been removed from the archive.
    pub(super) fn items(&self) -> impl Iterator<Item = (&[u8], bool)> {
        let mut rest = self.bytes.as_slice();
        std::iter::from_fn(move || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let length = u32::from_le_bytes(*length);
            let (item, behind) = behind.split_at_checked((length & !DELETED) as usize)?;
            rest = behind;
            Some((item, length & DELETED != 0))
        })
    }

    fn push(&mut self, item: &[u8], is_deleted: bool) {
        let length = u32::try_from(item.len()).unwrap_or(u32::MAX) & !DELETED;
        self.bytes.extend_from_slice(&(length | if is_deleted { DELETED } else { 0 }).to_le_bytes());
        self.bytes.extend_from_slice(item);
    }
}

/// Spreads lines and documents over lanes.
pub struct Feed<'a> {
    /// By lane: items that wait to be sent to its thread.
    blocks: Vec<Block>,
    /// Lane `n` belongs to thread `n` modulo their number.
    threads: Vec<SyncSender<Block>>,
    known: KnownStations,
    setting: &'a Setting,
}

impl Input<'_> {
    /// How many lanes it needs.
    pub(super) fn lanes(&self, setting: &Setting) -> usize {
        match self {
            Self::Files(..) => setting.lanes,
            Self::Topic(partitions, _) => *partitions,
        }
    }

    pub(super) fn read(
        &self,
        setting: &Setting,
        lanes: usize,
        threads: Vec<SyncSender<Block>>,
    ) -> anyhow::Result<()> {
        let mut feed = Feed {
            blocks: (0..lanes).map(Block::new).collect(),
            threads,
            known: KnownStations::default(),
            setting,
        };
        match self {
            Self::Topic(_, push) => push(&mut feed)?,
            Self::Files(paths, read) => {
                paths.iter().try_for_each(|path| read(path, &mut |item| feed.push_by_station(item)))?;
            }
        }
        feed.finish();
        Ok(())
    }
}

impl Feed<'_> {
    fn push_by_station(&mut self, item: &[u8]) {
        if let Some(station) = self.station_if_wanted(item) {
            let fnv = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
            let hash = station.iter().fold(0xcbf2_9ce4_8422_2325, fnv);
            let lane = usize::try_from((hash >> 20) % self.blocks.len() as u64).unwrap_or(0);
            self.push(lane, item, false);
        }
    }

    /// Takes a line or a document of a topic's partition, or a line that has been removed from the archive; those after the
    /// requested dates are skipped.
    pub fn push_of_partition(&mut self, partition: i32, item: &[u8], is_deleted: bool) {
        let lane = usize::try_from(partition).unwrap_or(0);
        if lane < self.blocks.len() && self.station_if_wanted(item).is_some() {
            self.push(lane, item, is_deleted);
        }
    }

    fn push(&mut self, lane: usize, item: &[u8], is_deleted: bool) {
        self.blocks[lane].push(item, is_deleted);
        if self.blocks[lane].bytes.len() >= BLOCK_BYTES {
            let block = std::mem::replace(&mut self.blocks[lane], Block::new(lane));
            // A thread that has panicked is reported when it is joined.
            let _ = self.threads[lane % self.threads.len()].send(block);
        }
    }

    /// The bytes that decide the lane of an item; an unreadable item goes to any lane, which counts it.
    fn station_if_wanted<'i>(&mut self, item: &'i [u8]) -> Option<&'i [u8]> {
        // Earlier days count for what rules remember, see `Then::document`.
        let to = self.setting.to;
        let is_wanted = |date: Date| to.is_none_or(|to| date <= to);
        if item.first() == Some(&b'{') {
            let Ok(view) = self.known.parse(item) else { return Some(b"") };
            let at = memchr::memmem::find(item, view.station.id.as_bytes()).unwrap_or(0);
            return is_wanted(view.date).then(|| item.get(at..at + 11).unwrap_or_default());
        }
        if to.is_some() {
            let date = item.get(12..20).and_then(Date::parse_compact);
            if date.is_some_and(|date| !is_wanted(date)) {
                return None;
            }
        }
        Some(item.get(..11).unwrap_or_default()).filter(|_| !item.is_empty())
    }

    fn finish(self) {
        for block in self.blocks {
            let _ = self.threads[block.lane % self.threads.len()].send(block);
        }
    }
}
