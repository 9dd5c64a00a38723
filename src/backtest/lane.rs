//! One lane: assemble and alert for a part of the stations.

use std::collections::HashSet;
use std::sync::Arc;

use frostline_engine::driver::TestDriver;
use frostline_engine::record::{Header, NO_HEADERS, day_of};
use frostline_engine::{Counts, Processor, Sink, StageId, StateError};

use super::Setting;
use super::input::Block;
use super::stats::LaneStats;
use crate::noaa::{Date, KnownStations, StationId};
use crate::rules::RuleSet;
use crate::stages;
use crate::stages::{Alert, Assemble, Remembered, StationIndex};

/// A stage's processor, run with the present time as clock.
pub(super) fn driver(stage: StageId, processor: Box<dyn Processor>, now_ms: i64) -> TestDriver {
    let mut driver = TestDriver::new(stage, processor);
    driver.now_ms = now_ms;
    driver
}

/// State in memory does not fail: the same code writes it and reads it back.
fn note(done: Result<(), StateError>) {
    if let Err(error) = done {
        tracing::error!(%error, "state of the backtest");
    }
}

/// Pipes a record in.
pub(super) fn process(driver: &mut TestDriver, key: &[u8], value: &[u8]) {
    note(driver.pipe_bytes(Some(key), Some(value), NO_HEADERS).map(drop));
}

/// What happens to observations.
enum Then<'a> {
    /// Rules judge them.
    Alert(Box<Alerting<'a>>),
    /// They are passed to a visitor.
    Visit(&'a (dyn Fn(&[u8]) + Sync)),
}

/// The alert stage, and the alerts it has written.
struct Alerting<'a> {
    driver: TestDriver,
    stats: LaneStats,
    each_alert: &'a (dyn Fn(&[u8]) + Sync),
    /// A visitor that follows one rule at one station.
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
    /// Called with each observation that the stage reads, of any station: an observation of another station can move
    /// the calendar on.
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
    /// The values of the alerts that it caused.
    pub alerts: Vec<Vec<u8>>,
}

impl Trace<'_> {
    fn remembered(&self, driver: &TestDriver) -> Remembered {
        Remembered::read(&driver.store, self.rule, self.station, self.date, day_of(driver.now_ms))
    }
}

pub(super) struct Lane<'a> {
    assemble: TestDriver,
    then: Then<'a>,
    from: Option<Date>,
    /// The headers of a line that has been removed from the archive.
    deletion: Vec<Header>,
    stations: Arc<StationIndex>,
    /// Stations seen in the records; `None` if there is a table.
    taken: Option<HashSet<StationId, foldhash::fast::RandomState>>,
    known: KnownStations,
}

impl<'a> Lane<'a> {
    pub(super) fn alerting(
        setting: &Setting,
        rules: Arc<RuleSet>,
        each_alert: &'a (dyn Fn(&[u8]) + Sync),
        trace: Option<&'a Trace<'a>>,
    ) -> Self {
        let stats = LaneStats::new(setting.filter.clone(), setting.from);
        let alert = Box::new(Alert::new(rules, setting.limits));
        let driver = driver(stages::ALERT, alert, setting.now_ms);
        Self::new(setting, Then::Alert(Box::new(Alerting { driver, stats, each_alert, trace })))
    }

    pub(super) fn visiting(setting: &Setting, visit: &'a (dyn Fn(&[u8]) + Sync)) -> Self {
        Self::new(setting, Then::Visit(visit))
    }

    fn new(setting: &Setting, then: Then<'a>) -> Self {
        let taken = setting.stations.is_none().then(HashSet::default);
        let stations = setting.stations.clone();
        let stations = stations.unwrap_or_else(|| Arc::new(StationIndex::new(setting.assemble.compat)));
        let assemble = Assemble::new(setting.assemble, Arc::clone(&stations), setting.limits);
        let assemble = driver(stages::ASSEMBLE, Box::new(assemble), setting.now_ms);
        let deletion = vec![(stages::CHANGE_HEADER.to_owned(), Some(stages::DELETE.to_vec()))];
        Self {
            assemble,
            then,
            from: setting.from,
            deletion,
            stations,
            taken,
            known: KnownStations::default(),
        }
    }

    pub(super) fn take(&mut self, block: &Block) {
        for (item, is_deleted) in block.items() {
            if item.first() == Some(&b'{') {
                // The stage rejects an unreadable record under any key.
                let found = self.known.parse(item).map(|view| (view.station.id, view.date));
                let key = found.as_ref().map_or(&b""[..], |(id, _)| id.as_bytes());
                let is_earlier =
                    found.as_ref().is_ok_and(|(_, date)| self.from.is_some_and(|from| *date < from));
                self.then.document(key, item, is_earlier);
            } else {
                self.line(item, is_deleted);
            }
        }
    }

    fn line(&mut self, line: &[u8], is_deleted: bool) {
        let key = line.get(..11).unwrap_or_default();
        if let Some(taken) = &mut self.taken
            && let Some(station) = StationId::parse(key)
            && taken.insert(station)
        {
            self.stations.insert_unknown(station);
        }
        let headers = if is_deleted { &self.deletion } else { NO_HEADERS };
        note(self.assemble.pipe_bytes(Some(key), Some(line), headers).map(drop));
        self.pass_on();
    }

    /// Passes the output of assemble on.
    fn pass_on(&mut self) {
        for output in self.assemble.outputs() {
            if let (Sink::Output, Some(key), Some(value)) = (output.sink, output.key, output.value) {
                let is_earlier =
                    self.from.is_some_and(|from| self.known.parse(value).is_ok_and(|view| view.date < from));
                self.then.document(key, value, is_earlier);
            }
        }
        self.assemble.clear();
    }

    /// The input has ended: open observations settle.
    pub(super) fn finish(&mut self) {
        note(self.assemble.punctuate());
        self.pass_on();
    }

    pub(super) fn into_counts(self) -> Counts {
        self.assemble.counts
    }

    pub(super) fn into_stats(self) -> LaneStats {
        match self.then {
            Then::Alert(mut alerting) => {
                alerting.stats.count(&self.assemble.counts, &alerting.driver.counts);
                alerting.stats
            }
            Then::Visit(_) => LaneStats::new(None, None),
        }
    }
}

impl Then<'_> {
    /// Takes an observation. Rules also see those before the first date that counts: episodes and counts of days begin
    /// there.
    fn document(&mut self, key: &[u8], value: &[u8], is_earlier: bool) {
        match self {
            Self::Visit(visit) if !is_earlier => visit(value),
            Self::Visit(_) => {}
            Self::Alert(alerting) => {
                let Alerting { driver, stats, each_alert, trace } = &mut **alerting;
                let before = trace.map(|trace| trace.remembered(driver));
                stats.earlier += u64::from(is_earlier);
                process(driver, key, value);
                for output in driver.outputs() {
                    if let (Sink::Output, Some(value)) = (output.sink, output.value)
                        && stats.alert(value)
                    {
                        each_alert(value);
                    }
                }
                if let Some((trace, before)) = trace.zip(before) {
                    let alerts = driver.outputs().filter(|output| output.sink == Sink::Output);
                    let alerts = alerts.filter_map(|output| output.value.map(<[u8]>::to_vec)).collect();
                    let after = trace.remembered(driver);
                    (trace.visit)(Traced { document: value, before, after, alerts });
                }
                driver.clear();
            }
        }
    }
}
