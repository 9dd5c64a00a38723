//! The open connections, and which one to close when there are too many.
//!
//! A server that stops accepting at its limit leaves health unanswered as long as others keep their connections open.
//! So a new connection is always accepted, and at the limit the oldest one without a request in progress is closed: a
//! silent one, one that sends slowly, or one that is kept for later requests. Requests in progress are limited to far
//! fewer than connections (see `limit.rs`). If a client does not read its answer, its connection is closed after
//! [`STALL`].

use std::collections::BTreeMap;
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::{Duration, Instant};

use futures_util::task::AtomicWaker;

/// With this many connections, a new one closes another.
pub(super) const CONNECTIONS_MAX: usize = 256;
/// Connections beyond [`CONNECTIONS_MAX`], which exist until the closed ones are gone.
pub(super) const CONNECTIONS_RESERVE: usize = 32;
/// How long a client may read nothing of its answer. Streams send signs of life more often.
pub(super) const STALL: Duration = Duration::from_secs(60);

/// All open connections, by the order in which they came.
pub(super) struct Connections {
    open: Mutex<BTreeMap<u64, Arc<Connection>>>,
    next: AtomicU64,
    started: Instant,
    /// How long a client may read nothing of its answer.
    patience: Duration,
}

struct Connection {
    /// A second handle to its socket: closing it wakes any wait on the first.
    socket: TcpStream,
    /// Requests that are being answered.
    answers: AtomicUsize,
    /// Bodies of requests that are being read.
    bodies: AtomicUsize,
    /// The reader that waits for the end of an answer.
    reader: AtomicWaker,
    /// When its client last read a part of an answer, in milliseconds since the start.
    moved_at_ms: AtomicU64,
}

impl Connections {
    /// Starts without connections. If a client reads nothing of its answer for longer than `patience`, its connection
    /// is closed.
    pub(super) fn of_patience(patience: Duration) -> Self {
        Self { open: Mutex::default(), next: AtomicU64::new(0), started: Instant::now(), patience }
    }

    /// Registers a new connection, until the result is dropped.
    ///
    /// # Errors
    /// There is no file descriptor left for a second handle to it.
    pub(super) fn accept(self: &Arc<Self>, stream: &tokio::net::TcpStream) -> std::io::Result<Guard> {
        Ok(self.add(stream.as_fd().try_clone_to_owned()?.into()))
    }

    pub(super) fn add(self: &Arc<Self>, socket: TcpStream) -> Guard {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            socket,
            answers: AtomicUsize::new(0),
            bodies: AtomicUsize::new(0),
            reader: AtomicWaker::new(),
            moved_at_ms: AtomicU64::new(0),
        });
        let mut open = self.lock();
        if open.len() >= CONNECTIONS_MAX {
            let idle = |(id, other): (&u64, &Arc<Connection>)| (!other.is_answered()).then_some(*id);
            if let Some(oldest) = open.iter().find_map(idle).and_then(|id| open.remove(&id)) {
                oldest.close();
            }
        }
        open.insert(id, Arc::clone(&connection));
        Guard { id, connection, all: Arc::clone(self) }
    }

    /// Closes connections whose clients do not read their answers. Call it regularly.
    pub(super) fn close_stalled(&self) {
        self.close_stalled_at(self.now_ms());
    }

    pub(super) fn close_stalled_at(&self, now_ms: u64) {
        self.lock().retain(|_, connection| {
            let silent_ms = now_ms.saturating_sub(connection.moved_at_ms.load(Ordering::Relaxed));
            let is_stalled = connection.is_answered() && u128::from(silent_ms) > self.patience.as_millis();
            if is_stalled {
                connection.close();
            }
            !is_stalled
        });
    }

    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    // A poisoned lock only means that a thread panicked; the data behind it is whole.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Connection>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Connection {
    fn is_answered(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    fn close(&self) {
        // It may have been closed from the other side already.
        let _ = self.socket.shutdown(Shutdown::Both);
    }
}

/// Lives as long as its connection.
pub(super) struct Guard {
    id: u64,
    connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Guard {
    /// Whether nothing more is to be read before an answer has ended; `reader` is woken then.
    pub(super) fn must_wait(&self, reader: &Waker) -> bool {
        let Connection { answers, bodies, reader: waiting, .. } = &*self.connection;
        // Before the look: an answer that ends in between wakes it.
        waiting.register(reader);
        answers.load(Ordering::SeqCst) > 0 && bodies.load(Ordering::SeqCst) == 0
    }

    /// Marks the body of a request as being read until the result is dropped.
    pub(super) fn reading_body(&self) -> ReadingBody {
        self.connection.bodies.fetch_add(1, Ordering::SeqCst);
        self.connection.reader.wake();
        ReadingBody(Arc::clone(&self.connection))
    }

    /// Marks a request as being answered until the result is dropped.
    pub(super) fn answering(&self) -> Answering {
        self.connection.answers.fetch_add(1, Ordering::SeqCst);
        let answering = Answering { connection: Arc::clone(&self.connection), all: Arc::clone(&self.all) };
        answering.moves();
        answering
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

/// A request that is being answered.
pub(super) struct Answering {
    connection: Arc<Connection>,
    all: Arc<Connections>,
}

impl Answering {
    /// The client has read a part of the answer.
    pub(super) fn moves(&self) {
        self.connection.moved_at_ms.store(self.all.now_ms(), Ordering::Relaxed);
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.connection.answers.fetch_sub(1, Ordering::SeqCst);
        self.connection.reader.wake();
    }
}

/// The body of a request that is being read.
pub(super) struct ReadingBody(Arc<Connection>);

impl Drop for ReadingBody {
    fn drop(&mut self) {
        self.0.bodies.fetch_sub(1, Ordering::SeqCst);
    }
}
