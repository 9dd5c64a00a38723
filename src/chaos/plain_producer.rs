//! A plain producer next to the daemons: it does nothing but send records, so what delays it delays any client.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use frostline_engine::TopicPlan;
use frostline_engine::kafka::{ClientSettings, KafkaError, Outgoing, Producer};

use super::lock::lock;
use super::recovery::Recoveries;
use super::{ChaosError, Installation};

const SEND_INTERVAL: Duration = Duration::from_millis(50);

/// The thread that sends.
pub(super) struct PlainProducer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    recoveries: Mutex<Recoveries<()>>,
    stop: AtomicBool,
}

impl PlainProducer {
    /// Starts sending, through the proxy if there is one.
    pub(super) fn start(installation: &Installation) -> Result<Self, ChaosError> {
        let mut kafka = installation.config.kafka.clone();
        if let Some(network) = &installation.network {
            kafka.brokers.clone_from(&network.bystander.brokers);
        }
        let (settings, topic) = (ClientSettings::new(&kafka)?, installation.plain_topic());
        let shared = Arc::<Shared>::default();
        let there = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            while !there.stop.load(Ordering::Relaxed) {
                // A producer that has failed accepts nothing more.
                if let Err(error) = send(&settings, &topic, &there) {
                    tracing::debug!(%error, "the plain producer starts again");
                    std::thread::sleep(SEND_INTERVAL);
                }
            }
        });
        Ok(Self { shared, thread: Some(thread) })
    }

    /// A fault happens now.
    pub(super) fn fault(&self, kind: String) {
        self.recoveries().fault(kind, ());
    }

    pub(super) fn recoveries(&self) -> MutexGuard<'_, Recoveries<()>> {
        lock(&self.shared.recoveries)
    }
}

impl Drop for PlainProducer {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Sends records, one to each partition at a time, and waits for their acknowledgement.
fn send(settings: &ClientSettings, topic: &TopicPlan, shared: &Shared) -> Result<(), KafkaError> {
    let producer = Producer::new(settings, None)?;
    while !shared.stop.load(Ordering::Relaxed) {
        let sent_at = Instant::now();
        for partition in 0..topic.partitions {
            producer.send(&Outgoing {
                topic: &topic.name,
                partition: Some(partition),
                key: None,
                value: Some(b"plain"),
                timestamp_ms: -1,
                headers: &[],
                changelog: None,
            })?;
        }
        producer.wait_acknowledged()?;
        lock(&shared.recoveries).close(Instant::now(), |since, ()| since < sent_at);
        std::thread::sleep(SEND_INTERVAL);
    }
    Ok(())
}
