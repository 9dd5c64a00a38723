//! Starts the page, health and metrics beside a daemon.

use std::sync::Arc;
use std::time::Duration;

use super::Failed;
use crate::admin::{Admin, Recorder, View};
use crate::config::Config;
use crate::rules::RuleSet;
use crate::runtime::{Daemon, RunOptions};

/// Starts the admin server. Where its address is taken the daemon works all the same, and says so.
pub(super) fn start(
    config: &Config,
    daemon: &Daemon,
    options: &RunOptions,
    rules: Arc<RuleSet>,
    recorder: Recorder,
) -> Result<Option<Admin>, Failed> {
    let Some(listen) = config.admin.address() else { return Ok(None) };
    let token = match config.admin.token.as_str() {
        "" => None,
        token => {
            let resolved = crate::config::resolve_secret(token);
            Some(resolved.map_err(|reason| Failed::Usage(anyhow::anyhow!("admin.token: {reason}")))?)
        }
    };
    let topics = |stage| {
        let (source, sink) = (config.source_of(stage), config.sink_of(stage));
        (stage, config.topic(source).name, config.topic(sink).name)
    };
    let view = View {
        stages: options.stages.iter().copied().map(topics).collect(),
        totals: daemon.totals(),
        board: daemon.board(),
        stations: daemon.stations(),
        rules,
        recent: options.recent.clone(),
        source: daemon.tail_source(),
        // Before the watchdog ends the daemon, whoever looks at its health has been told.
        patience: Duration::from_millis(config.runtime.stall_timeout_ms / 2),
        recorder,
        state_bytes: Box::new(daemon.state_bytes()),
        guarantee: config.runtime.guarantee.to_string(),
        cluster: daemon.cluster().to_owned(),
        instance: daemon.instance().to_owned(),
    };
    match Admin::start(listen, token, view) {
        Ok(admin) => {
            tracing::info!(page = format!("http://{}/", admin.address), "page, health and metrics");
            Ok(Some(admin))
        }
        Err(reason) if !listen.ip().is_loopback() => Err(Failed::Usage(anyhow::anyhow!(reason))),
        Err(reason) => {
            tracing::warn!(
                reason,
                "no health and metrics: set admin.listen to another address, or to nothing"
            );
            Ok(None)
        }
    }
}
