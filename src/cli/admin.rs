//! Starts the page, health checks and metrics of a daemon.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::Failed;
use crate::admin::{Admin, ChangeRules, Listening, Recorder, RuleChange, View, check_token};
use crate::app::{App, AppOptions};
use crate::config::{Config, Secret, SecretText};
use crate::publishing::{Live, Outcome, READS_A_FILE, plan, plan_removal};
use crate::rules::{Key, RuleSet};

/// Binds the address of the admin server, before the daemon joins its groups and announces the address there. If the
/// port is in use, the daemon logs a warning and runs without the admin server.
pub(super) fn listen(config: &Config) -> Result<Option<Listening>, Failed> {
    let Some(listen) = config.admin.address() else { return Ok(None) };
    let token = token(config)?;
    match Listening::at(listen, token) {
        Ok(listening) => Ok(Some(listening)),
        Err(reason) if !listen.ip().is_loopback() => Err(Failed::Usage(anyhow::anyhow!(reason))),
        Err(reason) => {
            tracing::warn!(
                reason,
                "running without page, health and metrics: set admin.listen to another address, or to an empty text"
            );
            Ok(None)
        }
    }
}

/// Checks that there is the token that the address needs, as [`listen`] does.
pub(super) fn check(config: &Config) -> Result<(), Failed> {
    let token = token(config)?;
    let checked = config.admin.address().map_or(Ok(()), |listen| check_token(listen, token.as_ref()));
    checked.map_err(|reason| Failed::Usage(anyhow::anyhow!(reason)))
}

/// The token of the configuration, if there is one.
fn token(config: &Config) -> Result<Option<SecretText>, Failed> {
    let token = Some(&config.admin.token).filter(|token| !token.is_empty());
    let token = token.map(Secret::resolve).transpose();
    token.map_err(|reason| Failed::Usage(anyhow::anyhow!("admin.token: {reason}")))
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
        sources: daemon.engine.sources(),
        stations: Arc::clone(&daemon.stations),
        rules,
        change_rules: listening.has_token().then(|| change_rules(config)),
        recent: options.recent.clone(),
        inspector: daemon.engine.inspector(),
        source: daemon.tails.clone(),
        // Anything that reads the daemon's health learns of the failure before the watchdog ends the daemon.
        patience: Duration::from_millis(config.runtime.stall_timeout_ms / 2),
        recorder,
        state_bytes: Box::new(daemon.engine.state_bytes()),
        guarantee: config.runtime.guarantee.to_string(),
        cluster: daemon.engine.cluster().to_owned(),
        instance: daemon.engine.instance().to_owned(),
        sender: config.cap_sender().to_owned(),
    };
    let admin = Admin::start(listening, view).map_err(|reason| Failed::Working(anyhow::anyhow!(reason)))?;
    tracing::info!(page = format!("http://{}/", admin.address), "serving page, health and metrics");
    Ok(admin)
}

/// Changes the published rules as `frostline rules apply` and `remove` do.
fn change_rules(config: &Config) -> ChangeRules {
    let config = config.clone();
    // Without it, two changes over HTTP at once would fail, as changes by two processes do.
    let one_at_a_time = Mutex::new(());
    Arc::new(move |change| {
        let _guard = one_at_a_time.lock().unwrap_or_else(PoisonError::into_inner);
        let live = Live::connect_blocking(&config)?;
        let turn = live.turn()?;
        let plan = match change {
            RuleChange::Apply(text) => plan(&config, &live, &text)?,
            RuleChange::Remove(id) => plan_removal(&live, vec![Key::Rule(id)])?,
        };
        plan.publish(&turn, &mut || ())?;
        let Outcome { added, changed, removed, .. } = plan.outcome();
        tracing::info!(added, changed, removed, "rules changed over HTTP");
        let mut answer = plan.as_json(true);
        if config.alert.rule_file().is_some() {
            tracing::warn!("the change over HTTP does not reach this daemon: {READS_A_FILE}");
            answer["note"] = READS_A_FILE.into();
        }
        Ok(answer)
    })
}
