//! Where rules, stations and observations come from: files, or the topics of a broker.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use frostline_engine::kafka::{ClientSettings, Reader, StartAt};
use frostline_engine::record::{Record, unix_ms};

use super::super::{Failed, stations_import};
use super::StationFiles;
use crate::backtest::{Feed, Setting};
use crate::bounded::read_text;
use crate::config::{Config, topic};
use crate::history;
use crate::noaa::Station;
use crate::publishing::Live;
use crate::rules::{Condition, Conditions, FILE_BYTES_MAX, Mistake, Published, RuleFile, Scope};
use crate::stages::{StationIndex, is_deleted};

/// Stands for the rules' topic in place of a file name.
pub(in super::super) const LIVE: &str = "live";

/// Reads the text of a rule file.
pub(in super::super) fn read_rule_file(path: &Path) -> Result<String, Failed> {
    let failed = |reason: String| Failed::Usage(anyhow::anyhow!("{}: {reason}", path.display()));
    read_text(path, FILE_BYTES_MAX).map_err(|error| failed(format!("the rules cannot be read: {error}")))
}

/// Reads a rule file that must be valid. Its subscribers may live in the topic.
pub(in super::super) fn rule_file(path: &Path) -> Result<RuleFile, Failed> {
    let text = read_rule_file(path)?;
    RuleFile::parse(&text, &mut Conditions::default(), &|_| true)
        .map_err(|mistakes| unusable(path, &mistakes))
}

/// The error that a rule file has mistakes.
pub(in super::super) fn unusable(path: &Path, mistakes: &[Mistake]) -> Failed {
    let places: Vec<String> =
        mistakes.iter().map(|mistake| format!("{}:{mistake}", path.display())).collect();
    Failed::Usage(anyhow::anyhow!("the rules have mistakes; nothing was started:\n  {}", places.join("\n  ")))
}

/// The rules for a command: a file, `live` for the topic, or the configured ones.
pub(in super::super) async fn rules(config: &Config, named: Option<&Path>) -> Result<Published, Failed> {
    let path = match named {
        Some(path) if path == Path::new(LIVE) => None,
        Some(path) => Some(path),
        None => config.alert.rule_file(),
    };
    match path {
        Some(path) if named.is_none() && !path.exists() => Err(Failed::Usage(anyhow::anyhow!(
            "{}: no such rule file: name another with --rules, or use --rules live for the published rules",
            path.display()
        ))),
        Some(path) => Ok(Published::of_file(rule_file(path)?)),
        None => {
            let mut published = Live::connect(config).await?.published()?;
            published.quarantine_broken(&mut Conditions::default());
            Ok(published)
        }
    }
}

impl StationFiles {
    /// Reads the stations, if a file is named.
    pub(in super::super) fn read(&self) -> Result<Option<Vec<Station>>, Failed> {
        let Some(file) = &self.stations else { return Ok(None) };
        let beside = |name: &str| file.parent().map(|folder| folder.join(name)).filter(|path| path.is_file());
        let countries = self.countries.clone().or_else(|| beside("ghcnd-countries.txt"));
        let states = self.states.clone().or_else(|| beside("ghcnd-states.txt"));
        stations_import::read_inventory(file, countries.as_deref(), states.as_deref())
            .map(Some)
            .map_err(Failed::Usage)
    }
}

/// How history is read, according to the configuration.
pub(in super::super) fn setting(config: &Config, stations: Option<&[Station]>) -> Result<Setting, Failed> {
    let filter = Condition::compile(&config.filter.expression, Scope::Filter)
        .map_err(|error| Failed::Usage(anyhow::anyhow!("filter.where: {}", error.message)))?;
    let is_filtered = config.alert.source == topic::JSON_US_AZ;
    let index = stations.map(|stations| {
        let index = StationIndex::new(config.assemble.compat);
        stations.iter().for_each(|station| index.insert(station));
        Arc::new(index)
    });
    Ok(Setting {
        assemble: config.assemble_settings(),
        limits: config.limits(),
        // Without a station table the filter has nothing to decide by.
        filter: (is_filtered && index.is_some()).then(|| Arc::new(filter)),
        stations: index,
        from: None,
        to: None,
        // The default number of partitions: the results must not depend on the machine.
        lanes: 5,
        now_ms: unix_ms(),
    })
}

/// Reads a file of history; the stages reject invalid records.
pub(in super::super) fn read_file(path: &Path, visit: &mut dyn FnMut(&[u8])) -> anyhow::Result<()> {
    let read = history::read(path, Arc::default(), &Arc::default(), &mut |(item, _)| {
        visit(item.text);
        Ok(ControlFlow::Continue(()))
    });
    read.map(drop)
}

/// Passes the history of a topic on.
pub(in super::super) fn push_topic(
    settings: &ClientSettings,
    topic: &str,
    partitions: i32,
    feed: &mut Feed<'_>,
) -> anyhow::Result<()> {
    let mut push = |record: &Record<'_>| {
        if let Some(value) = record.value {
            feed.push_of_partition(record.partition, value, is_deleted(record));
        }
    };
    Ok(Reader::read_to_end(settings, topic, partitions, StartAt::Beginning, &mut push)?)
}
