//! One lane: assemble and alert for a part of the stations.

use std::collections::HashSet;
use std::sync::Arc;

use frostline_engine::record::{HeaderList, NO_HEADERS, Record, day_of};
use frostline_engine::store::Store;
use frostline_engine::{Collector, Context, Counts, Processor, Sink, StageId};

use super::Setting;
use super::input::Block;
use super::stats::LaneStats;
use crate::noaa::{Date, KnownStations, StationId};
use crate::rules::RuleSet;
use crate::stages;
use crate::stages::count;
use crate::stages::{Alert, Assemble, Remembered, StationIndex};

/// A processor with what it works on.
pub(super) struct Part {
    stage: StageId,
    processor: Box<dyn Processor>,
    store: Store,
    pub(super) collector: Collector,
    counts: Counts,
    offset: i64,
}

impl Part {
    pub(super) fn new(stage: StageId, processor: Box<dyn Processor>) -> Self {
        let (collector, counts) = (Collector::default(), Counts::default());
        Self { stage, processor, store: Store::in_memory(), collector, counts, offset: 0 }
    }

    pub(super) fn process(&mut self, key: &[u8], value: &[u8], now_ms: i64) {
        let record = Record {
            topic: "history",
            partition: 0,
            offset: self.offset,
            timestamp_ms: now_ms,
            key: Some(key),
            value: Some(value),
            headers: &HeaderList(NO_HEADERS),
        };
        self.offset += 1;
        self.counts[count::RECORDS_IN] += 1;
        self.with_context(now_ms, |processor, context| processor.process(&record, context));
    }

    fn with_context(
        &mut self,
        now_ms: i64,
        work: impl FnOnce(&mut dyn Processor, &mut Context<'_>) -> Result<(), frostline_engine::store::StateError>,
    ) {
        let mut context = Context {
            store: &mut self.store,
            collector: &mut self.collector,
            counts: &mut self.counts,
            now_ms,
            muted: false,
            stage: self.stage,
        };
        // State in memory does not fail: it is written here and read back by the same code.
        if let Err(error) = work(&mut *self.processor, &mut context) {
            tracing::error!(%error, "state of the backtest");
        }
    }
}

/// What becomes of observations.
enum Then<'a> {
    /// Rules judge them.
    Alert(Box<Alerting<'a>>),
    /// They are looked at.
    Visit(&'a (dyn Fn(&[u8]) + Sync)),
}

/// The alert stage, and what it has told.
struct Alerting<'a> {
    part: Part,
    stats: LaneStats,
    each_alert: &'a (dyn Fn(&[u8]) + Sync),
    /// Whoever wants to know more of one rule at one station.
    trace: Option<&'a Trace<'a>>,
}

/// Follows one rule at one station.
pub struct Trace<'a> {
    /// The rule's id.
    pub rule: &'a str,
    /// The station.
    pub station: StationId,
    /// The day.
    pub date: Date,
    /// Called with each observation that the stage reads, of any station: another one's can move the calendar on.
    pub visit: &'a (dyn Fn(Traced<'_>) + Sync),
}

/// One step of a [`Trace`].
pub struct Traced<'a> {
    /// The observation.
    pub document: &'a [u8],
    /// Before it.
    pub before: Remembered,
    /// After it.
    pub after: Remembered,
    /// The values of alerts that it gave.
    pub alerts: Vec<Vec<u8>>,
}

impl Trace<'_> {
    fn remembered(&self, part: &Part, now_ms: i64) -> Remembered {
        Remembered::read(&part.store, self.rule, self.station, self.date, day_of(now_ms))
    }
}

pub(super) struct Lane<'a> {
    assemble: Part,
    then: Then<'a>,
    stations: Arc<StationIndex>,
    /// Stations that were taken as they came; `None` where there is a table.
    taken: Option<HashSet<StationId, foldhash::fast::RandomState>>,
    known: KnownStations,
    now_ms: i64,
}

