//! The counters of the stages, in addition to the engine's own. The names are those of metrics and summaries.

use frostline_engine::Counter;

/// Records read.
pub const RECORDS_IN: Counter = Counter::RECORDS_IN;
/// Dead letters written.
pub const DEAD_LETTERS: Counter = Counter::DEAD_LETTERS;
/// Harmless records that need no work: tombstones and header lines.
pub const SKIPPED: Counter = Counter::SKIPPED;
/// Records skipped without reading them, with `runtime.validate = "needed"`.
pub const SKIPPED_UNREAD: Counter = Counter::SKIPPED_UNREAD;
/// Observations (and revisions of them) written by assemble or enrich.
pub const OBSERVATIONS: Counter = Counter::new(0, "observations", "");
/// Records that the filter kept.
pub const KEPT: Counter = Counter::new(1, "kept", "by the filter");
/// Alerts written.
pub const ALERTS: Counter = Counter::new(2, "alerts", "");
/// Repetitions: alerts with an id written before, observations that did not change.
pub const DUPLICATES: Counter = Counter::new(3, "duplicates", "known already, not repeated");
/// Readings left out because they failed NOAA's quality control.
pub const FAILED_QUALITY: Counter = Counter::new(4, "failed_quality", "readings left out");
/// Evaluations of a rule that failed on a record's values.
pub const RULE_ERRORS: Counter = Counter::new(5, "rule_errors", "");
/// Notices written, one for each recipient of an alert.
pub const NOTICES: Counter = Counter::new(6, "notices", "");
/// Messages that a server has accepted.
pub const SENT: Counter = Counter::new(7, "sent", "messages");
/// Attempts to send that failed and will be repeated.
pub const RETRIED: Counter = Counter::new(8, "retried", "attempts to send");
/// Messages that were given up: each is a dead letter.
pub const FAILED: Counter = Counter::new(9, "failed", "messages given up");
/// Notices that are not sent: too old, or the end of an event whose beginning was not sent.
pub const SUPPRESSED: Counter = Counter::new(10, "suppressed", "notices not sent");
/// Outlooks written, and outcomes of nights.
pub const OUTLOOKS: Counter = Counter::new(11, "outlooks", "");
/// Forecasts that count for outlooks from then on.
pub const FORECASTS: Counter = Counter::new(12, "forecasts", "");
