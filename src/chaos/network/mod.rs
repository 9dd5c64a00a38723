//! A bad network between each daemon and the brokers: a proxy that forwards Kafka's protocol, and spoils it on demand.
//!
//! Each process has a [`Line`] of its own, and a *door* for each broker: a port on this machine at which the proxy
//! forwards to that broker. Clients learn the addresses of brokers from brokers, so the proxy replaces them in the
//! answers by those of doors (`addresses`); the only other change is that requests whose answers could contain
//! addresses in more places are offered in an older version. All else passes byte by byte, request by request
//! (`connection`), unless the line is in trouble (`line`).
//!
//! It understands Kafka's protocol, so it needs connections without TLS.

mod addresses;
mod connection;
mod line;

use std::collections::HashMap;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

pub(super) use self::line::{CutAt, Line, Trouble};
use super::ChaosError;

/// A kind of fault of a process's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// Everything arrives late.
    Slow,
    /// Everything arrives in small pieces.
    Drip,
    /// Connections end, and no new ones are accepted for a while.
    Cut,
    /// Connections stay open, but nothing passes, and nobody is notified.
    HalfOpen,
    /// A connection ends at a certain request: before the broker gets it, or before the client gets the answer.
    CutAt(CutAt),
}

impl NetworkFault {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Slow,
        Self::Drip,
        Self::Cut,
        Self::HalfOpen,
        Self::CutAt(CutAt::EndTxn),
        Self::CutAt(CutAt::AddOffsets),
        Self::CutAt(CutAt::CommitOffsets),
    ];

    /// The name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slow => "slow",
            Self::Drip => "drip",
            Self::Cut => "cut",
            Self::HalfOpen => "half-open",
            Self::CutAt(CutAt::EndTxn) => "cut-at-end-txn",
            Self::CutAt(CutAt::AddOffsets) => "cut-at-add-offsets",
            Self::CutAt(CutAt::CommitOffsets) => "cut-at-commit-offsets",
        }
    }
}

/// Pause after a connection could not be accepted, for instance for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The way of a process to the brokers.
pub(super) struct Lane {
    pub(super) line: Arc<Line>,
    /// The addresses that the process must take for those of the brokers.
    pub(super) brokers: String,
}

/// The running proxy; it stops when this is dropped.
pub(super) struct Network {
    /// The way of a plain client, which is spoiled together with that of a daemon.
    pub(super) bystander: Lane,
    doors: Doors,
    /// Addresses of the brokers, as the user has given them.
    brokers: Vec<Broker>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// A broker's host and port.
type Broker = (String, u16);

impl Network {
    /// Starts it in front of brokers (`host:port`, separated by commas).
    pub(super) fn start(brokers: &str) -> Result<Self, ChaosError> {
        let brokers = brokers.split(',').map(|broker| {
            let (host, port) = broker.trim().rsplit_once(':').unwrap_or((broker.trim(), "9092"));
            let port = port.parse().map_err(|_| ChaosError::Broken(format!("{broker} has no port")))?;
            Ok((host.trim_matches(['[', ']']).to_owned(), port))
        });
        let brokers = brokers.collect::<Result<Vec<Broker>, ChaosError>>()?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(ChaosError::files("starting the proxy"))?;
        let doors = Doors { handle: runtime.handle().clone(), open: Arc::default() };
        let (stop, stopped) = oneshot::channel();
        let bystander = doors.lane(&brokers)?;
        let thread = std::thread::spawn(move || drop(runtime.block_on(stopped)));
        Ok(Self { bystander, doors, brokers, stop: Some(stop), thread: Some(thread) })
    }

    /// A way to all brokers for one more process.
    pub(super) fn lane(&self) -> Result<Lane, ChaosError> {
        self.doors.lane(&self.brokers)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// All doors: a port for each line and broker, opened when it is needed first.
#[derive(Clone)]
struct Doors {
    handle: Handle,
    open: Arc<Mutex<HashMap<(usize, Broker), u16>>>,
}

impl Doors {
    /// A way to these brokers and all others that they name.
    fn lane(&self, brokers: &[Broker]) -> Result<Lane, ChaosError> {
        let line = Arc::new(Line::default());
        let mut addresses = Vec::new();
        for broker in brokers {
            let port = self.to(&line, broker).map_err(ChaosError::files("opening a door to a broker"))?;
            addresses.push(format!("{}:{port}", Ipv4Addr::LOCALHOST));
        }
        Ok(Lane { line, brokers: addresses.join(",") })
    }

    /// The port at which a line reaches a broker.
    fn to(&self, line: &Arc<Line>, broker: &Broker) -> std::io::Result<u16> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (Arc::as_ptr(line).addr(), broker.clone());
        if let Some(port) = open.get(&key) {
            return Ok(*port);
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        listener.set_nonblocking(true)?;
        let port = listener.local_addr()?.port();
        let (doors, line, broker) = (self.clone(), Arc::clone(line), broker.clone());
        self.handle.spawn(async move {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
            loop {
                let client = match listener.accept().await {
                    Ok((client, _)) => client,
                    Err(error) => {
                        tracing::warn!(%error, "a door of the proxy cannot accept a connection");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let (doors, line, broker) = (doors.clone(), Arc::clone(&line), broker.clone());
                tokio::spawn(async move {
                    let find = |host: &str, port| doors.to(&line, &(host.to_owned(), port)).ok();
                    if let Err(error) = connection::forward(client, &broker, &line, &find).await {
                        tracing::debug!(%error, ?broker, "a connection through the proxy has ended");
                    }
                });
            }
        });
        open.insert(key, port);
        Ok(port)
    }
}
