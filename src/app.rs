//! The weather application: its stages, tables and topics as one topology of the engine, made from the configuration.
//!
//! All code that lists stages or topics reads them from the topology. A new stage needs its processor in
//! [`crate::stages`], its topics in `config/topics.rs` and its entry here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use frostline_engine::kafka::ClientSettings;
use frostline_engine::record::{Record, unix_ms};
use frostline_engine::runtime::{Failure, FollowClient, Summary, TopicTail};
use frostline_engine::{Engine, RunOptions, Stage, StageId, StartError, Topology, TopologyBuilder, Traffic};

use crate::config::{Config, topic};
use crate::near_search::{self, NearSearch};
use crate::noaa::{MISSING_ELEVATION, RecentDays, Station, StationId};
use crate::rules::{Condition, Feed, Place, RuleSet, Scope};
use crate::sources::{self, Known, Watched};
use crate::stages::{
    self, Alert, Assemble, AssembleSettings, Deliver, DeliverSettings, Enrich, Filter, KEPT_HEADERS, Limits,
    Notify, Outlet, Outlook, StationIndex, Watch, count,
};
use crate::tables::{RULES, RuleTable, STATIONS, StationTable};

/// How many observations are read back for charts and maps: more than all stations report in thirty days.
const RECENT_OBSERVATIONS: i64 = 2_000_000;
/// How much longer than `notify.timeout_ms` a partition that is given up waits for a delivery.
const DRAIN_MARGIN: Duration = Duration::from_millis(500);

/// Settings and compiled inputs of all processors; partitions share them.
#[derive(Clone)]
pub struct Ingredients {
    /// The settings of assemble.
    pub assemble: AssembleSettings,
    /// The limits of a record.
    pub limits: Limits,
    /// The station table.
    pub stations: Arc<StationIndex>,
    /// The filter's condition.
    pub filter: Arc<Condition>,
    /// The rules.
    pub rules: Arc<RuleSet>,
    /// How messages are delivered, if this process delivers any.
    pub delivering: Option<Delivering>,
}

/// The means of `notify` and `deliver`.
#[derive(Clone)]
pub struct Delivering {
    /// How messages are collected, timed and given up.
    pub settings: Arc<DeliverSettings>,
    /// Whether alerts also go to an Alertmanager.
    pub has_alertmanager: bool,
    /// Accepts messages to send.
    pub outlet: Outlet,
}

impl Delivering {
    /// Sends nothing: for processes that only need to know the stages.
    fn nowhere(config: &Config) -> Self {
        // A dropped parcel reports that it was not tried.
        let settings = Arc::new(config.deliver_settings());
        Self { settings, has_alertmanager: config.notify.alertmanager.is_some(), outlet: Arc::new(drop) }
    }
}

impl Ingredients {
    /// The inputs of a configuration, with an empty station table.
    ///
    /// # Errors
    /// [`StartError::Usage`] if `filter.where` does not compile.
    pub fn new(
        config: &Config,
        rules: Arc<RuleSet>,
        delivering: Option<Delivering>,
    ) -> Result<Self, StartError> {
        let filter = Condition::compile(&config.filter.expression, Scope::Filter)
            .map_err(|error| StartError::Usage(format!("filter.where: {}", error.message)))?;
        Ok(Self {
            assemble: config.assemble_settings(),
            limits: config.limits(),
            stations: Arc::new(StationIndex::new(config.assemble.compat)),
            filter: Arc::new(filter),
            rules,
            delivering,
        })
    }
}

/// The stages of a configuration with their topics, for code that only lists them: they keep everything, know no
/// rules and send nothing.
///
/// # Errors
/// As [`topology`].
pub fn outline(config: &Config) -> Result<Topology, StartError> {
    let everything = Condition::compile("true", Scope::Filter);
    topology(
        config,
        &Ingredients {
            assemble: config.assemble_settings(),
            limits: config.limits(),
            stations: Arc::new(StationIndex::new(config.assemble.compat)),
            filter: Arc::new(everything.map_err(|error| StartError::Usage(error.message))?),
            rules: Arc::default(),
            delivering: None,
        },
    )
}

