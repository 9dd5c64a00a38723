//! `frostline rules backtest`: how often rules would have fired, over files or a topic's history.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;
use frostline_engine::kafka::ClientSettings;

use super::super::file_output::FileOutput;
use super::super::history_arguments::check_period;
use super::super::output::{BOLD, CYAN, DIM, GREEN, RED, YELLOW};
use super::super::{Common, Failed, output, topics};
use super::moments::{self, Rest};
use super::{StationFiles, source};
use crate::backtest::{self, Change, Difference, Feed, Input, Picture, RuleStats, Setting, Stats};
use crate::config::Config;
use crate::history;
use crate::noaa::{Date, Station};
use crate::publishing::Live;
use crate::rules::{Conditions, Published};

const EXAMPLES: &str = "\
Examples:
  frostline rules backtest 2016.csv.gz --rules rules.toml --stations ghcnd-stations.txt
  frostline rules backtest 2016.csv.gz --rules new.toml --against live --from 2016-10-01
  frostline rules backtest --topic noaa-json --rules rules.toml --html backtest.html
  frostline rules backtest KEWR-2013.csv.gz --rules rules.toml --stations ghcnd-stations.txt    nights and hours
  frostline rules backtest 2016.csv.gz --json | tail -1          the sums as one JSON line

Files are NOAA's by_year CSV or enriched observations, one JSON object a line, plain or gzipped. Without
--stations nothing is known of a station but its id, which is enough for rules that name theirs. Rules over nights and
hours are tried on the files of hourly observations, or on --topic noaa-hourly, through outlook and watch.";

/// Most rules that are shown to people; --json gives all.
const SHOWN_MAX: usize = 40;

