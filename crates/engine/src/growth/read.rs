//! Reads partitions to their ends, including past transactions that are still open.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use super::GrowthError;
use crate::kafka::{ClientSettings, KafkaError, Polled, StartAt};
use crate::link::Reader;
use crate::record::Record;

const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// Records per poll.
const BATCH_RECORDS: usize = 1_000;
/// How long to wait without any record: a transaction that a killed process left open ends sooner.
const PATIENCE: Duration = Duration::from_secs(90);

/// All offsets of a partition.
pub(super) const WHOLE: Range<i64> = 0..i64::MAX;

/// Reads the given offsets of partitions of a topic, up to the present end. Committed records only; an end counts
/// only if no open transaction hides records before it.
///
/// # Errors
/// The first error of `visit`; [`KafkaError::Retry`] if nothing comes for too long.
pub(super) fn read(
    clients: &ClientSettings,
    topic: &str,
    ranges: &[(i32, Range<i64>)],
    visit: &mut dyn FnMut(&Record<'_>) -> Result<(), GrowthError>,
) -> Result<(), GrowthError> {
    let mut open: BTreeMap<i32, i64> =
        ranges.iter().map(|(partition, range)| (*partition, range.end)).collect();
    let starts: Vec<(i32, StartAt)> =
        ranges.iter().map(|(partition, range)| (*partition, StartAt::Offset(range.start))).collect();
    let mut reader = Reader::new(clients, topic, &starts)?;
    let (mut outcome, mut last) = (Ok(()), Instant::now());
    while !open.is_empty() {
        let mut ends = Vec::new();
        let taken = reader.read(POLL_TIMEOUT, BATCH_RECORDS, &mut |polled| match polled {
            Polled::Record(record) => {
                if outcome.is_ok() && open.get(&record.partition).is_some_and(|end| record.offset < *end) {
                    outcome = visit(&record);
                }
            }
            Polled::EndOfPartition { partition, offset } => ends.push((partition, offset)),
        })?;
        std::mem::replace(&mut outcome, Ok(()))?;
        for (partition, reached) in ends {
            let high_watermark = reader.high_watermark(partition).unwrap_or(reached);
            if open.get(&partition).is_some_and(|end| reached >= high_watermark.min(*end)) {
                open.remove(&partition);
            }
        }
        if taken > 0 {
            last = Instant::now();
        } else if last.elapsed() > PATIENCE {
            let waited = PATIENCE.as_secs();
            let reason = format!(
                "{topic} was not read to its end within {waited} s: a transaction may be open on it; try again later"
            );
            return Err(KafkaError::Retry(reason).into());
        }
    }
    reader.close();
    Ok(())
}
