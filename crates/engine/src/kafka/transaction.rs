//! Transactions: the producer's side of exactly-once.
//!
//! Errors are sorted by the action that they require. A retriable call is repeated. If the group refuses the offsets
//! and the client asks for an abort, the transaction is aborted and the producer used again. After anything else the
//! outcome is unclear or the producer was fenced, and a new producer takes its place; the new one's
//! [`ready`](Transaction::ready) settles what the old one left open.
//!
//! An abort alone is not enough if an answer was late or lost. librdkafka uses the first version of the protocol, in
//! which the next transaction has the same epoch: a request that is still in flight can arrive after the abort's
//! marker and affect the *next* transaction (KAFKA-17754), or stay open indefinitely (KIP-890; seen with offsets,
//! when a broker was restarted). A new producer has a new epoch, which fences such requests.
//!
//! Nor is an abort enough while records are unacknowledged. The client drops them as if they had never been sent, and
//! gives their sequence numbers to the records of the next transaction (`rd_kafka_toppar_purge_queues` in librdkafka
//! 2.12.1). If a connection broke after a broker had written one of them, the broker takes a record of the next
//! transaction for its repetition, and acknowledges it without writing it: it is lost, and its input is committed
//! (`tests/it/coordinator.rs` shows it). So the producer is used again only if everything that it has sent is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaError, RDKafkaErrorCode};
use rdkafka::producer::Producer as _;

use super::group::offset_list;
use super::raw::{self, TransactionError};
use super::sender::Sender;
use super::{ClientSettings, GroupConsumer, GroupMetadata, GroupOffsets, KafkaError, OffsetCommit, Right};
use crate::fault::{Sabotage, is_sabotaged};

/// Longest single call of the client; repeated until the caller's time is up. The client continues where it stopped.
const CALL: Duration = Duration::from_secs(1);
/// Pause between two calls if the first one returned at once.
const RETRY_DELAY: Duration = Duration::from_millis(10);
/// How long an abort may take before the producer is replaced instead.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// How a producer takes part in transactions.
#[derive(Clone, Debug)]
pub struct TransactionSettings {
    /// Stable over restarts, and used by one living producer at a time: a second one fences the first.
    pub transactional_id: String,
    /// Time after which the brokers abort a transaction whose producer is silent, in milliseconds.
    pub timeout_ms: u64,
}

/// The transactions of a producer, one after the other.
pub(super) struct Transaction {
    sender: Arc<Sender>,
    transactional_id: String,
    timeout: Duration,
    /// Registered with the brokers.
    is_ready: AtomicBool,
    /// Something has been sent since the last commit.
    is_open: AtomicBool,
    /// Fenced, or the outcome of a call is unknown.
    is_spent: AtomicBool,
}

impl Transaction {
    pub(super) fn new(settings: &TransactionSettings, sender: Arc<Sender>) -> Self {
        Self {
            sender,
            transactional_id: settings.transactional_id.clone(),
            timeout: Duration::from_millis(settings.timeout_ms),
            is_ready: AtomicBool::new(false),
            is_open: AtomicBool::new(false),
            is_spent: AtomicBool::new(false),
        }
    }

    pub(super) fn configure(
        transaction: &TransactionSettings,
        settings: &ClientSettings,
        config: &mut ClientConfig,
    ) {
        config
            .set("transactional.id", &transaction.transactional_id)
            .set("transaction.timeout.ms", transaction.timeout_ms.to_string());
        // Applies while a coordinator is busy with the previous transaction, which takes a few milliseconds.
        if settings.base().get("retry.backoff.ms").is_none() {
            config.set("retry.backoff.ms", "5");
        }
        // Must be shorter than the transaction's timeout, or a lost request outlives it.
        let socket_timeout_ms = transaction.timeout_ms.saturating_sub(500).clamp(1_000, 60_000);
        if settings.base().get("socket.timeout.ms").is_none() {
            config.set("socket.timeout.ms", socket_timeout_ms.to_string());
        }
    }
    /// Whether a new producer must take the place of this one.
    pub(super) fn is_spent(&self) -> bool {
        self.is_spent.load(Ordering::Acquire)
    }

