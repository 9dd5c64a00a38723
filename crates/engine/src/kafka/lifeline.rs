//! Keeps a client connected: revives one that has forgotten all brokers, and gives it credentials that have changed.
//!
//! A broker that has just started can answer a metadata request with topics but without any broker. librdkafka (2.10
//! and later, seen with 2.12.1; its issue 5301) then drops every broker that it knows. The re-bootstrap that should
//! follow is cancelled by the same answer and never retried. Such a client stays silent: it sends nothing, receives
//! nothing, and reports no error except "all brokers are down", once.
//!
//! So whenever a client reports the latter, its addresses are added again a moment later. In an ordinary outage that
//! changes nothing, because an address that is already there is not added twice.

use std::ffi::CString;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};

use super::credentials::Credentials;
use super::raw;

/// Delay between the report and the first try.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// In a long outage the delay grows, because the client keeps every address that is added.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// An outage is over after this time without a report.
const QUIET: Duration = Duration::from_secs(120);
/// Value of [`Lifeline::due_ms`] while nothing is due.
const NEVER: u64 = u64::MAX;

/// Part of a client's context: the reported outage, and when to act on it.
pub(super) struct Lifeline {
    addresses: CString,
    started: Instant,
    credentials: Arc<Credentials>,
    /// The version of the credentials that the client has.
    has_version: AtomicU64,
    /// When to add the addresses again, in milliseconds after `started`.
    due_ms: AtomicU64,
    pace: Mutex<Pace>,
}

struct Pace {
    delay: Duration,
    reported: Option<Instant>,
}

impl Lifeline {
    /// For a client with these `bootstrap.servers`.
    pub(super) fn new(addresses: &str, credentials: &Arc<Credentials>) -> Self {
        let started = Instant::now();
        Self {
            // The client itself refuses an address with a zero byte.
            addresses: CString::new(addresses).unwrap_or_default(),
            started,
            credentials: Arc::clone(credentials),
            has_version: AtomicU64::new(0),
            due_ms: AtomicU64::new(NEVER),
            pace: Mutex::new(Pace { delay: FIRST_DELAY, reported: None }),
        }
    }

    /// Takes an error that the client reports by itself.
    pub(super) fn reported(&self, error: &ClientError) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::AllBrokersDown) => self.suspect(),
            Some(RDKafkaErrorCode::Authentication) => self.credentials.refused(),
            _ => {}
        }
    }

    /// Whether an error means that brokers have refused credentials which may be replaced meanwhile.
    pub(super) fn is_passing_refusal(&self, error: &ClientError) -> bool {
        error.rdkafka_error_code() == Some(RDKafkaErrorCode::Authentication) && self.credentials.may_change()
    }

    /// Notes that the client may have forgotten its brokers.
    pub(super) fn suspect(&self) {
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if self.due_ms.load(Ordering::Relaxed) != NEVER {
            return;
        }
        let is_new = pace.reported.is_none_or(|at| at.elapsed() > QUIET);
        pace.delay = if is_new { FIRST_DELAY } else { (pace.delay * 2).min(DELAY_MAX) };
        pace.reported = Some(Instant::now());
        let due = self.started.elapsed() + pace.delay;
        self.due_ms.store(u64::try_from(due.as_millis()).unwrap_or(NEVER), Ordering::Relaxed);
    }

    /// Gives the client new credentials if there are any, and adds the addresses again if that is due. Call it wherever
    /// the client is used; it costs a few loads.
    pub(super) fn tend<C: ClientContext>(&self, client: &Client<C>) {
        self.renew(client);
        let due_ms = self.due_ms.load(Ordering::Relaxed);
        if due_ms == NEVER || self.started.elapsed() < Duration::from_millis(due_ms) {
            return;
        }
        self.due_ms.store(NEVER, Ordering::Relaxed);
        let brokers = raw::add_brokers(client, &self.addresses);
        tracing::debug!(brokers, "all brokers were down: adding their addresses again");
    }

    fn renew<C: ClientContext>(&self, client: &Client<C>) {
        if self.credentials.version() == 0
            && let Err(reason) = self.credentials.ready()
        {
            tracing::warn!(reason, "no token for Kafka yet");
        }
        let version = self.credentials.version();
        if self.has_version.swap(version, Ordering::AcqRel) == version {
            return;
        }
        if let Err(reason) = self.credentials.apply(client) {
            tracing::warn!(reason, "the client does not take its new credentials");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn due_in(lifeline: &Lifeline) -> Option<Duration> {
        let due_ms = lifeline.due_ms.load(Ordering::Relaxed);
        (due_ms != NEVER).then(|| Duration::from_millis(due_ms).saturating_sub(lifeline.started.elapsed()))
    }

    #[test]
    fn only_a_lost_cluster_is_acted_upon_and_less_often_in_a_long_outage() {
        let credentials = Credentials::new(&BTreeMap::new(), &BTreeMap::new()).unwrap();
        let lifeline = Lifeline::new("127.0.0.1:1", &credentials);
        lifeline.reported(&ClientError::Global(RDKafkaErrorCode::BrokerTransportFailure));
        assert_eq!(due_in(&lifeline), None);
        let mut last = Duration::ZERO;
        for _ in 0..10 {
            lifeline.reported(&ClientError::Global(RDKafkaErrorCode::AllBrokersDown));
            let due = due_in(&lifeline).expect("due");
            assert!(due + Duration::from_millis(100) > last && due <= DELAY_MAX, "{due:?} after {last:?}");
            last = due;
            lifeline.due_ms.store(NEVER, Ordering::Relaxed);
        }
        assert!(last > DELAY_MAX / 2);
    }
}
