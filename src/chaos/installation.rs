//! A separate installation for each run: namespace, topics, stations, rules, and a temporary directory with the
//! configuration that all its daemons read.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use frostline_engine::fault::{NAMESPACE, Sabotage};
use frostline_engine::kafka::{ClientSettings, GroupProtocol, Outgoing, Producer};
use frostline_engine::{Stage, StageId, TopicPlan, Topology};
use tempfile::TempDir;

use super::fault_kind::FaultKind;
use super::mailbox::Mailbox;
use super::network::Network;
use super::past::Past;
use super::services::Services;
use super::{ChaosError, ChaosOptions, deck, feed, mailbox, world};
use crate::app;
use crate::config::{
    AlertConfig, AssembleConfig, Config, FilterConfig, NotifyConfig, OffsetReset, Secret, TopicConfig, topic,
};
use crate::noaa::Station;
use crate::stages;

/// Short, so that a paused process soon counts as dead. If the brokers decide, see
/// [`sessions_last`](Installation::sessions_last).
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const TRANSACTION_TIMEOUT_MS: u64 = 10_000;
const CONNECT_TIMEOUT_MS: u64 = 60_000;
/// A zombie's transaction must still be open when it wakes up, or the broker alone would fence it.
const TRANSACTION_TIMEOUT_UNFENCED_MS: u64 = 60_000;
/// Small, so that observations settle while faults happen.
pub(super) const SETTLE_RECORDS: u32 = 50;
/// So long that only offsets settle: then the output depends on the input only.
const SETTLE_MS: u64 = 3_600_000;
/// Observations of weather services have very old timestamps: the brokers must not delete them.
const KEPT_DAYS: u32 = 36_500;
/// How long changelogs keep tombstones: too short for a state directory that was away.
const TOMBSTONES_KEPT: Duration = Duration::from_secs(10);

/// The stages whose records are fed and compared: all that lead to alerts, upstream first.
pub(super) fn checked_stages() -> impl Iterator<Item = StageId> {
    stages::TO_ALERTS.into_iter().chain(stages::TONIGHT)
}

/// These, and those that send messages.
pub(super) fn all_stages() -> impl Iterator<Item = StageId> {
    checked_stages().chain(stages::TO_PEOPLE)
}

/// Shared by the daemons of a run.
pub struct Installation {
    /// The effective configuration, as the daemons read it.
    pub config: Config,
    /// Its stages and their topics.
    pub(super) topology: Topology,
    pub(super) settings: ClientSettings,
    pub(super) options: ChaosOptions,
    pub(super) config_file: PathBuf,
    /// How long the groups wait for a silent process.
    pub(super) session_timeout: Duration,
    /// The services that the daemons follow, if any.
    pub(super) services: Option<Services>,
    /// Receives the messages to people.
    pub(super) mailbox: Mailbox,
    /// Between the daemons and the brokers, if it has a part in the run.
    pub(super) network: Option<Network>,
    past: Mutex<Past>,
    dir: TempDir,
}

impl Installation {
    /// Derives the run's own configuration from the user's, and writes the files that its daemons read. Nothing is
    /// sent to Kafka.
    ///
    /// # Errors
    /// [`ChaosError::Files`] if the temporary directory cannot be written or the services or the proxy cannot listen,
    /// [`ChaosError::Kafka`] if a secret of the client's settings cannot be read.
    pub fn new(user: &Config, options: ChaosOptions) -> Result<Self, ChaosError> {
        let dir = tempfile::Builder::new()
            .prefix("frostline-chaos-")
            .tempdir()
            .map_err(ChaosError::files("creating a temporary directory"))?;
        let rules = dir.path().join("rules.toml");
        let services = options.follows().then(|| Services::start(options.seed)).transpose()?;
        let has_network =
            deck::kinds(&options, user).iter().any(|kind| matches!(kind, FaultKind::Network(_)));
        let network = has_network.then(|| Network::start(&user.kafka.brokers)).transpose()?;
        let mailbox = Mailbox::start(options.seed)?;
        let config = configure(user, &options, rules.clone(), services.as_ref(), mailbox.notify());
        let config_file = dir.path().join("frostline.toml");
        let text = rules_with(services.as_ref());
        std::fs::write(&rules, text).map_err(ChaosError::files("writing the run's rules"))?;
        write_config(&config_file, &config)?;
        let settings = ClientSettings::new(&config.kafka)?;
        let topology = app::outline(&config).map_err(|error| ChaosError::Broken(error.to_string()))?;
        let session_timeout = SESSION_TIMEOUT;
        Ok(Self {
            config,
            topology,
            settings,
            options,
            config_file,
            session_timeout,
            services,
            mailbox,
            network,
            past: Mutex::default(),
            dir,
        })
    }

