//! A question about the state of a stage, and the answer of one of its tasks.

use std::sync::Arc;

use serde_json::Value;

use crate::StageId;
use crate::store::{StateError, Store};

/// A question about the state of a stage.
#[derive(Clone)]
pub struct StateQuestion {
    /// The stage whose state is asked for.
    pub stage: StageId,
    /// The key of the records that the state was made from: it decides which partition has it.
    pub key: Vec<u8>,
    /// Reads the answer from the store of a task, on its worker's thread.
    pub look: Look,
}

/// Reads one store; see [`StateQuestion::look`].
pub type Look = Arc<dyn Fn(&Store) -> Result<Vec<Value>, StateError> + Send + Sync>;

/// What one task has of a key: each task of the stage in this process answers.
#[derive(Clone, Debug)]
pub struct Found {
    /// The partition of the task: one task has all state of a key.
    pub partition: i32,
    /// The next input offset as of the commit that the entries belong to; `None` while unknown.
    pub committed_offset: Option<i64>,
    /// What `look` read, as JSON; empty if there is nothing.
    pub entries: Vec<Value>,
}
