//! How far back each partition is set, and whether the stage still remembers everything in between.

use std::collections::BTreeMap;
use std::time::Duration;

use frostline_engine::StageId;
use frostline_engine::kafka::{Admin, ClientSettings, OffsetCommit, Polled, Reader, StartAt};
use frostline_engine::record::{DAY_MS, Record, day_of, unix_ms};

use super::super::{Failed, output};
use super::Since;
use crate::config::Config;
use crate::noaa::Date;

/// Records per poll while they are counted.
const BATCH_RECORDS: usize = 1_000;
const POLL_TIMEOUT: Duration = Duration::from_millis(100);

/// The changes of a reset.
pub(in crate::cli) struct Plan {
    pub(super) stage: StageId,
    /// The topic's and group's names in Kafka.
    pub(super) group: String,
    pub(super) topic: String,
    /// Partitions that are set back, by number; the others stay where they are.
    pub(super) steps: Vec<Step>,
}

/// The change of one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) partition: i32,
    /// The group's committed offset.
    pub(super) from_offset: i64,
    /// The offset where the stage will read on.
    pub(super) to_offset: i64,
    /// Records before this offset have been processed: `from_offset`, or more after an earlier reset.
    again_below: i64,
    /// How many records are read again.
    pub(super) records: u64,
}

impl Plan {
    /// Looks up the group's offsets and the place of `since`, and reads the records in between.
    ///
    /// # Errors
    /// The topic is missing, no broker answers, or the stage has forgotten some of these records.
    pub(super) fn make(config: &Config, admin: &Admin, stage: StageId, since: Since) -> Result<Self, Failed> {
        let topology = crate::app::outline(config)?;
        let found = topology.find(stage.as_str()).map_err(|error| Failed::Usage(error.into()))?;
        let (group, topic) = (topology.group(stage), found.source.name.clone());
        if admin.partitions(&topic)?.is_none() {
            let advice = "create the topics with `frostline topics create`";
            return Err(Failed::Usage(anyhow::anyhow!("no such topic: {topic}: {advice}")));
        }
        let kept = admin.log_offsets(&topic)?;
        let partitions: Vec<i32> = kept.keys().copied().collect();
        let committed = admin.group(&group)?.committed(&topic, &partitions)?;
        if let Some(partitions) = committed.iter().find_map(|commit| commit.grows_to) {
            return Err(Failed::Usage(anyhow::anyhow!(
                "topic {topic} is growing: run `frostline topics grow {topic} --partitions {partitions}` again to finish it, and \
                 then reset the stage"
            )));
        }
        let wanted = match since {
            Since::Earliest => kept.iter().map(|(partition, kept)| (*partition, kept.start)).collect(),
            Since::Day(date) => admin.offsets_at(&topic, i64::from(date.days_since_1970()) * DAY_MS)?,
        };
        let mut plan = Self { stage, group, topic, steps: steps(&committed, &wanted) };
        plan.look_through(config)?;
        Ok(plan)
    }

    /// How many records are read again.
    pub(super) fn records(&self) -> u64 {
        self.steps.iter().map(|step| step.records).sum()
    }

    /// Commits the new offsets.
    ///
    /// # Errors
    /// A process has joined the group, or no broker answers.
    pub(super) fn carry_out(&self, admin: &Admin) -> Result<(), Failed> {
        let position = |step: &Step| OffsetCommit {
            again_below: Some(step.again_below),
            ..OffsetCommit::new(step.partition, step.to_offset)
        };
        let positions: Vec<OffsetCommit> = self.steps.iter().map(position).collect();
        admin.group(&self.group)?.commit(&self.topic, &positions).map_err(|error| {
            Failed::Working(anyhow::anyhow!(
                "the offsets of group {} were not set back: {error}. If a daemon has been started, stop it, and run \
                 `frostline reset` again",
                self.group
            ))
        })
    }

    /// Counts the records, and checks that the stage remembers what it wrote for them.
    fn look_through(&mut self, config: &Config) -> Result<(), Failed> {
        let mut open: BTreeMap<i32, &mut Step> =
            self.steps.iter_mut().map(|step| (step.partition, step)).collect();
        let starts: Vec<(i32, StartAt)> =
            open.values().map(|step| (step.partition, StartAt::Offset(step.to_offset))).collect();
        if starts.is_empty() {
            return Ok(());
        }
        let mut memory = Memory::of(config.runtime.remember_days, unix_ms());
        let mut reader = Reader::new(&ClientSettings::new(&config.kafka)?, &self.topic, &starts)?;
        let spinner = output::spinner();
        spinner.set_message("counting records");
        while !open.is_empty() {
            reader.read(POLL_TIMEOUT, BATCH_RECORDS, &mut |polled| match polled {
                Polled::Record(record) => {
                    let Some(step) = open.get_mut(&record.partition) else { return };
                    if record.offset < step.from_offset {
                        step.records += 1;
                        memory.take(&record);
                    } else {
                        open.remove(&record.partition);
                    }
                }
                Polled::EndOfPartition { partition, .. } => drop(open.remove(&partition)),
            })?;
        }
        reader.close();
        spinner.finish_and_clear();
        memory.check(&self.topic, config.runtime.remember_days)
    }
}