/// Try rules on history: the same code that runs live, no broker needed for files
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BacktestArguments {
    /// Files of history
    #[arg(required_unless_present = "topic")]
    files: Vec<PathBuf>,
    /// A topic instead: noaa-json, noaa-csv-raw, noaa-hourly or any with such records
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    topic: Option<String>,
    /// The rule file, or `live` for the published rules [default: alert.rules of the configuration]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    stations: StationFiles,
    /// The first date that counts
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Date>,
    /// The last date that counts
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Date>,
    /// Show what changes against other rules: a rule file, or `live`
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Keep readings that failed NOAA's quality control
    #[arg(long)]
    keep_failed_quality: bool,
    /// Print every alert as one line
    #[arg(long)]
    alerts: bool,
    /// Write a chart of rules and months
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a page with chart and tables
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Reads a date of the command line.
pub(in super::super) fn date(text: &str) -> Result<Date, String> {
    Date::parse_iso(text).ok_or_else(|| "expected a date, as in 2016-02-24".to_owned())
}

pub(super) async fn backtest(common: &Common, arguments: &BacktestArguments) -> Result<(), Failed> {
    let keep = arguments.keep_failed_quality.then(|| "true".to_owned());
    let config = common.load(&[("assemble.keep_failed_quality", keep)])?;
    let started = Instant::now();
    let rules = source::rules(&config, arguments.rules.as_deref()).await?;
    let mut against = match &arguments.against {
        Some(path) => Some(moments::of_days(&source::rules(&config, Some(path)).await?)),
        None => None,
    };
    check_period(arguments.from, arguments.to)?;
    let asked = moments::Asked {
        files: &arguments.files,
        topic: arguments.topic.as_deref(),
        stations: &arguments.stations,
        period: (arguments.from, arguments.to),
        prints: arguments.alerts,
    };
    let Rest::Days(files, mut rules) = moments::backtest(common, &config, &asked, &rules).await? else {
        if arguments.html.is_some() || arguments.svg.is_some() || arguments.against.is_some() {
            output::note("--html, --svg and --against are about rules over days: there is nothing to show");
        }
        return Ok(());
    };
    let history = History::open(&config, arguments.topic.as_deref(), &files).await?;
    let stations = history.stations(&config, &arguments.stations).await?;
    for rules in [Some(&rules), against.as_ref()].into_iter().flatten() {
        check_needs(rules, stations.is_some() || arguments.topic.is_some())?;
    }
    let setting = source::setting(&config, stations.as_deref())?;
    let setting = Setting { from: arguments.from, to: arguments.to, ..setting };
    for rules in [Some(&mut rules), against.as_mut()].into_iter().flatten() {
        history.find_nearest(rules, &setting)?;
    }
    let spinner = output::spinner();
    spinner.set_message("reading history");
    let gathers = against.is_some();
    let each = EachAlert { prints: arguments.alerts, gathers };
    let (stats, ids) = history.run(&rules, &setting, common, each)?;
    let before = match &against {
        Some(rules) => Some(history.run(rules, &setting, common, EachAlert { prints: false, gathers })?),
        None => None,
    };
    spinner.finish_and_clear();
    if stats.summary.observations == 0 && stats.summary.records_in > 0 {
        let count = output::grouped(stats.summary.records_in);
        let reason = format!("none of the {count} records is a valid line or observation");
        return Err(Failed::Working(anyhow::anyhow!(reason)));
    }
    write_pictures(arguments, &stats)?;
    let differences =
        before.map(|(before, ids_before)| Difference::between(&before, &stats, &ids_before, &ids));
    print(common, &rules, &stats, differences.as_deref(), started.elapsed().as_secs_f64())
}

/// Rules that ask what a station is cannot be tried where nothing is known of stations.
pub(in super::super) fn check_needs(rules: &Published, knows_stations: bool) -> Result<(), Failed> {
    let asks =
        |definition: &crate::rules::Definition| definition.stations.is_some() || definition.near.is_some();
    match rules.rules.iter().find(|(_, rule)| asks(&rule.definition)) {
        Some((id, _)) if !knows_stations => Err(Failed::Usage(anyhow::anyhow!(
            "rule `{id}` selects stations by their properties or place: give --stations ghcnd-stations.txt"
        ))),
        _ => Ok(()),
    }
}

/// What is done with each alert.
#[derive(Clone, Copy)]
struct EachAlert {
    prints: bool,
    /// Its id is kept, to be compared.
    gathers: bool,
}

/// Where history is read from; more than once, if need be.
pub(in super::super) enum History {
    Files(Vec<PathBuf>),
    Topic(Box<ClientSettings>, String, i32),
}

impl History {
    async fn open(config: &Config, topic: Option<&str>, files: &[PathBuf]) -> Result<Self, Failed> {
        match topic {
            None => Self::of_files(files),
            Some(topic) => Self::of_topic(config, topic).await,
        }
    }

    /// All of them must be there before anything is read.
    pub(in super::super) fn of_files(files: &[PathBuf]) -> Result<Self, Failed> {
        for file in files.iter().filter(|file| !history::is_stdin(file)) {
            let found = std::fs::metadata(file);
            found.map_err(|error| {
                Failed::Usage(anyhow::anyhow!("{} cannot be read: {error}", file.display()))
            })?;
        }
        Ok(Self::Files(files.to_vec()))
    }

    /// The stations: from the files that were named, else, for a topic, from the station table.
    pub(in super::super) async fn stations(
        &self,
        config: &Config,
        files: &StationFiles,
    ) -> Result<Option<Vec<Station>>, Failed> {
        match (files.read()?, self) {
            (None, Self::Topic(..)) => {
                let stations = Live::connect(config).await?.stations()?;
                Ok(Some(stations).filter(|stations| !stations.is_empty()))
            }
            (found, _) => Ok(found),
        }
    }

    pub(in super::super) async fn of_topic(config: &Config, topic: &str) -> Result<Self, Failed> {
        let topic = config.resolve_topic(topic);
        let Some(partitions) = topics::connect(config).await?.partitions(&topic)? else {
            return Err(Failed::Usage(anyhow::anyhow!("no such topic: {topic}")));
        };
        Ok(Self::Topic(Box::new(ClientSettings::new(&config.kafka)?), topic, partitions))
    }

    /// Calls `work` with the input.
    pub(in super::super) fn with_input<R>(
        &self,
        work: impl FnOnce(&Input<'_>) -> anyhow::Result<R>,
    ) -> Result<R, Failed> {
        let done = match self {
            Self::Files(files) => work(&Input::Files(files, &source::read_file)),
            Self::Topic(settings, topic, partitions) => {
                let push = |feed: &mut Feed<'_>| source::push_topic(settings, topic, *partitions, feed);
                work(&Input::Topic(usize::try_from(*partitions).unwrap_or(1), &push))
            }
        };
        Ok(done?)
    }

    pub(in super::super) fn find_nearest(
        &self,
        rules: &mut Published,
        setting: &Setting,
    ) -> Result<(), Failed> {
        if rules.rules.values().all(|rule| rule.definition.near.is_none() || rule.nearest.is_some()) {
            return Ok(());
        }
        let reporting = self.with_input(|input| backtest::reporting(input, setting))?;
        for id in rules.find_nearest(&reporting, &Published::default(), &mut Conditions::default()) {
            output::note(&format!(
                "{YELLOW}warning{YELLOW:#}  rule `{id}`: no station near it reports the elements it needs"
            ));
        }
        Ok(())
    }

    /// Runs the rules; the ids of all alerts are gathered where they are to be compared.
    fn run(
        &self,
        rules: &Published,
        setting: &Setting,
        common: &Common,
        EachAlert { prints, gathers }: EachAlert,
    ) -> Result<(Stats, BTreeSet<String>), Failed> {
        let ids = Mutex::new(BTreeSet::new());
        let each_alert = |value: &[u8]| {
            if !gathers && !prints {
                return;
            }
            let Ok(alert) = serde_json::from_slice::<serde_json::Value>(value) else { return };
            let id = alert["alert_id"].as_str().unwrap_or_default().to_owned();
            if prints {
                // Whoever closed stdout gets no more of it; the sums are told to nobody then.
                let _ = print_alert(common, &alert);
            }
            if gathers {
                ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
            }
        };
        let stats = self.with_input(|input| backtest::run(input, rules, setting, &each_alert))?;
        Ok((stats, ids.into_inner().unwrap_or_else(PoisonError::into_inner)))
    }
}

pub(super) fn print_alert(common: &Common, alert: &serde_json::Value) -> std::io::Result<()> {
    let text = |name: &str| alert[name].as_str().unwrap_or_default();
    if common.json {
        return output::json(&serde_json::json!({
            "alert_id": text("alert_id"), "transition": text("transition"), "message": text("message")
        }));
    }
    output::line(&format!("{CYAN}{}{CYAN:#}  {}", text("alert_id"), text("message")))
}

fn write_pictures(arguments: &BacktestArguments, stats: &Stats) -> Result<(), Failed> {
    let picture = Picture::new(stats);
    let write = |path: &Path, text: String| -> Result<(), Failed> {
        let mut file = FileOutput::create(path)?;
        file.write(text.as_bytes())?;
        file.finish()
    };
    if let Some(path) = &arguments.svg {
        write(path, picture.svg())?;
    }
    match &arguments.html {
        Some(path) => write(path, picture.html()),
        None => Ok(()),
    }
}

fn print(
    common: &Common,
    rules: &Published,
    stats: &Stats,
    differences: Option<&[Difference]>,
    seconds: f64,
) -> Result<(), Failed> {
    if common.json {
        for (id, rule) in &stats.rules {
            output::json(&serde_json::json!({ "rule": id, "result": rule }))?;
        }
        for difference in differences.into_iter().flatten() {
            output::json(&serde_json::json!({ "difference": difference }))?;
        }
        let mut summary =
            serde_json::to_value(stats.summary).map_err(|error| Failed::Working(error.into()))?;
        summary["seconds"] = ((seconds * 1_000.0).round() / 1_000.0).into();
        summary["messages"] = serde_json::json!(stats.messages);
        return Ok(output::json(&summary)?);
    }
    let mut by_fired: Vec<(&String, &RuleStats)> = stats.rules.iter().collect();
    by_fired.sort_by_key(|(_, rule)| std::cmp::Reverse(rule.fired));
    for (id, rule) in by_fired.iter().take(SHOWN_MAX) {
        print_rule(id, rule, rules)?;
    }
    if by_fired.len() > SHOWN_MAX {
        output::line(&format!(
            "{DIM}… and {} more rules: --json lists all{DIM:#}",
            by_fired.len() - SHOWN_MAX
        ))?;
    }
    let told = stats.messages.iter().filter(|(_, count)| **count > 0);
    for (subscriber, count) in told.take(SHOWN_MAX) {
        output::line(&format!("{subscriber:>28}  {BOLD}{}{BOLD:#} messages", output::grouped(*count)))?;
    }
    if let Some(differences) = differences {
        print_differences(differences)?;
    }
    print_summary(stats, seconds)
}

fn print_rule(id: &str, rule: &RuleStats, rules: &Published) -> Result<(), Failed> {
    let published = rules.rules.get(id);
    let place = published.map(crate::publishing::place).unwrap_or_default();
    let when = published.map(|rule| rule.definition.condition()).unwrap_or_default();
    output::line(&format!("{BOLD}{id}{BOLD:#}  {DIM}{place}{DIM:#}  {when}"))?;
    let mut facts = vec![format!("fired {}", output::grouped(rule.fired))];
    for (count, word) in [(rule.resolved, "resolved"), (rule.retracted, "retracted"), (rule.stale, "stale")] {
        if count > 0 {
            facts.push(format!("{word} {}", output::grouped(count)));
        }
    }
    if rule.stations > 1 {
        facts.push(format!("at {} stations", rule.stations));
    }
    if let Some(longest) = &rule.longest {
        facts.push(format!("longest {} days from {} at {}", longest.days, longest.since, longest.station));
    }
    output::line(&format!("  {}", facts.join(" · ")))?;
    if rule.outside_filter > 0 {
        let count = output::grouped(rule.outside_filter);
        output::line(&format!(
            "  {YELLOW}warning{YELLOW:#}  {count} of these come from stations that filter.where removes: the daemon would not send them"
        ))?;
    }
    bars(rule)
}

/// The months of each year as one line of bars.
fn bars(rule: &RuleStats) -> Result<(), Failed> {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const YEARS_MAX: usize = 12;
    let most = rule.by_month.values().max().copied().unwrap_or(1).max(1);
    let years: BTreeSet<u16> = rule.by_month.keys().map(|(year, _)| *year).collect();
    for year in years.iter().rev().take(YEARS_MAX).rev() {
        let bar = |month: u8| match rule.by_month.get(&(*year, month)) {
            None | Some(0) => '·',
            Some(count) => BARS[usize::try_from((count * 8).div_ceil(most) - 1).unwrap_or(7).min(7)],
        };
        let row: Vec<String> = (1..=12).map(|month| bar(month).to_string()).collect();
        let sum: u64 = rule.by_month.range((*year, 1)..=(*year, 12)).map(|(_, count)| count).sum();
        let row = row.join(" ");
        output::line(&format!(
            "  {DIM}{year}{DIM:#}  {CYAN}{row}{CYAN:#}  {DIM}{} by month, J to D{DIM:#}",
            output::grouped(sum)
        ))?;
    }
    Ok(())
}

fn print_differences(differences: &[Difference]) -> Result<(), Failed> {
    for Difference { rule, change, fired_before, fired, gained, lost } in differences {
        let (sign, colour) = match change {
            Change::Added => ('+', GREEN),
            Change::Removed => ('-', RED),
            Change::Changed => ('~', YELLOW),
        };
        output::line(&format!(
            "{colour}{sign} {rule}{colour:#}  fired {fired_before} → {fired}, {gained} alerts more, {lost} fewer"
        ))?;
    }
    if differences.is_empty() {
        output::line("the same alerts under both sets of rules")?;
    }
    Ok(())
}

fn print_summary(stats: &Stats, seconds: f64) -> Result<(), Failed> {
    let summary = &stats.summary;
    let rows = [
        ("records in", summary.records_in),
        ("observations", summary.observations),
        ("dead letters", summary.dead_letters),
        ("rules", summary.rules as u64),
        ("that never fired", summary.silent_rules as u64),
        ("fired", summary.fired),
        ("resolved", summary.resolved),
        ("retracted", summary.retracted),
        ("stale", summary.stale),
    ];
    for (name, value) in rows {
        output::line(&format!("{name:>20}  {BOLD}{:>12}{BOLD:#}", output::grouped(value)))?;
    }
    if summary.rule_errors > 0 {
        output::line(&format!(
            "{:>20}  {BOLD}{:>12}{BOLD:#}",
            "rule errors",
            output::grouped(summary.rule_errors)
        ))?;
    }
    Ok(output::line(&format!("{:>20}  {BOLD}{seconds:>12.1}{BOLD:#}", "seconds"))?)
}