    /// If the brokers decide how long the groups wait for a silent process: a group to ask them about.
    pub fn group_of_brokers_session(&self) -> Option<String> {
        let is_theirs = self.settings.group_protocol() == GroupProtocol::Consumer;
        is_theirs.then(|| self.topology.group(stages::ALERT))
    }

    /// Sets how long the brokers wait for a silent process.
    pub fn sessions_last(&mut self, session_timeout: Duration) {
        self.session_timeout = session_timeout;
    }

    /// The directory of logs, state and configuration.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The file that says where the process that polls must die. All processes of a run know it.
    pub(super) fn poller_fault(&self) -> PathBuf {
        self.dir().join("poller-dies")
    }

    /// Faults that will be tried.
    pub fn rounds(&self) -> u32 {
        self.options.rounds
    }

    /// Its topics. Changelogs keep tombstones so briefly that a state directory which was away is too old, unless a
    /// planted bug shows only in state that is trusted.
    pub fn topics(&self) -> Vec<TopicPlan> {
        let mut topics = self.config.all_topics();
        topics.push(self.plain_topic());
        let needs_belief = [
            Sabotage::CommitBeforeProduce,
            Sabotage::SledBeforeCommit,
            Sabotage::NoFencing,
            Sabotage::EarlierTopics,
        ];
        if !self.options.sabotage.iter().any(|sabotage| needs_belief.contains(sabotage)) {
            let changelogs: Vec<String> = checked_stages().map(|stage| self.changelog(stage)).collect();
            for topic in topics.iter_mut().filter(|topic| changelogs.contains(&topic.name)) {
                topic.tombstones_kept = Some(TOMBSTONES_KEPT);
            }
        }
        topics
    }

    /// The topic of the plain producer, with as many partitions as the daemons' topics.
    pub(super) fn plain_topic(&self) -> TopicPlan {
        TopicPlan::new(format!("{}plain", self.config.kafka.namespace), self.options.partitions)
    }

    /// The rule file.
    pub(super) fn rules(&self) -> String {
        rules_with(self.services.as_ref())
    }

    /// The station table.
    pub(super) fn stations(&self) -> Vec<Station> {
        let of_services = self.services.iter().flat_map(|services| world::stations(&services.world));
        feed::stations(self.options.partitions).into_iter().chain(of_services).collect()
    }

    /// The events of its topics.
    pub(super) fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partitions that a topic has now, by its name in Kafka.
    pub(super) fn partitions(&self, topic: &str) -> i32 {
        self.past().partitions(topic).unwrap_or(self.options.partitions)
    }

    /// Writes the partition counts of topics that have grown, for daemons that start from now on.
    pub(super) fn configure_partitions(&self) -> Result<(), ChaosError> {
        let mut config = self.config.clone();
        for logical in topic::ALL {
            let partitions = self.past().partitions(&self.config.topic(logical).name);
            let topic = config.topics.entry(logical.into()).or_default();
            topic.partitions = partitions.or(topic.partitions);
        }
        write_config(&self.config_file, &config)
    }

    /// Leaves the directory in place for inspection.
    pub fn keep_dir(&mut self) {
        self.dir.disable_cleanup(true);
    }

    /// Publishes the stations to the table's topic.
    pub(super) fn publish_stations(&self) -> Result<(), ChaosError> {
        let producer = producer(&self.settings)?;
        let topic = self.config.topic(topic::STATIONS).name;
        for station in self.stations() {
            let value = station.to_json(self.config.assemble.compat);
            producer.send(&outgoing(&topic, station.id.as_bytes(), Some(value.as_bytes())))?;
        }
        Ok(producer.wait_acknowledged()?)
    }

    /// A stage that leads to alerts.
    pub(super) fn stage(&self, stage: StageId) -> &Stage {
        self.topology.stage(stage).expect("the application has it")
    }

    pub(super) fn changelog(&self, stage: StageId) -> String {
        self.stage(stage).changelog.as_ref().map(|topic| topic.name.clone()).unwrap_or_default()
    }

    pub(super) fn source(&self, stage: StageId) -> String {
        self.stage(stage).source.name.clone()
    }

    pub(super) fn sink(&self, stage: StageId) -> String {
        self.stage(stage).sink.name.clone()
    }
}

