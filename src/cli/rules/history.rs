//! Reads history from files or a topic.

use std::path::PathBuf;

use frostline_engine::kafka::ClientSettings;

use super::super::output::YELLOW;
use super::super::{Failed, output, topics};
use super::{StationFiles, source};
use crate::backtest::{self, Feed, Input, Setting};
use crate::config::Config;
use crate::noaa::Station;
use crate::publishing::Live;
use crate::rules::{Conditions, Published};

/// A source of history, which can be read repeatedly.
pub(in super::super) enum History {
    Files(Vec<PathBuf>),
    Topic(Box<ClientSettings>, String, i32),
}

impl History {
    /// The topic if one is named, otherwise the files.
    pub(super) async fn open(
        config: &Config,
        topic: Option<&str>,
        files: &[PathBuf],
    ) -> Result<Self, Failed> {
        match topic {
            None => Ok(Self::Files(files.to_vec())),
            Some(topic) => Self::of_topic(config, topic).await,
        }
    }

    /// The stations from the named files; without any, for a topic, those of the station table.
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
}
