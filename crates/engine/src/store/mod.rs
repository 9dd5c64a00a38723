//! The embedded state: one sled database a process, one tree a task. The only code that names sled.
//!
//! sled is a cache that can always be rebuilt from Kafka (its changelog topics and the committed offsets).
//! Deleting the state directory is therefore always safe; it only costs the time of a restore.

mod checkpoint;
mod database;
mod directory;
mod error;
mod overlay;
mod private;
mod tree;

pub use checkpoint::{Checkpoint, Identity};
pub use directory::StateDirectory;
pub use error::StateError;
pub use overlay::{Change, Sealed, Store};
