//! Connects the tasks, which know what to send, with the senders, which run on other threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use frostline_engine::Wake;

use super::message::{Message, MessageKey};

/// Delay before a lost parcel is retried.
const LOST_WAIT: Duration = Duration::from_secs(2);

/// Accepts a message to send. It must not block.
pub type Outlet = Arc<dyn Fn(Parcel) + Send + Sync>;

/// The outcome of an attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server accepted it, with this answer.
    Sent(String),
    /// The server did not accept it, but may later: it will be sent again.
    Again(String),
    /// The server does not work, or it is unknown whether it accepted the message: it will be sent again.
    Down(String),
    /// No attempt was made.
    Postponed {
        /// The reason.
        reason: String,
        /// When an attempt may be made.
        wait: Duration,
    },
    /// It will never be accepted.
    Refused(String),
}

/// A message on its way to a sender.
pub struct Parcel {
    /// The message.
    pub message: Arc<Message>,
    key: MessageKey,
    replies: Arc<Replies>,
    is_answered: bool,
}

impl Parcel {
    pub(super) fn new(message: Arc<Message>, key: MessageKey, replies: Arc<Replies>) -> Self {
        Self { message, key, replies, is_answered: false }
    }

    /// Whether the task still wants it sent. Its partition may have gone to another process in the meantime.
    pub fn is_wanted(&self) -> bool {
        !self.replies.is_closed.load(Ordering::Acquire)
    }

    /// Returns the outcome to the task, with the pause that the server has asked for, if it has.
    pub fn reply(mut self, reply: Reply, retry_after: Option<Duration>) {
        self.is_answered = true;
        self.replies.put(Replied { key: self.key, reply, retry_after });
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // A lost parcel must not wait indefinitely.
        if !self.is_answered {
            let reply = Reply::Postponed { reason: "no attempt was made".into(), wait: LOST_WAIT };
            self.replies.put(Replied { key: self.key, reply, retry_after: None });
        }
    }
}

/// The outcome of one message.
pub(super) struct Replied {
    pub(super) key: MessageKey,
    pub(super) reply: Reply,
    pub(super) retry_after: Option<Duration>,
}

/// Replies that wait for their task.
#[derive(Default)]
pub(super) struct Replies {
    inbox: Mutex<Vec<Replied>>,
    wake: OnceLock<Wake>,
    is_closed: AtomicBool,
}

impl Replies {
    fn put(&self, replied: Replied) {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner).push(replied);
        if let Some(wake) = self.wake.get() {
            wake();
        }
    }

    pub(super) fn wake_by(&self, wake: Wake) {
        let _ = self.wake.set(wake);
    }

    /// From now on nothing more of this task is sent.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Vec<Replied> {
        std::mem::take(&mut *self.inbox.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
