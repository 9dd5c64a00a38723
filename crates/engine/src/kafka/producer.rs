//! The producer of a worker: everything that its tasks write, acknowledged by all replicas and in order.

use std::sync::Arc;

use super::sender::{ChangelogSlot, Outgoing, Sender};
use super::transaction::{Transaction, TransactionSettings};
use super::{ClientSettings, GroupConsumer, GroupMetadata, GroupOffsets, KafkaError, OffsetCommit};

const DELIVERY_TIMEOUT_MS: u64 = 20_000;
/// Largest record and largest batch unless the user's settings say otherwise, before compression, in bytes. Topics
/// usually accept less than the first; the second is the client's own default.
const RECORD_BYTES_MAX: usize = 100_000_000;
const BATCH_BYTES: usize = 1_000_000;

/// An idempotent producer that counts acknowledgements; with [`TransactionSettings`], a transactional one.
///
/// A worker's thread and the thread that commits for it may send at the same time; only one at a time may wait.
pub struct Producer {
    pub(super) sender: Arc<Sender>,
    transaction: Option<Transaction>,
}

impl ClientSettings {
    /// The largest record that a producer accepts (`message.max.bytes`), before compression, in bytes.
    pub(crate) fn record_bytes_max(&self) -> usize {
        self.number("message.max.bytes").unwrap_or(RECORD_BYTES_MAX)
    }

    fn batch_bytes(&self) -> usize {
        self.number("batch.size").unwrap_or(BATCH_BYTES)
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.get(name)?.trim().parse().ok()
    }
}

impl Producer {
    /// Creates a producer.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses its settings.
    pub fn new(
        settings: &ClientSettings,
        transaction: Option<&TransactionSettings>,
    ) -> Result<Self, KafkaError> {
        Self::with_batches(settings, transaction, BATCH_BYTES)
    }

    /// Creates a producer whose batches of several records have at most `batch_bytes` bytes, before compression:
    /// brokers compare the size of a batch, not of a record, with the limit of its topic.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_batches(
        settings: &ClientSettings,
        transaction: Option<&TransactionSettings>,
        batch_bytes: usize,
    ) -> Result<Self, KafkaError> {
        let mut config = settings.base();
        if let Some(transaction) = transaction {
            Transaction::configure(transaction, settings, &mut config);
        }
        config
            .set("enable.idempotence", "true")
            .set("partitioner", "murmur2_random")
            .set("message.timeout.ms", delivery_timeout_ms(transaction).to_string())
            .set("message.max.bytes", settings.record_bytes_max().to_string())
            .set("batch.size", settings.batch_bytes().min(batch_bytes).max(1).to_string())
            .set("queue.buffering.max.kbytes", "65536")
            // No reader sees a transaction before its commit, which sends waiting records at once.
            .set("linger.ms", if transaction.is_some() { "20" } else { "2" })
            .set("compression.type", "lz4");
        for key in ["queue.buffering.max.kbytes", "linger.ms", "compression.type"] {
            if let Some(value) = settings.base().get(key) {
                config.set(key, value);
            }
        }
        let sender = Arc::new(Sender::new(&config, settings)?);
        let transaction = transaction.map(|settings| Transaction::new(settings, Arc::clone(&sender)));
        Ok(Self { sender, transaction })
    }

    /// Hands a record to the client, which copies it. Waits while the client's queue is full.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if the queue stays full or the client refuses the record, [`KafkaError::TooLarge`] if
    /// this record or an earlier one is too large.
    pub fn send(&self, outgoing: &Outgoing<'_>) -> Result<(), KafkaError> {
        self.sender.tend();
        self.transaction.as_ref().map_or(Ok(()), Transaction::begin)?;
        self.sender.send(outgoing).map_err(|error| {
            let what = format!("producing to {}", outgoing.topic);
            // After a failure the client accepts nothing more for the transaction, and reports only that.
            let fenced = self.transaction.as_ref().and_then(|transaction| transaction.fenced(&what));
            // It stays for a commit on another thread that waits for that record.
            let cause = fenced.or_else(|| self.sender.failure().filter(KafkaError::is_lasting));
            cause.unwrap_or_else(|| KafkaError::of_record(&what, outgoing.topic, &error))
        })
    }

    /// Waits until everything sent so far is acknowledged by all replicas, but not for records sent in the meantime.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if a record failed or the broker did not answer in time.
    pub fn wait_acknowledged(&self) -> Result<(), KafkaError> {
        self.sender.wait_acknowledged()
    }

    /// The next offset of a changelog partition, according to this producer's acknowledged records.
    pub fn changelog_offset(&self, slot: ChangelogSlot) -> Option<i64> {
        self.sender.changelog_offset(slot)
    }

    /// Forgets the next offset of a changelog partition: a task that opens begins at what its restore has read, also if
    /// the topic was deleted and created again since.
    pub fn forget_changelog(&self, slot: ChangelogSlot) {
        self.sender.forget_changelog(slot);
    }

    /// Whether everything sent between two commits appears together or not at all.
    pub fn is_transactional(&self) -> bool {
        self.transaction.is_some()
    }

    /// Whether a new producer must take this one's place.
    pub fn is_spent(&self) -> bool {
        self.transaction.as_ref().is_some_and(Transaction::is_spent)
    }

    /// Registers the transactional id, which ends any transaction that an earlier producer with that id left open.
    /// May be called again after a failure; without transactions there is nothing to do.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] while the brokers do not answer, [`KafkaError::Fatal`] if they never will.
    pub fn ready(&self) -> Result<(), KafkaError> {
        self.transaction.as_ref().map_or(Ok(()), Transaction::ready)
    }

    /// Adds input positions to the transaction. They are committed with it if `metadata` still names a member of the
    /// group in its present generation.
    ///
    /// # Errors
    /// [`KafkaError::Fenced`] if it does not; call [`abort`](Self::abort) then.
    pub fn send_offsets(
        &self,
        consumer: &GroupConsumer,
        positions: &[OffsetCommit],
        metadata: &GroupMetadata,
    ) -> Result<(), KafkaError> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        transaction.send_offsets(consumer, positions, metadata)
    }

    /// Adds offsets to the transaction that `group`, which has no members, keeps for partitions of `topic`.
    pub fn send_positions(
        &self,
        group: &GroupOffsets,
        topic: &str,
        positions: &[OffsetCommit],
    ) -> Result<(), KafkaError> {
        let Some(transaction) = &self.transaction else { return Ok(()) };
        transaction.send_positions(group, topic, positions)
    }

    /// Commits the transaction. When this returns `Ok`, everything in it counts.
    ///
    /// # Errors
    /// Nothing counts, or the outcome is unknown: call [`abort`](Self::abort), and check
    /// [`is_spent`](Self::is_spent).
    pub fn commit(&self) -> Result<(), KafkaError> {
        self.transaction.as_ref().map_or(Ok(()), Transaction::commit)
    }

    /// Drops everything sent since the last commit; without transactions, only the failure of a record. If that does
    /// not succeed in time, or if some of it is not acknowledged, the producer is spent.
    pub fn abort(&self) {
        match &self.transaction {
            Some(transaction) => transaction.abort(),
            None => drop(self.sender.take_failure()),
        }
    }
}

/// Nothing may still be in flight when its transaction has timed out.
fn delivery_timeout_ms(transaction: Option<&TransactionSettings>) -> u64 {
    transaction.map_or(DELIVERY_TIMEOUT_MS, |transaction| transaction.timeout_ms.min(DELIVERY_TIMEOUT_MS))
}
