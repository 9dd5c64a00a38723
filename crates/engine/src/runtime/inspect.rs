//! Questions from outside about the state of tasks.
//!
//! A task's store belongs to its worker, so a question travels there as a message: the supervisor passes it to all
//! its workers, and each looks into the stores of its restored tasks, between two slices of work. A key that is not
//! found here may be in another process; then the group is asked which one has its partition.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use actix::Addr;
use serde::Serialize;

use super::Board;
use super::failure::Failure;
use super::message::Inspect;
use super::question::{Found, StateQuestion};
use super::snapshot::Phase;
use super::supervisor::Supervisor;
use crate::kafka::{Admin, ClientSettings, KafkaError, Member};
use crate::{Stage, StageId, Topology};

/// How long the workers may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// The outcome of a question.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A task of this process has the key's partition.
    Here(Found),
    /// A task of this process has the partition, but its state is still being restored.
    Restoring(i32),
    /// Another process has the partition, or none has it at the moment.
    Elsewhere(i32, Option<Member>),
}

/// A process of the installation, according to its groups. Processes on one host that do not report an address count
/// as one.
#[derive(Clone, Debug, Serialize)]
pub struct Process {
    /// Its address, as `host:port`; `None` if it does not report one.
    pub address: Option<String>,
    /// The address at which the brokers see it.
    pub host: String,
    /// Whether it is this process.
    pub is_this: bool,
    /// Its partitions of each stage.
    pub partitions: BTreeMap<StageId, Vec<i32>>,
}

impl Process {
    fn new(Member { address, host }: Member) -> Self {
        Self { address, host, is_this: false, partitions: BTreeMap::new() }
    }
}

/// Asks the tasks of this process, and finds the other processes.
#[derive(Clone)]
pub struct Inspector {
    pub(super) supervisors: Vec<(StageId, Addr<Supervisor>)>,
    pub(super) board: Arc<Board>,
    pub(super) topology: Arc<Topology>,
    pub(super) clients: ClientSettings,
}

impl Inspector {
    /// For a process without stages of its own: it only knows what Kafka reports about others.
    pub fn of_others(topology: Arc<Topology>, clients: ClientSettings) -> Self {
        Self { supervisors: Vec::new(), board: Arc::default(), topology, clients }
    }
}

impl Inspector {
    /// Asks the question.
    ///
    /// # Errors
    /// A store cannot be read, or the workers or Kafka do not answer in time.
    pub async fn ask(&self, question: StateQuestion) -> Result<Answer, Failure> {
        let StateQuestion { stage, key, .. } = question.clone();
        let found = self.ask_here(&question).await?;
        if let Some(found) = found.iter().find(|found| !found.entries.is_empty()) {
            return Ok(Answer::Here(found.clone()));
        }
        let (partition, members) = self
            .ask_kafka(move |admin, topology| {
                let declared = topology.stage(stage);
                let declared =
                    declared.ok_or_else(|| KafkaError::Topic(format!("there is no stage {stage}")))?;
                let topic = &declared.source.name;
                let partition = admin.partition_of_key(topic, &key)?;
                Ok((partition, admin.members(&topology.group(stage), topic)?))
            })
            .await?;
        let has_it = |(_, partitions): &(Member, Vec<i32>)| partitions.contains(&partition);
        let owner = members.into_iter().find(has_it).map(|(member, _)| member);
        if let Some(found) = found.into_iter().find(|found| found.partition == partition) {
            return Ok(Answer::Here(found));
        }
        let tasks = self.board.snapshot();
        let own = tasks.iter().find(|task| (task.stage, task.partition) == (stage, partition));
        Ok(match own {
            Some(task) if task.phase == Phase::Restoring => Answer::Restoring(partition),
            // The task was opened or given up at this very moment: the next question will find out.
            Some(_) => Answer::Elsewhere(partition, None),
            None => Answer::Elsewhere(partition, owner),
        })
    }

    /// The processes of this installation, in the order of their addresses.
    ///
    /// # Errors
    /// Kafka does not answer.
    pub async fn processes(&self) -> Result<Vec<Process>, Failure> {
        let members = self.ask_kafka(|admin, topology| {
            let of_stage =
                |stage: &Stage| Ok((stage.id, admin.members(&topology.group(stage.id), &stage.source.name)?));
            topology.stages().iter().map(of_stage).collect::<Result<Vec<_>, KafkaError>>()
        });
        let members = members.await?;
        let own: BTreeSet<(StageId, i32)> =
            self.board.snapshot().iter().map(|task| (task.stage, task.partition)).collect();
        let mut processes: BTreeMap<Member, Process> = BTreeMap::new();
        for (stage, members) in members {
            for (member, mut partitions) in members {
                partitions.sort_unstable();
                let process = processes.entry(member.clone()).or_insert_with(|| Process::new(member));
                process.is_this |= partitions.iter().any(|partition| own.contains(&(stage, *partition)));
                process.partitions.entry(stage).or_default().extend(partitions);
            }
        }
        Ok(processes.into_values().collect())
    }

    /// Runs a blocking question on a thread of its own.
    async fn ask_kafka<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Admin, &Topology) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T, Failure> {
        let (topology, clients) = (Arc::clone(&self.topology), self.clients.clone());
        let asked = tokio::task::spawn_blocking(move || {
            Admin::new(&clients).and_then(|admin| question(&admin, &topology))
        });
        Ok(asked.await.map_err(|_| Failure::Panic("a question to a group".into()))??)
    }

    async fn ask_here(&self, question: &StateQuestion) -> Result<Vec<Found>, Failure> {
        let own = self.supervisors.iter().find(|(stage, _)| *stage == question.stage);
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
