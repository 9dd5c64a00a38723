//! Prints the demo's alerts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use frostline_engine::kafka::{ClientSettings, Polled, Reader, StartAt};
use indicatif::ProgressBar;
use serde_json::Value;

use super::super::output::{BOLD, CYAN, GREEN};
use super::super::{Common, Failed, output};
use crate::config::{Config, topic};

/// Prints alerts as they arrive, from the topic itself.
pub(super) struct Printer {
    thread: JoinHandle<Result<(), Failed>>,
    finish: Arc<AtomicBool>,
}

impl Printer {
    pub(super) fn start(
        common: &Common,
        config: &Config,
        settings: &ClientSettings,
        spinner: ProgressBar,
    ) -> Result<Self, Failed> {
        let plan = config.topic(topic::ALERTS);
        let starts: Vec<_> = (0..plan.partitions).map(|partition| (partition, StartAt::Beginning)).collect();
        let mut reader = Reader::new(settings, &plan.name, &starts)?;
        let finish = Arc::new(AtomicBool::new(false));
        let (stop, json) = (Arc::clone(&finish), common.json);
        let thread = std::thread::spawn(move || print_alerts(&mut reader, json, &spinner, &stop));
        Ok(Self { thread, finish })
    }

    /// Returns when the printer has ended by itself.
    pub(super) async fn ended(&self) {
        while !self.thread.is_finished() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Prints the remaining alerts, and ends.
    pub(super) fn finish(self) -> Result<(), Failed> {
        self.finish.store(true, Ordering::Release);
        self.thread.join().unwrap_or_else(|_| Err(anyhow::anyhow!("the printer of alerts panicked").into()))
    }
}

fn print_alerts(
    reader: &mut Reader,
    json: bool,
    spinner: &ProgressBar,
    finish: &AtomicBool,
) -> Result<(), Failed> {
    loop {
        // No record for this long after the last commit: that was the last alert.
        let wait = Duration::from_millis(300);
        let is_last_round = finish.load(Ordering::Acquire);
        let printed = reader.poll(wait, |polled| match polled {
            Polled::Record(record) => {
                let value = record.value.unwrap_or_default();
                let alert: Value = serde_json::from_slice(value).unwrap_or_default();
                spinner
                    .suspend(|| if json { output::json(&alert) } else { output::line(&alert_line(&alert)) })
            }
            Polled::EndOfPartition { .. } => Ok(()),
        })?;
        match printed {
            Some(result) => result?,
            None if is_last_round => return Ok(()),
            None => {}
        }
    }
}

fn alert_line(alert: &Value) -> String {
    let text = |name: &str| alert.get(name).and_then(Value::as_str).unwrap_or_default();
    let date = text("date").get(..10).unwrap_or_default();
    format!("{GREEN}{date}{GREEN:#}  {BOLD}{:<22}{BOLD:#} {CYAN}{}{CYAN:#}", text("rule_id"), text("message"))
}
