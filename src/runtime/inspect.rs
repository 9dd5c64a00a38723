//! Questions about the state of tasks, from outside.
//!
//! A task's store belongs to its worker, so a question travels there as a message: the supervisor hands it to all its
//! workers, and each looks into the stores of its restored tasks, between two slices of work. A key that is not found
//! here may be in another process: then the group is asked who has its partition.

use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use serde_json::Value;

use super::Board;
use super::failure::Failure;
use super::message::Inspect;
use super::status::Phase;
use super::supervisor::Supervisor;
use crate::config::Config;
use crate::kafka::{ClientSettings, KafkaError, Member, owner_of_key};
use crate::stages::{Question, StageName};

/// How long the workers may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a task answers.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its partition.
    pub partition: i32,
    /// The next input offset as of the commit that the entries are of; `None` while unknown.
    pub committed_offset: Option<i64>,
    /// What its store says of the key.
    pub entries: Vec<Value>,
}

/// What became of a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A task of this process has the key's partition.
    Here(Found),
    /// It has, but is still being restored.
    Restoring(i32),
    /// Another process has the partition, or nobody just now.
    Elsewhere(i32, Option<Member>),
}

/// Asks the tasks of this process, and knows about the others.
#[derive(Clone)]
pub struct Inspector {
    pub(super) supervisors: Vec<(StageName, Addr<Supervisor>)>,
    pub(super) board: Arc<Board>,
    pub(super) config: Arc<Config>,
    pub(super) settings: ClientSettings,
}

impl Inspector {
    /// Asks.
    ///
    /// # Errors
    /// Where a store cannot be read, workers do not answer in time, or Kafka does not.
    pub async fn ask(&self, question: Question) -> Result<Answer, Failure> {
        let stage = question.stage();
        let found = self.ask_here(&question).await?;
        if let Some(found) = found.iter().find(|found| !found.entries.is_empty()) {
            return Ok(Answer::Here(found.clone()));
        }
        let (config, settings) = (Arc::clone(&self.config), self.settings.clone());
        let asked = tokio::task::spawn_blocking(move || {
            let topic = config.topic(config.source_of(stage)).name;
            owner_of_key(&settings, (&config.group(stage), &topic), question.key().as_bytes())
        });
        let (partition, owner) =
            asked.await.map_err(|_| Failure::Panic("a question to a group".into()))??;
        if let Some(found) = found.into_iter().find(|found| found.partition == partition) {
            return Ok(Answer::Here(found));
        }
        let tasks = self.board.snapshot();
        let own = tasks.iter().find(|task| (task.stage, task.partition) == (stage, partition));
        Ok(match own {
            Some(task) if task.phase == Phase::Restoring => Answer::Restoring(partition),
            // It was opened, or has been given up, in this very moment: the next question will tell.
            Some(_) => Answer::Elsewhere(partition, None),
            None => Answer::Elsewhere(partition, owner),
        })
    }

    async fn ask_here(&self, question: &Question) -> Result<Vec<Found>, Failure> {
        let own = self.supervisors.iter().find(|(stage, _)| *stage == question.stage());
        let Some((stage, supervisor)) = own else { return Ok(Vec::new()) };
        let asked = supervisor.send(Inspect(question.clone()));
        match tokio::time::timeout(PATIENCE, asked).await {
            Ok(Ok(found)) => found,
            Ok(Err(_)) => Err(Failure::Panic(format!("stage {stage}"))),
            Err(_) => {
                let what = format!("the workers of {stage} have not answered within {PATIENCE:?}");
                Err(KafkaError::Retry(what).into())
            }
        }
    }
}
