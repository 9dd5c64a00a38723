//! A message to one recipient over one channel, made of one notice or several.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::super::notice::{Notice, Recipient};
use crate::rules::{Channel, Severity};

/// Most bytes of one message's texts: it is a record of the changelog.
const MESSAGE_BYTES_MAX: usize = 200_000;
/// A message that is sent so long after it began is late.
const LATE_MS: i64 = 2 * 3_600_000;
/// Most notices of one message.
const NOTICES_MAX: usize = 100;

/// Identifies a message in its task: the offset of its first notice, and its channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct MessageKey {
    pub(super) offset: i64,
    pub(super) channel: Channel,
}

/// A notice, and the place where it was read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// The notice itself.
    pub notice: Notice,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
}

impl Told {
    /// A notice without a place in a topic.
    pub fn of_notice(notice: Notice) -> Self {
        Self { notice, partition: 0, offset: 0, timestamp_ms: 0 }
    }
}

/// A message; see the module's description.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Message {
    /// The same for every attempt: made of the recipient, the channel and the alerts. Empty while notices may still
    /// join.
    pub id: String,
    /// The recipient.
    pub recipient: Recipient,
    /// The channel.
    pub channel: Channel,
    /// The notices, oldest first.
    pub notices: Vec<Told>,
    /// The message that began the thread, if this one continues it.
    pub answers: Option<String>,
    /// Since when it has been collecting notices or, once closed, has been sent, in milliseconds since 1970; later by
    /// the time in which nobody tried.
    pub since_ms: i64,
    /// When to check it next: to close and send it, or to send it again.
    pub due_ms: i64,
    /// How many attempts have failed.
    pub attempts: u32,
    /// How many of these failed because of the message, while the server worked.
    pub refusals: u32,
    /// The reason of the last failure.
    pub error: String,
}

impl Message {
    /// A message with an id that waits for nothing, for tests of the channels.
    pub fn of_notices(recipient: Recipient, channel: Channel, notices: Vec<Told>) -> Self {
        let mut message = Self::begin(recipient, channel, notices, 0, 0);
        message.close();
        message
    }

    pub(super) fn begin(
        recipient: Recipient,
        channel: Channel,
        notices: Vec<Told>,
        since_ms: i64,
        due_ms: i64,
    ) -> Self {
        let (id, answers, error) = (String::new(), None, String::new());
        Self { id, recipient, channel, notices, answers, since_ms, due_ms, attempts: 0, refusals: 0, error }
    }

    pub(super) fn key(&self) -> Option<MessageKey> {
        self.notices.first().map(|told| MessageKey { offset: told.offset, channel: self.channel })
    }

    /// Whether no more notices may join.
    pub(super) fn is_closed(&self) -> bool {
        !self.id.is_empty()
    }

    /// Fixes its content, and so its id.
    pub(super) fn close(&mut self) {
        let mut digest = Sha256::new();
        digest.update(format!("{}\0{}", self.recipient, self.channel));
        self.notices.iter().for_each(|told| digest.update(format!("\0{}", told.notice.alert_id)));
        self.id = digest.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect();
    }

    /// Puts the next attempt at this time. From when it was due until then nobody tries: the hours are quiet, no daemon
    /// was running, or the one that gave it its time had another clock. The server had no chance in that time, so it
    /// does not count until the message is given up.
    pub(super) fn go_on_at(&mut self, at_ms: i64) {
        self.since_ms = (self.since_ms + at_ms - self.due_ms).min(at_ms);
        self.due_ms = at_ms;
    }

    /// Names the night in texts about nights that are sent hours later, for people: "tonight" may be over by then.
    pub(super) fn name_nights_if_late(&mut self, now_ms: i64) {
        if now_ms - self.since_ms < LATE_MS || !self.channel.descriptor().is_for_people {
            return;
        }
        for notice in self.notices.iter_mut().map(|told| &mut told.notice) {
            let night = format!("Night of {}: ", notice.date);
            if notice.transition.is_of_nights() && !notice.message.starts_with(&night) {
                notice.message.insert_str(0, &night);
            }
        }
    }

    /// Whether one more notice may join.
    pub(super) fn has_room(&self, notice: &Notice) -> bool {
        let bytes: usize = self.notices.iter().map(|told| told.notice.bytes()).sum();
        self.channel.descriptor().gathers
            && self.notices.len() < NOTICES_MAX
            && bytes + notice.bytes() <= MESSAGE_BYTES_MAX
    }

    /// The urgency: the highest severity of its notices. Alerts that are over wake nobody.
    pub fn urgency(&self) -> Severity {
        let begins = self.notices.iter().filter(|told| !told.notice.is_over());
        begins.map(|told| told.notice.severity).max().unwrap_or(Severity::Info)
    }

    /// Whether all its alerts are over.
    pub fn is_over(&self) -> bool {
        self.notices.iter().all(|told| told.notice.is_over())
    }

    /// The ids of its alerts.
    pub fn alert_ids(&self) -> impl Iterator<Item = &str> {
        self.notices.iter().map(|told| told.notice.alert_id.as_str())
    }
}
