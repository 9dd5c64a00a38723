//! A stateful, actor-based, exactly-once stream processor on Kafka.
//!
//! You write *processors*: plain types that turn a record and remembered state into new records. The engine runs
//! one for each partition, keeps its state in an embedded store, and commits outputs, state and input positions
//! together, so readers see everything once, whatever crashes. Kafka is the distributed part: its partitions,
//! consumer groups, transactions and compacted topics do the work that otherwise needs a cluster manager. To scale,
//! start the program once more.
//!
//! `examples/word_count.rs` is a complete program; `examples/silent_sensors.rs` adds a table and time.
//!
//! # Record, stage, processor
//!
//! A [`Record`] is a record of Kafka: key, value, headers and timestamp at an offset of a partition. A [`Stage`]
//! reads one topic with its own consumer group and writes to others; its [`Processor`] decides what to do with each
//! record. A record that cannot be processed is not an error: it is *rejected*, and becomes a dead letter with its
//! reason. Errors are failures of the store only.
//!
//! ```
//! use frostline_engine::{Context, Processor, Record, StateError};
//!
//! /// Passes on values below zero.
//! struct BelowZero;
//!
//! impl Processor for BelowZero {
//!     fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
//!         let text = record.value.and_then(|value| str::from_utf8(value).ok());
//!         match text.and_then(|text| text.parse::<f64>().ok()) {
//!             Some(degrees) if degrees < 0.0 => {
//!                 let key = record.key.unwrap_or_default();
//!                 context.collector.emit(key, record.timestamp_ms, |value| value.extend(b"freezing"));
//!             }
//!             Some(_) => context.skip(),
//!             None => context.reject(record, "the value is not a number"),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! // The driver runs a processor without a broker: records in, records out, the clock moved by hand.
//! use frostline_engine::driver::TestDriver;
//! use frostline_engine::{Sink, StageId};
//!
//! let mut driver = TestDriver::new(StageId::new("below-zero"), Box::new(BelowZero));
//! driver.pipe("orchard", "-1.5")?;
//! driver.pipe("barn", "4")?;
//! driver.pipe("cellar", "warm")?;
//! let written = driver.commit()?;
//! assert_eq!((written[0].text(), written[0].sink), ("freezing".to_owned(), Sink::Output));
//! assert_eq!(written[1].sink, Sink::DeadLetters);
//! assert_eq!(written[1].header("frostline-reason"), "the value is not a number");
//! # Ok::<(), StateError>(())
//! ```
//!
//! # Store, changelog
//!
//! A processor keeps its state in its task's [`Store`], a map from bytes to bytes on the local disk. Keys begin with
//! a lower-case letter. An entry that was written with [`Store::keep`] stays until it is deleted. One that was written
//! with [`Store::put`] has a day, taken from the timestamps of the records, and expires `remember_days` later: state
//! that would otherwise grow with every key ever seen. Changes are kept apart until the commit, which also writes them to a compacted topic of Kafka, the
//! *changelog*. So the disk is only a cache, and may be lost at any time.
//!
//! ```
//! use frostline_engine::{Context, Processor, Record, StateError};
//! # use frostline_engine::{StageId, driver::TestDriver};
//!
//! /// Emits the highest value that each key has had, when it rises. A key without records for a year is forgotten.
//! struct Highest;
//!
//! impl Processor for Highest {
//!     fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
//!         let (Some(name), Some(value)) = (record.key, record.value) else { return Ok(context.skip()) };
//!         let (key, today) = ([b"h", name].concat(), context.record_day(record.timestamp_ms));
//!         let (is_higher, day) = context.store.get_for_update(&key, today, |before| before < value)?;
//!         if is_higher.unwrap_or(true) {
//!             context.store.put(&key, day, value);
//!             context.collector.emit(name, record.timestamp_ms, |output| output.extend(value));
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let mut driver = TestDriver::new(StageId::new("highest"), Box::new(Highest));
//! for value in ["3", "1", "5"] {
//!     driver.pipe("a", value)?;
//! }
//! let written: Vec<String> = driver.commit()?.iter().map(|written| written.text()).collect();
//! assert_eq!(written, ["3", "5"]);
//! // Killed and started again, the task knows what was committed.
//! driver.restart(Box::new(Highest));
//! driver.pipe("a", "4")?;
//! assert!(driver.commit()?.is_empty());
//! # Ok::<(), StateError>(())
//! ```
//!
//! # Topology
//!
//! A [`Topology`] is a value that lists the stages and the topics that connect them. It is checked when it is built,
//! and everything that lists stages or topics reads them from it.
//!
//! ```
//! use frostline_engine::{Stage, StageId, TopicPlan, Topology};
//! # use frostline_engine::{Context, Processor, Record, StateError};
//! # struct Highest;
//! # impl Processor for Highest {
//! #     fn process(&mut self, _: &Record<'_>, _: &mut Context<'_>) -> Result<(), StateError> { Ok(()) }
//! # }
//!
//! let changelog = TopicPlan::compacted("sensors.highest-changelog", 5);
//! let stage = Stage::new(
//!     StageId::new("highest"),
//!     TopicPlan::new("sensors.readings", 5),
//!     TopicPlan::new("sensors.records", 5),
//!     || Highest,
//! )
//! .stateful(changelog);
//! let dead_letters = TopicPlan::new("sensors.dead-letters", 5);
//! let topology = Topology::builder("sensors", "", dead_letters.clone()).stage(stage.clone()).build()?;
//! assert_eq!(topology.group(StageId::new("highest")), "sensors-highest");
//!
//! // A changelog must have as many partitions as the source, because a task's state is in the partition with its
//! // number.
//! let wrong = stage.stateful(TopicPlan::compacted("sensors.highest-changelog", 3));
//! let refused = Topology::builder("sensors", "", dead_letters).stage(wrong).build();
//! assert!(refused.is_err());
//! # Ok::<(), frostline_engine::TopologyError>(())
//! ```
//!
//! # Table
//!
//! A [`Table`] is a compacted topic that every process reads completely before the first record of the stages that
//! need it, and then follows: rules, prices, facts about each sensor. It is what Kafka Streams calls a global table:
//! each process has all of it, so its topic may have any number of partitions. Later changes come in no order relative
//! to the records of a stage, and a record that is processed again after a crash may meet a newer table. The table and
//! the processors share a handle, as in `examples/silent_sensors.rs`.
//!
//! # Task, commit, restore, rebalance
//!
//! A *task* is a stage run for one partition, with its processor and its store. Tasks live on *workers*: a worker is
//! a thread with one producer, shared by all stages of the process, and commits for all its tasks at once. A stage that
//! is given time to [drain](Stage::drain), and one that keeps failing, has workers of its own.
//!
//! * A **commit** makes outputs, dead letters, changelog and input positions durable in one Kafka transaction; only
//!   after that does the state go to the disk. So the disk is never ahead of Kafka.
//! * A **restore** brings a store to the end of its changelog before the first record is processed. It continues from
//!   where the local copy ends, if that copy can be trusted: it must belong to these very topics, and must not be
//!   older than the changelog's tombstones.
//! * In a **rebalance** the group moves partitions between processes. A partition that is given up is committed
//!   first. A process that has lost a partition cannot commit any more, because the brokers refuse its generation of
//!   the group.
//!
//! The protocols are described next to their code, with their crash cases: `runtime/commit.rs`, `runtime/restore.rs`,
//! `runtime/provenance.rs`, `kafka/rebalance.rs`.
//!
//! # What is guaranteed, and what is not
//!
//! With [`Guarantee::ExactlyOnce`], readers with `isolation.level=read_committed` see each output, dead letter and
//! state change of each input record once, in the order of its partition, whatever crashes and in whatever order.
//! With [`Guarantee::AtLeastOnce`] nothing is lost, and after a crash the outputs of the last commit interval may
//! appear again.
//!
//! The guarantee covers the way from Kafka to Kafka. A processor that sends something elsewhere, such as a mail, can
//! only do so at least once. A processor must depend only on its records, its store and the tables: if it draws
//! random numbers, it may write different outputs when a record is processed again after a crash. Offsets are part of
//! the guarantee: if Kafka has forgotten them (the group was deleted, or had no members for
//! `offsets.retention.minutes`), the input is read from its beginning.
//!
//! # Running
//!
//! [`Engine::start`] runs on an actix System, which [`block_on`] creates: not on a plain tokio runtime.
//! [`RunOptions`] chooses the stages of this process. [`runtime::Board`] shows the state of each partition and why a
//! process is not ready. Counts are in [`runtime::Totals`] and in the `metrics` facade. A daemon on a real broker:
//!
//! ```no_run
//! use frostline_engine::kafka::{Admin, ClientSettings};
//! use frostline_engine::{Engine, EngineSettings, RunOptions, Topology, block_on};
//!
//! fn run(topology: Topology) -> Result<(), Box<dyn std::error::Error>> {
//!     block_on(async {
//!         let mut settings = EngineSettings { state_dir: "state".into(), ..EngineSettings::default() };
//!         settings.kafka.brokers = "127.0.0.1:9092".into();
//!         let admin = Admin::new(&ClientSettings::new(&settings.kafka)?)?;
//!         for topic in topology.topics() {
//!             admin.create(&topic).await?;
//!         }
//!         let options = RunOptions::all(&topology);
//!         let mut engine = Engine::start(&settings, topology, &options).await?;
//!         tokio::select! {
//!             failure = engine.failed() => eprintln!("{failure}"),
//!             _ = tokio::signal::ctrl_c() => {}
//!         }
//!         // Commits, and leaves the groups, so that another process has the partitions at once. After a kill -9 the
//!         // brokers wait for `session_timeout` first, unless the process has a `group_instance_id`.
//!         Ok(engine.stop().await.1?)
//!     })
//! }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

pub mod driver;
pub mod fault;
pub mod growth;
pub mod kafka;
pub mod random;
pub mod record;
pub mod runtime;
pub mod sim;
pub mod store;

mod collector;
mod counters;
mod link;
mod processor;
mod settings;
mod source;
mod table;
mod table_copy;
mod topology;

pub use collector::{Collector, HEADER_PREFIX, Output, OutputHeader, RETRIED_HEADER, Sink};
pub use counters::{Counter, Counts, NamedCounts};
pub use processor::{Context, Processor, Wake};
pub use record::Record;
pub use runtime::{Engine, RunOptions, StartError, block_on};
pub use settings::{EngineSettings, Guarantee, KafkaSettings, OffsetReset};
pub use source::{Batch, PollError, Poller, PollerFactory, Position, Source, SourceId, SourceRecord};
pub use store::{StateError, Store};
pub use table::{Opening, Table, TableSpec};
pub use table_copy::TableCopy;
pub use topology::{
    Owner, ProcessorFactory, Stage, StageId, StateKeys, TopicPlan, Topology, TopologyBuilder, TopologyError,
    Traffic,
};
