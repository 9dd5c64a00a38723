//! `frostline notify`: tests whether notifications arrive.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, Subcommand};
use frostline_engine::record::unix_ms;

use super::output::{BOLD, DIM, GREEN, RED};
use super::rules::source;
use super::{Common, Failed, output};
use crate::config::Config;
use crate::noaa::{Date, RecentDays};
use crate::notify::{Sender, TEST_RULE};
use crate::rules::{Channel, Conditions, RuleSet, Severity, Transition};
use crate::stages::{Message, Notice, Recipient, Reply, Told};

const EXAMPLES: &str = "\
Examples:
  frostline notify test anna                      one message on each of anna's channels
  frostline notify test anna --channel sms        only on this one
  frostline notify test alertmanager              an alert that ends within a minute

The message says that it is a test. Nothing is written to any topic. The exit
code is 1 if a server refused it.";

/// Test notification channels
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct NotifyArguments {
    #[command(subcommand)]
    command: NotifyCommand,
}

#[derive(Subcommand)]
enum NotifyCommand {
    /// Send one test message on each channel of a subscriber, and print the server's answer
    #[command(after_help = EXAMPLES)]
    Test(TestArguments),
}

#[derive(Args)]
struct TestArguments {
    /// Send to the subscriber with this id, or to `alertmanager`
    #[arg(value_name = "SUBSCRIBER")]
    subscriber: String,
    #[arg(long, value_delimiter = ',', value_name = "CHANNELS", help = channel_help())]
    channel: Vec<String>,
    /// Read the subscriber from this rule file, or `live` for the published ones [default: alert.rules of the
    /// configuration]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
}

fn channel_help() -> String {
    let names = Channel::all().filter(|channel| channel.descriptor().field.is_some()).map(Channel::as_str);
    format!("Send only on these channels, separated by commas: {}", names.collect::<Vec<_>>().join(", "))
}

pub(super) async fn notify(common: &Common, arguments: &NotifyArguments) -> Result<(), Failed> {
    let NotifyCommand::Test(arguments) = &arguments.command;
    let config = common.load(&[])?;
    if !config.notify.is_on() {
        return Err(usage(format!("no channel is configured: add {}", Channel::sections())));
    }
    let is_alertmanager = arguments.subscriber == "alertmanager";
    if is_alertmanager && config.notify.alertmanager.is_none() {
        return Err(usage("no Alertmanager is configured: see [notify.alertmanager]".into()));
    }
    if is_alertmanager && !arguments.channel.is_empty() {
        return Err(usage("the Alertmanager is its own channel: remove --channel".into()));
    }
    let rules = if is_alertmanager {
        RuleSet::default()
    } else {
        source::rules(&config, arguments.rules.as_deref()).await?.rule_set(&mut Conditions::default())
    };
    let (recipient, channels) = if is_alertmanager {
        (Recipient::Alertmanager, vec![Channel::Alertmanager])
    } else {
        (Recipient::Subscriber(arguments.subscriber.clone()), channels(&config, arguments, &rules)?)
    };
    let sender =
        Sender::new(&config.notify, Arc::new(rules), Arc::new(RecentDays::default())).map_err(usage)?;
    let mut has_failed = false;
    for channel in channels {
        let message =
            Message::of_notices(recipient.clone(), channel, vec![Told::of_notice(notice(&recipient))]);
        let reply = sender.send(&message).await;
        has_failed |= !matches!(reply, Reply::Sent(_));
        tell(common, channel, &message.id, &reply)?;
    }
    if has_failed { Err(Failed::Mistakes) } else { Ok(()) }
}

/// The chosen channels of the subscriber.
fn channels(config: &Config, arguments: &TestArguments, rules: &RuleSet) -> Result<Vec<Channel>, Failed> {
    let id = &arguments.subscriber;
    let subscriber =
        rules.subscriber(id).ok_or_else(|| usage(format!("no subscriber `{id}` in the rules")))?;
    let settings = config.deliver_settings();
    let mut channels = settings.channels_of(&subscriber).map_err(usage)?;
    for (field, section) in settings.channels_and_missing(&subscriber).1 {
        output::note(&format!("{field}: not tested, because {section} is not configured"));
    }
    for name in &arguments.channel {
        if !channels.iter().any(|channel| channel.as_str() == name) {
            let known: Vec<&str> = channels.iter().map(|channel| channel.as_str()).collect();
            return Err(usage(format!("{id} has no channel `{name}`: expected {}", known.join(" or "))));
        }
    }
    channels.retain(|channel| {
        arguments.channel.is_empty() || arguments.channel.iter().any(|name| name == channel.as_str())
    });
    Ok(channels)
}

/// A notice of today without weather. It says so, and its id is different each time.
fn notice(recipient: &Recipient) -> Notice {
    let now_ms = unix_ms();
    let date = Date::from_unix_ms(now_ms).map(|date| date.to_string()).unwrap_or_default();
    Notice {
        alert_id: format!("frostline-test/{recipient}/{now_ms}"),
        rule_id: TEST_RULE.into(),
        transition: Transition::Fired,
        severity: Severity::Info,
        station: "TEST".into(),
        station_name: Some("no station".into()),
        date,
        message: "This is a test of frostline. There is no frost. Alerts will arrive here.".into(),
        when: "a test".into(),
        clear: None,
        values: Vec::new(),
        episode: None,
        retracts: None,
        days: None,
    }
}

fn tell(common: &Common, channel: Channel, message_id: &str, reply: &Reply) -> Result<(), Failed> {
    let (outcome, colour, answer) = match reply {
        Reply::Sent(answer) => ("sent", GREEN, answer),
        Reply::Again(reason) | Reply::Down(reason) | Reply::Postponed { reason, .. } => {
            ("failed", RED, reason)
        }
        Reply::Refused(reason) => ("refused", RED, reason),
    };
    if common.json {
        return Ok(output::json(&serde_json::json!({
            "channel": channel, "outcome": outcome, "answer": answer, "message_id": message_id
        }))?);
    }
    let answer = output::clean(answer);
    Ok(output::line(&format!(
        "{BOLD}{channel:<12}{BOLD:#} {colour}{outcome}{colour:#}  {answer}  {DIM}{message_id}{DIM:#}"
    ))?)
}

fn usage(reason: String) -> Failed {
    Failed::Usage(anyhow::anyhow!(reason))
}
