//! deliver: turns notices into messages, and sends them to people, once as far as that can be known.
//!
//! # The life of a message
//!
//! ```text
//! notice ─► gathering ──due──► closed ──committed──► handed out ──► reply ─► sent, or given up
//!            ▲      │            ▲                                    │
//!            └──────┘            └───────────── later ◄───────────────┘
//!        quiet hours, rate
//! ```
//!
//! 1. A notice starts a message to its recipient on each channel, or joins the one that is collecting notices
//!    (`group_wait`). The message is written to the store, and with the commit to the changelog.
//! 2. When it is due it is *closed*: from now on its alerts, and so its id, are fixed. It is passed to its sender
//!    only after that is committed. So whatever crashes, it is sent again as the same message with the same id, and
//!    never with other alerts under an id that a receiver has seen.
//! 3. Replies arrive on any thread and are handled here. *Sent* and *refused* end the message: it leaves the store,
//!    and its outcome goes to the stage's topic. If it could not be sent, each notice becomes a dead letter; a retry
//!    counts as new on the channels that failed. *Again* and *down* defer it, with the number of attempts and the
//!    next time in the store.
//!
//! Except for webhooks, one message to a recipient on a channel waits for the previous one: *resolved* never arrives
//! before *fired* (`line.rs`). The end of an event is sent only to those who were notified of its beginning.
//!
//! | dies | then |
//! |---|---|
//! | before 1 is committed | the notice is read again |
//! | between 1 and sending | the message is found in the store and sent |
//! | after sending, before the outcome is committed | it is sent again with the same id: whether it arrived cannot be known here |
//! | after that | nothing is left to do |
//!
//! A partition that is given up handles no more replies; the next owner sends messages that are under way again, as
//! the same messages. If that is the same process, it takes the outcome of the attempt under way (`attempts.rs`).

mod attempts;
mod line;
mod log;
mod memory;
mod message;
mod outcome;
mod outlet;
mod settings;
mod speech;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

pub use attempts::Attempts;
use frostline_engine::record::Record;
use frostline_engine::store::StateError;
use frostline_engine::{Context, Processor, Wake};
use line::Line;
use memory::{Known, Memory};
pub(super) use memory::{owner, remembered};
use message::MessageKey;
pub use message::{Message, Told};
pub(crate) use outcome::OutcomeRecord;
use outlet::Replies;
pub use outlet::{Outlet, Parcel, Reply};
pub use settings::{DeliverSettings, rule_address};

use super::notice::{Addressed, Recipient};
use super::{Limits, accepted_value};
use crate::rules::{Channel, RuleSet};
use crate::stages::count;

/// A clock that is set back by less than this, in milliseconds, delays no message for long.
const CLOCK_STEP_MS: i64 = 1_000;

/// Why the end of an event is not sent.
const UNHEARD: &str = "the beginning of the episode was not sent either";

/// Outcomes of messages, counted when they are committed.
const DELIVERIES_METRIC: &str = "frostline_deliveries_total";

/// Messages that are not done.
const PENDING_METRIC: &str = "frostline_deliveries_pending";

fn pending(channel: Channel) -> metrics::Gauge {
    metrics::gauge!(PENDING_METRIC, "channel" => channel.as_str())
}

