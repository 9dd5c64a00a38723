//! Advice about topics in messages: the application's own commands, as the topology names them.

/// Commands of the application; empty if it has none.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct TopicAdvice {
    /// Creates topics.
    pub(super) make: &'static str,
    /// Gives a topic more partitions: takes the topic and `--partitions N`.
    pub(super) grow: &'static str,
}

impl TopicAdvice {
    /// What to do about missing topics, as the end of a sentence.
    pub(crate) fn make(self) -> String {
        match self.make {
            "" => "create them before the engine starts (Topology::topics lists them)".to_owned(),
            command => format!("create them with `{command}`"),
        }
    }

    /// The command that gives a topic this many partitions.
    pub(crate) fn grow(self, topic: &str, partitions: i32) -> String {
        match self.grow {
            "" => format!("Growth::begin with {partitions} partitions for {topic}"),
            command => format!("`{command} {topic} --partitions {partitions}`"),
        }
    }
}
