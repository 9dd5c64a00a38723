//! `frostline explain`: why a rule did, or did not, fire on a day.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::{Value, json};

use super::output::{BOLD, CYAN, DIM, GREEN, RED, YELLOW};
use super::rules::source;
use super::rules::{History, Repeatable, StationFiles};
use super::units::UnitsArgument;
use super::{Common, Failed, explain_night, output};
use crate::backtest::{self, Trace, Traced};
use crate::noaa::{Date, Element, ElementValue, ObservationView, StationId};
use crate::rules::{
    Condition, Conditions, DayVerdict, Episodes, Evaluator, Feed, Key, LoneDay, Place, Rule, Scope, Taken,
    Verdict,
};
use crate::stages::Remembered;

const EXAMPLES: &str = "\
Examples:
  frostline explain --rule scottsdale-frost --station USW00003192 --date 2016-02-24
  frostline explain --rule r --station USC00027716 --date 2016-06-15 2016-hcn.csv.gz --rules rules.toml
  frostline explain --rule orchard-tonight --station USW00003192 --date 2024-12-15 --units us

Rules over hours and nights are explained from noaa-outlooks, rules over days
from files. Without files the command reads the topic of the alert stage, from
its beginning.";

/// Explain why a rule did, or did not, fire at a station on a day
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    /// Explain the rule with this id
    #[arg(long)]
    rule: String,
    /// Explain it at the station with this id
    #[arg(long, value_parser = super::history_arguments::station)]
    station: StationId,
    /// Explain this day; for a rule over hours or nights, the night that begins on this date
    #[arg(long, value_parser = super::rules::date)]
    date: Date,
    /// Read these files of history instead of the topic
    files: Vec<PathBuf>,
    /// Read this rule file, or `live` for the published rules [default: alert.rules of the configuration]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Read this topic instead of the one that the alert stage reads
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    topic: Option<String>,
    #[command(flatten)]
    stations: StationFiles,
    /// Keep readings that failed NOAA's quality control
    #[arg(long)]
    keep_failed_quality: bool,
    #[command(flatten)]
    units: UnitsArgument,
}

pub(super) async fn explain(common: &Common, arguments: &ExplainArguments) -> Result<(), Failed> {
    let keep = arguments.keep_failed_quality.then(|| "true".to_owned());
    let config = common.load(&[("assemble.keep_failed_quality", keep)])?;
    let mut published = source::rules(&config, arguments.rules.as_deref()).await?;
    let key = Key::Rule(arguments.rule.clone());
    if let Some(quarantine) = published.quarantined.get(&key) {
        let reason = format!("rule `{}` is quarantined: {}", arguments.rule, quarantine.reason());
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    }
    published.rules.retain(|id, _| *id == arguments.rule);
    let compiled = published.rules.get(&arguments.rule).and_then(|found| {
        let rule = found.compile(&mut Conditions::default()).ok()?;
        (rule.feed() != Feed::Day).then_some((found, rule))
    });
    if let Some((found, rule)) = compiled {
        if !arguments.files.is_empty() || arguments.topic.is_some() {
            let reason = format!(
                "rule `{}` is over nights or hours, which are explained from the outlooks on the broker, not from files or \
                 another topic: try `frostline outlook backtest` on files",
                arguments.rule
            );
            return Err(Failed::Usage(anyhow::anyhow!(reason)));
        }
        let asked = explain_night::Asked {
            rule: &rule,
            station: arguments.station,
            night: arguments.date,
            units: arguments.units.of_rule(rule.when.text()),
            place: crate::publishing::place(found),
            created_ms: found.created_ms,
        };
        return explain_night::explain(common, &config, &asked).await;
    }
    let files = Repeatable::of(&arguments.files)?;
    let history = if arguments.files.is_empty() {
        let topic = arguments.topic.as_ref().unwrap_or(&config.alert.source);
        History::of_topic(&config, topic).await?
    } else {
        History::Files(files.paths.clone())
    };
    let stations = history.stations(&config, &arguments.stations).await?;
    super::rules::check_needs(&published, stations.is_some() || arguments.files.is_empty())?;
    let setting = source::setting(&config, stations.as_deref())?;
    history.find_nearest(&mut published, &setting)?;
    let Some(found) = published.rules.get(&arguments.rule) else {
        let reason = format!("there is no rule `{}`", arguments.rule);
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    };
    let rule =
        found.compile(&mut Conditions::default()).map_err(|reason| Failed::Usage(anyhow::anyhow!(reason)))?;
    let findings = Mutex::new(Findings::default());
    let trace = Trace {
        rule: &arguments.rule,
        station: arguments.station,
        date: arguments.date,
        visit: &|traced| {
            let mut findings = findings.lock().unwrap_or_else(PoisonError::into_inner);
            findings.take(&traced, arguments);
        },
    };
    history.with_input(|input| backtest::trace(input, &published, &setting, &trace))?;
    let findings = findings.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = crate::publishing::place(found);
    print(common, &Explanation { arguments, rule: &rule, place, evaluator: Evaluator::new() }, &findings)
}

