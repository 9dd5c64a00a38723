//! The outcomes of messages: replies, retries, giving up, and the records about them.

use std::cmp::Reverse;
use std::sync::Arc;
use std::time::Duration;

use frostline_engine::Context;
use frostline_engine::record::{HeaderList, NO_HEADERS, Record};
use schemars::JsonSchema;
use serde::Serialize;

use super::memory::{Known, Memory};
use super::message::MessageKey;
use super::outlet::{Replied, Reply};
use super::{Channel, Deliver, Message, Told, UNHEARD, pending, settings};
use crate::stages::count;
use crate::stages::notice::{Addressed, Recipient};

/// The outcome of one message.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Delivery")]
pub(crate) struct OutcomeRecord<'a> {
    /// The id of the message, the same for each attempt.
    message_id: &'a str,
    /// The channel.
    channel: Channel,
    /// The recipient: `subscriber/ID`, `address/DIGEST` or `alertmanager`.
    recipient: &'a Recipient,
    /// `sent`, `failed` or `suppressed`.
    #[schemars(extend("enum" = ["sent", "failed", "suppressed"]))]
    outcome: &'static str,
    /// Why the message failed or was suppressed; null if it was sent.
    reason: Option<&'a str>,
    /// The answer of the server; null if the message was not sent.
    answer: Option<&'a str>,
    /// The number of attempts.
    attempts: u32,
    /// The ids of the alerts in the message.
    alert_ids: Vec<&'a str>,
    /// The time of the outcome, in milliseconds since 1970.
    at_ms: i64,
}

/// Why a message waits.
#[derive(Clone, Copy)]
enum Delay {
    /// No attempt was made, and none will be for this long.
    Untried(Duration),
    /// It failed, and the server may have said when to retry.
    Tried { retry_after: Option<Duration>, is_down: bool },
}

impl Deliver {
    pub(super) fn take_reply(&mut self, replied: Replied, context: &mut Context<'_>) {
        let Replied { key, reply, retry_after } = replied;
        self.on_their_way.remove(&key);
        let Some(message) = self.messages.get(&key).cloned() else { return };
        let is_refusal = matches!(reply, Reply::Again(_));
        match reply {
            Reply::Sent(answer) => {
                context.counts[count::SENT] += 1;
                self.done(key, &message, Ok(&answer), context);
            }
            Reply::Refused(reason) => {
                let mut message = (*message).clone();
                message.attempts += 1;
                self.fail(key, &message, &reason, context);
            }
            Reply::Again(reason) | Reply::Down(reason) => {
                let mut message = (*message).clone();
                message.attempts += 1;
                message.refusals += u32::from(is_refusal);
                let delay = Delay::Tried { retry_after, is_down: !is_refusal };
                self.put_off((key, message), reason, delay, context);
            }
            Reply::Postponed { reason, wait } => {
                self.put_off((key, (*message).clone()), reason, Delay::Untried(wait), context);
            }
        }
    }

    /// Schedules the next attempt.
    fn put_off(
        &mut self,
        (key, mut message): (MessageKey, Message),
        reason: String,
        delay: Delay,
        context: &mut Context<'_>,
    ) {
        message.error = reason;
        message.name_nights_if_late(context.now_ms);
        if self.settings.is_hopeless(&message, context.now_ms) {
            let reason = format!("{} after {} attempts", message.error, message.attempts);
            return self.fail(key, &message, &reason, context);
        }
        let ms = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        let delay_ms = match delay {
            Delay::Untried(wait) => settings::jittered_ms(ms(wait)),
            Delay::Tried { retry_after, is_down } => {
                self.settings.retry_delay_ms(message.attempts, is_down, retry_after.map_or(0, ms))
            }
        };
        let hours = |at_ms: i64| (at_ms - message.since_ms).div_euclid(settings::HOUR_MS);
        let was_due_ms = std::mem::replace(&mut message.due_ms, context.now_ms + delay_ms);
        let is_tried = matches!(delay, Delay::Tried { .. });
        if is_tried {
            context.counts[count::RETRIED] += 1;
            self.outcomes.push((message.channel, "retried"));
        }
        // Without an attempt, an entry in the changelog is worth it only so that the next daemon knows the hours in which
        // the server was down.
        if is_tried || hours(message.due_ms) > hours(was_due_ms) {
            Memory { store: context.store, now_ms: context.now_ms }.put_message(key, &message);
        }
        self.due.push(Reverse((message.due_ms, key)));
        self.messages.insert(key, Arc::new(message));
    }

