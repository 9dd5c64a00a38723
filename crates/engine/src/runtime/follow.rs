//! Follows a topic without a group: the position in each partition, and reading on from there. Used by tables and by
//! tails of topics.

use std::time::Duration;

use super::failure::Failure;
use crate::kafka::{ClientSettings, Polled, StartAt};
use crate::link::{Reader, Readers};

/// How followers of topics reach the brokers.
#[derive(Clone)]
pub struct FollowClient {
    pub(super) settings: ClientSettings,
    /// For the first reader of each follower, if they share a client. One that replaces a broken reader has a client of its
    /// own.
    pub(super) readers: Option<Readers>,
}

impl FollowClient {
    /// Gives each follower a client of its own.
    pub fn new(settings: ClientSettings) -> Self {
        Self { settings, readers: None }
    }

    /// One client for several followers: of different topics, which are followed equally long.
    pub fn sharing(&self) -> Self {
        // A client that refuses its settings refuses them for each follower, which reports it.
        Self { readers: Readers::new(&self.settings).ok(), ..self.clone() }
    }
}

/// The position of a follower of a topic.
pub(super) struct Places {
    /// The next offset of each partition.
    starts: Vec<StartAt>,
    /// Which partitions have been read to their end at least once.
    is_at_end: Vec<bool>,
}

impl Places {
    /// Starts at `starts`, one offset for each partition.
    pub(super) fn new(starts: Vec<StartAt>) -> Self {
        Self { is_at_end: vec![false; starts.len()], starts }
    }

    /// Whether all partitions have been read to their end at least once.
    pub(super) fn are_at_end(&self) -> bool {
        self.is_at_end.iter().all(|is_at_end| *is_at_end)
    }

    /// A reader that continues after the last record that was taken.
    pub(super) fn reader(&self, client: &mut FollowClient, topic: &str) -> Result<Reader, Failure> {
        let starts: Vec<(i32, StartAt)> = (0..).zip(self.starts.iter().copied()).collect();
        Ok(match client.readers.take() {
            Some(readers) => readers.read(topic, &starts)?,
            None => Reader::new(&client.settings, topic, &starts)?,
        })
    }

    /// Reads up to `max` records, and waits up to `timeout` for the first. Returns how many rows came, records and
    /// ends of partitions. If a record cannot be taken, reading stops, and the next reader starts at that record.
    pub(super) fn read(
        &mut self,
        reader: &mut Reader,
        (timeout, max): (Duration, usize),
        take: &mut dyn FnMut(&Polled<'_>) -> Result<(), Failure>,
    ) -> Result<usize, Failure> {
        let Self { starts, is_at_end } = self;
        let at = |partition: i32| usize::try_from(partition).unwrap_or(usize::MAX);
        let mut outcome = Ok(());
        let came = reader.read(timeout, max, &mut |polled| match polled {
            _ if outcome.is_err() => {}
            Polled::Record(record) => {
                outcome = take(&polled);
                if let Some(start) = starts.get_mut(at(record.partition)).filter(|_| outcome.is_ok()) {
                    *start = StartAt::Offset(record.offset + 1);
                }
            }
            Polled::EndOfPartition { partition, .. } => {
                outcome = take(&polled);
                if let Some(is_at_end) = is_at_end.get_mut(at(partition)) {
                    *is_at_end = true;
                }
            }
        })?;
        if self.are_at_end() {
            reader.keep_pace(came >= max);
        }
        outcome.map(|()| came)
    }
}