/// The partitions in which `wanted` is before the committed offset.
fn steps(committed: &[OffsetCommit], wanted: &BTreeMap<i32, i64>) -> Vec<Step> {
    let step = |committed: &OffsetCommit| {
        let OffsetCommit { partition, next_offset: from_offset, again_below, .. } = *committed;
        let to_offset = *wanted.get(&partition)?;
        let again_below = again_below.map_or(from_offset, |end| end.max(from_offset));
        (to_offset < from_offset).then_some(Step {
            partition,
            from_offset,
            to_offset,
            again_below,
            records: 0,
        })
    };
    let mut steps: Vec<Step> = committed.iter().filter_map(step).collect();
    steps.sort_unstable_by_key(|step| step.partition);
    steps
}

/// Finds records whose alerts the stage may have forgotten.
struct Memory {
    /// The oldest day, by the records' timestamps, that no task has deleted from its store yet.
    oldest_day: u32,
    /// The last record before that day in a partition, if there is one.
    forgotten: Option<(i32, i64)>,
}

impl Memory {
    /// A task forgets by the newest timestamp that it has read, which is at most a day ahead of the clock.
    fn of(remember_days: u32, now_ms: i64) -> Self {
        Self { oldest_day: day_of(now_ms + DAY_MS).saturating_sub(remember_days), forgotten: None }
    }

    fn take(&mut self, record: &Record<'_>) {
        if day_of(record.timestamp_ms) < self.oldest_day {
            self.forgotten = Some((record.partition, record.offset));
        }
    }

    fn check(&self, topic: &str, remember_days: u32) -> Result<(), Failed> {
        let Some((partition, offset)) = self.forgotten else { return Ok(()) };
        let day = i32::try_from(self.oldest_day).ok().and_then(Date::from_days_since_1970);
        let day = day.map_or_else(String::new, |day| format!(" before {day}"));
        Err(Failed::Usage(anyhow::anyhow!(
            "nothing was changed: the record {topic}/{partition}@{offset}, which would be read again, has a timestamp{day}. \
             Alerts are remembered for {remember_days} days (runtime.remember_days), so those for this record could be \
             sent twice. Choose a later date"
        )))
    }
}

#[cfg(test)]
mod tests {
    use frostline_engine::record::{HeaderList, NO_HEADERS};

    use super::*;

    #[test]
    fn partitions_are_only_set_back() {
        let position = OffsetCommit::new;
        // Partition 3 had been set back before, and has not come as far again.
        let third = OffsetCommit { again_below: Some(90), ..position(3, 40) };
        let committed = [third, position(0, 10), position(1, 10), position(2, 10)];
        // Partition 2 has no record as young as that, partition 4 was never committed.
        let wanted = BTreeMap::from([(0, 9), (1, 10), (3, 0), (4, 0)]);
        let found: Vec<_> = steps(&committed, &wanted)
            .iter()
            .map(|step| (step.partition, step.from_offset, step.to_offset, step.again_below))
            .collect();
        assert_eq!(found, [(0, 10, 9, 10), (3, 40, 0, 90)]);
    }

    #[test]
    fn records_older_than_the_memory_are_refused() {
        let record = |timestamp_ms| Record {
            topic: "t",
            partition: 2,
            offset: 17,
            timestamp_ms,
            key: None,
            value: None,
            headers: &HeaderList(NO_HEADERS),
        };
        let check = |timestamp_ms| {
            let mut memory = Memory::of(10, 100 * DAY_MS);
            memory.take(&record(timestamp_ms));
            memory.check("t", 10)
        };
        assert!(check(91 * DAY_MS).is_ok() && check(200 * DAY_MS).is_ok());
        // The last one has no timestamp at all.
        for forgotten in [91 * DAY_MS - 1, -1] {
            let Err(Failed::Usage(error)) = check(forgotten) else { panic!("{forgotten} is taken") };
            assert!(
                error.to_string().contains("t/2@17") && error.to_string().contains("1970-04-02"),
                "{error}"
            );
        }
    }
}
