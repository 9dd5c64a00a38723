//! Who was notified of an alert, according to `noaa-deliveries`.

use frostline_engine::kafka::StartAt;
use serde_json::Value;

use super::output::{CYAN, DIM, GREEN, RED, YELLOW};
use super::{Failed, output};
use crate::config::{Config, topic};
use crate::publishing::Live;

/// The outcomes of the messages with this alert, oldest first. Empty if the topic does not exist.
pub(super) fn outcomes(config: &Config, live: &Live<'_>, alert_id: &str) -> Result<Vec<Value>, Failed> {
    let topic = config.topic(topic::DELIVERIES).name;
    if live.admin().partitions(&topic)?.is_none() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    live.read(&topic, StartAt::Beginning, &mut |record| {
        // Most records are about other alerts, so they are not parsed.
        let value = record.value.unwrap_or_default();
        if memchr::memmem::find(value, alert_id.as_bytes()).is_some()
            && let Ok(outcome) = serde_json::from_slice::<Value>(value)
            && outcome["alert_ids"].as_array().is_some_and(|ids| ids.iter().any(|id| id == alert_id))
        {
            found.push(outcome);
        }
    })?;
    found.sort_by_key(|outcome| outcome["at_ms"].as_i64());
    Ok(found)
}

/// One line for each outcome.
pub(super) fn print(outcomes: &[Value]) -> Result<(), Failed> {
    if outcomes.is_empty() {
        let none = "no outcome in noaa-deliveries yet";
        return Ok(output::line(&format!("  {CYAN}{:<12}{CYAN:#} {DIM}{none}{DIM:#}", "notified"))?);
    }
    for outcome in outcomes {
        let text = |name: &str| output::clean(outcome[name].as_str().unwrap_or_default());
        let (name, answer) = (text("outcome"), text("answer") + &text("reason"));
        let colour = match name.as_str() {
            "sent" => GREEN,
            "suppressed" => YELLOW,
            _ => RED,
        };
        let at = jiff::Timestamp::from_millisecond(outcome["at_ms"].as_i64().unwrap_or_default());
        let at = at.map(|at| at.strftime("%F %H:%M:%SZ").to_string()).unwrap_or_default();
        output::line(&format!(
            "  {CYAN}{:<12}{CYAN:#} {colour}{name}{colour:#} {} by {} on {at}: {answer}",
            "notified",
            text("recipient"),
            text("channel"),
        ))?;
    }
    Ok(())
}
