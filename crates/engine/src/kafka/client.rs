//! Settings that all clients share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaError;
use super::certificate::{self, Trust};
use super::credentials::Credentials;
use super::lifeline::Lifeline;
use super::raw::SLICE_ROWS;
use super::secret::{SecretText, resolve_secret};
use crate::settings::KafkaSettings;

/// How long a reader's request for records may wait at a broker until it has come to the end of all partitions. An end
/// is reported when a request has waited for nothing, so that short reads are quick.
pub(super) const READER_WAIT: Duration = Duration::from_millis(20);

/// How to reach Kafka: addresses and pass-through settings, with secrets resolved.
#[derive(Clone)]
pub struct ClientSettings {
    brokers: String,
    namespace: String,
    client: BTreeMap<String, SecretText>,
    credentials: Arc<Credentials>,
    connect_timeout: Duration,
}

impl ClientSettings {
    /// Resolves the secrets of the configuration.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] with the key whose secret cannot be read.
    pub fn new(settings: &KafkaSettings) -> Result<Self, KafkaError> {
        let mut client = BTreeMap::new();
        for (key, value) in &settings.client {
            let value = resolve_secret(value)
                .map_err(|reason| KafkaError::Settings(format!("kafka.client.\"{key}\": {reason}")))?;
            client.insert(key.clone(), value);
        }
        let credentials = Credentials::new(&settings.client, &client)
            .map_err(|reason| KafkaError::Settings(format!("[kafka.client]: {reason}")))?;
        Ok(Self {
            credentials,
            brokers: settings.brokers.clone(),
            namespace: settings.namespace.clone(),
            client,
            connect_timeout: Duration::from_millis(settings.connect_timeout_ms),
        })
    }

    /// The addresses.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How long a start waits for a broker to answer.
    pub(crate) fn connect_timeout(&self) -> Duration {
        self.connect_timeout
    }

    /// What keeps a new client connected.
    pub(super) fn lifeline(&self) -> Lifeline {
        Lifeline::new(&self.brokers, &self.credentials)
    }

    /// What all clients with these settings prove their identity with.
    pub(super) fn credentials(&self) -> &Arc<Credentials> {
        &self.credentials
    }

    /// The names of the user's own settings.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.client.keys().map(String::as_str)
    }

    /// One of the user's own settings.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.client.get(name).map(|value| value.as_str())
    }

    /// A group that is named but never joined: the client requires one, and access rights depend on the namespace.
    pub(super) fn lookout(&self, name: &str) -> String {
        format!("{}frostline-{name}", self.namespace)
    }

    /// A client configuration with everything that all clients share.
    pub(super) fn base(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("client.id", "frostline")
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "2000");
        if self.looks_for_authorities(|name| std::env::var_os(name).is_some()) {
            config.set("ssl.ca.location", "probe");
        }
        for (key, value) in self.client.iter().filter(|(key, _)| !self.credentials.owns(key)) {
            config.set(key, value.as_str());
        }
        self.credentials.configure(&mut config);
        config.set("bootstrap.servers", &self.brokers).set_log_level(RDKafkaLogLevel::Warning);
        config
    }

    /// Whether the client looks for certificate authorities where distributions keep them. OpenSSL itself looks where it
    /// would have been installed, and that place does not exist if OpenSSL is part of this program. The user's own
    /// settings win.
    fn looks_for_authorities(&self, is_set: impl Fn(&str) -> bool) -> bool {
        let protocol = self.get("security.protocol").unwrap_or_default();
        protocol.to_ascii_lowercase().ends_with("ssl")
            && !["SSL_CERT_FILE", "SSL_CERT_DIR"].into_iter().any(is_set)
    }

    /// A consumer configuration: committed records only, nothing automatic, partition ends reported.
    pub(super) fn consumer(&self) -> ClientConfig {
        let mut config = self.base();
        // Readers have few partitions; for members of a group, limits and pace depend on their number, see
        // `fetching`. One answer holds 2 MB: what fits the CPU's cache is read faster (500 partitions: 1.1 to 1.3
        // million records a CPU-second with the client's default of 50 MB, 1.3 to 1.5 million with 2 MB).
        let wait_ms = READER_WAIT.as_millis().to_string();
        let defaults = [
            ("queued.max.messages.kbytes", "1024"),
            ("queued.min.messages", "5000"),
            ("fetch.message.max.bytes", "1048576"),
            ("fetch.max.bytes", "2097152"),
            ("fetch.queue.backoff.ms", "10"),
            ("fetch.wait.max.ms", &wait_ms),
        ];
        self.set_defaults(&mut config, &defaults);
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("consume.callback.max.messages", SLICE_ROWS.to_string());
        config
    }

    /// Applies the user's own settings, which take precedence.
    pub(super) fn set_defaults(&self, config: &mut ClientConfig, defaults: &[(&str, &str)]) {
        for (key, value) in defaults {
            if !self.client.contains_key(*key) {
                config.set(*key, *value);
            }
        }
    }

    /// Waits for a broker to answer, at most `kafka.connect_timeout_ms`.
    ///
    /// # Errors
    /// [`KafkaError::Unreachable`] with the addresses and the client's last error.
    pub fn check_reachable(&self) -> Result<(), KafkaError> {
        let mut config = self.base();
        config.set("group.id", self.lookout("check"));
        let probe: BaseConsumer<LastError> = config
            .create_with_context(LastError::default())
            .map_err(|error| KafkaError::of_client("connecting", &error))?;
        self.credentials.ready().map_err(KafkaError::Retry)?;
        self.credentials.apply(probe.client()).map_err(KafkaError::Settings)?;
        let start = Instant::now();
        while start.elapsed() < self.connect_timeout {
            let left = self.connect_timeout.saturating_sub(start.elapsed());
            if probe.fetch_metadata(Some("__frostline_probe"), left.min(Duration::from_secs(2))).is_ok() {
                return Ok(());
            }
            // Serves the error callbacks, which carry more detail than the metadata call.
            while probe.poll(Duration::from_millis(10)).is_some() {}
        }
        Err(KafkaError::Unreachable {
            brokers: self.brokers.clone(),
            waited_ms: u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX),
            last: self.refused_certificate().unwrap_or_else(|| probe.context().take()),
        })
    }

    /// Why the certificate of a broker is refused, if one is.
    fn refused_certificate(&self) -> Option<String> {
        let protocol = self.get("security.protocol").unwrap_or_default().to_ascii_lowercase();
        let trust = Trust {
            location: self.get("ssl.ca.location"),
            pem: self.get("ssl.ca.pem"),
            checks_name: self.get("ssl.endpoint.identification.algorithm") != Some("none"),
        };
        protocol.ends_with("ssl").then(|| certificate::refusal(&self.brokers, &trust)).flatten()
    }
}

