//! Which process of a group has which partition, and where it answers questions.
//!
//! A group tells of its members what they said of themselves, and of that librdkafka lets only `client.id` be chosen
//! freely. So a member of a stage's group is called `frostline@HOST:PORT`, after its own admin address. The host is left
//! out where it listens on all addresses: then it is where the brokers see the member.

use std::time::Duration;

use rdkafka::consumer::Consumer;

use super::{Admin, GroupConsumer, KafkaError, raw};

const PATIENCE: Duration = Duration::from_secs(5);
/// What the name of a member begins with that says where it answers.
const NAME: &str = "frostline@";

/// The member of a group that has a partition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Where it answers, as `host:port`; `None` where it does not say.
    pub address: Option<String>,
    /// Where the brokers see it.
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

/// What ends a member's name: the name of its process, see [`GroupConsumer::is_name_shared`].
const INSTANCE_MARK: char = '#';

/// The `client.id` of a member of this process that answers at `advertised`, or nowhere where that is empty.
pub(super) fn client_id(advertised: &str, instance: &str) -> String {
    let name = if advertised.is_empty() { "frostline".to_owned() } else { format!("{NAME}{advertised}") };
    if instance.is_empty() { name } else { format!("{name}{INSTANCE_MARK}{instance}") }
}

impl GroupConsumer {
    /// Whether the group has several members whose process is called `instance`; `false` while no broker answers.
    pub fn is_name_shared(&self, instance: &str) -> bool {
        let found = self.consumer().fetch_group_list(Some(self.group()), PATIENCE);
        let Ok(groups) = found else { return false };
        let members = groups.groups().iter().flat_map(|group| group.members());
        let names = members.filter_map(|member| member.client_id().rsplit_once(INSTANCE_MARK));
        names.filter(|(_, name)| *name == instance).count() > 1
    }
}

impl Admin {
    /// All members of a group, with partitions or without. One that died stays until its session has timed out.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] where no broker answers.
    pub fn everyone(&self, group: &str) -> Result<Vec<Member>, KafkaError> {
        let what = format!("asking who is in group {group}");
        let groups = self.ask(&what, |consumer| consumer.fetch_group_list(Some(group), PATIENCE))?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        Ok(members.map(|member| member_of(member.client_id(), member.client_host())).collect())
    }

    /// The members of a group that have partitions of a topic just now.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] where no broker answers.
    pub fn members(&self, group: &str, topic: &str) -> Result<Vec<(Member, Vec<i32>)>, KafkaError> {
        let what = format!("asking who is in group {group}");
        let groups = self.ask(&what, |consumer| consumer.fetch_group_list(Some(group), PATIENCE))?;
        let members = groups.groups().iter().flat_map(|group| group.members());
        let with_partitions = members.filter_map(|member| {
            let partitions = assigned(member.assignment().unwrap_or_default(), topic)?;
            (!partitions.is_empty())
                .then(|| (member_of(member.client_id(), member.client_host()), partitions))
        });
        Ok(with_partitions.collect())
    }

    /// The partition of a topic into which a record with this key goes.
    ///
    /// # Errors
    /// [`KafkaError::Topic`] where the topic does not exist, [`KafkaError::Retry`] where no broker answers.
    pub fn partition_of_key(&self, topic: &str, key: &[u8]) -> Result<i32, KafkaError> {
        let partitions = self.partitions(topic)?.unwrap_or_default();
        raw::partition_of_key(key, partitions)
            .ok_or_else(|| KafkaError::Topic(format!("topic {topic} does not exist")))
    }
}

fn member_of(client_id: &str, client_host: &str) -> Member {
    // Brokers write it as `/127.0.0.1`.
    let host = client_host.trim_start_matches('/').to_owned();
    let client_id = client_id.rsplit_once(INSTANCE_MARK).map_or(client_id, |(name, _)| name);
    let address = client_id.strip_prefix(NAME).map(|advertised| match advertised.strip_prefix(':') {
        Some(port) if host.contains(':') => format!("[{host}]:{port}"),
        Some(port) => format!("{host}:{port}"),
        None => advertised.to_owned(),
    });
    // Whoever may join the group can call itself anything, and people are sent there.
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

/// The partitions of a topic in an assignment of the consumer protocol: version, then topics by name with their
/// partitions. `None` where it cannot be read, as of a member that is about to join.
fn assigned(mut bytes: &[u8], topic: &str) -> Option<Vec<i32>> {
    fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
        let (head, tail) = bytes.split_first_chunk()?;
        *bytes = tail;
        Some(*head)
    }
    let _version = take::<2>(&mut bytes)?;
    let mut found = Vec::new();
    for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
        let length = usize::from(u16::from_be_bytes(take(&mut bytes)?));
        let (name, tail) = bytes.split_at_checked(length)?;
        bytes = tail;
        for _ in 0..i32::from_be_bytes(take(&mut bytes)?) {
            let partition = i32::from_be_bytes(take(&mut bytes)?);
            if name == topic.as_bytes() {
                found.push(partition);
            }
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_says_where_it_answers() {
        let address = |id, host| member_of(id, host).address;
        assert_eq!(address("frostline@127.0.0.1:8080", "/127.0.0.1").as_deref(), Some("127.0.0.1:8080"));
        assert_eq!(address("frostline@:8080", "/10.0.0.7").as_deref(), Some("10.0.0.7:8080"));
        assert_eq!(
            address("frostline@:8080", "/fe80:0:0:0:0:0:0:1").as_deref(),
            Some("[fe80:0:0:0:0:0:0:1]:8080")
        );
        assert_eq!(address("frostline", "/10.0.0.7"), None);
        assert_eq!(client_id("a:1", ""), "frostline@a:1");
        assert_eq!(client_id("", "4f2a"), "frostline#4f2a");
        assert_eq!(member_of(&client_id("a:1", "4f2a"), "/10.0.0.7").address.as_deref(), Some("a:1"));
        assert_eq!(member_of(&client_id("", "4f2a"), "/10.0.0.7").address, None);
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
            assert_eq!(member_of(&id, "/10.0.0.7").address, None, "{planted}");
        }
    }

    #[test]
    fn assignments_are_read_and_cut_ones_are_not() {
        let one = [
            0, 1, 0, 0, 0, 2, 0, 1, b'a', 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 7, 0, 1, b'b', 0, 0, 0, 1, 0, 0,
            0, 9,
        ];
        assert_eq!(assigned(&one, "a"), Some(vec![3, 7]));
        assert_eq!(assigned(&one, "b"), Some(vec![9]));
        assert_eq!(assigned(&one, "c"), Some(vec![]));
        assert_eq!(assigned(&one[..one.len() - 1], "a"), None);
        assert_eq!(assigned(&[], "a"), None);
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
