//! A member of a group that only learns which partitions are its own, whose brokers are in memory.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{GroupConsumer, GroupEvent};
use crate::Traffic;
use crate::kafka::{ClientSettings, GroupSettings, KafkaError};

/// As [`crate::kafka::Election`].
pub(crate) struct Election {
    consumer: GroupConsumer,
    owned: Arc<Mutex<BTreeSet<i32>>>,
}

impl Election {
    pub(crate) fn join(
        settings: &ClientSettings,
        group: &str,
        topic: &str,
        session_timeout: Duration,
    ) -> Result<Self, KafkaError> {
        let group = GroupSettings {
            group: group.to_owned(),
            topic: topic.to_owned(),
            partitions: 0,
            traffic: Traffic::Few,
            begins_at_end: true,
            session_timeout,
            group_instance_id: String::new(),
            advertised: String::new(),
            instance: String::new(),
        };
        let owned = Arc::<Mutex<BTreeSet<i32>>>::default();
        let there = Arc::clone(&owned);
        let consumer = GroupConsumer::new(settings, &group, move |event| {
            let mut owned = lock(&there);
            match event {
                GroupEvent::Assigned(assigned) => owned.extend(assigned.iter().map(|one| one.partition)),
                GroupEvent::AssignedUnread(partitions) => owned.extend(partitions),
                GroupEvent::Revoked(partitions) | GroupEvent::Lost(partitions) => {
                    owned.retain(|partition| !partitions.contains(partition));
                }
                GroupEvent::Failed(_) => {}
            }
        })?;
        consumer.subscribe()?;
        Ok(Self { consumer, owned })
    }

    pub(crate) fn poll(&self, _timeout: Duration) -> Result<(), KafkaError> {
        let revoked = self.consumer.turn();
        if !revoked.is_empty() {
            self.consumer.gave_up(&revoked);
        }
        Ok(())
    }

    pub(crate) fn owned(&self) -> BTreeSet<i32> {
        lock(&self.owned).clone()
    }
}

impl Drop for Election {
    fn drop(&mut self) {
        self.consumer.unsubscribe();
        let all = self.consumer.turn();
        self.consumer.gave_up(&all);
    }
}

fn lock(owned: &Mutex<BTreeSet<i32>>) -> MutexGuard<'_, BTreeSet<i32>> {
    owned.lock().unwrap_or_else(PoisonError::into_inner)
}
