//! Metrics in Prometheus' text form: the program's counts, and the present state of each partition and of the
//! process.

use std::fmt::Write;

use frostline_engine::SourceId;
use frostline_engine::record::unix_ms;
use frostline_engine::runtime::{Phase, SourcePhase, SourceSnapshot, TaskSnapshot};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use super::metric_list::{self, METRICS, MetricKind};

/// Bounds of the buckets of times, in seconds.
const SECONDS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// Collects the counts. Create it before anything counts.
#[derive(Clone)]
pub struct Recorder(PrometheusHandle);

impl Recorder {
    /// Collects all metrics of the process from now on.
    ///
    /// # Errors
    /// Another recorder is installed already.
    pub fn install() -> Result<Self, String> {
        let mut histograms = METRICS.iter().filter(|metric| metric.kind == MetricKind::Histogram);
        let builder = histograms.try_fold(PrometheusBuilder::new(), |builder, metric| {
            builder.set_buckets_for_metric(Matcher::Full(metric.name.into()), &SECONDS)
        });
        let handle = builder.and_then(PrometheusBuilder::install_recorder);
        let handle = handle.map_err(|error| error.to_string())?;
        metric_list::describe();
        Ok(Self(handle))
    }

    /// A recorder without metrics.
    #[cfg(test)]
    pub(super) fn idle() -> Self {
        Self(PrometheusBuilder::new().build_recorder().handle())
    }

    /// All metrics as text, with the partitions and the process at this moment.
    pub fn render(
        &self,
        tasks: &[TaskSnapshot],
        sources: &[(SourceId, SourceSnapshot)],
        is_ready: bool,
        state_bytes: u64,
    ) -> String {
        self.0.run_upkeep();
        let mut text = self.0.render();
        partitions(&mut text, tasks);
        of_sources(&mut text, sources);
        let version = env!("CARGO_PKG_VERSION");
        let labels = format!("{{version=\"{version}\"}}");
        gauge(&mut text, "frostline_build_info", &[(labels, 1.0)]);
        let mut plain = |name, value: f64| gauge(&mut text, name, &[(String::new(), value)]);
        plain("frostline_ready", f64::from(u8::from(is_ready)));
        plain("frostline_state_bytes", state_bytes as f64);
        process().into_iter().for_each(|(name, value)| plain(name, value));
        text
    }
}

type Value = fn(&TaskSnapshot) -> Option<f64>;

fn partitions(text: &mut String, tasks: &[TaskSnapshot]) {
    let gauges: [(&str, Value); 7] = [
        ("frostline_partition_restoring", |task| Some(u8::from(task.phase == Phase::Restoring).into())),
        ("frostline_partition_failed", |task| Some(u8::from(task.phase == Phase::Failed).into())),
        ("frostline_partition_committed_offset", |task| task.committed_offset.map(|offset| offset as f64)),
        ("frostline_partition_lag_records", |task| task.lag().map(|lag| lag as f64)),
        ("frostline_partition_lag_seconds", |task| task.lag_seconds()),
        ("frostline_partition_restored_records", |task| Some(task.restored_records as f64)),
        ("frostline_partition_silent_seconds", |task| Some(task.silent_for.as_secs_f64().floor())),
    ];
    for (name, value) in gauges {
        let labelled = |task: &TaskSnapshot| {
            let labels = format!("{{stage=\"{}\",partition=\"{}\"}}", task.stage, task.partition);
            Some((labels, value(task)?))
        };
        gauge(text, name, &tasks.iter().filter_map(labelled).collect::<Vec<_>>());
    }
}

fn of_sources(text: &mut String, sources: &[(SourceId, SourceSnapshot)]) {
    if sources.is_empty() {
        return;
    }
    let now_ms = unix_ms();
    type Value = fn(&SourceSnapshot, i64) -> Option<f64>;
    let gauges: [(&str, Value); 3] = [
        ("frostline_source_polled_here", |source, _| {
            Some(u8::from(source.phase != SourcePhase::Standby).into())
        }),
        ("frostline_source_age_seconds", |source, now_ms| {
            source.newest_ms.map(|newest_ms| (now_ms - newest_ms).max(0) as f64 / 1_000.0)
        }),
        ("frostline_source_late", |source, _| Some(u8::from(source.is_late).into())),
    ];
    for (name, value) in gauges {
        let labelled = |(id, source): &(SourceId, SourceSnapshot)| {
            Some((format!("{{source=\"{id}\"}}"), value(source, now_ms)?))
        };
        gauge(text, name, &sources.iter().filter_map(labelled).collect::<Vec<_>>());
    }
}

fn gauge(text: &mut String, name: &str, values: &[(String, f64)]) {
    let help = metric_list::help(name);
    // Writing into a string cannot fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n");
    for (labels, value) in values {
        let _ = writeln!(text, "{name}{labels} {value}");
    }
}

/// Linux' data about the process; none on other systems.
fn process() -> Vec<(&'static str, f64)> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let number = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let files = std::fs::read_dir("/proc/self/fd").map(|files| files.count() as f64).ok();
    let found = [
        ("process_resident_memory_bytes", number("VmRSS:").map(|kb| kb * 1_024.0)),
        ("process_threads", number("Threads:")),
        ("process_open_fds", files),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}
