//! All metrics of the program: name, kind, labels and meaning of each.
//!
//! Prometheus shows the meanings as help, and the table in `docs/operations.md` is generated from this list. A test
//! compares the names with those that the code uses.

/// The kind of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows until the process ends.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts values by size.
    Histogram,
}

impl MetricKind {
    /// The name of the kind in the documentation.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name in Prometheus.
    pub name: &'static str,
    /// Its kind.
    pub kind: MetricKind,
    /// Its labels, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// Its meaning, in one line.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Histogram, labels, help }
}

const STAGE: &[&str] = &["stage"];
const PARTITION: &[&str] = &["stage", "partition"];
const SOURCE: &[&str] = &["source"];
const CHANNEL: &[&str] = &["channel"];

/// All metrics, by subject.
pub const METRICS: &[Metric] = &[
    counter(
        "frostline_stage_total",
        &["stage", "kind"],
        "Records processed and results committed, by stage and kind",
    ),
    histogram("frostline_commit_seconds", STAGE, "Duration of commits"),
    histogram(
        "frostline_latency_seconds",
        STAGE,
        "Time from the timestamp of a commit's oldest record to the end of the commit",
    ),
    histogram("frostline_restore_seconds", STAGE, "Duration of restores of state from its changelog"),
    counter("frostline_worker_restarts_total", STAGE, "Restarts of failed workers"),
    gauge(
        "frostline_partition_lag_records",
        PARTITION,
        "Offsets between the last commit and the end of the partition, transaction markers included",
    ),
    gauge(
        "frostline_partition_lag_seconds",
        PARTITION,
        "Age of the next record to be processed; 0 when caught up",
    ),
    gauge("frostline_partition_committed_offset", PARTITION, "The next input offset as of the last commit"),
    gauge("frostline_partition_silent_seconds", PARTITION, "Time since the last turn of the partition"),
    gauge("frostline_partition_restoring", PARTITION, "1 while the state of the partition is being restored"),
    gauge(
        "frostline_partition_restored_records",
        PARTITION,
        "Changelog records restored for the partition so far",
    ),
    gauge(
        "frostline_partition_failed",
        PARTITION,
        "1 while the partition is not processed because its worker failed",
    ),
    counter("frostline_source_polls_total", &["source", "outcome"], "Polls of a source: ok or failed"),
    counter("frostline_source_records_total", SOURCE, "Records that a source has written"),
    gauge(
        "frostline_source_age_seconds",
        SOURCE,
        "Age of the newest data of the source, if this process polls it",
    ),
    gauge("frostline_source_late", SOURCE, "1 while the newest data of the source are older than allowed"),
    gauge("frostline_source_polled_here", SOURCE, "1 if this process polls the source"),
    gauge("frostline_rules", &[], "Rules in force, with rules in their topic"),
    gauge("frostline_rules_quarantined", &[], "Rules and subscribers in the topic that are quarantined"),
    counter("frostline_rule_errors_total", &["rule"], "Failed evaluations of a rule"),
    counter(
        "frostline_deliveries_total",
        &["channel", "outcome"],
        "Messages that were sent or failed (given up), attempts that will be retried, notices that were suppressed (not sent)",
    ),
    gauge("frostline_deliveries_pending", CHANNEL, "Messages that are neither sent nor given up"),
    histogram("frostline_delivery_seconds", CHANNEL, "Time until the server answered"),
    gauge(
        "frostline_circuit_open",
        &["server"],
        "1 while no messages are sent to a server because it failed several times in a row",
    ),
    gauge("frostline_ready", &[], "1 when /health/ready answers 200"),
    gauge("frostline_state_bytes", &[], "Size of the state on disk"),
    gauge("frostline_build_info", &["version"], "1, with the version of the program"),
    gauge("process_resident_memory_bytes", &[], "Resident memory (Linux)"),
    gauge("process_threads", &[], "Threads (Linux)"),
    gauge("process_open_fds", &[], "Open files (Linux)"),
];

/// The meaning of a metric; empty if it is not in the list, which a test finds.
pub(super) fn help(name: &str) -> &'static str {
    METRICS.iter().find(|metric| metric.name == name).map_or("", |metric| metric.help)
}

/// Registers the meanings of all metrics with the exporter.
pub(super) fn describe() {
    for Metric { name, kind, help, .. } in METRICS {
        match kind {
            MetricKind::Counter => metrics::describe_counter!(*name, *help),
            MetricKind::Gauge => metrics::describe_gauge!(*name, *help),
            MetricKind::Histogram => metrics::describe_histogram!(*name, *help),
        }
    }
}
