//! Rights on the brokers, in the words of Kafka's access control, and what a client says that lacks one.

use rdkafka::error::RDKafkaErrorCode;

/// What a client wants to do with a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Read records; join a group and commit its offsets.
    Read,
    /// Write records; use a transactional id.
    Write,
    /// Make a topic.
    Create,
    /// Delete a topic.
    Delete,
    /// Add partitions to a topic.
    Alter,
    /// Learn that a topic exists and how many partitions it has. READ, WRITE, DELETE and ALTER include it.
    Describe,
    /// Read the settings of a topic.
    DescribeConfigs,
}

impl Operation {
    /// As `kafka-acls --operation` wants it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "Read",
            Self::Write => "Write",
            Self::Create => "Create",
            Self::Delete => "Delete",
            Self::Alter => "Alter",
            Self::Describe => "Describe",
            Self::DescribeConfigs => "DescribeConfigs",
        }
    }
}

/// The kinds of things that have rights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// What a transactional producer is called.
    TransactionalId,
}

impl Resource {
    /// As an option of `kafka-acls` has it.
    pub fn option(self) -> &'static str {
        match self {
            Self::Topic => "--topic",
            Self::Group => "--group",
            Self::TransactionalId => "--transactional-id",
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Topic => "topic",
            Self::Group => "group",
            Self::TransactionalId => "transactional id",
        }
    }

    /// What the brokers refuse with this code; `None` for other errors.
    fn refused(code: RDKafkaErrorCode) -> Option<Self> {
        match code {
            RDKafkaErrorCode::TopicAuthorizationFailed => Some(Self::Topic),
            RDKafkaErrorCode::GroupAuthorizationFailed => Some(Self::Group),
            RDKafkaErrorCode::TransactionalIdAuthorizationFailed => Some(Self::TransactionalId),
            _ => None,
        }
    }
}

/// One right: to do something with something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// On what.
    pub resource: Resource,
    /// Its name in Kafka.
    pub name: String,
    /// To do what.
    pub operation: Operation,
}

impl Right {
    /// The right to do something with a topic.
    pub fn on_topic(operation: Operation, topic: &str) -> Self {
        Self { resource: Resource::Topic, name: topic.to_owned(), operation }
    }

    /// The right to be a member of a group.
    pub fn in_group(group: &str) -> Self {
        Self { resource: Resource::Group, name: group.to_owned(), operation: Operation::Read }
    }

    /// The right to write transactions under an id.
    pub fn to_transactions(transactional_id: &str) -> Self {
        let (resource, name) = (Resource::TransactionalId, transactional_id.to_owned());
        Self { resource, name, operation: Operation::Write }
    }

    /// The one of several rights, each on another kind of thing, that an error says is missing.
    pub(super) fn missing(rights: &[Self], code: RDKafkaErrorCode) -> Option<&Self> {
        let refused = Resource::refused(code)?;
        rights.iter().find(|right| right.resource == refused)
    }
}

impl std::fmt::Display for Right {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (operation, resource, name) = (self.operation.name(), self.resource, &self.name);
        let (upper, word, option) = (operation.to_uppercase(), resource.word(), resource.option());
        write!(
            f,
            "the brokers do not allow this client to {upper} {word} {name}. An administrator allows it with: \
             kafka-acls --bootstrap-server BROKERS --command-config ADMIN.properties --add \
             --allow-principal User:NAME --operation {operation} {option} {name}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_right_is_named_with_its_command() {
        let rights = [Right::on_topic(Operation::Read, "noaa-raw"), Right::in_group("frostline-enrich")];
        let missing =
            Right::missing(&rights, RDKafkaErrorCode::GroupAuthorizationFailed).unwrap().to_string();
        assert!(missing.starts_with("the brokers do not allow this client to READ group frostline-enrich. "));
        assert!(missing.ends_with("--operation Read --group frostline-enrich"), "{missing}");
        assert_eq!(
            Right::missing(&rights, RDKafkaErrorCode::TransactionalIdAuthorizationFailed),
            None,
            "the wrong kind"
        );
        assert_eq!(Right::missing(&rights, RDKafkaErrorCode::Fail), None);
    }
}
