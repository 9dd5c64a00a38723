//! A simulated world: the engine's own supervisors, workers, tasks, restores, stores, tables, sources and growth on one
//! thread, with brokers, disks, clocks and crashes that come from a seed.
//!
//! * [`broker`] is a model of Kafka's brokers, `client` has clients with the interface of [`crate::kafka`], and
//!   `host` is the process that has its turn: its network, its clock, its faults.
//! * `store::simulated` is a disk that sled's trees could be on: what was written within the last half second is lost in a crash,
//!   copies of it come back later, bits flip, writes fail.
//! * `world` runs processes by a script of faults, and then checks that the committed world equals a pure reference,
//!   that every store equals its folded changelog and every table its topic, that nothing waits which could continue, and that readiness
//!   was right. A script that fails is made as short as possible and printed as a test.
//!
//! Time is tokio's paused clock: it moves when nothing is left to do. So a run takes as long as its work, and two
//! runs of a script are the same.
//!
//! Besides the faults themselves, only four things differ from a real process: clients (`link`), threads
//! (`runtime::threads`, `runtime::background`), the disk below a store's tree (`store::database`), and the clock
//! (`record::unix_ms`, `runtime::contact`).
//!
//! All of it but [`broker`] exists in unit tests only: `cargo test -p frostline-engine --lib sim`.

pub mod broker;

#[cfg(test)]
pub(crate) mod client;
#[cfg(test)]
pub(crate) mod host;
#[cfg(test)]
mod world;
