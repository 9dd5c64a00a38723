//! `frostline explain`: why a rule did, or did not, tell something of a day.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde_json::{Value, json};

use super::output::{BOLD, CYAN, DIM, GREEN, RED, YELLOW};
use super::rules::source;
use super::rules::{History, StationFiles};
use super::{Common, Failed, output};
use crate::backtest;
use crate::noaa::{Date, ObservationView, StationId};
use crate::rules::{
    Condition, Conditions, DayVerdict, Episodes, Evaluator, Event, Judgement, LoneDay, Rule, Scope, Taken,
    Terms, Verdict, clauses,
};

const EXAMPLES: &str = "\
Examples:
  frostline explain --rule scottsdale-frost --station USW00003192 --date 2016-02-24
  frostline explain --rule r --station USC00027716 --date 2016-06-15 2016-hcn.csv.gz --rules rules.toml

Without files it reads the topic that the alert stage reads, from its beginning.";

/// Explain why a rule did, or did not, fire at a station on a day
#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ExplainArguments {
    /// The rule's id
    #[arg(long)]
    rule: String,
    /// The station's id
    #[arg(long, value_parser = station)]
    station: StationId,
    /// The day
    #[arg(long, value_parser = super::rules::date)]
    date: Date,
    /// Files of history instead of the topic
    files: Vec<PathBuf>,
    /// The rule file, or `live` for the published rules [default: alert.rules of the configuration]
    #[arg(long, value_name = "FILE")]
    rules: Option<PathBuf>,
    /// Another topic than the one that the alert stage reads
    #[arg(long, value_name = "TOPIC", conflicts_with = "files")]
    topic: Option<String>,
    #[command(flatten)]
    stations: StationFiles,
    /// Keep readings that failed NOAA's quality control
    #[arg(long)]
    keep_failed_quality: bool,
}

fn station(text: &str) -> Result<StationId, String> {
    StationId::parse(text.as_bytes())
        .ok_or_else(|| "expected a GHCN-Daily id of 11 characters, as in USW00003192".to_owned())
}

pub(super) async fn explain(common: &Common, arguments: &ExplainArguments) -> Result<(), Failed> {
    let keep = arguments.keep_failed_quality.then(|| "true".to_owned());
    let config = common.load(&[("assemble.keep_failed_quality", keep)])?;
    let published = source::rules(&config, arguments.rules.as_deref()).await?;
    let Some(found) = published.rules.get(&arguments.rule) else {
        let reason = format!("there is no rule `{}`", arguments.rule);
        return Err(Failed::Usage(anyhow::anyhow!(reason)));
    };
    let rule =
        found.compile(&mut Conditions::default()).map_err(|reason| Failed::Usage(anyhow::anyhow!(reason)))?;
    let history = if arguments.files.is_empty() {
        let topic = arguments.topic.as_ref().unwrap_or(&config.alert.source);
        History::of_topic(&config, topic).await?
    } else {
        History::Files(arguments.files.clone())
    };
    let stations = arguments.stations.read()?;
    let setting = source::setting(&config, stations.as_deref())?;
    // Each observation of the station, with the newest date of all stations until then.
    let gathered = Mutex::new((Vec::<(Vec<u8>, i32)>::new(), i32::MIN));
    history.with_input(|input| {
        backtest::visit_observations(input, &setting, &|value| {
            let Ok(view) = ObservationView::parse(value) else { return };
            let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
            gathered.1 = gathered.1.max(view.date.days_since_1970());
            if view.station.id == arguments.station {
                let today = gathered.1;
                gathered.0.push((value.to_vec(), today));
            }
        })
    })?;
    let (documents, today) = gathered.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut walk = Walk::new(&rule, arguments);
    for (document, today) in &documents {
        walk.observe(document, *today);
    }
    walk.end(today);
    print(common, arguments, &rule, &walk)
}

/// Goes through the station's days as the alert stage does, and notes what happens on the day that is asked for.
struct Walk<'a> {
    rule: &'a Rule,
    station: StationId,
    date: Date,
    evaluator: Evaluator,
    episodes: Episodes,
    /// The newest date of all stations.
    today: i32,
    lone_day: Option<LoneDay>,
    /// How often the day was observed.
    notes: Vec<Note>,
    /// What was told of the day by other days' observations.
    later: Vec<Event>,
}

