//! The process that has its turn: its connection to the brokers, its clock, its faults.
//!
//! All processes of a simulation share one thread. The world enters each one here before its turn ([`enter`]), and
//! everything that needs the time, a client or a fault asks the process that has its turn.

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use tokio::time::Instant;

use super::broker::{Broker, Moment};
use crate::fault::{Point, Sabotage, SourcePoint};

/// The wall clock at the start, in milliseconds since 1970.
pub(crate) const START_MS: i64 = 1_700_000_000_000;

/// The outcome of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    /// It is answered.
    Answered,
    /// It never arrives.
    Lost,
    /// It is carried out, and the answer is lost.
    AnswerLost,
    /// The client gives up on it, and it arrives later.
    Late,
}

/// A point of a protocol where a process can die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Task(Point),
    Poller(SourcePoint),
}

/// A process, as its clients and its disk see it.
pub(crate) struct Host {
    broker: Arc<Mutex<Broker>>,
    is_alive: AtomicBool,
    /// Whether its network is cut.
    is_cut: AtomicBool,
    clock_shift_ms: AtomicI64,
    /// Of a thousand requests that matter, so many are not answered.
    losses: AtomicU32,
    random: Mutex<fastrand::Rng>,
    dies_at: Mutex<Option<(Place, u32)>>,
    /// After how many more requests it dies.
    requests_left: Mutex<Option<u32>>,
    /// Answers that a callback waits for.
    awaited: Mutex<Vec<mpsc::Receiver<()>>>,
}

struct World {
    start: Instant,
    /// How far the wall clock was set ahead.
    leap_ms: Cell<i64>,
    sabotage: Option<Sabotage>,
}

thread_local! {
    static WORLD: RefCell<Option<World>> = const { RefCell::new(None) };
    static PRESENT: RefCell<Option<Arc<Host>>> = const { RefCell::new(None) };
}

/// Begins a world on this thread, at its time 0.
pub(crate) fn begin(sabotage: Option<Sabotage>) {
    let world = World { start: Instant::now(), leap_ms: Cell::new(0), sabotage };
    WORLD.with_borrow_mut(|present| *present = Some(world));
}

/// Ends it.
pub(crate) fn end() {
    WORLD.take();
    PRESENT.take();
}

/// The brokers' time.
pub(crate) fn moment() -> Moment {
    WORLD.with_borrow(|world| {
        let elapsed = world.as_ref().map_or(0, |world| world.start.elapsed().as_millis());
        let leap_ms = world.as_ref().map_or(0, |world| world.leap_ms.get());
        let elapsed_ms = i64::try_from(elapsed).unwrap_or(i64::MAX);
        Moment { elapsed_ms, wall_ms: START_MS + elapsed_ms + leap_ms }
    })
}

/// Sets all clocks ahead: nothing happens meanwhile.
pub(crate) fn leap(milliseconds: i64) {
    WORLD.with_borrow(|world| {
        if let Some(world) = world {
            world.leap_ms.set(world.leap_ms.get() + milliseconds);
        }
    });
}

/// Gives a process its turn, until the next call.
pub(crate) fn enter(host: Option<Arc<Host>>) {
    PRESENT.with_borrow_mut(|present| *present = host);
}

/// The process that has its turn.
///
/// # Panics
/// Outside of a simulation.
pub(crate) fn present() -> Arc<Host> {
    found().expect("clients of the simulation belong to one of its processes")
}

fn found() -> Option<Arc<Host>> {
    PRESENT.with_borrow(Clone::clone)
}

/// The clock of the process that has its turn, in milliseconds since 1970; `None` outside of a simulation.
pub(crate) fn unix_ms() -> Option<i64> {
    found().map(|host| host.unix_ms())
}

/// Whether a protocol is broken on purpose; `None` outside of a simulation.
pub(crate) fn is_sabotaged(sabotage: Sabotage) -> Option<bool> {
    WORLD.with_borrow(|world| world.as_ref().map(|world| world.sabotage == Some(sabotage)))
}

/// Whether the process that has its turn is at a point where it must die.
pub(crate) fn reaches(place: Place) -> bool {
    found().is_some_and(|host| host.reaches(place))
}

/// The process that has its turn dies; `false` outside of a simulation.
pub(crate) fn die() -> bool {
    found().map(|host| host.kill()).is_some()
}

