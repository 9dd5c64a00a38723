//! The bare client: consumes and counts, nothing else. `frostline bench` compares everything with this limit.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::topic_partition_list::Offset;

use super::client::Quiet;
use super::raw::SharedQueue;
use super::{ClientSettings, KafkaError};

/// Records taken in one call.
const BATCH: usize = 4_096;
/// How long without a record before the run counts as failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Reads a topic from its beginning, without a group.
pub struct BareClient {
    queue: SharedQueue,
    consumer: Arc<BaseConsumer<Quiet>>,
    topic: String,
}

impl BareClient {
    /// Starts fetching with the client's own defaults, except the two that slow it down.
    ///
    /// # Errors
    /// [`KafkaError::Settings`] if the client refuses the user's settings.
    pub fn new(settings: &ClientSettings, topic: &str, partitions: i32) -> Result<Self, KafkaError> {
        let mut config: ClientConfig = settings.base();
        config
            .set("group.id", settings.lookout("bare-client"))
            .set("enable.auto.commit", "false")
            // With the default of 1000 ms a full queue stops the fetcher for a second.
            .set("fetch.queue.backoff.ms", "10")
            .set("queued.max.messages.kbytes", "16384");
        let consumer: BaseConsumer<Quiet> = config
            .create_with_context(Quiet::new(settings))
            .map_err(|error| KafkaError::of_client("making a consumer", &error))?;
        consumer.context().lifeline.tend(consumer.client());
        let failed = |error| KafkaError::of_client(&format!("reading {topic}"), &error);
        let mut assignment = TopicPartitionList::new();
        for partition in 0..partitions {
            assignment.add_partition_offset(topic, partition, Offset::Beginning).map_err(failed)?;
        }
        let consumer = Arc::new(consumer);
        let name: Arc<str> = topic.into();
        let queue = SharedQueue::gather(consumer.client(), consumer.clone(), &name, 0..partitions)
            .ok_or_else(|| KafkaError::Fatal(format!("no queue for {topic}")))?;
        consumer.assign(&assignment).map_err(failed)?;
        Ok(Self { queue, consumer, topic: topic.to_owned() })
    }

    /// Counts `wanted` records; returns the time from the first to the last.
    ///
    /// # Errors
    /// [`KafkaError::Retry`] if they do not arrive.
    pub fn count(mut self, wanted: u64) -> Result<Duration, KafkaError> {
        let (mut counted, mut first, mut last) = (0, None, Instant::now());
        while counted < wanted {
            let taken = self.queue.discard::<BATCH>(Duration::from_millis(100));
            counted += taken;
            if taken > 0 {
                last = Instant::now();
                first.get_or_insert(last);
            } else if last.elapsed() > PATIENCE {
                let topic = &self.topic;
                return Err(KafkaError::Retry(format!(
                    "only {counted} of {wanted} records of {topic} arrived"
                )));
            }
            drop(self.consumer.poll(Duration::ZERO));
        }
        Ok(first.map_or(Duration::ZERO, |first| last - first))
    }
}
