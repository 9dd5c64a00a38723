//! The data that the daemon shows.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use frostline_engine::record::unix_ms;
use frostline_engine::runtime::{Board, Inspector, Phase, SourceBoard, SourceSnapshot, TaskSnapshot, Totals};
use frostline_engine::{NamedCounts, SourceId, Stage, StageId, Topology};
use serde::Serialize;
use serde_json::{Value, json};

use super::Recorder;
use super::live::Live;
use super::scores::Scores;
use crate::app::TailSource;
use crate::noaa::{RecentDays, Station, StationId};
use crate::publishing::PublishError;
use crate::rules::{Key, Place, RuleSet};
use crate::stages::{StationIndex, count};

/// A requested change of rules.
pub enum RuleChange {
    /// The text of a rule file, which replaces all published rules.
    Apply(String),
    /// The id of a rule to remove.
    Remove(String),
}

/// Changes rules, and returns what was changed. Blocks.
pub type ChangeRules = Arc<dyn Fn(RuleChange) -> Result<Value, PublishError> + Send + Sync>;

/// The data that is shown, and its sources.
pub struct View {
    /// All stages of the installation.
    pub topology: Arc<Topology>,
    /// The stages of this process, upstream first.
    pub stages: Vec<StageId>,
    /// The counts of the stages.
    pub totals: Arc<Totals>,
    /// The state of each task.
    pub board: Arc<Board>,
    /// The state of each source that this process may poll.
    pub sources: Arc<SourceBoard>,
    /// The station table, if a stage here needs it.
    pub stations: Arc<StationIndex>,
    /// The rules in force.
    pub rules: Arc<RuleSet>,
    /// Changes the published rules, if a token is set.
    pub change_rules: Option<ChangeRules>,
    /// The last days of every station, if the daemon fills it; otherwise it is filled while a client uses it.
    pub recent: Option<Arc<RecentDays>>,
    /// Answers questions about the state of tasks.
    pub inspector: Inspector,
    /// Follows topics.
    pub source: TailSource,
    /// A task without a turn for longer than this makes the daemon not ready.
    pub patience: Duration,
    /// Collects metrics.
    pub recorder: Recorder,
    /// Measures the size of the state on disk, in bytes.
    pub state_bytes: Box<dyn Fn() -> u64 + Send + Sync>,
    /// The processing guarantee.
    pub guarantee: String,
    /// The Kafka cluster's id.
    pub cluster: String,
    /// The state directory's own name.
    pub instance: String,
    /// Who answers for CAP messages; empty: nobody does.
    pub sender: String,
}

/// [`View`], with values measured while it is shown.
pub(super) struct Shown {
    pub(super) view: View,
    pub(super) live: Arc<Live>,
    pub(super) scores: Scores,
    started_at_ms: i64,
    rates: Mutex<Rates>,
}

/// Records a second at the last measurement.
#[derive(Default)]
struct Rates {
    last: HashMap<StageId, (Instant, u64)>,
    per_second: HashMap<StageId, f64>,
}

#[derive(Serialize)]
struct StageRow<'a> {
    stage: StageId,
    source: &'a str,
    sink: &'a str,
    counts: NamedCounts,
    records_per_second: f64,
    lag_records: Option<i64>,
    lag_seconds: Option<f64>,
    partitions: usize,
    restoring: usize,
    /// Partitions that do not work because their worker has failed.
    failed: usize,
    /// The count of the stage's outputs.
    written: Option<&'static str>,
}

impl Shown {
    pub(super) fn new(view: View) -> Self {
        let has_observations = view.recent.is_some();
        let recent = view.recent.clone().unwrap_or_default();
        let live = Live::new(view.source.clone(), recent, has_observations);
        let scores = Scores::new(view.source.clone());
        Self { view, live, scores, started_at_ms: unix_ms(), rates: Mutex::default() }
    }

    /// Records how much has been done since the last call.
    pub(super) fn measure(&self) {
        let mut rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        for stage in &self.view.stages {
            let records = self.view.totals.of(*stage)[count::RECORDS_IN];
            if let Some((then, before)) = rates.last.insert(*stage, (now, records)) {
                let seconds = (now - then).as_secs_f64().max(0.001);
                rates.per_second.insert(*stage, (records - before) as f64 / seconds);
            }
        }
    }

