//! A producer for changes that only one process makes at a time.

use frostline_engine::kafka::{ClientSettings, KafkaError, Producer, TransactionSettings};

use crate::config::{Config, Guarantee};

/// A producer for the task `name`. As soon as another process makes one for the same task, the transactions of this
/// one fail with [`KafkaError::Replaced`]: what a process has read since it made its producer is still true when its
/// transaction is committed. With `runtime.guarantee = "at_least_once"` there are no transactions, and nothing is
/// fenced.
///
/// # Errors
/// The brokers do not answer, or do not allow it.
pub fn sole_producer(config: &Config, name: &str) -> Result<Producer, KafkaError> {
    let transaction = TransactionSettings {
        transactional_id: format!("{}frostline-{name}", config.kafka.namespace),
        timeout_ms: config.runtime.transaction_timeout_ms,
    };
    let is_exactly_once = config.runtime.guarantee == Guarantee::ExactlyOnce;
    let producer =
        Producer::new(&ClientSettings::new(&config.kafka)?, is_exactly_once.then_some(&transaction))?;
    producer.ready()?;
    Ok(producer)
}

/// Waits until everything that was sent counts: commits the transaction, if there is one.
///
/// # Errors
/// The brokers do not accept it, or another process has made a producer for the same task.
pub fn settle(producer: &Producer) -> Result<(), KafkaError> {
    if producer.is_transactional() { producer.commit() } else { producer.wait_acknowledged() }
}
