//! The results: medians over the rounds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Subject;
use super::daemons::Measured;
use super::grid::{Cell, Job, Options};
use super::latency::Latency;
use super::machine::Machine;
use crate::stages::Validate;

/// The whole measurement.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The machine.
    pub machine: Machine,
    /// The work.
    pub job: Job,
    /// Which records were read completely.
    pub validate: Validate,
    /// Conditions for each observation.
    pub conditions: u32,
    /// How many times each cell was run.
    pub rounds: u32,
    /// The seed, which repeats the input.
    pub seed: String,
    /// One for each cell, and for the bare client on each topic.
    pub rows: Vec<Row>,
    /// One for each guarantee.
    pub latencies: Vec<Latency>,
    /// Failed runs, with the reason.
    pub failed: Vec<(String, String)>,
}

/// Medians of one cell.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Partitions of the topic.
    pub partitions: i32,
    /// The rest of the cell; `None` for the bare client.
    pub cell: Option<Cell>,
    /// Records of the topic.
    pub records: u64,
    /// From the first record to the last commit.
    pub records_per_second: f64,
    /// In megabytes of values a second.
    pub megabytes_per_second: f64,
    /// CPU time of all processes, from start to end.
    pub records_per_cpu_second: f64,
    /// `records_per_cpu_second`, as a fraction of the bare client's on the same topic.
    pub of_limit: Option<f64>,
    /// Median duration of commits, of the slowest process.
    pub commit_p50_ms: f64,
    /// 99th percentile of the duration of commits.
    pub commit_p99_ms: f64,
    /// Largest resident memory, all processes together.
    pub memory_bytes: u64,
    /// Most threads of one process.
    pub threads: u64,
}

impl Report {
    pub(super) fn new(
        options: &Options,
        machine: Machine,
        measured: &BTreeMap<Subject, Vec<Measured>>,
        latencies: Vec<Latency>,
        failed: Vec<(String, String)>,
    ) -> Self {
        let mut rows: Vec<Row> =
            measured.iter().map(|(subject, rounds)| Row::new(*subject, rounds)).collect();
        let limits: BTreeMap<i32, f64> = rows
            .iter()
            .filter(|row| row.cell.is_none())
            .map(|row| (row.partitions, row.records_per_cpu_second))
            .collect();
        for row in rows.iter_mut().filter(|row| row.cell.is_some()) {
            row.of_limit = limits.get(&row.partitions).map(|limit| row.records_per_cpu_second / limit);
        }
        rows.sort_by_key(|row| {
            (row.cell.map(|cell| (cell.processes, cell.workers, cell.guarantee)), row.partitions)
        });
        Self {
            machine,
            job: options.job,
            validate: options.validate,
            conditions: options.conditions,
            rounds: options.rounds,
            seed: format!("{:x}", options.seed),
            rows,
            latencies,
            failed,
        }
    }

    /// The rows as a table for spreadsheets.
    pub fn csv(&self) -> String {
        let mut text =
            "partitions,processes,workers,guarantee,records,records_per_second,megabytes_per_second,\
                        records_per_cpu_second,of_limit,commit_p50_ms,commit_p99_ms,memory_bytes,threads\n"
                .to_owned();
        for row in &self.rows {
            let cell = row.cell.map_or_else(
                || ",,bare client".to_owned(),
                |cell| format!("{},{},{}", cell.processes, cell.workers, cell.guarantee),
            );
            let of_limit = row.of_limit.map_or_else(String::new, |part| format!("{part:.3}"));
            text += &format!(
                "{},{cell},{},{:.0},{:.1},{:.0},{of_limit},{:.2},{:.2},{},{}\n",
                row.partitions,
                row.records,
                row.records_per_second,
                row.megabytes_per_second,
                row.records_per_cpu_second,
                row.commit_p50_ms,
                row.commit_p99_ms,
                row.memory_bytes,
                row.threads
            );
        }
        text
    }
}

impl Row {
    fn new(subject: Subject, rounds: &[Measured]) -> Self {
        let of = |value: &dyn Fn(&Measured) -> f64| median(rounds.iter().map(value).collect());
        let (partitions, cell) = match subject {
            Subject::Limit(partitions) => (partitions, None),
            Subject::Cell(cell) => (cell.partitions, Some(cell)),
        };
        Self {
            partitions,
            cell,
            records: rounds.first().map_or(0, |run| run.records),
            records_per_second: of(&|run| run.records as f64 / run.seconds),
            megabytes_per_second: of(&|run| run.bytes as f64 / 1e6 / run.seconds),
            records_per_cpu_second: of(&|run| run.records as f64 / run.cpu_seconds),
            of_limit: None,
            commit_p50_ms: of(&|run| run.commit_p50_ms),
            commit_p99_ms: of(&|run| run.commit_p99_ms),
            memory_bytes: rounds.iter().map(|run| run.memory_bytes).max().unwrap_or(0),
            threads: rounds.iter().map(|run| run.threads).max().unwrap_or(0),
        }
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        count if count % 2 == 1 => values[count / 2],
        count => (values[count / 2 - 1] + values[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
