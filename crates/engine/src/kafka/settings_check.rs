//! Checks client settings by asking the client itself, without a connection.

use std::path::Path;

use super::{ClientSettings, GroupConsumer, GroupSettings, KafkaError, Producer, TransactionSettings};

/// Where names and values are documented.
const REFERENCE: &str = "names and values are those of librdkafka's CONFIGURATION.md";

impl ClientSettings {
    /// Creates one client of each kind that the daemon uses, and drops it. This shows wrong names, wrong values, and
    /// settings that do not fit together. No broker is asked.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] with the setting that the client refuses.
    pub fn check(&self, group: &GroupSettings, transaction: &TransactionSettings) -> Result<(), KafkaError> {
        let refused = |error: KafkaError| match error {
            KafkaError::Settings(reason) => {
                KafkaError::Settings(format!("{reason} ([kafka.client]: {REFERENCE})"))
            }
            other => other,
        };
        // The simplest client comes first: its errors name a single setting.
        GroupConsumer::new(self, group, |_| {}).map_err(refused)?;
        Producer::new(self, Some(transaction)).map_err(refused)?;
        let settled = self.check_effect().and_then(|()| self.check_membership(&group.group_instance_id));
        settled.map_err(|reason| KafkaError::Settings(format!("[kafka.client]: {reason}")))
    }

    /// Settings that the client accepts silently although they cannot work as intended.
    fn check_effect(&self) -> Result<(), String> {
        let protocol = self.get("security.protocol").unwrap_or("plaintext").to_ascii_lowercase();
        let has = |prefix: &str| self.names().find(|name| name.starts_with(prefix));
        if let Some(name) = has("sasl.").filter(|_| !protocol.starts_with("sasl_")) {
            return Err(format!(
                "{name} has no effect with security.protocol = {protocol}: set it to SASL_SSL or SASL_PLAINTEXT"
            ));
        }
        if let Some(name) = has("ssl.").filter(|_| !protocol.ends_with("ssl")) {
            return Err(format!(
                "{name} has no effect with security.protocol = {protocol}: set it to SSL or SASL_SSL"
            ));
        }
        let mechanism =
            self.get("sasl.mechanisms").or_else(|| self.get("sasl.mechanism")).unwrap_or_default();
        if mechanism.eq_ignore_ascii_case("OAUTHBEARER")
            && self.get("enable.sasl.oauthbearer.unsecure.jwt") != Some("true")
            && !self.credentials().owns("sasl.oauthbearer.method")
        {
            return Err("OAUTHBEARER needs sasl.oauthbearer.method = oidc, with the address of the authorization server \
                        in sasl.oauthbearer.token.endpoint.url, sasl.oauthbearer.client.id and \
                        sasl.oauthbearer.client.secret"
                .into());
        }
        // The client reads some files only when it first connects.
        let missing = self.names().filter(|name| name.ends_with(".location")).find_map(|name| {
            let path = self.get(name)?;
            (path != "probe" && !Path::new(path).exists())
                .then(|| format!("{name}: the file {path} does not exist"))
        });
        missing.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KafkaSettings, Traffic};

    fn check(client: &[(&str, &str)]) -> Result<(), String> {
        let client = client.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let settings = KafkaSettings { client, ..KafkaSettings::default() };
        let group = GroupSettings {
            group: "check".into(),
            topic: "check".into(),
            partitions: 5,
            traffic: Traffic::Tiny,
            begins_at_end: false,
            session_timeout: std::time::Duration::from_secs(45),
            group_instance_id: String::new(),
            advertised: String::new(),
            instance: String::new(),
        };
        let transaction = TransactionSettings { transactional_id: "check".into(), timeout_ms: 10_000 };
        let settings = ClientSettings::new(&settings).map_err(|error| error.to_string())?;
        settings.check(&group, &transaction).map_err(|error| match error {
            KafkaError::Settings(_) => error.to_string(),
            other => panic!("{other}"),
        })
    }

    #[test]
    fn what_the_client_does_not_take_is_found_without_a_broker() {
        assert_eq!(check(&[]), Ok(()));
        assert_eq!(check(&[("socket.keepalive.enable", "true"), ("compression.type", "zstd")]), Ok(()));
        let scram = [("sasl.mechanisms", "SCRAM-SHA-512"), ("sasl.username", "a"), ("sasl.password", "b")];
        assert_eq!(check(&[&scram[..], &[("security.protocol", "SASL_SSL")]].concat()), Ok(()));
        let protocol = ("group.protocol", "consumer");
        assert_eq!(check(&[protocol, ("group.remote.assignor", "range")]), Ok(()));
        assert_eq!(check(&[("group.protocol", "classic")]), Ok(()));
        let sasl = ("security.protocol", "sasl_plaintext");
        let (user, password) = (("sasl.username", "a"), ("sasl.password", "b"));
        let ssl = ("security.protocol", "ssl");
        for (client, part) in [
            (vec![("ssl.ca.locatoin", "/x")], "ssl.ca.locatoin"),
            (vec![("foo", "2")], "foo"),
            (vec![("security.protocol", "SASL-SSL")], "security.protocol"),
            (vec![("socket.timeout.ms", "soon")], "socket.timeout.ms"),
            (vec![("compression.type", "rar")], "compression.type"),
            // With an idempotent producer at most five.
            (vec![("max.in.flight.requests.per.connection", "100")], "max.in.flight"),
            (vec![sasl, user, password, ("sasl.mechanisms", "SCRAM-SHA-999")], "SCRAM-SHA-999"),
            (vec![sasl, ("sasl.mechanisms", "PLAIN")], "sasl.username"),
            (vec![sasl, ("sasl.mechanisms", "GSSAPI")], "GSSAPI"),
            (vec![sasl, ("sasl.mechanisms", "OAUTHBEARER")], "sasl.oauthbearer.token.endpoint.url"),
            (vec![ssl, ("ssl.ca.location", "/nonexistent.pem")], "ssl.ca.location"),
            (vec![ssl, ("ssl.crl.location", "/nonexistent.pem")], "ssl.crl.location"),
            (vec![("ssl.ca.location", "/nonexistent.pem")], "no effect"),
            (vec![("sasl.mechanisms", "SCRAM-SHA-512")], "no effect"),
            (vec![ssl, ("sasl.username", "a")], "SASL_SSL"),
            (vec![("group.protocol", "raft")], "group.protocol"),
            (vec![("group.remote.assignor", "range")], "group.protocol = consumer"),
        ] {
            let refused = check(&client).unwrap_err();
            assert!(refused.contains(part), "{client:?}: {refused}");
        }
        let secret = check(&[("sasl.password", "marker"), ("socket.timeout.ms", "x")]).unwrap_err();
        assert!(!secret.contains("marker"), "{secret}");
    }
}