/// The stages with their topics.
///
/// # Errors
/// [`StartError::Usage`] if the configuration connects them in a way that cannot work.
pub fn topology(config: &Config, ingredients: &Ingredients) -> Result<Topology, StartError> {
    let topic = |logical| config.topic(logical);
    let Ingredients { assemble, limits, stations, filter, rules, delivering } = ingredients.clone();
    let builder = Topology::builder("frostline", &*config.kafka.namespace, topic(topic::DEAD_LETTERS))
        .topics_made_by("frostline topics create")
        .topics_grown_by("frostline topics grow")
        .stage(Stage {
            traffic: Traffic::Tiny,
            kept_headers: KEPT_HEADERS,
            ..Stage::new(stages::ASSEMBLE, topic(topic::CSV_RAW), topic(topic::JSON), {
                let stations = Arc::clone(&stations);
                move || Assemble::new(assemble, Arc::clone(&stations), limits)
            })
            .stateful(topic(topic::ASSEMBLE_CHANGELOG))
            .movable(stages::ASSEMBLE_STATE)
            .counting(&[count::OBSERVATIONS, count::DUPLICATES, count::FAILED_QUALITY])
            .needing(&[STATIONS])
        })
        .stage(
            Stage::new(stages::ENRICH, topic(topic::RAW), topic(topic::JSON), {
                let stations = Arc::clone(&stations);
                move || Enrich::new(Arc::clone(&stations), limits)
            })
            .counting(&[count::OBSERVATIONS])
            .needing(&[STATIONS]),
        )
        .stage(
            Stage::new(stages::FILTER, topic(&config.filter.source), topic(topic::JSON_US_AZ), move || {
                Filter::new(Arc::clone(&filter), limits)
            })
            .counting(&[count::KEPT]),
        )
        .stage(
            Stage::new(stages::ALERT, topic(&config.alert.source), topic(topic::ALERTS), {
                let rules = Arc::clone(&rules);
                move || Alert::new(Arc::clone(&rules), limits)
            })
            .stateful(topic(topic::ALERT_CHANGELOG))
            .movable(stages::ALERT_STATE)
            .awaited()
            .counting(&[count::ALERTS, count::DUPLICATES, count::RULE_ERRORS])
            .needing(needed_rules(config)),
        )
        .stage(outlook(config, Arc::clone(&stations), limits))
        .stage(watch(config, Arc::clone(&rules), limits))
        .table(STATIONS, topic(topic::STATIONS), {
            let stations = Arc::clone(&stations);
            move || StationTable::new(Arc::clone(&stations))
        });
    let builder = builder.table(RULES, topic(topic::RULES), {
        let rules = Arc::clone(&rules);
        move || RuleTable::new(Arc::clone(&rules))
    });
    let delivering = delivering.unwrap_or_else(|| Delivering::nowhere(config));
    let builder = builder
        .stage(notify(config, limits, &delivering))
        .stage(deliver(config, Arc::clone(&rules), limits, delivering))
        .positions(topic(topic::POSITIONS));
    let sources = sources::sources(config, &known_to_sources(config, stations, rules));
    let sources = sources.map_err(|reason| StartError::Usage(format!("[follow]: {reason}")))?;
    let builder = sources.into_iter().fold(builder, TopologyBuilder::source);
    builder.build().map_err(|error| StartError::Usage(error.to_string()))
}

/// The stations and rules as sources see them.
fn known_to_sources(config: &Config, stations: Arc<StationIndex>, rules: Arc<RuleSet>) -> Known {
    let airports = Arc::clone(&stations);
    let needs: &[&str] = if config.alert.rule_file().is_none() { &[STATIONS, RULES] } else { &[STATIONS] };
    Known {
        find: Arc::new(move |icao| airports.find_icao(icao)),
        watched: Arc::new(move || watched(&rules, &stations)),
        needs: [&[STATIONS], needs],
    }
}