    /// Registers the transactional id, unless that has been done.
    pub(super) fn ready(&self) -> Result<(), KafkaError> {
        if self.is_ready.load(Ordering::Acquire) {
            return Ok(());
        }
        self.sender.tend();
        // With a connection the next call takes milliseconds; without one it retries every half second.
        let _ = self.sender.client.client().fetch_cluster_id(CALL);
        match self.sender.client.init_transactions(CALL * 5) {
            Ok(()) => {
                self.is_ready.store(true, Ordering::Release);
                Ok(())
            }
            Err(error) => Err(of_init(&error, &self.transactional_id)),
        }
    }

    /// Begins a transaction with the first record after a commit.
    pub(super) fn begin(&self) -> Result<(), KafkaError> {
        if self.is_open.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.sender.client.begin_transaction().map_err(|error| {
            self.is_spent.store(true, Ordering::Release);
            KafkaError::Retry(format!("beginning a transaction: {error}"))
        })
    }

    /// Adds positions of a member of a group.
    pub(super) fn send_offsets(
        &self,
        consumer: &GroupConsumer,
        positions: &[OffsetCommit],
        metadata: &GroupMetadata,
    ) -> Result<(), KafkaError> {
        self.begin()?;
        let list = consumer.offsets(positions)?;
        let client = &self.sender.client;
        self.repeat("sending offsets to the transaction", &consumer.rights(), || {
            client.send_offsets_to_transaction(&list, &metadata.0, CALL).map_err(|error| sorted(&error))
        })
    }

    /// Adds offsets of a group without members.
    pub(super) fn send_positions(
        &self,
        group: &GroupOffsets,
        topic: &str,
        positions: &[OffsetCommit],
    ) -> Result<(), KafkaError> {
        self.begin()?;
        let what = "sending a position to the transaction";
        let list = offset_list(topic, positions)?;
        let metadata = group.metadata().ok_or_else(|| KafkaError::Fatal(format!("{what}: no group")))?;
        let client = &self.sender.client;
        self.repeat(what, &group.rights(topic), || {
            client.send_offsets_to_transaction(&list, &metadata, CALL).map_err(|error| sorted(&error))
        })
    }

    /// Commits what was sent, even if that is nothing.
    pub(super) fn commit(&self) -> Result<(), KafkaError> {
        self.begin()?;
        let client = self.sender.client.client();
        self.repeat("committing a transaction", &[], || raw::commit_transaction(client, CALL))?;
        self.is_open.store(false, Ordering::Release);
        Ok(())
    }

    /// Drops what was sent, and the reports of it.
    pub(super) fn abort(&self) {
        if !self.is_open.swap(false, Ordering::AcqRel) || self.is_spent() {
            return;
        }
        if !self.sender.is_all_acknowledged() && !is_sabotaged(Sabotage::ReusedSequences) {
            // Its successor ends the transaction.
            self.is_spent.store(true, Ordering::Release);
            return;
        }
        let deadline = Instant::now() + ABORT_PATIENCE;
        loop {
            self.sender.tend();
            let Err(error) = self.sender.client.abort_transaction(CALL) else { break };
            if !sorted(&error).is_retriable || Instant::now() > deadline {
                tracing::debug!(%error, "transaction cannot be aborted; its producer is replaced");
                self.is_spent.store(true, Ordering::Release);
                break;
            }
        }
        self.sender.forget_reports();
    }

    /// The error that another producer has taken over this one's transactional id, if that is so: the client reports
    /// it with its next call, as a fatal error without a reason.
    pub(super) fn fenced(&self, what: &str) -> Option<KafkaError> {
        let (code, reason) = self.sender.client.client().fatal_error()?;
        is_fenced(code).then(|| {
            self.is_spent.store(true, Ordering::Release);
            KafkaError::Replaced(format!("{what}: {reason} {FENCED_HINT}"))
        })
    }

