//! The state of each source, for the log, metrics and status pages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::record::unix_ms;
use crate::{Batch, PollError, Source, SourceId};

/// The activity of a source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SourcePhase {
    /// Another process polls it, or none has been chosen yet.
    #[default]
    Standby,
    /// This process polls it, and is reading its position first.
    Opening,
    /// It is waiting for the service's answer.
    Polling,
    /// It is waiting for its next poll.
    Waiting,
    /// The last poll failed, or its records could not be written; it will be retried.
    Failing,
}

/// One source of this process at a moment. Times are in milliseconds since 1970.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SourceSnapshot {
    /// Its present activity.
    pub phase: SourcePhase,
    /// Polls by this process, failed ones included.
    pub polls: u64,
    /// How many of these failed.
    pub failed_polls: u64,
    /// Records that were written.
    pub records: u64,
    /// When a poll last succeeded.
    pub succeeded_at_ms: Option<i64>,
    /// The time of the newest data, including data from before this process polled it.
    pub newest_ms: Option<i64>,
    /// When it will be polled next.
    pub next_poll_ms: Option<i64>,
    /// Why the last poll failed.
    pub failure: Option<String>,
    /// Which part of the last answer could not be used.
    pub remark: Option<String>,
    /// Whether its newest data are older than allowed. Always `false` while another process polls it.
    pub is_late: bool,
    /// Age from which data are late, in seconds.
    pub late_after_seconds: u64,
}

/// All sources of this process.
#[derive(Debug, Default)]
pub struct SourceBoard(Mutex<BTreeMap<SourceId, Entry>>);

#[derive(Debug)]
struct Entry {
    shown: SourceSnapshot,
    late_after: Duration,
    /// Without data, lateness counts from this moment.
    begun_ms: i64,
}

impl SourceBoard {
    /// All sources, by name.
    pub fn snapshot(&self) -> Vec<(SourceId, SourceSnapshot)> {
        self.lock().iter().map(|(id, entry)| (*id, entry.shown.clone())).collect()
    }