/// One observation of the day.
struct Note {
    revision: u32,
    judgement: Result<Judgement, String>,
    /// Text, value and verdict of each clause.
    clauses: Vec<(usize, String, String, &'static str)>,
    before: String,
    after: String,
    taken: Option<Taken>,
    events: Vec<Event>,
}

impl<'a> Walk<'a> {
    fn new(rule: &'a Rule, arguments: &ExplainArguments) -> Self {
        Self {
            rule,
            station: arguments.station,
            date: arguments.date,
            evaluator: Evaluator::new(),
            episodes: Episodes::new(rule.fingerprint),
            today: i32::MIN,
            lone_day: None,
            notes: Vec::new(),
            later: Vec::new(),
        }
    }

    fn terms(&self) -> Terms {
        Terms { for_days: self.rule.for_days, repeat_days: self.rule.repeat_days }
    }

    fn observe(&mut self, document: &[u8], today: i32) {
        let Ok(view) = ObservationView::parse(document) else { return };
        let is_asked = view.date == self.date;
        let judgement = self.rule.judge(&self.evaluator, &view);
        let (before, mut events) = (self.describe(), Vec::new());
        let mut taken = None;
        if let Ok(judgement) = &judgement {
            let day = view.date.days_since_1970();
            if self.rule.has_episodes() {
                if today > self.today {
                    self.today = today;
                    self.episodes.wait_until(today, &mut events);
                }
                let terms = (self.rule.fingerprint, self.terms());
                taken = Some(self.episodes.judge(terms, day, view.revision, judgement.verdict, &mut events));
            } else if is_asked {
                let (known, event, found) =
                    LoneDay::judge(self.lone_day, day, view.revision, judgement.verdict);
                self.lone_day = known.or(self.lone_day);
                events.extend(event);
                taken = Some(found);
            }
        }
        let day = self.date.days_since_1970();
        if is_asked {
            let clauses = self.clauses(&view);
            let (revision, after) = (view.revision, self.describe());
            self.notes.push(Note { revision, judgement, clauses, before, after, taken, events });
        } else {
            self.later.extend(events.into_iter().filter(|event| event.day == day));
        }
    }

    /// What the end of history says: silence.
    fn end(&mut self, today: i32) {
        let mut events = Vec::new();
        self.episodes.wait_until(today, &mut events);
        let day = self.date.days_since_1970();
        self.later.extend(events.into_iter().filter(|event| event.day == day));
    }

    fn describe(&self) -> String {
        match (self.rule.has_episodes(), self.lone_day) {
            (true, _) => self.episodes.describe(self.terms()),
            (false, Some(day)) if day.stands() => "fired".into(),
            (false, _) => "not fired".into(),
        }
    }

    fn clauses(&self, view: &ObservationView<'_>) -> Vec<(usize, String, String, &'static str)> {
        let conditions = [Some(&self.rule.when), self.rule.clear.as_ref()];
        let mut found = Vec::new();
        for condition in conditions.into_iter().flatten() {
            for clause in clauses(condition.text()) {
                // A part of a condition that can be compiled is one itself.
                let Ok(condition) = Condition::compile(&clause.text, Scope::Observation) else { continue };
                let values: Vec<String> = condition
                    .elements()
                    .map(|element| match view.element(element) {
                        Some(value) => format!("{element} = {value}"),
                        None => format!("{element} was not reported"),
                    })
                    .collect();
                let verdict = match self.evaluator.evaluate(&condition, view) {
                    Ok(verdict) => word(verdict),
                    Err(_) => "fails",
                };
                found.push((clause.depth, clause.text, values.join(", "), verdict));
            }
        }
        found
    }

    /// Why nothing was told by an observation of the day.
    fn why_nothing(&self, note: &Note) -> Option<String> {
        if !note.events.is_empty() {
            return None;
        }
        let judgement = match &note.judgement {
            Err(reason) => return Some(format!("the condition fails on these values: {reason}")),
            Ok(judgement) => judgement,
        };
        Some(match (note.taken, judgement.verdict) {
            (Some(Taken::Outdated), _) => "a newer revision of this day was seen before".into(),
            (Some(Taken::TooOld), _) => "expired: the day lies before those that are remembered".into(),
            (Some(Taken::Known), DayVerdict::Matches) => "it was told when the day was first seen".into(),
            (_, DayVerdict::Unknown) => {
                "unknown: what decides was not reported, which neither fires nor clears".into()
            }
            (_, DayVerdict::Matches) => self.why_no_firing(note),
            (_, _) if judgement.when == Verdict::Holds => {
                "the condition holds, but the rule is not active on this day".into()
            }
            (_, DayVerdict::Clears) => "the condition does not hold, and there was no episode to end".into(),
            (_, DayVerdict::Between)
                if self.rule.has_episodes() && judgement.clear == Some(Verdict::HoldsNot) =>
            {
                "the condition does not hold, and it is not over either".into()
            }
            (_, DayVerdict::Between) => "the condition does not hold".into(),
        })
    }

