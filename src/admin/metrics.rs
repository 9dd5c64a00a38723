//! Metrics in Prometheus' text form: what the program counts, and where each partition stands just now.

use std::fmt::Write;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::runtime::{Phase, TaskSnapshot};

/// Bounds of the buckets of commit times, in seconds.
const COMMIT_SECONDS: [f64; 11] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0];

/// Gathers what is counted. Made before anything counts.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// Takes all metrics of the process from now on.
    ///
    /// # Errors
    /// Where others take them already.
    pub fn install() -> Result<Self, String> {
        let commit_seconds = Matcher::Full("frostline_commit_seconds".into());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(commit_seconds, &COMMIT_SECONDS);
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        Ok(Self(handle.map_err(|error| error.to_string())?))
    }

    /// All of it as text, with the partitions of this moment.
    pub fn render(&self, tasks: &[TaskSnapshot]) -> String {
        self.0.run_upkeep();
        let mut text = self.0.render();
        type Value = fn(&TaskSnapshot) -> Option<i64>;
        let gauges: [(&str, &str, Value); 5] = [
            ("frostline_partition_restoring", "1 while the partition's state is read back", |task| {
                Some((task.phase == Phase::Restoring).into())
            }),
            ("frostline_partition_committed_offset", "The next input offset as of the last commit", |task| {
                task.committed_offset
            }),
            ("frostline_partition_lag_records", "Offsets between the last commit and the end", |task| {
                task.lag()
            }),
            ("frostline_partition_restored_records", "Changelog records read back", |task| {
                i64::try_from(task.restored_records).ok()
            }),
            ("frostline_partition_silent_seconds", "Since when the partition has had no turn", |task| {
                i64::try_from(task.silent_for.as_secs()).ok()
            }),
        ];
        for (name, help, value) in gauges {
            // Writing into a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
            for task in tasks {
                if let Some(value) = value(task) {
                    let (stage, partition) = (task.stage, task.partition);
                    let _ = writeln!(text, "{name}{{stage=\"{stage}\",partition=\"{partition}\"}} {value}");
                }
            }
        }
        text
    }
}