    pub(super) fn add(self: &Arc<Self>, source: &Source) -> SourceStatus {
        let late_after_seconds = source.late_after.as_secs();
        let shown = SourceSnapshot { late_after_seconds, ..SourceSnapshot::default() };
        let entry = Entry { shown, late_after: source.late_after, begun_ms: unix_ms() };
        self.lock().insert(source.id, entry);
        SourceStatus { board: Arc::clone(self), source: source.id }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceId, Entry>> {
        // A poisoned lock only means that a thread panicked; the data behind it is whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one source on the board.
#[derive(Clone)]
pub(super) struct SourceStatus {
    board: Arc<SourceBoard>,
    source: SourceId,
}

impl SourceStatus {
    pub(super) fn enter(&self, phase: SourcePhase) {
        self.change(|entry| {
            if entry.shown.phase == SourcePhase::Standby && phase != SourcePhase::Standby {
                entry.begun_ms = unix_ms();
            }
            entry.shown.phase = phase;
            if phase == SourcePhase::Standby {
                // Another process polls it and knows better.
                let SourceSnapshot { polls, failed_polls, records, late_after_seconds, .. } = entry.shown;
                entry.shown =
                    SourceSnapshot { polls, failed_polls, records, late_after_seconds, ..Default::default() };
            }
        });
    }

    /// Takes over the time of the newest data from the previous owner.
    pub(super) fn knows_newest(&self, newest_ms: Option<i64>) {
        self.change(|Entry { shown, .. }| shown.newest_ms = shown.newest_ms.max(newest_ms));
    }

    /// Records the result of a poll that has been written.
    pub(super) fn succeeded(&self, batch: &Batch) {
        let id = self.source.as_str();
        metrics::counter!("frostline_source_polls_total", "source" => id, "outcome" => "ok").increment(1);
        metrics::counter!("frostline_source_records_total", "source" => id)
            .increment(batch.records.len() as u64);
        self.change(|Entry { shown, .. }| {
            shown.polls += 1;
            shown.records += batch.records.len() as u64;
            shown.succeeded_at_ms = Some(unix_ms());
            shown.newest_ms = shown.newest_ms.max(batch.newest_ms);
            if shown.failure.take().is_some() {
                tracing::info!(source = id, "the source answers again");
            }
            if let Some(remark) = batch.remark.as_ref().filter(|remark| shown.remark.as_ref() != Some(remark))
            {
                tracing::warn!(source = id, remark, "a part of the answer cannot be used");
            }
            shown.remark.clone_from(&batch.remark);
        });
    }

    /// Keeps the reason for readiness and metrics until a poll succeeds.
    pub(super) fn poll_failed(&self, error: &PollError) {
        let id = self.source.as_str();
        metrics::counter!("frostline_source_polls_total", "source" => id, "outcome" => "failed").increment(1);
        self.change(|Entry { shown, .. }| {
            shown.polls += 1;
            shown.failed_polls += 1;
        });
        self.failed(&error.with_time());
    }

    /// Records a failure. It is logged once until the source works again, because the reasons differ with each
    /// attempt.
    pub(super) fn failed(&self, reason: &str) {
        let source = self.source.as_str();
        self.change(|Entry { shown, .. }| {
            shown.phase = SourcePhase::Failing;
            match shown.failure.replace(reason.to_owned()) {
                None => tracing::warn!(source, reason, "the source failed and will be retried"),
                Some(_) => tracing::debug!(source, reason, "the source still fails"),
            }
        });
    }

    /// Schedules the next poll after `wait`. Also logs, once, when the source becomes late and when it is no longer
    /// late.
    pub(super) fn waits(&self, wait: Duration) {
        let (id, now_ms) = (self.source.as_str(), unix_ms());
        self.change(|Entry { shown, late_after, begun_ms }| {
            if shown.phase != SourcePhase::Failing {
                shown.phase = SourcePhase::Waiting;
            }
            shown.next_poll_ms = Some(now_ms + millis(wait));
            let newest_ms = shown.newest_ms.unwrap_or(*begun_ms);
            let is_late = now_ms - newest_ms > millis(*late_after);
            let minutes = (now_ms - newest_ms) / 60_000;
            match (shown.is_late, is_late) {
                (false, true) => tracing::warn!(
                    source = id,
                    minutes,
                    "the source is late: its newest data are older than allowed"
                ),
                (true, false) => tracing::info!(source = id, "the source is no longer late"),
                _ => {}
            }
            shown.is_late = is_late;
        });
    }

    fn change(&self, change: impl FnOnce(&mut Entry)) {
        if let Some(entry) = self.board.lock().get_mut(&self.source) {
            change(entry);
        }
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Poller;
    use crate::{Position, TopicPlan};

    struct Nothing;

    impl Poller for Nothing {
        fn poll(&mut self, _: &Position, _: i64) -> Result<Batch, PollError> {
            Ok(Batch::default())
        }
    }

    #[test]
    fn a_source_is_late_by_its_newest_data_and_only_where_it_is_polled() {
        let source = Source {
            id: SourceId::new("numbers"),
            partition: 0,
            sinks: vec![("out", TopicPlan::new("out", 1))],
            interval: Duration::from_secs(60),
            late_after: Duration::from_secs(600),
            needs: &[],
            poller: Arc::new(|| Box::new(Nothing)),
        };
        let board = Arc::<SourceBoard>::default();
        let status = board.add(&source);
        let shown = || board.snapshot().pop().unwrap().1;
        let batch =
            |age_seconds: i64| Batch { newest_ms: Some(unix_ms() - 1_000 * age_seconds), ..Batch::default() };
        assert_eq!((shown().phase, shown().late_after_seconds), (SourcePhase::Standby, 600));
        status.enter(SourcePhase::Polling);
        status.succeeded(&batch(700));
        status.waits(source.interval);
        assert!(shown().is_late && shown().next_poll_ms > Some(unix_ms()));
        status.failed("away");
        status.waits(source.interval);
        assert_eq!((shown().phase, shown().failure.as_deref()), (SourcePhase::Failing, Some("away")));
        // An older answer does not make the newest data older.
        status.succeeded(&batch(10));
        status.succeeded(&batch(900));
        status.waits(source.interval);
        assert!(!shown().is_late && shown().failure.is_none());
        status.succeeded(&batch(0));
        status.enter(SourcePhase::Standby);
        assert!(!shown().is_late && shown().next_poll_ms.is_none() && shown().newest_ms.is_none());
        // Late for its owner before, it is late at once.
        status.enter(SourcePhase::Opening);
        status.knows_newest(Some(unix_ms() - 700_000));
        status.poll_failed(&PollError::new("away"));
        status.waits(source.interval);
        assert!(shown().is_late && shown().polls == 5);
    }
}
