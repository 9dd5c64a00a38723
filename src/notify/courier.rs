//! The sending thread, with a lane for each server.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::{Semaphore, mpsc};

use super::circuit::{Circuit, Health};
use super::{Attempt, Sender};
use crate::stages::{Attempts, Outlet, Parcel, Reply};

const SECONDS_METRIC: &str = "frostline_delivery_seconds";
const CIRCUIT_METRIC: &str = "frostline_circuit_open";

/// An attempt that has not ended by then has failed. Each channel has its own, shorter limits; this one also applies
/// if one of them is missing. A circuit waits longer than this for a trial.
const ATTEMPT_MAX: Duration = Duration::from_secs(125);

/// Sends the messages of tasks until it is dropped.
pub struct Courier {
    outlet: Option<Outlet>,
    thread: Option<JoinHandle<()>>,
}

impl Courier {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot create a thread or an event loop.
    pub fn start(sender: Sender) -> Result<Self, std::io::Error> {
        let (parcels, incoming) = mpsc::unbounded_channel::<Parcel>();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name("courier".into()).spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, carry(sender, incoming));
            // Attempts that are under way end here. They may need the runtime for that.
            let inside = runtime.enter();
            drop(local);
            drop(inside);
            // The system's name lookup cannot be interrupted, so it is not awaited.
            runtime.shutdown_background();
        })?;
        // A parcel that is dropped reports its own outcome.
        let outlet: Outlet = Arc::new(move |parcel| drop(parcels.send(parcel)));
        Ok(Self { outlet: Some(outlet), thread: Some(thread) })
    }

    /// Accepts messages to send.
    pub fn outlet(&self) -> Outlet {
        self.outlet.clone().unwrap_or_else(|| Arc::new(drop))
    }
}

impl Drop for Courier {
    fn drop(&mut self) {
        self.outlet = None;
        // Tasks that still hold the outlet keep the thread alive; then it is not awaited.
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            let _ = thread.join();
        }
    }
}

/// The lane of one server.
struct Lane {
    name: String,
    permits: Semaphore,
    circuit: Mutex<Circuit>,
}

async fn carry(sender: Sender, mut incoming: mpsc::UnboundedReceiver<Parcel>) {
    let (sender, mut lanes) = (Arc::new(sender), BTreeMap::<String, Arc<Lane>>::new());
    let attempts = Rc::<RefCell<Attempts>>::default();
    while let Some(parcel) = incoming.recv().await {
        let Some(parcel) = attempts.borrow_mut().begin(parcel) else { continue };
        let name = sender.lane_of(&parcel.message);
        let lane = lanes.entry(name).or_insert_with_key(|name| {
            let permits = Semaphore::new(sender.concurrency);
            Arc::new(Lane { name: name.clone(), permits, circuit: Mutex::default() })
        });
        tokio::task::spawn_local(deliver(
            Arc::clone(&sender),
            Arc::clone(lane),
            Rc::clone(&attempts),
            parcel,
        ));
    }
}

/// An attempt that is under way until this is dropped, also by a panic.
struct UnderWay {
    attempts: Rc<RefCell<Attempts>>,
    message_id: String,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.attempts.borrow_mut().forget(&self.message_id);
    }
}

async fn deliver(sender: Arc<Sender>, lane: Arc<Lane>, attempts: Rc<RefCell<Attempts>>, parcel: Parcel) {
    let channel = parcel.message.channel.as_str();
    let _under_way = UnderWay { attempts: Rc::clone(&attempts), message_id: parcel.message.id.clone() };
    // It is never closed.
    let permit = lane.permits.acquire().await;
    let Some(parcel) = attempts.borrow_mut().wanted(parcel) else { return };
    let circuit = || lane.circuit.lock().unwrap_or_else(PoisonError::into_inner);
    let admitted = circuit().admit(Instant::now());
    if let Err(wait) = admitted {
        let reason = format!("circuit open: {} failed repeatedly; retrying later", lane.name);
        return attempts.borrow_mut().end(parcel, Reply::Postponed { reason, wait }, None);
    }
    let started = Instant::now();
    let attempt = tokio::time::timeout(ATTEMPT_MAX, sender.attempt(&parcel.message)).await;
    let attempt = attempt.unwrap_or_else(|_| Attempt::ill(format!("not done within {ATTEMPT_MAX:?}")));
    drop(permit);
    metrics::histogram!(SECONDS_METRIC, "channel" => channel).record(started.elapsed());
    let changed = circuit().ended(attempt.is_ill(), Instant::now());
    if let Some(health) = changed {
        tell(&lane, health, &attempt.reply);
    }
    attempts.borrow_mut().end(parcel, attempt.reply, attempt.retry_after);
}

/// Logs a change in the state of a server.
fn tell(lane: &Lane, health: Health, reply: &Reply) {
    let is_open = health == Health::LeftAlone;
    metrics::gauge!(CIRCUIT_METRIC, "server" => lane.name.clone()).set(f64::from(u8::from(is_open)));
    let server = lane.name.as_str();
    let reason = match reply {
        Reply::Down(reason) | Reply::Again(reason) => reason.as_str(),
        _ => "",
    };
    match health {
        Health::Fails => tracing::warn!(server, reason, "the server fails; its messages will be retried"),
        Health::LeftAlone => {
            tracing::warn!(server, reason, "circuit open: the server failed repeatedly; retrying later")
        }
        Health::Works => tracing::info!(server, "the server works again"),
    }
}