    /// Repeats a call while it is retriable, and sorts its other errors.
    fn repeat(
        &self,
        what: &str,
        rights: &[Right],
        call: impl Fn() -> Result<(), TransactionError>,
    ) -> Result<(), KafkaError> {
        // After that the brokers have ended the transaction themselves.
        let deadline = Instant::now() + self.timeout + CALL;
        loop {
            self.sender.tend();
            let Err(error) = call() else { return Ok(()) };
            if error.is_retriable && !error.requires_abort && Instant::now() < deadline {
                std::thread::sleep(RETRY_DELAY);
                continue;
            }
            if !error.requires_abort || !is_refused_by_group(error.code) {
                self.is_spent.store(true, Ordering::Release);
            }
            if let Some(fenced) = self.fenced(what) {
                return Err(fenced);
            }
            // The error of the record says more than that of the transaction that failed with it.
            let cause = self.sender.failure().filter(KafkaError::is_lasting);
            let cause = cause.or_else(|| KafkaError::denied(what, rights, error.code));
            return Err(cause.unwrap_or_else(|| of_transaction(what, &error)));
        }
    }
}

fn sorted(error: &ClientError) -> TransactionError {
    match error {
        ClientError::Transaction(inner) => of_crate(inner),
        other => TransactionError {
            code: other.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail),
            reason: other.to_string(),
            requires_abort: false,
            is_retriable: false,
        },
    }
}

fn of_crate(error: &RDKafkaError) -> TransactionError {
    TransactionError {
        code: error.code(),
        reason: error.string(),
        requires_abort: error.txn_requires_abort(),
        is_retriable: error.is_retriable(),
    }
}

/// Whether the group has clearly answered that it is in another generation or epoch, or that this is another member.
fn is_refused_by_group(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{
        FencedInstanceId, FencedMemberEpoch, IllegalGeneration, RebalanceInProgress, StaleMemberEpoch,
        UnknownMemberId,
    };
    let is_other_generation = matches!(code, IllegalGeneration | StaleMemberEpoch | FencedMemberEpoch);
    is_other_generation || matches!(code, UnknownMemberId | FencedInstanceId | RebalanceInProgress)
}

/// Whether another producer has taken over the transactional id.
fn is_fenced(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode::{Fenced, InvalidProducerEpoch, ProducerFenced};
    matches!(code, Fenced | ProducerFenced | InvalidProducerEpoch)
}

const FENCED_HINT: &str = "(the transaction timed out, or another process has the same transactional id, for instance one with a copy \
                           of this state directory)";

fn of_transaction(what: &str, error: &TransactionError) -> KafkaError {
    let message = format!("{what}: {}", error.reason);
    match error.code {
        code if is_refused_by_group(code) => KafkaError::Fenced(message),
        code if is_fenced(code) => KafkaError::Replaced(format!("{message} {FENCED_HINT}")),
        RDKafkaErrorCode::InvalidTimestamp => KafkaError::Clock(message),
        _ if error.requires_abort => KafkaError::Retry(message),
        _ => KafkaError::Retry(format!("{message}: the outcome is unknown; a restore will find it")),
    }
}

fn of_init(error: &ClientError, transactional_id: &str) -> KafkaError {
    let sorted = sorted(error);
    let what = "registering a transactional id";
    let message = format!("{what}: {}", sorted.reason);
    match sorted.code {
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => {
            let right = Right::to_transactions(transactional_id);
            KafkaError::Denied { doing: what.to_owned(), right }
        }
        RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion => KafkaError::Fatal(
            format!("{message}: this broker has no transactions: set runtime.guarantee = \"at_least_once\""),
        ),
        // Brokers before Kafka 2.8 want another right for idempotent producers.
        RDKafkaErrorCode::ClusterAuthorizationFailed => {
            KafkaError::Fatal(format!("{message}: allow this client to IDEMPOTENT_WRITE on the cluster"))
        }
        RDKafkaErrorCode::InvalidTransactionTimeout => KafkaError::Fatal(format!(
            "{message}: lower runtime.transaction_timeout_ms, or raise the brokers' transaction.max.timeout.ms"
        )),
        _ if sorted.is_retriable => KafkaError::Retry(message),
        _ => KafkaError::Fatal(message),
    }
}
