//! Between the tasks, which know what is to be sent, and whoever sends it, away from their threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use frostline_engine::Wake;

use super::message::{Message, MessageKey};

/// When one is tried again that got lost on the way.
const LOST_WAIT: Duration = Duration::from_secs(2);

/// Takes what is to be sent. It must not block.
pub type Outlet = Arc<dyn Fn(Parcel) + Send + Sync>;

/// What became of an attempt to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The server took it, and said this.
    Sent(String),
    /// It was not taken, but may be later: it is sent again.
    Again(String),
    /// The server does not work, or nobody knows whether it took it: it is sent again.
    Down(String),
    /// Nothing was tried.
    Postponed {
        /// Why.
        reason: String,
        /// After how long it may be tried.
        wait: Duration,
    },
    /// It will never be taken.
    Refused(String),
}

/// A message on its way to being sent.
pub struct Parcel {
    /// What is sent.
    pub message: Arc<Message>,
    key: MessageKey,
    replies: Arc<Replies>,
    is_answered: bool,
}

impl Parcel {
    pub(super) fn new(message: Arc<Message>, key: MessageKey, replies: Arc<Replies>) -> Self {
        Self { message, key, replies, is_answered: false }
    }

    /// Whether the task still wants it sent. Its partition may have gone to another process meanwhile.
    pub fn is_wanted(&self) -> bool {
        !self.replies.is_closed.load(Ordering::Acquire)
    }

    /// Hands the task what became of it, and how long the server asks to be left alone, if it has said so.
    pub fn reply(mut self, reply: Reply, retry_after: Option<Duration>) {
        self.is_answered = true;
        self.replies.put(Replied { key: self.key, reply, retry_after });
    }
}

impl Drop for Parcel {
    fn drop(&mut self) {
        // One that got lost on the way must not wait indefinitely.
        if !self.is_answered {
            let reply = Reply::Postponed { reason: "it was not tried".into(), wait: LOST_WAIT };
            self.replies.put(Replied { key: self.key, reply, retry_after: None });
        }
    }
}

/// What became of one message.
pub(super) struct Replied {
    pub(super) key: MessageKey,
    pub(super) reply: Reply,
    pub(super) retry_after: Option<Duration>,
}

/// Where replies wait for their task.
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
