//! Failures of state, sorted by what the caller must do.

use std::path::PathBuf;

/// A failure of the state directory or of one store in it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StateError {
    /// Another process holds the directory. Nothing was touched.
    #[error(
        "another frostline process uses the state directory {}: stop it, or give this one its own with --state-dir",
        .0.display()
    )]
    Busy(PathBuf),
    /// The directory cannot be used as it is: wrong kind, owner or permissions.
    #[error("the state directory {} cannot be used: {reason}", path.display())]
    Unusable {
        /// The directory.
        path: PathBuf,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The data that was read is not the data that was written. The store must be rebuilt from its changelog.
    #[error("state of {store} is damaged ({reason})")]
    Corrupted {
        /// The store's tree, which names stage, topic and partition.
        store: String,
        /// What did not match.
        reason: String,
    },
    /// The store has missed something that its changelog no longer has. It is restored from the beginning.
    #[error("state of {store} is out of date ({reason})")]
    Outdated {
        /// The store's tree, which names stage, topic and partition.
        store: String,
        /// The sign of it.
        reason: String,
    },
    /// A record of a changelog cannot be read. No restart fixes that.
    #[error(
        "corrupted changelog: {place} cannot be read ({reason}): something else writes to this topic. Stop that, and \
         delete the record with a tombstone, or delete the topic and run `frostline topics create` (the stage's \
         memory is lost then)"
    )]
    Changelog {
        /// Topic, partition and offset of the record.
        place: String,
        /// What is wrong with the record.
        reason: String,
    },
    /// The disk failed or is full. Nothing that was committed is lost.
    #[error(
        "state of {store} cannot be read or written: {reason}: free some space or repair the disk, and start again \
         (nothing is lost: everything is in Kafka)"
    )]
    Io {
        /// The store's tree, which names stage, topic and partition.
        store: String,
        /// The operating system's message.
        reason: String,
    },
}

impl StateError {
    /// Sorts an error of sled for the store of this name.
    pub(super) fn from_sled(store: &str, error: sled::Error) -> Self {
        let store = store.to_owned();
        match error {
            sled::Error::Io(io) => Self::Io { store, reason: io.to_string() },
            other => Self::Corrupted { store, reason: other.to_string() },
        }
    }
}
