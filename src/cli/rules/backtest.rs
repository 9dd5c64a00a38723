//! `frostline rules backtest`: how often rules would have fired, over files or the history in a topic.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use clap::Args;

use super::super::file_output::FileOutput;
use super::super::history_arguments::check_period;
use super::super::{Common, Failed, output};
use super::backtest_report::{print, print_alert};
use super::history::History;
use super::moments::{self, Rest};
use super::{Repeatable, StationFiles, source};
use crate::backtest::{self, Difference, InWords, Page, Picture, Setting, Stats};
use crate::noaa::Date;
use crate::rules::{Published, PublishedRule};

const EXAMPLES: &str = "\
Examples:
  frostline rules backtest 2016.csv.gz --rules rules.toml --stations ghcnd-stations.txt
  frostline rules backtest 2016.csv.gz --rules new.toml --against live --from 2016-10-01
  frostline rules backtest --topic noaa-json --rules rules.toml --html backtest.html
  frostline rules backtest KEWR-2013.csv.gz --rules rules.toml --stations ghcnd-stations.txt    nights and hours
  frostline rules backtest 2016.csv.gz --json | tail -1          the sums as one JSON line

Files are NOAA's by_year CSV or enriched observations, one JSON object a line,
plain or gzipped. Without --stations only the ids of stations are known, which
is enough for rules that name theirs. Rules over nights and hours are tried on
files of hourly observations, or on --topic noaa-hourly, through outlook and
watch.";

/// Try rules on history, with the code that runs live; files need no broker
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct BacktestArguments {
    /// Read these files of history
    #[arg(required_unless_present = "topic")]
    files: Vec<PathBuf>,
    /// Read this topic instead: noaa-json, noaa-csv-raw, noaa-hourly or any with such records
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    topic: Option<String>,
    /// Try this rule file, or `live` for the published rules [default: alert.rules of the configuration]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    #[command(flatten)]
    stations: StationFiles,
    /// Count alerts from this date on
    #[arg(long, value_name = "DATE", value_parser = date)]
    from: Option<Date>,
    /// Count alerts up to this date
    #[arg(long, value_name = "DATE", value_parser = date)]
    to: Option<Date>,
    /// Show the differences from other rules: a rule file, or `live`
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Keep readings that failed NOAA's quality control
    #[arg(long)]
    keep_failed_quality: bool,
    /// Print every alert as one line
    #[arg(long)]
    alerts: bool,
    /// Write a chart of rules and months to this file
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Write a page to this file: each rule in words, its months, and the temperatures of its longest episode
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Parses a date of the command line.
pub(in super::super) fn date(text: &str) -> Result<Date, String> {
    Date::parse_iso(text).ok_or_else(|| "expected a date, such as 2016-02-24".to_owned())
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
    let needs_days = arguments.html.is_some() || arguments.svg.is_some() || arguments.against.is_some();
    if needs_days && moments::of_days(&rules).rules.is_empty() {
        let reason = "--html, --svg and --against are for rules over days, and there are none";
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    let files = Repeatable::of(&arguments.files)?;
    let asked = moments::Asked {
        files: &files.paths,
        topic: arguments.topic.as_deref(),
        stations: &arguments.stations,
        period: (arguments.from, arguments.to),
        prints: arguments.alerts,
    };
    let Rest::Days(files, mut rules) = moments::backtest(common, &config, &asked, &rules).await? else {
        if needs_days {
            let reason =
                "--html, --svg and --against are for rules over days: name files of daily observations";
            return Err(Failed::Usage(anyhow::anyhow!(reason)));
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
    let (mut stats, ids) = run(&history, &rules, &setting, common, each)?;
    let before = match &against {
        Some(rules) => Some(run(&history, rules, &setting, common, EachAlert { prints: false, gathers })?),
        None => None,
    };
    spinner.finish_and_clear();
    if stats.summary.observations == 0 && stats.summary.records_in > 0 {
        let count = output::grouped(stats.summary.records_in);
        let reason = format!("none of the {count} records is a valid line or observation");
        return Err(Failed::Working(anyhow::anyhow!(reason)));
    }
    if arguments.html.is_some() || arguments.svg.is_some() {
        let curves = history.with_input(|input| backtest::curves(input, &setting, &mut stats))?;
        write_pictures(arguments, &rules, &stats, &curves)?;
    }
    let differences =
        before.map(|(before, ids_before)| Difference::between(&before, &stats, &ids_before, &ids));
    print(common, &rules, &stats, differences.as_deref(), started.elapsed().as_secs_f64())
}

/// Rules that depend on properties of stations cannot be tried if no stations are given.
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

/// What to do with each alert.
#[derive(Clone, Copy)]
struct EachAlert {
    prints: bool,
    /// Keep its id for a comparison.
    gathers: bool,
}

/// Runs the rules; collects the ids of all alerts if they will be compared.
fn run(
    history: &History,
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
            // If stdout is closed, printing the sums will fail and report it.
            let _ = print_alert(common, &alert);
        }
        if gathers {
            ids.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        }
    };
    let stats = history.with_input(|input| backtest::run(input, rules, setting, &each_alert))?;
    Ok((stats, ids.into_inner().unwrap_or_else(PoisonError::into_inner)))
}

fn write_pictures(
    arguments: &BacktestArguments,
    rules: &Published,
    stats: &Stats,
    curves: &BTreeMap<String, backtest::Curve>,
) -> Result<(), Failed> {
    let write = |path: &Path, text: String| -> Result<(), Failed> {
        let mut file = FileOutput::create(path)?;
        file.write(text.as_bytes())?;
        file.finish()
    };
    if let Some(path) = &arguments.svg {
        write(path, Picture::new(stats).svg())?;
    }
    let Some(path) = &arguments.html else { return Ok(()) };
    let file_name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let inputs = match &arguments.topic {
        Some(topic) => vec![format!("topic {topic}")],
        None => arguments.files.iter().map(file_name).collect(),
    };
    let in_words = |rule: &PublishedRule| InWords {
        place: crate::publishing::place(rule),
        condition: rule.definition.condition(),
    };
    let words = rules.rules.iter().map(|(id, rule)| (id.clone(), in_words(rule))).collect();
    write(path, Page { inputs: &inputs, stats, words: &words, curves }.html())
}