    pub(super) fn stages(&self) -> Value {
        let tasks = self.view.board.snapshot();
        let rates = self.rates.lock().unwrap_or_else(PoisonError::into_inner);
        let row = |stage: &Stage| {
            let own: Vec<&TaskSnapshot> = tasks.iter().filter(|task| task.stage == stage.id).collect();
            let rate = rates.per_second.get(&stage.id).copied().unwrap_or_default();
            let counters = self.view.totals.counters().to_vec();
            json!(StageRow {
                stage: stage.id,
                source: &stage.source.name,
                sink: &stage.sink.name,
                counts: NamedCounts { counts: self.view.totals.of(stage.id), counters },
                records_per_second: (rate * 10.0).round() / 10.0,
                // Unknown if it is unknown for one partition: part of a lag is not the lag.
                lag_records: own
                    .iter()
                    .map(|task| task.lag())
                    .sum::<Option<i64>>()
                    .filter(|_| !own.is_empty()),
                lag_seconds: own.iter().filter_map(|task| task.lag_seconds()).reduce(f64::max),
                partitions: own.len(),
                restoring: own.iter().filter(|task| task.phase == Phase::Restoring).count(),
                failed: own.iter().filter(|task| task.phase == Phase::Failed).count(),
                written: stage.counters.first().map(|counter| counter.name()),
            })
        };
        let stages = self.view.stages.iter().filter_map(|stage| self.view.topology.stage(*stage));
        stages.map(row).collect()
    }

    pub(super) fn partitions(&self) -> Value {
        let row = |task: &TaskSnapshot| {
            let mut row = json!(task);
            row["lag_records"] = json!(task.lag());
            row["lag_seconds"] = json!(task.lag_seconds());
            row
        };
        self.view.board.snapshot().iter().map(row).collect()
    }

    /// The sources, with the age of their newest data.
    pub(super) fn sources(&self) -> Value {
        let now_ms = unix_ms();
        let age = |ms: Option<i64>| ms.map(|ms| ((now_ms - ms) / 1_000).max(0));
        let row = |(id, source): &(SourceId, SourceSnapshot)| {
            let mut row = json!(source);
            row["source"] = json!(id);
            row["age_seconds"] = json!(age(source.newest_ms));
            row["succeeded_seconds_ago"] = json!(age(source.succeeded_at_ms));
            row
        };
        self.view.sources.snapshot().iter().map(row).collect()
    }