/// The stations of rules over nights and hours, without duplicates.
fn watched(rules: &RuleSet, stations: &StationIndex) -> Vec<Watched> {
    let rules = rules.all();
    let of_moments = rules.iter().filter(|rule| Feed::MOMENTS.contains(&rule.feed()));
    let ids: BTreeSet<StationId> = of_moments
        .filter_map(|rule| match rule.place {
            Place::Station(station) => Some(station),
            // A condition may choose thousands of stations; forecasts are only for those that are named.
            Place::Where(_) | Place::Unresolved(_) => None,
        })
        .collect();
    let watched = |id: StationId| {
        let station: Station = serde_json::from_str(&stations.get(id)?).ok()?;
        Some(Watched {
            id,
            latitude: station.location.lat,
            longitude: station.location.lon,
            // In the form of the rally an unknown elevation is a number.
            elevation: station.elevation.filter(|elevation| *elevation > MISSING_ELEVATION),
            is_us: station.country_code == "US",
        })
    };
    ids.into_iter().filter_map(watched).collect()
}

fn outlook(config: &Config, stations: Arc<StationIndex>, limits: Limits) -> Stage {
    let (source, sink) = (config.topic(topic::HOURLY), config.topic(topic::OUTLOOKS));
    let processor = move || Outlook::new(Arc::clone(&stations), limits);
    Stage::new(stages::OUTLOOK, source, sink, processor)
        .stateful(config.topic(topic::OUTLOOK_CHANGELOG))
        .movable(stages::OUTLOOK_STATE)
        .counting(&[count::OUTLOOKS, count::FORECASTS, count::DUPLICATES])
        .needing(&[STATIONS])
}

fn watch(config: &Config, rules: Arc<RuleSet>, limits: Limits) -> Stage {
    let (source, sink) = (config.topic(topic::OUTLOOKS), config.topic(topic::ALERTS));
    let processor = move || Watch::new(Arc::clone(&rules), limits);
    Stage { traffic: Traffic::Few, ..Stage::new(stages::WATCH, source, sink, processor) }
        .stateful(config.topic(topic::WATCH_CHANGELOG))
        .movable(stages::WATCH_STATE)
        .awaited()
        .counting(&[count::ALERTS, count::RULE_ERRORS])
        .needing(needed_rules(config))
}

fn notify(config: &Config, limits: Limits, delivering: &Delivering) -> Stage {
    let has_alertmanager = delivering.has_alertmanager;
    let (source, sink) = (config.topic(topic::ALERTS), config.topic(topic::NOTICES));
    let processor = move || Notify::new(limits, has_alertmanager);
    Stage { traffic: Traffic::Few, ..Stage::new(stages::NOTIFY, source, sink, processor) }
        .counting(&[count::NOTICES])
        .awaited()
}

fn deliver(config: &Config, rules: Arc<RuleSet>, limits: Limits, delivering: Delivering) -> Stage {
    let Delivering { settings, outlet, .. } = delivering;
    let (source, sink) = (config.topic(topic::NOTICES), config.topic(topic::DELIVERIES));
    let processor = move || Deliver::new(Arc::clone(&settings), Arc::clone(&rules), limits, outlet.clone());
    Stage {
        traffic: Traffic::Few,
        drain: Duration::from_millis(config.notify.timeout_ms) + DRAIN_MARGIN,
        ..Stage::new(stages::DELIVER, source, sink, processor)
            .awaited()
            .stateful(config.topic(topic::DELIVER_CHANGELOG))
            .movable(stages::DELIVER_STATE)
            .counting(&[count::SENT, count::RETRIED, count::FAILED, count::SUPPRESSED, count::DUPLICATES])
            .needing(needed_rules(config))
    }
}

/// The rules' topic is a table of the stages that use rules, unless rules are in a file.
fn needed_rules(config: &Config) -> &'static [&'static str] {
    if config.alert.rule_file().is_none() { &[RULES] } else { &[] }
}

/// The part of the application that a process runs.
#[derive(Clone)]
pub struct AppOptions {
    /// The stages that run here, and the abilities of the brokers.
    pub run: RunOptions,
    /// How messages are delivered; needed by the stages `notify` and `deliver`.
    pub delivering: Option<Delivering>,
    /// Filled with the last days of every station, if something shows them.
    pub recent: Option<Arc<RecentDays>>,
}

impl AppOptions {
    /// Only these stages: no messages are sent and nothing is shown.
    pub fn of_stages(stages: Vec<StageId>) -> Self {
        Self { run: RunOptions::of_stages(stages), delivering: None, recent: None }
    }

