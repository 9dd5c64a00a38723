//! The store of a task of `deliver`.
//!
//! | key | what |
//! |---|---|
//! | `m` offset channel | a message that is not done: its notices, attempts, next try |
//! | `i` alert `\0` recipient `\0` channel | the notice is known; when it was sent, and the server's answer |
//! | `r` recipient `\0` channel | when messages were sent in the last hour |
//! | `t` recipient `\0` channel `\0` thread | the message that began a thread |

use frostline_engine::Owner;
use frostline_engine::record::day_of;
use frostline_engine::store::{StateError, Store};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::memory::{decode, encode};
use super::super::notice::{Notice, Recipient};
use super::message::{Message, MessageKey};
use crate::rules::Channel;

const MESSAGE_KEY: &[u8] = b"m";

/// The state of a notice on one channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Known {
    /// It is waiting or being sent.
    Pending,
    /// It was sent.
    Sent {
        /// When, in milliseconds since 1970.
        at_ms: i64,
        /// The server's answer.
        answer: String,
    },
    /// It was not sent, for this reason.
    Suppressed(String),
}

/// The store with the task's own entries, at a moment.
pub(super) struct Memory<'a> {
    pub(super) store: &'a mut Store,
    pub(super) now_ms: i64,
}

impl Memory<'_> {
    /// Uses the day of the existing entry if that is newer: a clock that is wrong for a while must not make known
    /// entries look old. An entry that cannot be read is replaced.
    fn put(&mut self, key: &[u8], value: &impl Serialize) {
        let today = day_of(self.now_ms);
        let day = self.store.get_for_update(key, today, |_| ()).map_or(today, |(_, day)| day);
        self.store.put(key, day, &encode(value));
    }

    fn get<T: serde::de::DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StateError> {
        let found = self.store.get(key, day_of(self.now_ms), decode::<T>)?;
        match found {
            None => Ok(None),
            Some(Ok(value)) => Ok(value),
            Some(Err(())) => {
                let key = String::from_utf8_lossy(key).into_owned();
                Err(self.store.corrupted(&format!("the entry {key:?} cannot be read")))
            }
        }
    }

    pub(super) fn messages(&self) -> Result<Vec<Message>, StateError> {
        let (mut found, mut is_broken, mut strange) = (Vec::new(), false, 0_u32);
        self.store.scan_prefix(MESSAGE_KEY, |_, value| match decode::<Message>(value) {
            Ok(Some(message)) => found.push(message),
            Ok(None) => strange += 1,
            Err(()) => is_broken = true,
        })?;
        if strange > 0 {
            tracing::error!(
                messages = strange,
                "messages of another version are in the store; they will not be sent"
            );
        }
        if is_broken { Err(self.store.corrupted("a message cannot be read")) } else { Ok(found) }
    }

    pub(super) fn put_message(&mut self, key: MessageKey, message: &Message) {
        self.put(&message_key(key), message);
    }

    pub(super) fn drop_message(&mut self, key: MessageKey) {
        self.store.delete(&message_key(key));
    }

    pub(super) fn known(
        &self,
        alert_id: &str,
        to: &Recipient,
        channel: Channel,
    ) -> Result<Option<Known>, StateError> {
        self.get(&known_key(alert_id, to, channel))
    }

    pub(super) fn know(&mut self, alert_id: &str, to: &Recipient, channel: Channel, known: &Known) {
        self.put(&known_key(alert_id, to, channel), known);
    }

    /// Makes a notice of a message that was given up count as new when it comes again. What it began, if it did, has not
    /// begun.
    pub(super) fn forget(&mut self, notice: &Notice, message: &Message) {
        let (to, channel) = (&message.recipient, message.channel);
        self.store.delete(&known_key(&notice.alert_id, to, channel));
        let began = self.thread(to, channel, notice.thread());
        if began.is_ok_and(|began| began.as_deref() == Some(message.id.as_str())) {
            self.store.delete(&thread_key(to, channel, notice.thread()));
        }
    }

    /// When messages were sent recently, oldest first.
    pub(super) fn sent_times(&self, to: &Recipient, channel: Channel) -> Result<Vec<i64>, StateError> {
        Ok(self.get(&format_key('r', to, channel.as_str()))?.unwrap_or_default())
    }

    pub(super) fn put_sent_times(&mut self, to: &Recipient, channel: Channel, times: &[i64]) {
        self.put(&format_key('r', to, channel.as_str()), &times);
    }

    /// The message that began a thread; empty while it has no id yet.
    pub(super) fn thread(
        &self,
        to: &Recipient,
        channel: Channel,
        thread: &str,
    ) -> Result<Option<String>, StateError> {
        self.get(&thread_key(to, channel, thread))
    }

    pub(super) fn begin_thread(&mut self, to: &Recipient, channel: Channel, thread: &str, message_id: &str) {
        self.put(&thread_key(to, channel, thread), &message_id);
    }
}