fn write_config(file: &Path, config: &Config) -> Result<(), ChaosError> {
    let text = toml::to_string_pretty(config)
        .map_err(|error| ChaosError::Broken(format!("writing the configuration: {error}")))?;
    std::fs::write(file, text).map_err(ChaosError::files("writing the run's configuration"))
}

/// An idempotent producer without transactions: its records are visible at once.
pub(super) fn producer(settings: &ClientSettings) -> Result<Producer, ChaosError> {
    Ok(Producer::new(settings, None)?)
}

/// A keyed record, its partition chosen by the key, its timestamp now.
pub(super) fn outgoing<'a>(topic: &'a str, key: &'a [u8], value: Option<&'a [u8]>) -> Outgoing<'a> {
    Outgoing {
        topic,
        partition: None,
        key: Some(key),
        value,
        timestamp_ms: -1,
        headers: &[],
        changelog: None,
    }
}

fn rules_with(services: Option<&Services>) -> String {
    let of_services = services.map(|services| world::rules(&services.world)).unwrap_or_default();
    mailbox::with_people(&(feed::rules() + &of_services))
}

fn configure(
    user: &Config,
    options: &ChaosOptions,
    rules: PathBuf,
    services: Option<&Services>,
    notify: NotifyConfig,
) -> Config {
    let mut config = user.clone();
    config.kafka.namespace = format!("{NAMESPACE}{:x}-", options.seed);
    // The user's own topic names must not be used; replication settings are kept.
    config.topics.clear();
    for logical in topic::ALL {
        let replication = user.topics.get(logical).and_then(|topic| topic.replication);
        // The topic of positions has a partition for each source.
        let partitions = (logical != topic::POSITIONS).then_some(options.partitions);
        let is_kept = services.is_some() && config.topic(logical).retention_days.is_some();
        let retention_days = is_kept.then_some(KEPT_DAYS);
        let topic = TopicConfig { partitions, replication, retention_days, ..TopicConfig::default() };
        config.topics.insert(logical.into(), topic);
    }
    let is_unfenced = options.sabotage.contains(&Sabotage::NoFencing);
    config.runtime.session_timeout_ms = SESSION_TIMEOUT.as_millis() as u64;
    config.runtime.transaction_timeout_ms =
        if is_unfenced { TRANSACTION_TIMEOUT_UNFENCED_MS } else { TRANSACTION_TIMEOUT_MS };
    // A start must outlast the bad network of its own process.
    config.kafka.connect_timeout_ms = CONNECT_TIMEOUT_MS;
    config.runtime.auto_offset_reset = OffsetReset::Earliest;
    // Several processes cannot have the same name.
    config.runtime.group_instance_id.clear();
    config.assemble =
        AssembleConfig { settle_records: SETTLE_RECORDS, settle_ms: SETTLE_MS, ..AssembleConfig::default() };
    config.filter = FilterConfig::default();
    config.alert = AlertConfig { rules, ..AlertConfig::default() };
    // Several daemons run at the same time, each with its own port.
    config.admin.listen.clear();
    // Nobody gets a message and no public service is polled, so their file needs no secrets.
    config.admin.token = Secret::default();
    config.notify = notify;
    config.follow = services.map(Services::follow).unwrap_or_default();
    config
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MetarFollow;

    #[test]
    fn the_users_topics_are_never_named() {
        let mut user = Config::default();
        let name = Some("weather.enriched".to_owned());
        user.topics.insert(
            topic::JSON.into(),
            TopicConfig { name, partitions: Some(12), replication: Some(3), ..TopicConfig::default() },
        );
        user.follow.metar = Some(MetarFollow::default());
        let options = ChaosOptions { seed: 255, partitions: 4, ..ChaosOptions::default() };
        let installation = Installation::new(&user, options).unwrap();
        for plan in installation.config.all_topics() {
            assert!(plan.name.starts_with("chaos-ff-"), "{}", plan.name);
            assert_eq!(plan.partitions, if plan.name.ends_with("positions") { 8 } else { 4 });
        }
        assert!(!installation.config.follow.is_on(), "no public service is asked");
        let read =
            crate::config::Overrides { file: Some(installation.config_file.clone()), settings: Vec::new() };
        let read = crate::config::load(&read, std::iter::empty()).unwrap();
        assert_eq!(read.topic(topic::JSON), installation.config.topic(topic::JSON));
        assert_eq!(read.topic(topic::JSON).replication, Some(3));
    }
}
