//! Which process of a group has which partition, and where that process answers HTTP.
//!
//! A group shows what its members reported about themselves. Of that, librdkafka lets only `client.id` be chosen
//! freely. So a member of a stage's group is called `frostline@HOST:PORT`, after its own admin address. The host is
//! left out if it listens on all addresses: then it is the address at which the brokers see the member.

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};

use super::raw::DescribedMember;
use super::{Admin, KafkaError, raw};

const PATIENCE: Duration = Duration::from_secs(5);
/// Prefix of a member's name that says where it answers.
const NAME: &str = "frostline@";

/// The member of a group that has a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its address, as `host:port`; `None` if it does not report one.
    pub address: Option<String>,
    /// The address at which the brokers see it.
    pub host: String,
}

impl std::fmt::Display for Member {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.address {
            Some(address) => write!(f, "{address}"),
            None => write!(f, "a process on {}", self.host),
        }
    }
}

/// Suffix of a member's name: the name of its process, which no other should have.
const INSTANCE_MARK: char = '#';

/// The `client.id` of a member of this process that answers at `advertised`, or nowhere if that is empty.
pub(super) fn client_id(advertised: &str, instance: &str) -> String {
    let name = if advertised.is_empty() { "frostline".to_owned() } else { format!("{NAME}{advertised}") };
    if instance.is_empty() { name } else { format!("{name}{INSTANCE_MARK}{instance}") }
}

/// How many members of a group were called `instance` at their start; none while no broker answers.
pub(super) fn count_named<C: ClientContext>(client: &Client<C>, group: &str, instance: &str) -> usize {
    let members = raw::describe_group(client, group, PATIENCE).unwrap_or_default();
    let names = members.iter().filter_map(|member| member.client_id.rsplit_once(INSTANCE_MARK));
    names.filter(|(_, name)| *name == instance).count()
}

impl Admin {
    /// All members of a group, with or without partitions. A member that died stays until its session times out.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if no broker answers.
    pub fn everyone(&self, group: &str) -> Result<Vec<Member>, KafkaError> {
        Ok(self.described(group)?.iter().map(member_of).collect())
    }

    /// The members of a group that have partitions of a topic at the moment.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if no broker answers.
    pub fn members(&self, group: &str, topic: &str) -> Result<Vec<(Member, Vec<i32>)>, KafkaError> {
        let with_partitions = self.described(group)?.into_iter().filter_map(|member| {
            let of_topic = member.partitions.iter().filter(|(name, _)| name == topic);
            let partitions: Vec<i32> = of_topic.map(|(_, partition)| *partition).collect();
            (!partitions.is_empty()).then(|| (member_of(&member), partitions))
        });
        Ok(with_partitions.collect())
    }

    /// How many members a group has, including killed ones until their sessions time out.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if no broker answers.
    pub fn count_members(&self, group: &str) -> Result<usize, KafkaError> {
        Ok(self.described(group)?.len())
    }

    fn described(&self, group: &str) -> Result<Vec<DescribedMember>, KafkaError> {
        self.tend();
        raw::describe_group(self.client(), group, PATIENCE)
            .map_err(|code| KafkaError::Retry(format!("asking who is in group {group}: {code}")))
    }

    /// The partition of a topic to which a record with this key goes.
    ///
    /// # Errors
    /// [`KafkaError::Topic`] if the topic does not exist, [`KafkaError::Retry`] if no broker answers.
    pub fn partition_of_key(&self, topic: &str, key: &[u8]) -> Result<i32, KafkaError> {
        let partitions = self.partitions(topic)?.unwrap_or_default();
        raw::partition_of_key(key, partitions)
            .ok_or_else(|| KafkaError::Topic(format!("topic {topic} does not exist")))
    }
}

fn member_of(described: &DescribedMember) -> Member {
    // Brokers write it as `/127.0.0.1`.
    let host = described.host.trim_start_matches('/').to_owned();
    let client_id = described.client_id.as_str();
    let client_id = client_id.rsplit_once(INSTANCE_MARK).map_or(client_id, |(name, _)| name);
    let address = client_id.strip_prefix(NAME).map(|advertised| match advertised.strip_prefix(':') {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => advertised.to_owned(),
    });
    // Anyone who may join the group can report any name, and people are redirected there.
    Member { address: address.filter(|address| is_address(address)), host }
}

/// Whether a text is `HOST:PORT` and nothing else: no user, path or query that would lead elsewhere.
fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else { return false };
    let is_port =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0);
    let is_host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
            (1..=253).contains(&host.len()) && host.bytes().all(is_plain)
        }
    };
    is_port && is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_says_where_it_answers() {
        let address = |id: &str, host: &str| {
            let (client_id, host) = (id.to_owned(), host.to_owned());
            member_of(&DescribedMember { client_id, host, partitions: Vec::new() }).address
        };
        assert_eq!(address("frostline@127.0.0.1:8080", "/127.0.0.1").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("frostline@:8080", "/10.0.0.7").as_deref(), Some("10.0.0.7:8080"));
        assert_eq!(
            address("frostline@:8080", "/fe80:0:0:0:0:0:0:1").as_deref(),
            Some("[fe80:0:0:0:0:0:0:1]:8080")
        );
        assert_eq!(address("frostline", "/10.0.0.7"), None);
        assert_eq!(client_id("a:1", ""), "frostline@a:1");
        assert_eq!(client_id("", "4f2a"), "frostline#4f2a");
        assert_eq!(address(&client_id("a:1", "4f2a"), "/10.0.0.7").as_deref(), Some("a:1"));
        assert_eq!(address(&client_id("", "4f2a"), "/10.0.0.7"), None);
        assert_eq!(address("frostline@[::1]:8080", "/x").as_deref(), Some("[::1]:8080"));
        for planted in [
            "evil.example/path?x=:80",
            "user@evil.example:80",
            "evil.example:80/x",
            "evil.example:",
            "evil.example:99999",
            "evil.example\r\nSet-Cookie: a:80",
            "[evil]:80",
            ":80:80",
            "evil example:80",
            "evil.example",
        ] {
            let id = format!("frostline@{planted}");
            assert_eq!(address(&id, "/10.0.0.7"), None, "{planted}");
        }
    }

    #[test]
    fn keys_are_placed_as_java_clients_place_them() {
        // Of Kafka's own UtilsTest.testMurmur2, made positive, by 1,000 partitions.
        for (key, hash) in [("21", -973_932_308_i32), ("foobar", -790_332_482), ("abc", 479_470_107)] {
            let partition = (hash & 0x7fff_ffff) % 1_000;
            assert_eq!(raw::partition_of_key(key.as_bytes(), 1_000), Some(partition), "{key}");
        }
        assert_eq!(raw::partition_of_key(b"a", 0), None);
    }
}