/// The version of librdkafka that this program was built with.
pub fn client_version() -> String {
    rdkafka::util::get_rdkafka_version().1
}

/// Remembers the client's last error.
#[derive(Default)]
struct LastError(Mutex<String>);

impl LastError {
    fn take(&self) -> String {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ClientContext for LastError {
    fn log(&self, _level: RDKafkaLogLevel, _facility: &str, _message: &str) {}

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        // "all brokers down" is only the consequence; the reason reported before it is the cause.
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_empty() || error.rdkafka_error_code() != Some(RDKafkaErrorCode::AllBrokersDown) {
            reason.clone_into(&mut last);
        }
    }
}

impl ConsumerContext for LastError {}

/// A client context that sends the client's log and errors to `tracing`.
pub(super) struct Quiet {
    /// For clients that live long.
    pub(super) lifeline: Lifeline,
}

impl Quiet {
    pub(super) fn new(settings: &ClientSettings) -> Self {
        Self { lifeline: settings.lifeline() }
    }
}

impl ClientContext for Quiet {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        log(level, facility, message);
    }

    fn error(&self, error: rdkafka::error::KafkaError, reason: &str) {
        self.lifeline.reported(&error);
        log_error("kafka client", &error, reason);
    }
}

impl ConsumerContext for Quiet {}

/// An error that the client reports by itself. Ends of partitions are reported this way too, although they are not
/// errors.
pub(super) fn log_error(client: &str, error: &rdkafka::error::KafkaError, reason: &str) {
    match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::PartitionEOF) => {}
        // Each connection of each client reports this while a broker is away; one line for all of them is enough.
        Some(RDKafkaErrorCode::AllBrokersDown) if is_told_already() => tracing::debug!(reason, "{client}"),
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve) => {
            tracing::debug!(%error, reason, "{client}");
        }
        _ => tracing::warn!(%error, reason, "{client}"),
    }
}

/// Whether some client has reported within the last half minute that no broker is reachable.
fn is_told_already() -> bool {
    const INTERVAL: Duration = Duration::from_secs(30);
    static TOLD: Mutex<Option<Instant>> = Mutex::new(None);
    let mut told = TOLD.lock().unwrap_or_else(PoisonError::into_inner);
    let is_told = told.is_some_and(|at| at.elapsed() < INTERVAL);
    if !is_told {
        *told = Some(Instant::now());
    }
    is_told
}

/// librdkafka's log lines, at a level that suits a daemon: its warnings about lost connections are normal while a
/// broker restarts.
pub(super) fn log(level: RDKafkaLogLevel, facility: &str, message: &str) {
    match level {
        RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical => {
            tracing::error!(facility, "librdkafka: {message}");
        }
        RDKafkaLogLevel::Error | RDKafkaLogLevel::Warning => {
            tracing::debug!(facility, "librdkafka: {message}");
        }
        _ => tracing::debug!(facility, "librdkafka: {message}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_finds_the_authorities_of_the_system() {
        let looks = |client: &[(&str, &str)], variable: &str| {
            let client = client.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            let settings =
                ClientSettings::new(&KafkaSettings { client, ..KafkaSettings::default() }).unwrap();
            settings.looks_for_authorities(|name| name == variable)
        };
        assert!(!looks(&[], "") && !looks(&[("security.protocol", "SASL_PLAINTEXT")], ""));
        assert!(
            looks(&[("security.protocol", "SASL_SSL")], "") && looks(&[("security.protocol", "ssl")], "")
        );
        assert!(!looks(&[("security.protocol", "ssl")], "SSL_CERT_DIR"));
        let own = [("security.protocol", "ssl"), ("ssl.ca.location", "/etc/kafka/ca.pem")];
        let client = own.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
        let settings = ClientSettings::new(&KafkaSettings { client, ..KafkaSettings::default() }).unwrap();
        assert_eq!(settings.base().get("ssl.ca.location"), Some("/etc/kafka/ca.pem"));
    }
}
