//! Messages that are handed out again while they are being sent. After a failure of Kafka a task is closed and opened
//! again, and then knows only that its message is due: it gets the outcome of the attempt that is under way, or that has
//! ended since, so that nobody gets the message twice.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::outlet::{Parcel, Reply};

/// How long an answer is kept. A task opens again within seconds.
const KEPT: Duration = Duration::from_secs(600);
/// Fewer answers than twice this take no memory worth a look.
const LEFT_MIN: usize = 500;

/// The attempts of this process, by the ids of messages.
#[derive(Default)]
pub struct Attempts {
    /// Later parcels of messages that are being sent.
    under_way: HashMap<String, Vec<Parcel>>,
    /// Answers of servers that have accepted a message: its task may be closed before it has committed that.
    sent: HashMap<String, (Instant, String)>,
    /// How many answers were left when old ones were last dropped.
    left: usize,
}

impl Attempts {
    /// Begins an attempt, unless one is under way or its outcome is known.
    pub fn begin(&mut self, parcel: Parcel) -> Option<Parcel> {
        let id = parcel.message.id.clone();
        if let Some(later) = self.under_way.get_mut(&id) {
            later.push(parcel);
            return None;
        }
        if let Some((_, answer)) = self.sent.get(&id).filter(|(since, _)| since.elapsed() < KEPT) {
            parcel.reply(Reply::Sent(answer.clone()), None);
            return None;
        }
        self.under_way.insert(id, Vec::new());
        Some(parcel)
    }

    /// The parcel of the task that waits for the message now. Without one the attempt ends.
    pub fn wanted(&mut self, parcel: Parcel) -> Option<Parcel> {
        if parcel.is_wanted() {
            return Some(parcel);
        }
        let later = self.under_way.remove(&parcel.message.id).unwrap_or_default();
        let (mut wanted, unwanted): (Vec<Parcel>, Vec<Parcel>) =
            later.into_iter().partition(Parcel::is_wanted);
        drop(unwanted);
        let next = wanted.pop()?;
        self.under_way.insert(next.message.id.clone(), wanted);
        Some(next)
    }

    /// Looks at all answers only when they have become twice as many.
    fn drop_old(&mut self) {
        if self.sent.len() > 2 * self.left.max(LEFT_MIN) {
            self.sent.retain(|_, (since, _)| since.elapsed() < KEPT);
            self.left = self.sent.len();
        }
    }

    /// Ends an attempt without an outcome: it panicked.
    pub fn forget(&mut self, message_id: &str) {
        // Parcels that are dropped report that no attempt was made.
        drop(self.under_way.remove(message_id));
    }

    /// Reports the outcome to all tasks that wait for it.
    pub fn end(&mut self, parcel: Parcel, reply: Reply, retry_after: Option<Duration>) {
        let id = &parcel.message.id;
        if let Reply::Sent(answer) = &reply {
            self.sent.insert(id.clone(), (Instant::now(), answer.clone()));
            self.drop_old();
        }
        let later = self.under_way.remove(id).unwrap_or_default();
        later.into_iter().chain([parcel]).for_each(|parcel| parcel.reply(reply.clone(), retry_after));
    }
}