    /// It will not be sent: each notice becomes a dead letter that can be retried, on this channel only.
    fn fail(&mut self, key: MessageKey, message: &Message, reason: &str, context: &mut Context<'_>) {
        context.counts[count::FAILED] += 1;
        for told in &message.notices {
            // Its text is in the recipient's form already.
            let (recipient, notice) = (message.recipient.clone(), told.notice.clone());
            let addressed = Addressed { recipient, notice, moment: None, channel: Some(message.channel) };
            // Strings and numbers into a vector cannot fail.
            let value = serde_json::to_vec(&addressed).unwrap_or_default();
            let key = message.recipient.to_string();
            let record = Record {
                topic: &self.settings.source,
                partition: told.partition,
                offset: told.offset,
                timestamp_ms: told.timestamp_ms,
                key: Some(key.as_bytes()),
                value: Some(&value),
                headers: &HeaderList(NO_HEADERS),
            };
            context.reject(&record, &format!("{} to {}: {reason}", message.channel, message.recipient));
        }
        self.done(key, message, Err(reason), context);
    }

    fn done(
        &mut self,
        key: MessageKey,
        message: &Message,
        outcome: Result<&str, &str>,
        context: &mut Context<'_>,
    ) {
        let mut memory = Memory { store: context.store, now_ms: context.now_ms };
        for Told { notice, .. } in &message.notices {
            match outcome {
                Ok(answer) => {
                    let known = Known::Sent { at_ms: memory.now_ms, answer: answer.to_owned() };
                    memory.know(&notice.alert_id, &message.recipient, message.channel, &known);
                }
                Err(_) => memory.forget(notice, message),
            }
        }
        memory.drop_message(key);
        self.messages.remove(&key);
        pending(message.channel).decrement(1.0);
        let place = (message.recipient.clone(), message.channel);
        for waiting in self.busy.remove(&place).into_iter().flat_map(|line| line.waiting) {
            let due_ms = self.messages.get(&waiting).map_or(0, |waiting| waiting.due_ms);
            self.due.push(Reverse((due_ms, waiting)));
        }
        let name = if outcome.is_ok() { "sent" } else { "failed" };
        self.tell_outcome(message, name, outcome, context);
        if outcome.is_err() {
            self.drop_ends(&message.recipient, message.channel, context);
        }
    }

    /// Drops messages that only say that something has ended whose beginning was given up.
    fn drop_ends(&mut self, recipient: &Recipient, channel: Channel, context: &mut Context<'_>) {
        let memory = Memory { store: context.store, now_ms: context.now_ms };
        let is_unheard = |told: &Told| {
            let began = memory.thread(recipient, channel, told.notice.thread());
            told.notice.continues() && began.is_ok_and(|began| began.is_none())
        };
        let is_dropped = |message: &Message| {
            let is_theirs = message.recipient == *recipient && message.channel == channel;
            is_theirs && !message.is_closed() && message.notices.iter().all(is_unheard)
        };
        let dropped = self.messages.iter().filter(|(_, message)| is_dropped(message));
        let dropped: Vec<MessageKey> = dropped.map(|(key, _)| *key).collect();
        for key in dropped {
            let Some(message) = self.messages.remove(&key) else { continue };
            Memory { store: context.store, now_ms: context.now_ms }.drop_message(key);
            pending(channel).decrement(1.0);
            self.gathering.retain(|_, open| *open != key);
            for told in message.notices.iter().cloned() {
                self.suppress(recipient, channel, told, UNHEARD, context);
            }
        }
    }

    fn tell_outcome(
        &mut self,
        message: &Message,
        name: &'static str,
        outcome: Result<&str, &str>,
        context: &mut Context<'_>,
    ) {
        self.outcomes.push((message.channel, name));
        let attempts = message.attempts + u32::from(name == "sent");
        self.logged.outcome(message, name, attempts, outcome.err().unwrap_or_default(), context.now_ms);
        let record = OutcomeRecord {
            message_id: &message.id,
            channel: message.channel,
            recipient: &message.recipient,
            outcome: name,
            reason: outcome.err(),
            answer: outcome.ok(),
            attempts,
            alert_ids: message.alert_ids().collect(),
            at_ms: context.now_ms,
        };
        let key = message.recipient.to_string();
        context.collector.emit(key.as_bytes(), context.now_ms, |out| {
            // Strings and numbers into a vector cannot fail.
            let _ = serde_json::to_writer(out, &record);
        });
    }

    /// A notice that is not sent, with the reason.
    pub(super) fn suppress(
        &mut self,
        to: &Recipient,
        channel: Channel,
        told: Told,
        reason: &str,
        context: &mut Context<'_>,
    ) {
        context.counts[count::SUPPRESSED] += 1;
        let mut memory = Memory { store: context.store, now_ms: context.now_ms };
        memory.know(&told.notice.alert_id, to, channel, &Known::Suppressed(reason.to_owned()));
        let message = Message::begin(to.clone(), channel, vec![told], context.now_ms, 0);
        self.tell_outcome(&message, "suppressed", Err(reason), context);
    }
}
