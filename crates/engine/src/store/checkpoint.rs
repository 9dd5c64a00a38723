//! The identity of a store, and how far its content is known to be right.

/// The task or table that a store belongs to. It is written into the store and checked when the store is opened.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The stage (or table) that the store serves.
    pub stage: String,
    /// The topic whose records the state was made from.
    pub topic: String,
    /// The partition of that topic.
    pub partition: i32,
    /// The Kafka cluster's own id: topics with the same name in another cluster are different ones. Empty if it
    /// reports none.
    pub cluster: String,
    /// The ids of the topics that the state is made and restored from. A topic that was deleted and created again has
    /// another id, and offsets of the earlier topic mean nothing in it.
    pub topic_ids: String,
}

impl Identity {
    /// The tree's name. It contains the topic, so that two installations may share a directory.
    pub fn tree_name(&self) -> String {
        format!("{}/{}/{}", self.stage, self.topic, self.partition)
    }
}

/// How far a store is known to be right; written in the same batch as the state itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// The next input offset: everything before it is in the state. -1 if there is none yet, or it is unknown
    /// (restored). Work continues from the group's committed offset; this one is for people and checks.
    pub input_offset: i64,
    /// The next changelog offset: everything before it is in the state. -1 if there is none yet.
    pub changelog_offset: i64,
    /// When that was the case, in milliseconds since 1970, by this machine's clock or by that of the newest record in a
    /// table's copy; see [`Store::is_outdated`].
    ///
    /// [`Store::is_outdated`]: super::Store::is_outdated
    pub at_ms: i64,
}

impl Checkpoint {
    /// Nothing is known: read the changelog from its start.
    pub const NONE: Self = Self { input_offset: -1, changelog_offset: -1, at_ms: 0 };

    /// The length of its encoding.
    pub(super) const BYTES: usize = 24;

    pub(super) fn encode(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..8].copy_from_slice(&self.input_offset.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.changelog_offset.to_be_bytes());
        bytes[16..].copy_from_slice(&self.at_ms.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (input, rest) = bytes.split_first_chunk::<8>()?;
        let (changelog, at) = rest.split_first_chunk::<8>()?;
        Some(Self {
            input_offset: i64::from_be_bytes(*input),
            changelog_offset: i64::from_be_bytes(*changelog),
            at_ms: i64::from_be_bytes(at.try_into().ok()?),
        })
    }
}