/// The findings about the day.
#[derive(Default)]
struct Findings {
    /// The observations of the day.
    notes: Vec<Note>,
    /// Alerts about the day that came from other observations.
    later: Vec<Value>,
}

/// One observation of the day.
struct Note {
    document: Vec<u8>,
    before: Remembered,
    after: Remembered,
    alerts: Vec<Value>,
}

impl Findings {
    fn take(&mut self, traced: &Traced<'_>, arguments: &ExplainArguments) {
        let parse = |alert: &Vec<u8>| serde_json::from_slice::<Value>(alert).ok();
        let about_station =
            |alert: &Value| alert["station"]["id"].as_str() == Some(arguments.station.as_str());
        let alerts: Vec<Value> = traced.alerts.iter().filter_map(parse).filter(about_station).collect();
        let view = ObservationView::parse(traced.document);
        let is_asked =
            view.is_ok_and(|view| view.station.id == arguments.station && view.date == arguments.date);
        if is_asked {
            let (document, before, after) =
                (traced.document.to_vec(), traced.before.clone(), traced.after.clone());
            self.notes.push(Note { document, before, after, alerts });
        } else {
            let date = arguments.date.to_string();
            let about_day =
                |alert: &Value| alert["date"].as_str().is_some_and(|text| text.starts_with(&date));
            self.later.extend(alerts.into_iter().filter(about_day));
        }
    }
}

/// The rule, station and day to explain.
struct Explanation<'a> {
    arguments: &'a ExplainArguments,
    rule: &'a Rule,
    place: String,
    evaluator: Evaluator,
}

/// A clause of a condition, evaluated for a day.
struct Clause {
    depth: usize,
    text: String,
    values: String,
    verdict: &'static str,
}

