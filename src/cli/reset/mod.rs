//! `frostline reset`: makes a stage read records again while it is stopped.
//!
//! Only the offsets of the stage's group change, in Kafka. Its state stays as it is, and prevents it from writing an
//! output twice. So a reset is allowed only if the state covers everything that is read again.

mod plan;

use std::str::FromStr;

use clap::Args;
use frostline_engine::StageId;
use frostline_engine::kafka::{Admin, ClientSettings, GroupProtocol};
use serde_json::json;

pub(super) use self::plan::Plan;
use self::plan::Step;
use super::output::BOLD;
use super::{Common, Failed, output, topics};
use crate::config::Config;
use crate::noaa::Date;
use crate::stages;

const EXAMPLES: &str = "\
Examples:
  frostline reset --stage alert --to 2026-11-01 --dry-run   how many records would be read again
  frostline reset --stage alert --to 2026-11-01             shows the same, asks, and sets the offsets back
  frostline reset --stage alert --to earliest --yes

Stop every daemon that runs the stage first, and start it again afterwards.
The stage then reads the records of that day and later ones again. Rules that
judged them before send no alert twice; new rules judge them for the first
time.";

/// Set a stopped stage back, so that new rules judge records that it has read before
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ResetArguments {
    /// Reset this stage: alert
    #[arg(long, value_name = "STAGE")]
    stage: String,
    /// Read records again from this day on (UTC, by the records' Kafka timestamps), or from `earliest`
    #[arg(long, value_name = "DATE")]
    to: Since,
    /// Skip the question
    #[arg(long)]
    yes: bool,
    /// Show what would be read again, and change nothing
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
}

/// Where reading again starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    /// The oldest record that the topic still has.
    Earliest,
    /// The first record of this day or a later one.
    Day(Date),
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "earliest" {
            return Ok(Self::Earliest);
        }
        let date = Date::parse_iso(text).ok_or("expected a date such as 2026-11-01, or `earliest`")?;
        Ok(Self::Day(date))
    }
}

impl std::fmt::Display for Since {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Earliest => write!(f, "earliest"),
            Self::Day(date) => write!(f, "{date}"),
        }
    }
}

pub(super) async fn reset(common: &Common, arguments: &ResetArguments) -> Result<(), Failed> {
    let config = common.load(&[])?;
    let topology = crate::app::outline(&config)?;
    let stage = topology.find(&arguments.stage).map_err(|error| Failed::Usage(error.into()))?.id;
    if let Some(reason) = refusal(stage) {
        return Err(Failed::Usage(anyhow::anyhow!("stage {stage} cannot be reset: {reason}")));
    }
    let admin = topics::connect(&config).await?;
    if !arguments.dry_run {
        check_stopped(&config, &admin, "nothing was changed")?;
    }
    let plan = Plan::make(&config, &admin, stage, arguments.to)?;
    show(common, &plan)?;
    let goes_on = plan.steps.is_empty()
        || arguments.dry_run
        || arguments.yes
        || output::confirmed(&format!("Read {} again? [y/N]", output::counted(plan.records(), "record")))?;
    if !goes_on {
        return Err(Failed::Usage(anyhow::anyhow!(
            "nothing was changed: use --yes to reset without a question"
        )));
    }
    finish(common, &admin, &plan, arguments.dry_run)
}

/// The changes that set the alert stage back, prepared before rules are published; `dry_run` only shows them.
///
/// # Errors
/// Why the stage cannot be set back; nothing has changed then.
pub(super) fn prepare(config: &Config, admin: &Admin, since: Since, dry_run: bool) -> Result<Plan, Failed> {
    if !dry_run {
        check_stopped(config, admin, "nothing was published")?;
    }
    Plan::make(config, admin, stages::ALERT, since)
}

/// Sets the alert stage back without a question; `dry_run` only shows the changes.
pub(super) fn judge_again(common: &Common, admin: &Admin, plan: &Plan, dry_run: bool) -> Result<(), Failed> {
    show(common, plan)?;
    finish(common, admin, plan, dry_run)
}

