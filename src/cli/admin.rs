//! Starts the page, health and metrics beside a daemon.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::Failed;
use super::rules::apply::{Unfit, mistake_json, plan, plan_removal};
use super::rules::source::Live;
use crate::admin::{Admin, ChangeRules, Listening, Recorder, RuleChange, View};
use crate::app::{App, AppOptions};
use crate::config::{Config, Secret};
use crate::rules::{Key, RuleSet};

/// Takes the address of the admin server, before the daemon joins its groups and tells them where it answers. Where the
/// address is taken the daemon works all the same, and says so.
pub(super) fn listen(config: &Config) -> Result<Option<Listening>, Failed> {
    let Some(listen) = config.admin.address() else { return Ok(None) };
    let token = Some(&config.admin.token).filter(|token| !token.is_empty());
    let token = token.map(Secret::resolve).transpose();
    let token = token.map_err(|reason| Failed::Usage(anyhow::anyhow!("admin.token: {reason}")))?;
    match Listening::at(listen, token) {
        Ok(listening) => Ok(Some(listening)),
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

/// Starts the admin server.
pub(super) fn start(
    config: &Config,
    listening: Listening,
    daemon: &App,
    options: &AppOptions,
    rules: Arc<RuleSet>,
    recorder: Recorder,
) -> Result<Admin, Failed> {
    let view = View {
        topology: daemon.engine.topology(),
        stages: daemon.engine.stages().to_vec(),
        totals: daemon.engine.totals(),
        board: daemon.engine.board(),
        stations: Arc::clone(&daemon.stations),
        rules,
        change_rules: listening.has_token().then(|| change_rules(config)),
        recent: options.recent.clone(),
        inspector: daemon.engine.inspector(),
        source: daemon.tails.clone(),
        // Before the watchdog ends the daemon, whoever looks at its health has been told.
        patience: Duration::from_millis(config.runtime.stall_timeout_ms / 2),
        recorder,
        state_bytes: Box::new(daemon.engine.state_bytes()),
        guarantee: config.runtime.guarantee.to_string(),
        cluster: daemon.engine.cluster().to_owned(),
        instance: daemon.engine.instance().to_owned(),
    };
    let admin = Admin::start(listening, view).map_err(|reason| Failed::Working(anyhow::anyhow!(reason)))?;
    tracing::info!(page = format!("http://{}/", admin.address), "page, health and metrics");
    Ok(admin)
}

/// Changes the published rules as `frostline rules apply` and `remove` do.
fn change_rules(config: &Config) -> ChangeRules {
    let config = config.clone();
    Arc::new(move |change| {
        let broken = |reason: String| (500, json!({ "error": reason }));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| broken(error.to_string()))?;
        runtime.block_on(make(&config, change)).map_err(|unfit| match unfit {
            Unfit::Mistakes(mistakes) => {
                let mistakes: Vec<Value> = mistakes.iter().map(mistake_json).collect();
                (
                    422,
                    json!({ "error": "mistakes in the rules, nothing was published", "mistakes": mistakes }),
                )
            }
            Unfit::Failed(Failed::Usage(error)) => (422, json!({ "error": format!("{error:#}") })),
            Unfit::Failed(Failed::Working(error)) => broken(format!("{error:#}")),
            Unfit::Failed(_) => broken("it was cut short".into()),
        })
    })
}

async fn make(config: &Config, change: RuleChange) -> Result<Value, Unfit> {
    let live = Live::connect(config).await?;
    let plan = match change {
        RuleChange::Apply(text) => plan(config, &live, &text)?,
        RuleChange::Remove(id) => plan_removal(&live, vec![Key::Rule(id)])?,
    };
    plan.publish(&live)?;
    let changed = plan.as_json(true);
    let (added, removed) = (&changed["added"], &changed["removed"]);
    tracing::info!(%added, changed = %changed["changed"], %removed, "rules were changed over HTTP");
    Ok(changed)
}
