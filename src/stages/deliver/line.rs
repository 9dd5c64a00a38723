//! Messages to one recipient over one channel arrive in their order: each waits until the one before it is sent or given
//! up. One that may disturb does not wait for the morning behind one that may not.

use std::cmp::Reverse;
use std::sync::Arc;

use super::memory::Memory;
use super::message::MessageKey;
use super::{Deliver, DeliverSettings};
use crate::rules::Channel;
use crate::stages::notice::Recipient;

/// A closed message that is not done yet, and the messages that wait for it.
pub(super) struct Line {
    first: MessageKey,
    pub(super) waiting: Vec<MessageKey>,
}

impl Line {
    /// Nobody waits yet.
    pub(super) fn behind(first: MessageKey) -> Self {
        Self { first, waiting: Vec::new() }
    }
}

impl Deliver {
    /// Lets a message wait. If it may disturb now, the first one is not held until the morning any more.
    pub(super) fn wait_in_line(&mut self, key: MessageKey, place: &(Recipient, Channel), now_ms: i64) {
        let Some(line) = self.busy.get_mut(place) else { return };
        line.waiting.push(key);
        let first = line.first;
        if self.quiet_until_ms(first, now_ms).is_none() || self.quiet_until_ms(key, now_ms).is_some() {
            return;
        }
        if let Some(first_message) = self.messages.get_mut(&first).map(Arc::make_mut)
            && !self.on_their_way.contains(&first)
        {
            first_message.go_on_at(now_ms);
            self.due.push(Reverse((now_ms, first)));
        }
    }

    /// When quiet hours end, if they hold a message back.
    fn quiet_until_ms(&self, key: MessageKey, now_ms: i64) -> Option<i64> {
        let message = self.messages.get(&key)?;
        let subscriber = message.recipient.subscriber(&self.rules);
        DeliverSettings::quiet_until_ms(message, subscriber.as_ref(), now_ms)
    }

    /// Repeats failed attempts, but not during quiet hours.
    pub(super) fn hand_out_or_hold(
        &mut self,
        key: MessageKey,
        place: &(Recipient, Channel),
        memory: &mut Memory<'_>,
    ) {
        let waiting = self.busy.get(place).map_or(&[][..], |line| &line.waiting);
        let is_urgent = waiting.iter().any(|waiting| self.quiet_until_ms(*waiting, memory.now_ms).is_none());
        let quiet = self.quiet_until_ms(key, memory.now_ms).filter(|_| !is_urgent);
        let Some(message) = self.messages.get_mut(&key).map(Arc::make_mut) else { return };
        message.go_on_at(quiet.unwrap_or(memory.now_ms));
        let Some(until_ms) = quiet else { return self.hand_out(key) };
        memory.put_message(key, message);
        self.due.push(Reverse((until_ms, key)));
    }
}
