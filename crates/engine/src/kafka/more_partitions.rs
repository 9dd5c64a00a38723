//! More partitions for a topic, and where keys go before and after.

use std::time::{Duration, Instant};

use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::producer::Producer as _;

use super::{Admin, KafkaError, Operation, Producer, Right, raw};

const PATIENCE: Duration = Duration::from_secs(20);
/// Pause between two checks whether a broker shows the new partitions.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// The partition to which producers send a record with this key in a topic with this many partitions (`murmur2`, as
/// Kafka's Java clients compute it). 0 for a topic without partitions.
pub fn partition_of_key(key: &[u8], partitions: i32) -> i32 {
    raw::partition_of_key(key, partitions).unwrap_or(0)
}

impl Admin {
    /// Gives a topic this many partitions, and waits until the brokers show them. Existing partitions stay as they
    /// are.
    ///
    /// # Errors
    /// [`KafkaError::Topic`] if the brokers refuse it, [`KafkaError::Retry`] if they do not answer in time.
    pub async fn add_partitions(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        self.tend();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE)).request_timeout(Some(PATIENCE));
        let what = format!("adding partitions to topic {topic}");
        let more = NewPartitions::new(topic, usize::try_from(partitions).unwrap_or_default());
        let results = self.admin_client().create_partitions([&more], &options).await;
        match results.map_err(|error| KafkaError::of_client(&what, &error))?.pop() {
            Some(Ok(_)) => {}
            Some(Err((_, code))) => {
                return Err(KafkaError::of_refusal(&what, Right::on_topic(Operation::Alter, topic), code));
            }
            None => return Err(KafkaError::Topic(format!("{what}: the broker did not report the outcome"))),
        }
        let deadline = Instant::now() + PATIENCE;
        // They are shown before each has a leader that knows of it.
        while self.partitions(topic)? != Some(partitions) || self.log_offsets(topic).is_err() {
            if Instant::now() > deadline {
                return Err(KafkaError::Retry(format!("{what}: the brokers do not show them yet")));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(())
    }
}

impl Producer {
    /// Waits until this producer knows that a topic has this many partitions and can write to all of them.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if the brokers do not show them in time.
    pub fn wait_for_partitions(&self, topic: &str, partitions: i32) -> Result<(), KafkaError> {
        let what = format!("looking up topic {topic}");
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.sender.tend();
            let metadata = self.sender.client.client().fetch_metadata(Some(topic), PATIENCE);
            let metadata = metadata.map_err(|error| KafkaError::of_client(&what, &error))?;
            let found = metadata.topics().iter().map(|topic| topic.partitions().len()).sum::<usize>();
            if i32::try_from(found).is_ok_and(|found| found >= partitions) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(KafkaError::Retry(format!(
                    "{what}: a broker shows {found} of {partitions} partitions"
                )));
            }
            std::thread::sleep(LOOK_INTERVAL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kafka's own test vectors (`UtilsTest.testMurmur2`).
    #[test]
    fn keys_go_where_other_clients_put_them() {
        for (key, hash) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("abc", 479_470_107),
        ] {
            for partitions in [1, 5, 8] {
                assert_eq!(
                    partition_of_key(key.as_bytes(), partitions),
                    (hash & 0x7fff_ffff) % partitions,
                    "{key}"
                );
            }
        }
    }
}
