//! A broker inside the process: librdkafka's mock cluster. For the demo and for tests that need no guarantees: it has
//! no transactions, no durability and no compaction, and deletes old records after 5 MiB per partition.

use std::sync::mpsc;
use std::thread::JoinHandle;

use rdkafka::mocking::MockCluster;

use super::KafkaError;
use crate::TopicPlan;

/// A running embedded broker; it stops when this is dropped.
pub struct EmbeddedBroker {
    brokers: String,
    /// Dropping this stops the thread.
    stop: Option<mpsc::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl EmbeddedBroker {
    /// Starts the broker with these topics, on a loopback port that the system chooses.
    ///
    /// # Errors
    /// [`KafkaError::Fatal`] if it cannot be started.
    pub fn start(topics: Vec<TopicPlan>) -> Result<Self, KafkaError> {
        let (stop, stopped) = mpsc::channel::<()>();
        let (ready, started) = mpsc::channel();
        // The cluster must stay on the thread that created it.
        let thread = std::thread::Builder::new()
            .name("embedded-broker".into())
            .spawn(move || {
                let cluster = match make(&topics) {
                    Ok(cluster) => cluster,
                    Err(error) => return drop(ready.send(Err(error))),
                };
                if ready.send(Ok(cluster.bootstrap_servers())).is_ok() {
                    // Returns when the sender is dropped.
                    let _ = stopped.recv();
                }
            })
            .map_err(|error| KafkaError::Fatal(format!("the embedded broker cannot start: {error}")))?;
        let brokers = started
            .recv()
            .map_err(|_| KafkaError::Fatal("the embedded broker ended at its start".into()))??;
        Ok(Self { brokers, stop: Some(stop), thread: Some(thread) })
    }

    /// Its address, as `HOST:PORT`.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }
}

fn make(
    topics: &[TopicPlan],
) -> Result<MockCluster<'static, rdkafka::producer::DefaultProducerContext>, KafkaError> {
    let cluster =
        MockCluster::new(1).map_err(|error| KafkaError::of_client("starting the embedded broker", &error))?;
    for topic in topics {
        cluster
            .create_topic(&topic.name, topic.partitions, 1)
            .map_err(|error| KafkaError::of_client(&format!("creating topic {}", topic.name), &error))?;
    }
    Ok(cluster)
}

impl Drop for EmbeddedBroker {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
