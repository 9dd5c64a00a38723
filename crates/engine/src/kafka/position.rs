//! The position of a partition as its group commits it: an offset and, in the metadata of the commit, whatever else a
//! task must know to start there.

/// The position of a partition, ready to be committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetCommit {
    /// The partition.
    pub partition: i32,
    /// The next offset to process.
    pub next_offset: i64,
    /// Where reading must start again to rebuild work that is open, if there is any.
    pub rewind_offset: Option<i64>,
    /// Set after the partition was set back: records before this offset were processed before.
    pub again_below: Option<i64>,
    /// Set while the topic grows: the number of partitions that it will have. No task may work on it until then.
    pub grows_to: Option<i32>,
}

const REWIND: &str = "rewind=";
const AGAIN: &str = "again=";
const GROWS: &str = "grows=";

impl OffsetCommit {
    /// An offset alone.
    pub fn new(partition: i32, next_offset: i64) -> Self {
        Self { partition, next_offset, rewind_offset: None, again_below: None, grows_to: None }
    }

    /// An offset with the metadata committed next to it. Unknown words in the metadata are ignored.
    pub(super) fn read(partition: i32, next_offset: i64, metadata: &str) -> Self {
        let value = |name| -> Option<i64> {
            metadata.split(';').find_map(|part| part.strip_prefix(name)?.parse().ok())
        };
        Self {
            rewind_offset: value(REWIND),
            again_below: value(AGAIN),
            grows_to: value(GROWS).and_then(|partitions| i32::try_from(partitions).ok()),
            ..Self::new(partition, next_offset)
        }
    }

    /// The metadata to commit next to the offset.
    pub(super) fn metadata(&self) -> String {
        let part = |name: &str, value: Option<i64>| value.map(|value| format!("{name}{value}"));
        let grows_to = self.grows_to.map(i64::from);
        let parts = [part(REWIND, self.rewind_offset), part(AGAIN, self.again_below), part(GROWS, grows_to)];
        parts.into_iter().flatten().collect::<Vec<_>>().join(";")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metadata_has_what_is_beside_the_offset() {
        let bare = OffsetCommit::new(3, 9);
        let rewound = OffsetCommit { rewind_offset: Some(4), ..bare };
        let again = OffsetCommit { again_below: Some(40), ..bare };
        let both = OffsetCommit { rewind_offset: Some(4), ..again };
        let growing = OffsetCommit { grows_to: Some(8), ..again };
        for (position, metadata) in [
            (bare, ""),
            (rewound, "rewind=4"),
            (again, "again=40"),
            (both, "rewind=4;again=40"),
            (growing, "again=40;grows=8"),
        ] {
            assert_eq!(position.metadata(), metadata);
            assert_eq!(OffsetCommit::read(3, 9, metadata), position);
        }
        assert_eq!(OffsetCommit::read(3, 9, "somebody else's words; rewind=x"), bare);
    }
}