/// The processor of notices.
pub struct Deliver {
    settings: Arc<DeliverSettings>,
    rules: Arc<RuleSet>,
    limits: Limits,
    outlet: Outlet,
    replies: Arc<Replies>,
    is_loaded: bool,
    /// The clock at the last turn, in milliseconds since 1970.
    now_ms: i64,
    /// All messages that are not done.
    messages: HashMap<MessageKey, Arc<Message>>,
    /// Messages that notices may still join.
    gathering: HashMap<(Recipient, Channel), MessageKey>,
    due: BinaryHeap<Reverse<(i64, MessageKey)>>,
    on_their_way: HashSet<MessageKey>,
    /// By recipient and channel.
    busy: HashMap<(Recipient, Channel), Line>,
    logged: log::Logged,
    /// Messages closed since the last commit began, and those whose commit is under way.
    closed: Vec<MessageKey>,
    sealed: Vec<MessageKey>,
    /// The same for counts.
    outcomes: Vec<(Channel, &'static str)>,
    sealed_outcomes: Vec<(Channel, &'static str)>,
}

impl Deliver {
    /// Sends the notices' alerts through `outlet`, to the recipients that the rules name.
    pub fn new(settings: Arc<DeliverSettings>, rules: Arc<RuleSet>, limits: Limits, outlet: Outlet) -> Self {
        Self {
            settings,
            rules,
            limits,
            outlet,
            replies: Arc::default(),
            is_loaded: false,
            now_ms: i64::MIN,
            messages: HashMap::new(),
            gathering: HashMap::new(),
            due: BinaryHeap::new(),
            on_their_way: HashSet::new(),
            busy: HashMap::new(),
            logged: log::Logged::default(),
            closed: Vec::new(),
            sealed: Vec::new(),
            outcomes: Vec::new(),
            sealed_outcomes: Vec::new(),
        }
    }

    /// Finds the messages that were not done when the task last ended.
    fn load(&mut self, memory: &Memory<'_>) -> Result<(), StateError> {
        if self.is_loaded {
            return Ok(());
        }
        self.is_loaded = true;
        for mut message in memory.messages()? {
            let Some(key) = message.key() else { continue };
            self.settings.bring_forward(&mut message, memory.now_ms);
            let place = (message.recipient.clone(), message.channel);
            if message.channel.descriptor().gathers && message.is_closed() {
                self.busy.insert(place, Line::behind(key));
            } else if message.channel.descriptor().gathers {
                // Notices join the newest message.
                let newest = self.gathering.entry(place).or_insert(key);
                *newest = key.max(*newest);
            }
            self.due.push(Reverse((message.due_ms, key)));
            self.add(key, message);
        }
        Ok(())
    }

    /// Looks at all messages again if the clock was set back while this task was running.
    fn follow_clock(&mut self, now_ms: i64) {
        let before_ms = std::mem::replace(&mut self.now_ms, now_ms);
        if now_ms + CLOCK_STEP_MS >= before_ms {
            return;
        }
        for (key, message) in self.messages.iter_mut().filter(|(key, _)| !self.on_their_way.contains(*key)) {
            let message = Arc::make_mut(message);
            self.settings.bring_forward(message, now_ms);
            self.due.push(Reverse((message.due_ms, *key)));
        }
    }

    fn add(&mut self, key: MessageKey, message: Message) {
        pending(message.channel).increment(1.0);
        self.messages.insert(key, Arc::new(message));
    }

    /// Adds a notice to the message that collects on this channel, or starts one.
    fn tell(&mut self, recipient: &Recipient, channel: Channel, told: Told, memory: &mut Memory<'_>) {
        let place = (recipient.clone(), channel);
        let open = self.gathering.get(&place).copied();
        if let Some((key, message)) = open.and_then(|key| Some((key, self.messages.get_mut(&key)?)))
            && message.has_room(&told.notice)
        {
            let message = Arc::make_mut(message);
            message.notices.push(told);
            // An alert that must be sent at once does not wait for the morning with the others.
            let soon = memory.now_ms + self.settings.group_wait_ms;
            message.due_ms = message.due_ms.min(soon);
            // Also if it is waiting in line already, where it may have become urgent.
            self.due.push(Reverse((message.due_ms, key)));
            memory.put_message(key, message);
            return;
        }
        let wait_ms = if channel.descriptor().gathers { self.settings.group_wait_ms } else { 0 };
        let key = MessageKey { offset: told.offset, channel };
        let due_ms = memory.now_ms + wait_ms;
        let message = Message::begin(recipient.clone(), channel, vec![told], memory.now_ms, due_ms);
        memory.put_message(key, &message);
        self.due.push(Reverse((message.due_ms, key)));
        self.add(key, message);
        if channel.descriptor().gathers {
            self.gathering.insert(place, key);
        }
    }

    /// Handles messages that are due.
    fn work_on_due(&mut self, memory: &mut Memory<'_>) -> Result<(), StateError> {
        while let Some(Reverse((due_ms, key))) = self.due.peek().copied().filter(|d| d.0.0 <= memory.now_ms) {
            self.due.pop();
            let Some(message) = self.messages.get(&key) else { continue };
            if message.due_ms != due_ms || self.on_their_way.contains(&key) {
                continue;
            }
            let place = (message.recipient.clone(), message.channel);
            if message.is_closed() {
                self.hand_out_or_hold(key, &place, memory);
            } else if self.busy.contains_key(&place) {
                self.wait_in_line(key, &place, memory.now_ms);
            } else {
                self.close_or_hold(key, memory)?;
            }
        }
        Ok(())
    }

    fn close_or_hold(&mut self, mut key: MessageKey, memory: &mut Memory<'_>) -> Result<(), StateError> {
        let Some(message) = self.messages.get(&key) else { return Ok(()) };
        let (recipient, channel, due_ms) = (message.recipient.clone(), message.channel, message.due_ms);
        let subscriber = recipient.subscriber(&self.rules);
        let mut sent_times = memory.sent_times(&recipient, channel)?;
        // The clock of the machine that sent may have been ahead.
        sent_times.retain(|sent_ms| (memory.now_ms - sent_ms).abs() < settings::HOUR_MS);
        let hold = self.settings.hold_until_ms(message, subscriber.as_ref(), &sent_times, memory.now_ms);
        if let Some(older) = self.older(key).filter(|_| hold.is_none()) {
            // What came before is sent before, also if it alone would wait for the morning.
            self.due.push(Reverse((due_ms, key)));
            key = older;
        }
        let Some(message) = self.messages.get_mut(&key).map(Arc::make_mut) else { return Ok(()) };
        if let Some(until_ms) = hold {
            message.due_ms = until_ms;
            memory.put_message(key, message);
            self.due.push(Reverse((until_ms, key)));
            return Ok(());
        }
        message.close();
        message.name_nights_if_late(memory.now_ms);
        message.since_ms = memory.now_ms;
        for told in &message.notices {
            let thread = told.notice.thread();
            let began = memory.thread(&recipient, channel, thread)?.filter(|began| !began.is_empty());
            match began {
                // It began and ended in one message.
                Some(began) if began == message.id => {}
                Some(began) => drop(message.answers.get_or_insert(began)),
                None => memory.begin_thread(&recipient, channel, thread, &message.id),
            }
        }
        memory.put_message(key, message);
        if channel.descriptor().is_for_people {
            sent_times.push(memory.now_ms);
            memory.put_sent_times(&recipient, channel, &sent_times);
        }
        let place = (recipient, channel);
        if self.gathering.get(&place) == Some(&key) {
            self.gathering.remove(&place);
        }
        if channel.descriptor().gathers {
            self.busy.insert(place, Line::behind(key));
        }
        self.closed.push(key);
        self.on_their_way.insert(key);
        Ok(())
    }

    /// The oldest message to the same recipient on the same channel that is older and still open. Some are: those that took
    /// as much as one may take.
    fn older(&self, key: MessageKey) -> Option<MessageKey> {
        let message = self.messages.get(&key).filter(|message| message.channel.descriptor().gathers)?;
        let is_before = |(other, older): &(&MessageKey, &Arc<Message>)| {
            **other < key
                && !older.is_closed()
                && (older.channel, &older.recipient) == (message.channel, &message.recipient)
        };
        self.messages.iter().filter(is_before).map(|(other, _)| *other).min()
    }

    fn hand_out(&mut self, key: MessageKey) {
        if let Some(message) = self.messages.get(&key) {
            self.on_their_way.insert(key);
            let (message, replies) = (Arc::clone(message), Arc::clone(&self.replies));
            (self.outlet)(Parcel::new(message, key, replies));
        }
    }
}

impl Processor for Deliver {
    fn process(&mut self, record: &Record<'_>, context: &mut Context<'_>) -> Result<(), StateError> {
        self.load(&Memory { store: context.store, now_ms: context.now_ms })?;
        let Some(value) = accepted_value(record, &self.limits, context) else { return Ok(()) };
        let addressed: Addressed = match serde_json::from_slice(value) {
            Ok(addressed) => addressed,
            Err(error) => {
                context.reject(record, &format!("it is not a notice: {error}"));
                return Ok(());
            }
        };
        let Addressed { recipient, notice, moment, channel: only } = addressed;
        if record.key != Some(recipient.to_string().as_bytes()) {
            context.reject(record, &format!("expected the key {recipient}"));
            return Ok(());
        }
        let channels = match self.settings.channels(&recipient, &notice, &self.rules) {
            Ok(channels) => channels,
            Err(reason) => {
                context.reject(record, &reason);
                return Ok(());
            }
        };
        let subscriber = recipient.subscriber(&self.rules);
        let unwanted = speech::unwanted(&recipient, &notice, subscriber.as_deref());
        let too_old = self.settings.too_old(&notice, context.now_ms).filter(|_| !notice.continues());
        let (partition, offset, timestamp_ms) = (record.partition, record.offset, record.timestamp_ms);
        for channel in channels.into_iter().filter(|channel| only.is_none_or(|only| only == *channel)) {
            let mut memory = Memory { store: context.store, now_ms: context.now_ms };
            if memory.known(&notice.alert_id, &recipient, channel)?.is_some() {
                context.counts[count::DUPLICATES] += 1;
                continue;
            }
            let (notice, to) = (notice.clone(), subscriber.as_deref());
            let notice = speech::spoken(notice, moment.as_ref(), to, &self.rules, channel);
            let told = Told { notice: notice.clone(), partition, offset, timestamp_ms };
            let began = memory.thread(&recipient, channel, notice.thread())?;
            let unheard = (notice.continues() && began.is_none()).then_some(UNHEARD);
            if let Some(reason) = too_old.as_deref().or(unheard).or(unwanted) {
                self.suppress(&recipient, channel, told, reason, context);
                continue;
            }
            if began.is_none() {
                // With the id of a message as soon as it has one.
                memory.begin_thread(&recipient, channel, notice.thread(), "");
            }
            memory.know(&notice.alert_id, &recipient, channel, &Known::Pending);
            self.tell(&recipient, channel, told, &mut memory);
        }
        Ok(())
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Result<(), StateError> {
        self.load(&Memory { store: context.store, now_ms: context.now_ms })?;
        self.follow_clock(context.now_ms);
        for replied in self.replies.take() {
            self.take_reply(replied, context);
        }
        if self.replies.is_closed() {
            return Ok(());
        }
        self.work_on_due(&mut Memory { store: context.store, now_ms: context.now_ms })
    }

    fn wake_by(&mut self, wake: Wake) {
        self.replies.wake_by(wake);
    }

    fn is_waiting(&self) -> bool {
        !self.messages.is_empty()
    }

    fn stop(&mut self) {
        self.replies.close();
    }

    fn on_its_way(&self) -> usize {
        self.on_their_way.len() - self.closed.len() - self.sealed.len()
    }

    fn sealed(&mut self) {
        self.sealed.append(&mut self.closed);
        self.sealed_outcomes.append(&mut self.outcomes);
    }

    fn committed(&mut self) {
        for key in std::mem::take(&mut self.sealed) {
            self.hand_out(key);
        }
        for (channel, outcome) in self.sealed_outcomes.drain(..) {
            metrics::counter!(DELIVERIES_METRIC, "channel" => channel.as_str(), "outcome" => outcome)
                .increment(1);
        }
    }
}

impl Drop for Deliver {
    fn drop(&mut self) {
        self.replies.close();
        self.messages.values().for_each(|message| pending(message.channel).decrement(1.0));
    }
}

#[cfg(test)]
mod tests;