impl Explanation<'_> {
    fn describe(&self, remembered: &Remembered) -> String {
        match (&remembered.episodes, remembered.lone_day) {
            (Some(episodes), _) => episodes.describe(self.rule.terms()),
            (None, _) if self.rule.has_episodes() => "no episode".into(),
            (None, Some(day)) if day.stands() => "fired".into(),
            (None, _) => "not fired".into(),
        }
    }

    /// The parts of the rule's conditions, with the values that `show` prints.
    fn clauses(&self, view: &ObservationView, show: impl Fn(Element, ElementValue) -> String) -> Vec<Clause> {
        let conditions = [Some(&self.rule.when), self.rule.clear.as_ref()];
        let parts = conditions.into_iter().flatten().flat_map(|condition| condition.clauses());
        let decided = |part: crate::rules::Clause| {
            // A part of a condition that compiles is a condition itself.
            let condition = Condition::compile(&part.text, Scope::Observation).ok()?;
            let value = |element: Element| match view.element(element) {
                Some(value) => format!("{element} = {}", show(element, value)),
                None => format!("{element} was not reported"),
            };
            let values = condition.elements().map(value).collect::<Vec<_>>().join(", ");
            let verdict = self.evaluator.evaluate(&condition, view).map_or("fails", word);
            Some(Clause { depth: part.depth, text: part.text, values, verdict })
        };
        parts.filter_map(decided).collect()
    }

    /// Why there is no observation to judge.
    fn why_unobserved(&self) -> String {
        match self.rule.place {
            Place::Station(station) if station != self.arguments.station => {
                format!("the rule does not watch this station: {}", self.place)
            }
            Place::Unresolved(_) => format!("the rule watches no station yet: {}", self.place),
            _ => "nothing was observed there on that day, so nothing was judged".into(),
        }
    }

    /// Why an observation of the day led to no alert.
    fn why_nothing(&self, note: &Note, view: &ObservationView) -> Option<String> {
        if !note.alerts.is_empty() {
            return None;
        }
        if !self.rule.watches(&self.evaluator, &view.station) {
            return Some(format!("the rule does not watch this station: {}", self.place));
        }
        let judgement = match self.rule.judge(&self.evaluator, view) {
            Err(reason) => return Some(format!("the condition fails on these values: {reason}")),
            Ok(judgement) => judgement,
        };
        Some(match (self.taken(note, view, judgement.verdict), judgement.verdict) {
            (Taken::Outdated, _) => "a newer revision of this day was seen before".into(),
            (Taken::TooOld, _) => "expired: the day is older than the remembered days".into(),
            (_, DayVerdict::Unknown) => {
                "unknown: the deciding values were not reported, so the rule neither fires nor clears".into()
            }
            (Taken::Known, _) => "nothing new: the same values were known before".into(),
            (_, DayVerdict::Matches) => self.why_no_firing(note),
            (_, _) if judgement.when == Verdict::Holds => {
                "the condition holds, but the rule is not active on this day".into()
            }
            (_, DayVerdict::Clears) => "the condition does not hold, and there was no episode to end".into(),
            (_, DayVerdict::Between) if judgement.clear == Some(Verdict::HoldsNot) => {
                "the condition does not hold, and `clear` does not hold either".into()
            }
            (_, DayVerdict::Between) => "the condition does not hold".into(),
        })
    }

    /// The effect of the observation: judged once more, on a copy of the state.
    fn taken(&self, note: &Note, view: &ObservationView, verdict: DayVerdict) -> Taken {
        let day = view.date.days_since_1970();
        if self.rule.has_episodes() {
            let episodes = note.before.episodes.clone();
            let mut episodes = episodes.unwrap_or_else(|| Episodes::new(self.rule.identity));
            let terms = (self.rule.identity, self.rule.terms());
            return episodes.judge(terms, day, view.revision, verdict, &mut Vec::new());
        }
        LoneDay::judge(note.before.lone_day, day, view.revision, verdict).2
    }

    fn why_no_firing(&self, note: &Note) -> String {
        let stands = note.after.episodes.as_ref().is_some_and(|episodes| episodes.standing_since().is_some());
        match self.rule.repeat_days {
            _ if !stands => {
                let days = self.rule.for_days;
                format!("the condition must hold on {days} reported days in a row, without a longer silence")
            }
            Some(days) => format!("cooling down: a lasting episode fires again every {days} days"),
            None => "the rule fired when the episode began, and it has no repeat_days".into(),
        }
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsNot => "does not hold",
        Verdict::Unknown => "unknown",
    }
}