    /// Whether a stage uses rules or their subscribers.
    pub fn needs_rules(&self) -> bool {
        self.run.stages.iter().any(|stage| [stages::ALERT, stages::WATCH, stages::DELIVER].contains(stage))
    }
}

/// The running application: the engine, and the data shown next to it.
pub struct App {
    /// The stages.
    pub engine: Engine,
    /// The station table, if a stage needs it.
    pub stations: Arc<StationIndex>,
    /// Follows topics of this installation.
    pub tails: TailSource,
    /// The observations that are shown.
    recent: Option<TopicTail>,
    /// Looks for stations near rules, if rules are judged here.
    near_searches: Vec<NearSearch>,
}

impl App {
    /// Starts the stages on the current actix System, as [`Engine::start`] does.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is running then.
    pub async fn start(
        config: &Config,
        rules: Arc<RuleSet>,
        options: &AppOptions,
    ) -> Result<Self, StartError> {
        let ingredients = Ingredients::new(config, Arc::clone(&rules), options.delivering.clone())?;
        let topology = topology(config, &ingredients)?;
        let engine = Engine::start(&config.engine_settings(), topology, &options.run).await?;
        let tails = TailSource::new(engine.clients().clone(), config.clone());
        let recent = options.recent.clone().map(|recent| follow_observations(&tails, recent));
        let judges = options.run.stages.contains(&stages::ALERT);
        let days = judges.then(|| search_near(&tails, Arc::clone(&rules), Feed::DAYS, &config.alert.source));
        let watches = options.run.stages.contains(&stages::WATCH);
        let moments = watches.then(|| search_near(&tails, rules, Feed::MOMENTS, topic::OUTLOOKS));
        let near_searches = days.into_iter().chain(moments).collect();
        Ok(Self { engine, stations: ingredients.stations, tails, recent, near_searches })
    }

    /// Leaves the groups in good order (after a commit), stops all parts, and returns the summary.
    ///
    /// # Errors
    /// The first failure of a stage.
    pub async fn stop(self) -> (Summary, Result<(), Failure>) {
        drop(self.recent);
        let ended = self.engine.stop().await;
        drop(self.near_searches);
        ended
    }
}

/// Follows topics of this installation.
#[derive(Clone)]
pub struct TailSource {
    client: FollowClient,
    config: Arc<Config>,
}

impl TailSource {
    /// Follows topics of this configuration.
    pub fn new(clients: ClientSettings, config: Config) -> Self {
        Self { client: FollowClient::new(clients), config: Arc::new(config) }
    }

    /// The same for tails that [share a client](FollowClient::sharing).
    pub fn sharing(&self) -> Self {
        Self { client: self.client.sharing(), config: Arc::clone(&self.config) }
    }

    /// Follows the topic with this logical name, as [`TopicTail::start`] does.
    pub fn tail(
        &self,
        logical: &str,
        tail: i64,
        visit: impl FnMut(&Record<'_>, bool) + Send + 'static,
    ) -> TopicTail {
        TopicTail::start(self.client.clone(), self.config.topic(logical).name, tail, visit)
    }
}

/// Looks for stations near rules of these feeds, in the topic that their stage reads.
fn search_near(tails: &TailSource, rules: Arc<RuleSet>, feeds: &'static [Feed], logical: &str) -> NearSearch {
    let (source, tails) = (logical.to_owned(), tails.clone());
    let topic = tails.config.topic(&source).name;
    let filter = (logical == topic::JSON_US_AZ).then(|| tails.config.filter.expression.clone());
    let follow =
        move |tail, mut visit: near_search::Visit| tails.tail(&source, tail, move |record, _| visit(record));
    NearSearch::start(rules, feeds, near_search::Source { topic, filter }, Box::new(follow))
}

/// Follows the observations for charts and maps.
fn follow_observations(tails: &TailSource, recent: Arc<RecentDays>) -> TopicTail {
    let partitions = tails.config.topic(topic::JSON).partitions;
    let tail = RECENT_OBSERVATIONS / i64::from(partitions.max(1));
    tails.tail(topic::JSON, tail, move |record, _| {
        if let Some(document) = record.value {
            recent.observe_document(document, unix_ms());
        }
    })
}