/// A number below `limit`; `None` outside of a simulation.
pub(crate) fn draw(limit: u64) -> Option<u64> {
    found().map(|host| host.draw(limit))
}

impl Host {
    /// A process that works.
    pub(crate) fn new(broker: Arc<Mutex<Broker>>, seed: u64) -> Self {
        Self {
            broker,
            is_alive: AtomicBool::new(true),
            is_cut: AtomicBool::new(false),
            clock_shift_ms: AtomicI64::new(0),
            losses: AtomicU32::new(0),
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            dies_at: Mutex::new(None),
            requests_left: Mutex::new(None),
            awaited: Mutex::default(),
        }
    }

    /// The brokers.
    pub(crate) fn broker(&self) -> MutexGuard<'_, Broker> {
        lock(&self.broker)
    }

    /// Kills it: whatever it still does has no effect.
    pub(crate) fn kill(&self) {
        self.is_alive.store(false, Ordering::Relaxed);
    }

    /// Whether it lives.
    pub(crate) fn is_alive(&self) -> bool {
        self.is_alive.load(Ordering::Relaxed)
    }

    /// Cuts its network, or repairs it.
    pub(crate) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// Whether it reaches the brokers.
    pub(crate) fn is_connected(&self) -> bool {
        self.is_alive() && !self.is_cut.load(Ordering::Relaxed)
    }

    /// Sets its clock: ahead by so many milliseconds.
    pub(crate) fn shift_clock(&self, milliseconds: i64) {
        self.clock_shift_ms.store(milliseconds, Ordering::Relaxed);
    }

    /// Of a thousand requests, so many are not answered from now on.
    pub(crate) fn lose(&self, per_thousand: u32) {
        self.losses.store(per_thousand, Ordering::Relaxed);
    }

    /// Lets it die when it comes to a point for the `count`th time.
    pub(crate) fn die_at(&self, place: Place, count: u32) {
        *lock(&self.dies_at) = Some((place, count));
    }

    /// Lets it die instead of its request after so many.
    pub(crate) fn die_after(&self, requests: u32) {
        *lock(&self.requests_left) = Some(requests);
    }

    /// Ends all faults but those of its clock.
    pub(crate) fn forget_faults(&self) {
        self.cut(false);
        self.lose(0);
        *lock(&self.dies_at) = None;
    }

    fn reaches(&self, place: Place) -> bool {
        let mut dies_at = lock(&self.dies_at);
        let Some((_, left)) = dies_at.as_mut().filter(|(wanted, _)| *wanted == place) else { return false };
        *left -= 1;
        let is_last = *left == 0;
        if is_last {
            *dies_at = None;
        }
        is_last
    }

    /// Its clock, in milliseconds since 1970.
    pub(crate) fn unix_ms(&self) -> i64 {
        moment().wall_ms + self.clock_shift_ms.load(Ordering::Relaxed)
    }

    /// A number below `limit`.
    pub(crate) fn draw(&self, limit: u64) -> u64 {
        lock(&self.random).u64(..limit.max(1))
    }

    /// The outcome of its next request.
    pub(crate) fn call(&self) -> Call {
        if let Some(left) = &mut *lock(&self.requests_left) {
            match left.checked_sub(1) {
                Some(fewer) => *left = fewer,
                None => self.kill(),
            }
        }
        if !self.is_connected() {
            return Call::Lost;
        }
        if self.draw(1_000) >= u64::from(self.losses.load(Ordering::Relaxed)) {
            return Call::Answered;
        }
        match self.draw(3) {
            0 => Call::Lost,
            1 => Call::AnswerLost,
            _ => Call::Late,
        }
    }

    /// Remembers an answer that a callback waits for.
    pub(crate) fn awaits(&self, answer: mpsc::Receiver<()>) {
        lock(&self.awaited).push(answer);
    }

    /// Whether all of these answers have come.
    pub(crate) fn has_answers(&self) -> bool {
        let mut awaited = lock(&self.awaited);
        awaited.retain(|answer| answer.try_recv() == Err(mpsc::TryRecvError::Empty));
        awaited.is_empty()
    }

    /// Waits no longer.
    pub(crate) fn give_up_answers(&self) {
        lock(&self.awaited).clear();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