impl<'a> Lane<'a> {
    pub(super) fn alerting(
        setting: &Setting,
        rules: Arc<RuleSet>,
        each_alert: &'a (dyn Fn(&[u8]) + Sync),
        trace: Option<&'a Trace<'a>>,
    ) -> Self {
        let stats = LaneStats::new(setting.filter.clone());
        let part = Part::new(stages::ALERT, Box::new(Alert::new(rules, setting.limits)));
        Self::new(setting, Then::Alert(Box::new(Alerting { part, stats, each_alert, trace })))
    }

    pub(super) fn visiting(setting: &Setting, visit: &'a (dyn Fn(&[u8]) + Sync)) -> Self {
        Self::new(setting, Then::Visit(visit))
    }

    fn new(setting: &Setting, then: Then<'a>) -> Self {
        let taken = setting.stations.is_none().then(HashSet::default);
        let stations = setting.stations.clone();
        let stations = stations.unwrap_or_else(|| Arc::new(StationIndex::new(setting.assemble.compat)));
        let assemble = Assemble::new(setting.assemble, Arc::clone(&stations), setting.limits);
        let assemble = Part::new(stages::ASSEMBLE, Box::new(assemble));
        Self { assemble, then, stations, taken, known: KnownStations::default(), now_ms: setting.now_ms }
    }

    pub(super) fn take(&mut self, block: &Block) {
        for item in block.items() {
            if item.first() == Some(&b'{') {
                // What cannot be read is rejected by the stage, under whatever key.
                let station = self.known.parse(item).map(|view| view.station.id);
                let key = station.as_ref().map_or(&b""[..], |id| id.as_bytes());
                self.then.document(key, item, self.now_ms);
            } else {
                self.line(item);
            }
        }
    }

    fn line(&mut self, line: &[u8]) {
        let key = line.get(..11).unwrap_or_default();
        if let Some(taken) = &mut self.taken
            && let Some(station) = StationId::parse(key)
            && taken.insert(station)
        {
            self.stations.insert_unknown(station);
        }
        self.assemble.process(key, line, self.now_ms);
        self.pass_on();
    }

    /// Hands what assemble has written to what comes then.
    fn pass_on(&mut self) {
        for output in self.assemble.collector.outputs() {
            if let (Sink::Output, Some(key), Some(value)) = (output.sink, output.key, output.value) {
                self.then.document(key, value, self.now_ms);
            }
        }
        self.assemble.collector.clear();
    }

    /// The input has ended: what is open settles.
    pub(super) fn finish(&mut self) {
        self.assemble.with_context(self.now_ms, |processor, context| processor.punctuate(context));
        self.pass_on();
    }

    pub(super) fn into_counts(self) -> Counts {
        self.assemble.counts
    }

    pub(super) fn into_stats(self) -> LaneStats {
        match self.then {
            Then::Alert(mut alerting) => {
                alerting.stats.count(&self.assemble.counts, &alerting.part.counts);
                alerting.stats
            }
            Then::Visit(_) => LaneStats::new(None),
        }
    }
}

impl Then<'_> {
    fn document(&mut self, key: &[u8], value: &[u8], now_ms: i64) {
        match self {
            Self::Visit(visit) => visit(value),
            Self::Alert(alerting) => {
                let Alerting { part, stats, each_alert, trace } = &mut **alerting;
                let before = trace.map(|trace| trace.remembered(part, now_ms));
                part.process(key, value, now_ms);
                for output in part.collector.outputs() {
                    if let (Sink::Output, Some(value)) = (output.sink, output.value) {
                        stats.alert(value);
                        each_alert(value);
                    }
                }
                if let Some((trace, before)) = trace.zip(before) {
                    let alerts = part.collector.outputs().filter(|output| output.sink == Sink::Output);
                    let alerts = alerts.filter_map(|output| output.value.map(<[u8]>::to_vec)).collect();
                    let after = trace.remembered(part, now_ms);
                    (trace.visit)(Traced { document: value, before, after, alerts });
                }
                part.collector.clear();
            }
        }
    }
}