/// Checks that no process runs the alert stage.
///
/// # Errors
/// Which processes do, and what to do; `unchanged` says what has not been done.
fn check_stopped(config: &Config, admin: &Admin, unchanged: &str) -> Result<(), Failed> {
    let group = crate::app::outline(config)?.group(stages::ALERT);
    let mut members: Vec<String> = admin.everyone(&group)?.iter().map(ToString::to_string).collect();
    members.sort_unstable();
    if members.is_empty() {
        return Ok(());
    }
    let seconds = config.runtime.session_timeout_ms.div_ceil(1_000);
    let session = match ClientSettings::new(&config.kafka)?.group_protocol() {
        GroupProtocol::Classic => format!("{seconds} s (runtime.session_timeout_ms)"),
        GroupProtocol::Consumer => "the brokers' group.consumer.session.timeout.ms".to_owned(),
    };
    Err(Failed::Usage(anyhow::anyhow!(
        "{unchanged}: stage {} is running (members of group {group}: {}). Stop these daemons and try again; one that \
         was killed leaves the group after {session}",
        stages::ALERT,
        members.join(", ")
    )))
}

/// Why a stage must not read its records again; `None` if its state makes that harmless.
fn refusal(stage: StageId) -> Option<&'static str> {
    match stage {
        stages::ALERT => None,
        stages::ASSEMBLE => Some(
            "it keeps the newest values of an observation, not the lines that it has read, so an old line would undo \
             a later correction, and both would be written again as revisions",
        ),
        stages::DELIVER => Some("messages that people have received could be sent again"),
        stages::OUTLOOK => Some("its model has learnt from these nights already, and would learn them twice"),
        stages::WATCH => Some(
            "warnings belong to their evening. What rules over nights and hours would have done is shown by `frostline \
             rules backtest`",
        ),
        _ => Some("it keeps no state, so all its outputs would be written twice"),
    }
}

fn show(common: &Common, plan: &Plan) -> Result<(), Failed> {
    let topic = &plan.topic;
    for step in &plan.steps {
        let Step { partition, from_offset, to_offset, records, .. } = *step;
        if common.json {
            output::json(&json!({
                "topic": topic, "partition": partition, "from_offset": from_offset, "to_offset": to_offset,
                "records": records,
            }))?;
        } else {
            let records = output::grouped(records);
            output::line(&format!(
                "{topic}  partition {partition:>3}  offset {from_offset} back to {to_offset}  {BOLD}{records}{BOLD:#} records"
            ))?;
        }
    }
    Ok(())
}

/// Sets the offsets back, unless `dry_run` is set, and prints the result.
fn finish(common: &Common, admin: &Admin, plan: &Plan, dry_run: bool) -> Result<(), Failed> {
    let is_reset = !dry_run && !plan.steps.is_empty();
    if is_reset {
        plan.carry_out(admin)?;
    }
    let (stage, records) = (plan.stage, plan.records());
    if common.json {
        return Ok(output::json(&json!({ "stage": stage.as_str(), "records": records, "reset": is_reset }))?);
    }
    let grouped = output::grouped(records);
    Ok(output::line(&match (plan.steps.is_empty(), dry_run) {
        (true, _) => format!("nothing to do: stage {stage} has read no record since then"),
        (false, true) => format!("{BOLD}{grouped}{BOLD:#} records would be read again, nothing was changed"),
        (false, false) => {
            format!("stage {stage} reads {BOLD}{grouped}{BOLD:#} records again at its next start")
        }
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stage_that_remembers_may_be_reset() {
        let topology = crate::app::outline(&Config::default()).unwrap();
        let ids = topology.stages().iter().map(|stage| stage.id);
        let allowed: Vec<StageId> = ids.filter(|stage| refusal(*stage).is_none()).collect();
        assert_eq!(allowed, [stages::ALERT]);
    }

    #[test]
    fn a_day_or_the_beginning() {
        assert_eq!("earliest".parse(), Ok(Since::Earliest));
        let day = Since::from_str("2026-11-01").unwrap();
        assert_eq!(
            (day, day.to_string()),
            (Since::Day(Date::new(2026, 11, 1).unwrap()), "2026-11-01".into())
        );
        for wrong in ["", "latest", "2026-11-31", "yesterday"] {
            assert!(Since::from_str(wrong).unwrap_err().contains("2026-11-01"), "{wrong}");
        }
    }
}
