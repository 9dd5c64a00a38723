//! What a task has done: plain numbers, added up at each commit.

use std::ops::AddAssign;

use serde::Serialize;

/// Counts of one task since its last commit, or sums of such counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Records read.
    pub records_in: u64,
    /// Observations (and revisions of them) written by assemble or enrich.
    pub observations: u64,
    /// Records that the filter kept.
    pub kept: u64,
    /// Alerts written.
    pub alerts: u64,
    /// Dead letters written.
    pub dead_letters: u64,
    /// What was known already: alerts with an id written before, observations that did not change.
    pub duplicates: u64,
    /// Harmless records that need no work: tombstones and header lines.
    pub skipped: u64,
    /// Records that were passed over unread, with `runtime.validate = "needed"`.
    pub skipped_unread: u64,
    /// Readings left out because they failed NOAA's quality control.
    pub failed_quality: u64,
    /// Evaluations of a rule that failed on a record's values.
    pub rule_errors: u64,
    /// Notices written, one for each recipient of an alert.
    pub notices: u64,
    /// Messages that a server has taken.
    pub sent: u64,
    /// Attempts to send that failed and are made again.
    pub retried: u64,
    /// Messages that were given up: each is a dead letter.
    pub failed: u64,
    /// Notices that nobody is told: too old, or the end of what they were not told.
    pub suppressed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.records_in += more.records_in;
        self.observations += more.observations;
        self.kept += more.kept;
        self.alerts += more.alerts;
        self.dead_letters += more.dead_letters;
        self.duplicates += more.duplicates;
        self.skipped += more.skipped;
        self.skipped_unread += more.skipped_unread;
        self.failed_quality += more.failed_quality;
        self.rule_errors += more.rule_errors;
        self.notices += more.notices;
        self.sent += more.sent;
        self.retried += more.retried;
        self.failed += more.failed;
        self.suppressed += more.suppressed;
    }
}

impl Counts {
    /// Name and value of each count, in one place for metrics and summaries.
    pub fn named(&self) -> [(&'static str, u64); 15] {
        [
            ("records_in", self.records_in),
            ("observations", self.observations),
            ("kept", self.kept),
            ("alerts", self.alerts),
            ("dead_letters", self.dead_letters),
            ("duplicates", self.duplicates),
            ("skipped", self.skipped),
            ("skipped_unread", self.skipped_unread),
            ("failed_quality", self.failed_quality),
            ("rule_errors", self.rule_errors),
            ("notices", self.notices),
            ("sent", self.sent),
            ("retried", self.retried),
            ("failed", self.failed),
            ("suppressed", self.suppressed),
        ]
    }
}