    pub(super) fn status(&self) -> Value {
        let reasons = self.reasons();
        let View { guarantee, cluster, instance, .. } = &self.view;
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "instance": instance,
            "process_id": std::process::id(),
            "started_at_ms": self.started_at_ms,
            "now_ms": unix_ms(),
            "guarantee": guarantee,
            "cluster": cluster,
            "is_ready": reasons.is_empty(),
            "reasons": reasons,
        })
    }

    /// Why the daemon is not ready; empty when it is.
    pub(super) fn reasons(&self) -> Vec<String> {
        self.view.board.unready(self.view.patience)
    }

    /// The map, by columns: all stations of the table, and other stations with reports.
    pub(super) fn stations(&self) -> Value {
        let reported = self.live.recent.stations();
        let days: HashMap<StationId, (Option<f64>, String)> =
            reported.iter().map(|station| (station.id, (station.tmin, station.date.to_string()))).collect();
        let table = self.view.stations.ids();
        let place = |id: StationId| {
            let station: Option<Station> =
                self.view.stations.get(id).and_then(|json| serde_json::from_str(&json).ok());
            station.map(|station| (station.location.lat, station.location.lon))
        };
        let known: Vec<(StationId, (f64, f64))> =
            table.into_iter().filter_map(|id| Some((id, place(id)?))).collect();
        let in_table: std::collections::HashSet<StationId> = known.iter().map(|(id, _)| *id).collect();
        // The place from its observations, in single precision.
        let precise = |degrees: f32| (f64::from(degrees) * 10_000.0).round() / 10_000.0;
        let others = reported
            .iter()
            .filter(|station| !in_table.contains(&station.id) && station.latitude.is_finite())
            .map(|station| (station.id, (precise(station.latitude), precise(station.longitude))));
        let rows: Vec<(StationId, (f64, f64))> = known.iter().copied().chain(others).collect();
        let day = |id: &StationId| days.get(id);
        json!({
            "id": rows.iter().map(|(id, _)| id).collect::<Vec<_>>(),
            "latitude": rows.iter().map(|(_, place)| place.0).collect::<Vec<_>>(),
            "longitude": rows.iter().map(|(_, place)| place.1).collect::<Vec<_>>(),
            "tmin": rows.iter().map(|(id, _)| day(id).and_then(|day| day.0)).collect::<Vec<_>>(),
            "date": rows.iter().map(|(id, _)| day(id).map(|day| day.1.as_str())).collect::<Vec<_>>(),
            "alerts": self.standing_stations(),
        })
    }

    /// A station of the table; for another station only the data from its observations.
    pub(super) fn station(&self, id: StationId) -> Option<Value> {
        let table = self.view.stations.get(id).and_then(|json| serde_json::from_str::<Value>(&json).ok());
        if let Some(mut station) = table {
            station["latitude"] = station["location"]["lat"].clone();
            station["longitude"] = station["location"]["lon"].clone();
            return Some(station);
        }
        let found = self.live.recent.stations().into_iter().find(|station| station.id == id)?;
        let degrees = |degrees: f32| Some(f64::from(degrees)).filter(|degrees| degrees.is_finite());
        Some(json!({
            "id": id, "latitude": degrees(found.latitude), "longitude": degrees(found.longitude),
        }))
    }

    pub(super) fn observations(&self, id: StationId) -> Value {
        let day = |day: &crate::noaa::RecentDay| json!({ "date": day.date.to_string(), "TMIN": day.tmin, "TMAX": day.tmax });
        json!({ "station": id, "days": self.live.recent.days(id).iter().map(day).collect::<Vec<_>>() })
    }

    /// Rule and station of each standing alert. No alert announces that a rule was removed; a process without rules
    /// does not know.
    pub(super) fn standing(&self) -> Vec<(String, StationId)> {
        let (rules, quarantined) = (&self.view.rules, self.view.rules.quarantined());
        let mut standing = self.live.all_standing();
        if !rules.is_empty() {
            let is_there =
                |id: &str| rules.get(id).is_some() || quarantined.contains_key(&Key::Rule(id.to_owned()));
            standing.retain(|(rule, _)| is_there(rule));
        }
        standing
    }

    /// The stations with standing alerts.
    pub(super) fn standing_stations(&self) -> BTreeSet<StationId> {
        self.standing().into_iter().map(|(_, station)| station).collect()
    }

    /// The rules in force, and the quarantined ones.
    pub(super) fn rules(&self) -> Value {
        let mut standing: HashMap<String, usize> = HashMap::new();
        self.standing().into_iter().for_each(|(rule, _)| *standing.entry(rule).or_default() += 1);
        let mut rules = self.view.rules.all();
        rules.sort_by(|left, right| left.id.cmp(&right.id));
        let row = |rule: &Arc<crate::rules::Rule>| {
            let place = match &rule.place {
                Place::Station(station) => format!("station {station}"),
                Place::Where(condition) => format!("where {}", condition.text()),
                Place::Unresolved(near) => format!("near {}, {}: no station yet", near.lat, near.lon),
            };
            json!({
                "id": &*rule.id,
                "version": rule.version,
                "place": place,
                "when": rule.when.text(),
                "clear": rule.clear.as_ref().map(|clear| clear.text()),
                "for_days": rule.for_days,
                "repeat_days": rule.repeat_days,
                "severity": rule.severity,
                "subscribers": rule.subscribers.iter().map(|id| &**id).collect::<Vec<_>>(),
                "standing": standing.get(&*rule.id).copied().unwrap_or_default(),
                "quarantined": null,
            })
        };
        let broken = self.view.rules.quarantined().into_iter().map(|(key, reason)| {
            json!({ "id": key.shown(), "version": 0, "place": "", "when": "", "subscribers": [], "standing": 0,
                    "quarantined": reason })
        });
        rules.iter().map(row).chain(broken).collect()
    }
}
