//! A stateful, actor-based, exactly-once stream processor on Kafka.
//!
//! You write *processors*: plain functions from one record, and what is remembered, to records. The engine runs one for each
//! partition, keeps its state in an embedded store, and commits outputs, state and input positions together, so that for
//! whoever reads them everything appears once, whatever dies. Kafka is the distributed part: its partitions, consumer
//! groups, transactions and compacted topics do the work that a cluster needs. To scale, start the program once more.
//!
//! `examples/word_count.rs` is the whole of a program, and `examples/silent_sensors.rs` one with a table and with time.
//!
//! # Record, stage, processor
//!
//! A [`Record`] is what Kafka has at an offset of a partition: key, value, headers, timestamp. A [`Stage`] reads one topic
//! with a consumer group of its own and writes to others; its [`Processor`] says what becomes of a record. A record that
//! cannot be processed is not an error: it is *rejected*, and goes to the dead letters with its reason. Errors are failures
//! of the store alone.
//!
//! ```
//! use frostline_engine::{Context, Processor, Record, StateError};
//!
//! /// Passes on what is below zero.
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
//! What a processor remembers is in its task's [`Store`], a map from bytes to bytes on the local disk. Keys begin with a
//! small letter. Each entry has a day, by the clock of the records, and counts as gone `remember_days` after it. Changes
//! are kept apart until the commit, which also writes them to a compacted topic of Kafka, the *changelog*: so the disk is a
//! cache that may be lost at any time.
//!
//! ```
//! use frostline_engine::{Context, Processor, Record, StateError};
//! # use frostline_engine::{StageId, driver::TestDriver};
//!
//! /// Emits the highest value that each key has had, when it rises.
//! struct Highest;
//!
//! impl Processor for Highest {
//!     fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
//!         let (Some(name), Some(value)) = (record.key, record.value) else { return Ok(context.skip()) };
//!         let (key, today) = ([b"h", name].concat(), context.record_day(record.timestamp_ms));
//!         let is_higher = context.store.get(&key, today, |before| before < value)?.unwrap_or(true);
//!         if is_higher {
//!             context.store.put(&key, today, value);
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
//! A [`Topology`] is the value that says which stages there are and which topics tie them together. It is checked when it is
//! built, and whatever lists stages or topics reads it from there.
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
//! // A changelog must have as many partitions as the source, since a task's state is in the partition of its number.
//! let wrong = stage.stateful(TopicPlan::compacted("sensors.highest-changelog", 3));
//! let refused = Topology::builder("sensors", "", dead_letters).stage(wrong).build();
//! assert!(refused.is_err());
//! # Ok::<(), frostline_engine::TopologyError>(())
//! ```
//!
//! # Table
//!
//! A [`Table`] is a compacted topic that every process reads whole before the first record of the stages that need it, and
//! follows from then on: rules, prices, what is known about each sensor. See [`Table`] and `examples/silent_sensors.rs`.
//!
//! # Task, commit, restore, rebalance
//!
//! A *task* is a stage run for one partition, with its processor and its store. Tasks live on *workers*: a thread each, with
//! one producer, which commits for all its tasks at once.
//!
//! * A **commit** makes durable together what belongs together: outputs, dead letters, changelog and input positions are one
//!   Kafka transaction, and only then does the state go to the disk. So the disk is never ahead of Kafka.
//! * A **restore** brings a store to the end of its changelog before the first record is processed. It reads on from where
//!   the local copy is, if that copy can be believed: it must belong to these very topics, and must not have been away for
//!   longer than the changelog keeps tombstones.
//! * In a **rebalance** the group moves partitions between processes. What is given up is committed first; who has lost a
//!   partition cannot commit any more, since the brokers refuse its generation of the group.
//!
//! The protocols are described beside their code, crash cases included: `runtime/commit.rs`, `runtime/restore.rs`,
//! `runtime/provenance.rs`, `kafka/rebalance.rs`.
//!
//! # What is guaranteed, and what is not
//!
//! With [`Guarantee::ExactlyOnce`], for whoever reads with `isolation.level=read_committed`: each output, dead letter and
//! change of state of each input record appears once, in the order of its partition, whatever dies in whatever order. With
//! [`Guarantee::AtLeastOnce`] nothing is lost, and after a crash outputs of the last commit interval may come again.
//!
//! It holds from Kafka to Kafka. A processor that sends something elsewhere, as a mail, can only do so at least once. It
//! must be a function of its records, its store and the tables: a processor that draws random numbers makes other outputs when
//! a record is processed again after a crash that left no trace. Offsets are part of the guarantee: where Kafka has
//! forgotten them (a group deleted, or without members for `offsets.retention.minutes`), the input is read from its
//! beginning.
//!
//! # Running
//!
//! [`Engine::start`] runs on an actix System; [`block_on`] makes one. [`RunOptions`] says which stages run in this process;
//! [`runtime::Board`] shows what each partition is doing and why a process is not ready; what stages count is
//! in [`runtime::Totals`] and in the `metrics` facade.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr))]

pub mod driver;
pub mod fault;
pub mod growth;
pub mod kafka;
pub mod random;
pub mod record;
pub mod runtime;
pub mod store;

mod collector;
mod counters;
mod processor;
mod settings;
mod source;
mod table;
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
pub use topology::{
    Owner, ProcessorFactory, Stage, StageId, StateKeys, TopicPlan, Topology, TopologyBuilder, TopologyError,
    Traffic,
};
