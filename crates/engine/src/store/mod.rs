//! The embedded state: one sled database per process, one tree per task. No other code names sled.
//!
//! sled is a cache that can always be rebuilt from Kafka (from the changelog topics and the committed offsets). So
//! deleting the state directory is always safe; it only costs the time of a restore.

mod change;
mod changes;
mod checkpoint;
mod committed;
mod database;
mod directory;
mod error;
mod layout;
mod overlay;
mod private;
#[cfg(test)]
pub(crate) mod simulated;
mod tree;

pub use change::Change;
pub use changes::Sealed;
pub use checkpoint::{Checkpoint, Identity};
pub use directory::StateDirectory;
pub use error::StateError;
pub use overlay::Store;