/// The entries of a recipient in a store: messages that are not done, and how many were sent recently.
pub(in super::super) fn remembered(store: &Store, recipient: &Recipient) -> Result<Vec<Value>, StateError> {
    let mut found = Vec::new();
    store.scan_committed(MESSAGE_KEY, |_, value| {
        let message = decode::<Message>(value).ok().flatten();
        if let Some(message) = message.filter(|message| message.recipient == *recipient) {
            found.push(json!({
                "kind": "message",
                "channel": message.channel,
                "message_id": message.id,
                "alert_ids": message.alert_ids().collect::<Vec<_>>(),
                "due_ms": message.due_ms,
                "attempts": message.attempts,
                "error": message.error,
            }));
        }
    })?;
    store.scan_committed(&format_key('r', recipient, ""), |key, value| {
        let channel = key.rsplit(|byte| *byte == 0).next().map(String::from_utf8_lossy);
        if let Ok(Some(times)) = decode::<Vec<i64>>(value) {
            found.push(json!({ "kind": "sent", "channel": channel, "at_ms": times }));
        }
    })?;
    Ok(found)
}

/// The recipient of an entry, which is the key of its notices; `None` for messages, whose keys are offsets.
pub(in super::super) fn owner(key: &[u8]) -> Option<Owner<'_>> {
    let (kind, rest) = key.split_first()?;
    let mut parts = rest.split(|byte| *byte == 0);
    let recipient = match kind {
        b'i' => parts.nth(1),
        b'r' | b't' => parts.next(),
        _ => None,
    };
    // All of them have more after the recipient.
    recipient.filter(|recipient| !recipient.is_empty() && parts.next().is_some()).map(Owner::Key)
}

fn message_key(key: MessageKey) -> Vec<u8> {
    [MESSAGE_KEY, &key.offset.to_be_bytes(), key.channel.as_str().as_bytes()].concat()
}

fn known_key(alert_id: &str, to: &Recipient, channel: Channel) -> Vec<u8> {
    format!("i{alert_id}\0{to}\0{channel}").into_bytes()
}

fn format_key(kind: char, to: &Recipient, what: &str) -> Vec<u8> {
    format!("{kind}{to}\0{what}").into_bytes()
}

fn thread_key(to: &Recipient, channel: Channel, thread: &str) -> Vec<u8> {
    format_key('t', to, &format!("{channel}\0{thread}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_belong_to_their_recipient_and_messages_to_their_offset() {
        let anna = Recipient::Subscriber("anna".into());
        let of_anna = Some(Owner::Key(b"subscriber/anna".as_slice()));
        assert_eq!(owner(&known_key("frost/X/2016-01-01/fired", &anna, Channel::Email)), of_anna);
        assert_eq!(owner(&format_key('r', &anna, "email")), of_anna);
        assert_eq!(owner(&format_key('t', &anna, "email\0frost/X")), of_anna);
        assert_eq!(owner(&message_key(MessageKey { offset: 7, channel: Channel::Email })), None);
        assert_eq!((owner(b""), owner(b"ralone")), (None, None));
    }
}
