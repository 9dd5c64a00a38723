//! What happens to a world: faults with their times, drawn from a seed.

use std::fmt;

use crate::fault::{Point, Sabotage, SourcePoint};

/// A fault. `seat` is the place of a process, which has one disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// Killed at once, and started again after a while.
    Kill { seat: usize },
    /// Killed when it comes to this point for the `count`th time.
    KillAt { seat: usize, point: Point, count: u32 },
    /// Killed when it polls a source and comes to this point for the `count`th time.
    KillPollerAt { seat: usize, point: SourcePoint, count: u32 },
    /// Asked to stop, and started again when it has.
    Stop { seat: usize },
    /// Its network is cut.
    Cut { seat: usize, ms: u64 },
    /// It gets no turn.
    Pause { seat: usize, ms: u64 },
    /// Some of its requests are not answered.
    Lose { seat: usize, ms: u64 },
    /// Its clock is wrong.
    Clock { seat: usize, ms: i64 },
    /// Its disk is full.
    Full { seat: usize, ms: u64 },
    /// Killed, and its disk is empty afterwards.
    EmptyDisk { seat: usize },
    /// A copy of its disk is made.
    CopyDisk { seat: usize },
    /// Killed, and the copy is given back.
    OldDisk { seat: usize },
    /// Killed, and it gets a copy of another one's disk.
    SameDisk { seat: usize, from: usize },
    /// Killed, and a bit of its disk flips.
    FlipBit { seat: usize },
    /// Killed, and days pass before it comes back; the changelog is compacted.
    LongAway { seat: usize },
    /// No broker answers.
    Outage { ms: u64 },
    /// The changelog is compacted.
    Compact,
    /// Records that all their readers have committed are deleted.
    Retention,
    /// All processes leave, and the input gets more partitions by a tool that dies so many times on the way.
    Grow { deaths: u32 },
    /// All processes are killed, and all topics are deleted and made again.
    Recreate,
}

/// One run of a world.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Script {
    /// Decides everything that the faults leave open.
    pub(super) seed: u64,
    /// How many processes there are.
    pub(super) seats: usize,
    /// The faults, by milliseconds since the start.
    pub(super) faults: Vec<(u64, Fault)>,
    /// A bug that is planted.
    pub(super) sabotage: Option<Sabotage>,
}

/// Milliseconds between two faults, on average.
const BETWEEN_MS: u64 = 60;

impl Script {
    /// Draws a script with so many faults.
    pub(super) fn draw(seed: u64, faults: usize, sabotage: Option<Sabotage>) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let seats = random.usize(1..=3);
        let mut at_ms = 0;
        let faults = (0..faults).map(|_| {
            at_ms += random.u64(0..2 * BETWEEN_MS);
            let (at, fault) = (at_ms, draw(&mut random, seats));
            if let Fault::Cut { ms, .. } = fault
                && random.bool()
            {
                // Nothing else happens meanwhile.
                at_ms += ms;
            }
            (at, fault)
        });
        Self { seed, seats, faults: faults.collect(), sabotage }
    }
}

fn draw(random: &mut fastrand::Rng, seats: usize) -> Fault {
    let seat = random.usize(..seats);
    match random.u32(..100) {
        0..35 => Fault::Kill { seat },
        35..40 => Fault::KillPollerAt {
            seat,
            point: SourcePoint::ALL[random.usize(..SourcePoint::ALL.len())],
            count: random.u32(1..4),
        },
        40..65 => Fault::KillAt {
            seat,
            point: Point::ALL[random.usize(..Point::ALL.len())],
            count: random.u32(1..4),
        },
        65..70 => Fault::Stop { seat },
        70..74 => Fault::Cut { seat, ms: random.u64(1..6_000) },
        74..77 => Fault::Pause { seat, ms: random.u64(1..6_000) },
        77..83 => Fault::Lose { seat, ms: random.u64(1..1_500) },
        // Not far behind: see `runtime::provenance` for what that could hide.
        83..84 => Fault::Clock { seat, ms: random.i64(-3_600_000..172_800_000) },
        84..86 => Fault::Full { seat, ms: random.u64(1..1_000) },
        86..88 => Fault::EmptyDisk { seat },
        88..90 => Fault::CopyDisk { seat },
        90..92 => Fault::OldDisk { seat },
        92..93 => Fault::SameDisk { seat, from: random.usize(..seats) },
        93..95 => Fault::FlipBit { seat },
        95..96 => Fault::LongAway { seat },
        96..97 => Fault::Outage { ms: random.u64(1..1_500) },
        97 => Fault::Retention,
        98 => {
            if random.u32(..4) > 0 {
                Fault::Compact
            } else {
                Fault::Grow { deaths: random.u32(0..4) }
            }
        }
        _ => Fault::Recreate,
    }
}

/// As the expression that makes it, for a test.
impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, seats, faults, sabotage } = self;
        write!(f, "Script {{ seed: {seed}, seats: {seats}, sabotage: {sabotage:?}, faults: vec!{faults:?} }}")
    }
}
