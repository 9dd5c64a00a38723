//! The protocol of the groups: `classic`, or `consumer`, that of KIP-848 (Kafka 4.0 and newer).
//!
//! librdkafka hides most of the difference. Both protocols hand partitions over step by step, through the same calls
//! ([`super::rebalance`]), and transactions carry the member's epoch in place of the classic generation. The
//! differences:
//!
//! | | `classic` | `consumer` |
//! |---|---|---|
//! | who assigns partitions | a member, `cooperative-sticky` | the brokers (`group.remote.assignor`) |
//! | session timeout and heartbeats | each member's own settings | the brokers': `group.consumer.session.timeout.ms`, or the group's own `consumer.session.timeout.ms` |
//! | a member without partitions | is called back with an empty assignment | is not called back; its epoch shows that it is a member |
//! | static membership after a crash | the new member takes over | the new member is refused until the session of the old one ends |
//!
//! The last one is why static membership is refused: a killed daemon could not start again until its session ends.

use std::time::Duration;

use rdkafka::admin::{AdminOptions, ResourceSpecifier};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;

use super::{Admin, ClientSettings, KafkaError};

const PATIENCE: Duration = Duration::from_secs(5);

/// The reason why a process that reaches the brokers is not in its group. The client does not report the last two
/// causes, and retries.
pub(super) const NOT_JOINED: &str = "it has not joined, or has lost its place and is joining again; if that lasts: \
                                     group.protocol = consumer needs Kafka 4.0 or newer, and brokers that let a group \
                                     change to it (group.consumer.migration.policy)";

/// The client setting that chooses the protocol.
pub(super) const KEY: &str = "group.protocol";
/// The client setting that names the brokers' assignor.
const ASSIGNOR_KEY: &str = "group.remote.assignor";

/// How the members of a group divide its partitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupProtocol {
    /// The members decide among themselves.
    Classic,
    /// The brokers decide (KIP-848).
    Consumer,
}

impl ClientSettings {
    /// The protocol that these settings choose. The client itself refuses a value that it does not know.
    pub fn group_protocol(&self) -> GroupProtocol {
        match self.get(KEY) {
            Some(value) if value.eq_ignore_ascii_case("consumer") => GroupProtocol::Consumer,
            _ => GroupProtocol::Classic,
        }
    }

    /// Sets what the protocol leaves to a member. `instance` is its name as a static member; empty for none.
    pub(super) fn set_membership(
        &self,
        config: &mut ClientConfig,
        session_timeout: Duration,
        instance: &str,
    ) {
        match self.group_protocol() {
            GroupProtocol::Classic => {
                let heartbeat_ms = (session_timeout.as_millis() / 10).max(100);
                config
                    .set("partition.assignment.strategy", "cooperative-sticky")
                    .set("session.timeout.ms", session_timeout.as_millis().to_string())
                    .set("heartbeat.interval.ms", heartbeat_ms.to_string());
                if !instance.is_empty() {
                    config.set("group.instance.id", instance);
                }
            }
            // The brokers set the session timeout, and `check_membership` refuses a static member.
            GroupProtocol::Consumer => {}
        }
    }

    /// Checks whether the protocol and the other settings fit together. `instance` is as for
    /// [`set_membership`](Self::set_membership).
    ///
    /// # Errors
    /// A sentence that names the settings and says what to do.
    pub(super) fn check_membership(&self, instance: &str) -> Result<(), String> {
        match self.group_protocol() {
            GroupProtocol::Consumer if !instance.is_empty() => Err(format!(
                "{KEY} = consumer does not go with runtime.group_instance_id: after a crash the brokers would refuse \
                 this name until the old session ends, and the daemon could not start. Remove \
                 runtime.group_instance_id, or remove {KEY}"
            )),
            GroupProtocol::Classic if self.get(ASSIGNOR_KEY).is_some() => {
                Err(format!("{ASSIGNOR_KEY} has no effect without {KEY} = consumer: set that, or remove it"))
            }
            _ => Ok(()),
        }
    }
}

impl Admin {
    /// How long the brokers wait for a silent member of a group with [`GroupProtocol::Consumer`]; `None` if this
    /// client has no permission to know.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the brokers are too old for that protocol, [`KafkaError::Retry`] if no broker
    /// answers.
    pub async fn session_timeout(&self, group: &str) -> Result<Option<Duration>, KafkaError> {
        self.tend();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let found = self.admin_client().describe_configs([&ResourceSpecifier::Group(group)], &options).await;
        let code = match &found {
            Ok(resources) => resources.first().and_then(|resource| resource.as_ref().err().copied()),
            Err(error) => error.rdkafka_error_code(),
        };
        if let Some(code) = code.filter(|code| is_too_old(*code)) {
            return Err(KafkaError::Settings(format!("{TOO_OLD} ({code})")));
        }
        let found = found.map_err(|error| KafkaError::of_client("asking for the session timeout", &error))?;
        let settings = found.into_iter().next().and_then(Result::ok);
        let value =
            settings.as_ref().and_then(|settings| settings.get("consumer.session.timeout.ms")?.value.clone());
        Ok(value.and_then(|value| value.parse().ok()).map(Duration::from_millis))
    }

    /// Checks that the brokers have the protocol that the settings choose, and logs their decisions about it.
    ///
    /// # Errors
    /// As [`session_timeout`](Self::session_timeout).
    pub(crate) async fn check_group_protocol(&self, group: &str) -> Result<(), KafkaError> {
        if self.settings().group_protocol() == GroupProtocol::Consumer {
            let session_timeout = self.session_timeout(group).await?;
            tracing::info!(
                ?session_timeout,
                "group protocol consumer: the brokers decide when a member is dead"
            );
        }
        Ok(())
    }
}

const TOO_OLD: &str = "group.protocol = consumer needs Kafka 4.0 or newer: remove it from [kafka.client]";

/// Whether this is the answer of a broker that does not know group settings.
fn is_too_old(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{InvalidRequest, UnsupportedFeature, UnsupportedVersion};
    matches!(code, UnsupportedFeature | UnsupportedVersion | InvalidRequest)
}

/// What to do about a protocol failure that a retry cannot fix; `None` for any other failure.
pub(super) fn advice(code: RDKafkaErrorCode) -> Option<&'static str> {
    use RDKafkaErrorCode::{UnsupportedAssignor, UnsupportedFeature, UnsupportedVersion};
    match code {
        UnsupportedFeature | UnsupportedVersion => Some(TOO_OLD),
        UnsupportedAssignor => {
            Some("the brokers do not have this group.remote.assignor: use uniform or range, or remove it")
        }
        _ => None,
    }
}