    fn why_no_firing(&self, note: &Note) -> String {
        match self.rule.repeat_days {
            _ if !note.after.starts_with("an episode") => {
                format!("the condition must hold for {} days in a row", self.rule.for_days)
            }
            Some(days) => format!("cooling down: an episode that lasts is told every {days} days"),
            None => "the episode was told when it began, and the rule has no repeat_days".into(),
        }
    }

    fn id(&self, event: &Event) -> String {
        let times = if event.times > 1 { format!("/{}", event.times) } else { String::new() };
        format!("{}/{}/{}/{}{times}", self.rule.id, self.station, self.date, event.transition.as_str())
    }
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "holds",
        Verdict::HoldsNot => "does not hold",
        Verdict::Unknown => "unknown",
    }
}

fn print(common: &Common, arguments: &ExplainArguments, rule: &Rule, walk: &Walk<'_>) -> Result<(), Failed> {
    let ExplainArguments { station, date, .. } = arguments;
    let told = |events: &[Event]| -> Vec<Value> {
        events
            .iter()
            .map(|event| json!({ "transition": event.transition, "alert_id": walk.id(event) }))
            .collect()
    };
    if common.json {
        let observations: Vec<Value> = walk
            .notes
            .iter()
            .map(|note| {
                let clauses: Vec<Value> = note
                    .clauses
                    .iter()
                    .map(|(depth, text, values, verdict)| json!({ "depth": depth, "clause": text, "values": values, "verdict": verdict }))
                    .collect();
                json!({
                    "revision": note.revision, "clauses": clauses, "before": note.before, "after": note.after,
                    "told": told(&note.events), "why_nothing": walk.why_nothing(note)
                })
            })
            .collect();
        return Ok(output::json(&json!({
            "rule": &*rule.id, "version": rule.version, "station": station, "date": date.to_string(),
            "observations": observations, "told_later": told(&walk.later)
        }))?);
    }
    output::line(&format!("{BOLD}{}{BOLD:#} at {BOLD}{station}{BOLD:#} on {BOLD}{date}{BOLD:#}", rule.id))?;
    if walk.notes.is_empty() {
        output::line(&format!(
            "  {YELLOW}nothing was observed there on that day{YELLOW:#}, so nothing was judged"
        ))?;
    }
    for note in &walk.notes {
        print_note(walk, note)?;
    }
    for event in &walk.later {
        let id = walk.id(event);
        output::line(&format!(
            "  {YELLOW}later{YELLOW:#}    {} {DIM}{id}, by what became known of other days{DIM:#}",
            event.transition.as_str()
        ))?;
    }
    Ok(())
}

fn print_note(walk: &Walk<'_>, note: &Note) -> Result<(), Failed> {
    if note.revision > 1 {
        output::line(&format!("  {DIM}revision {}{DIM:#}", note.revision))?;
    }
    let width =
        note.clauses.iter().map(|(depth, text, ..)| 2 * depth + text.chars().count()).max().unwrap_or(0);
    for (depth, text, values, verdict) in &note.clauses {
        let colour = match *verdict {
            "holds" => GREEN,
            "does not hold" => RED,
            _ => YELLOW,
        };
        let text = format!("{}{text}", "  ".repeat(*depth));
        output::line(&format!("  {text:<width$}  {colour}{verdict:<13}{colour:#}  {DIM}{values}{DIM:#}"))?;
    }
    output::line(&format!("  {CYAN}before{CYAN:#}   {}", note.before))?;
    output::line(&format!("  {CYAN}after{CYAN:#}    {}", note.after))?;
    for event in &note.events {
        let about =
            if event.day == walk.date.days_since_1970() { walk.id(event) } else { "of another day".into() };
        output::line(&format!(
            "  {GREEN}told{GREEN:#}     {} {DIM}{about}{DIM:#}",
            event.transition.as_str()
        ))?;
    }
    if let Some(why) = walk.why_nothing(note) {
        output::line(&format!("  {YELLOW}nothing{YELLOW:#}  {why}"))?;
    }
    Ok(())
}