fn print(common: &Common, explanation: &Explanation<'_>, findings: &Findings) -> Result<(), Failed> {
    let ExplainArguments { rule, station, date, .. } = explanation.arguments;
    if common.json {
        let observations: Vec<Value> =
            findings.notes.iter().filter_map(|note| note_as_json(explanation, note)).collect();
        return Ok(output::json(&json!({
            "rule": rule, "version": explanation.rule.version, "place": explanation.place, "station": station,
            "date": date.to_string(), "observations": observations, "told_later": told(&findings.later),
            "why_nothing": findings.notes.is_empty().then(|| explanation.why_unobserved())
        }))?);
    }
    output::line(&format!("{BOLD}{rule}{BOLD:#} at {BOLD}{station}{BOLD:#} on {BOLD}{date}{BOLD:#}"))?;
    if findings.notes.is_empty() {
        output::line(&format!("  {YELLOW}nothing{YELLOW:#}  {}", explanation.why_unobserved()))?;
    }
    findings.notes.iter().try_for_each(|note| print_note(explanation, note))?;
    for alert in &findings.later {
        let (transition, id) = (text(alert, "transition"), text(alert, "alert_id"));
        output::line(&format!(
            "  {YELLOW}later{YELLOW:#}    {transition} {DIM}{id}, because of data for other days{DIM:#}"
        ))?;
    }
    Ok(())
}

fn text<'a>(alert: &'a Value, name: &str) -> &'a str {
    alert[name].as_str().unwrap_or_default()
}

fn told(alerts: &[Value]) -> Vec<Value> {
    let told = |alert: &Value| json!({ "transition": alert["transition"], "alert_id": alert["alert_id"] });
    alerts.iter().map(told).collect()
}

fn note_as_json(explanation: &Explanation<'_>, note: &Note) -> Option<Value> {
    let view = ObservationView::parse(&note.document).ok()?;
    let clauses: Vec<Value> = explanation
        .clauses(&view, |_, value| value.to_string())
        .into_iter()
        .map(|Clause { depth, text, values, verdict }| {
            json!({ "depth": depth, "clause": text, "values": values, "verdict": verdict })
        })
        .collect();
    Some(json!({
        "revision": view.revision, "clauses": clauses, "before": explanation.describe(&note.before),
        "after": explanation.describe(&note.after), "told": told(&note.alerts),
        "why_nothing": explanation.why_nothing(note, &view)
    }))
}

fn print_note(explanation: &Explanation<'_>, note: &Note) -> Result<(), Failed> {
    let Ok(view) = ObservationView::parse(&note.document) else { return Ok(()) };
    if view.revision > 1 {
        output::line(&format!("  {DIM}revision {}{DIM:#}", view.revision))?;
    }
    let units = explanation.arguments.units.of_rule(explanation.rule.when.text());
    let clauses = explanation.clauses(&view, |element, value| units.amount(element, value.as_f64()));
    let shown = |clause: &Clause| format!("{}{}", "  ".repeat(clause.depth), clause.text);
    let width = clauses.iter().map(|clause| shown(clause).chars().count()).max().unwrap_or(0);
    for clause in &clauses {
        let colour = match clause.verdict {
            "holds" => GREEN,
            "does not hold" => RED,
            _ => YELLOW,
        };
        let (text, Clause { values, verdict, .. }) = (shown(clause), clause);
        output::line(&format!("  {text:<width$}  {colour}{verdict:<13}{colour:#}  {DIM}{values}{DIM:#}"))?;
    }
    output::line(&format!("  {CYAN}before{CYAN:#}   {}", explanation.describe(&note.before)))?;
    output::line(&format!("  {CYAN}after{CYAN:#}    {}", explanation.describe(&note.after)))?;
    for alert in &note.alerts {
        let (transition, id) = (text(alert, "transition"), text(alert, "alert_id"));
        output::line(&format!("  {GREEN}alert{GREEN:#}    {transition} {DIM}{id}{DIM:#}"))?;
    }
    if let Some(why) = explanation.why_nothing(note, &view) {
        output::line(&format!("  {YELLOW}nothing{YELLOW:#}  {why}"))?;
    }
    Ok(())
}
