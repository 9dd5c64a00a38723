//! When the next request to a host is allowed.
//!
//! Services ask for two things: few requests in all, and not the same file more often than it changes. So each host
//! has a shortest time between any two requests, each path has its own, and both have pauses, which the host asks for
//! or which follow failures.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A request that is due within this time waits for it; a later one is refused.
const WAIT_MAX: Duration = Duration::from_secs(10);
/// The pause after the first failure is the usual time between two requests for a file, within these limits: your own
/// service, which may be polled often, is soon polled again. It doubles with each further failure.
const PAUSE_FIRST_MIN: Duration = Duration::from_secs(1);
const PAUSE_FIRST_MAX: Duration = Duration::from_secs(60);
const PAUSE_MAX: Duration = Duration::from_secs(3_600);
/// No host gets a longer pause, whatever it asks for.
pub(super) const ASKED_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Waits are extended by up to this fraction, so that not all clients ask in the same second.
const JITTER: f64 = 0.1;

/// Whether a request may be sent.
#[derive(Debug, PartialEq)]
pub(super) enum Turn {
    /// After this time, which may be zero. The time of the next request counts from it.
    In(Duration),
    /// Not now, because the path was requested a short time ago.
    NotDue(Duration),
    /// Not now, because the host fails or has asked for a pause.
    Paused(Duration),
}

/// How often requests to a host and to one of its paths are allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intervals {
    pub(super) host: Duration,
    pub(super) path: Duration,
}

/// The hosts with earlier requests.
pub(super) struct Pace {
    intervals: Intervals,
    hosts: HashMap<String, Host>,
}

#[derive(Default)]
struct Host {
    next: Option<Instant>,
    paused: Option<Instant>,
    paths: HashMap<String, Path>,
}

#[derive(Default)]
struct Path {
    next: Option<Instant>,
    paused: Option<Instant>,
    failures: u32,
}

impl Pace {
    pub(super) fn new(intervals: Intervals) -> Self {
        Self { intervals, hosts: HashMap::new() }
    }

    /// Whether a request for `path` of `host` is allowed. A request for the next part of a file need not wait for the
    /// path.
    pub(super) fn turn(&mut self, (host, path): (&str, &str), is_next_part: bool, now: Instant) -> Turn {
        let intervals = self.intervals;
        let host = self.hosts.entry(host.to_owned()).or_default();
        host.forget(now);
        let from_host = host.next;
        let left =
            |until: Option<Instant>| until.map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        let at_path = host.paths.entry(path.to_owned()).or_default();
        let paused = left(host.paused).max(left(at_path.paused));
        if paused > WAIT_MAX {
            return Turn::Paused(paused);
        }
        let of_path = if is_next_part { Duration::ZERO } else { left(at_path.next) };
        let wait = left(from_host).max(of_path).max(paused);
        if wait > WAIT_MAX {
            return Turn::NotDue(wait);
        }
        host.next = Some(now + wait + with_jitter(intervals.host));
        at_path.next = Some(now + wait + with_jitter(intervals.path));
        Turn::In(wait)
    }

    /// Records a good answer of the host; no request for the path is needed before `fresh_for` is over.
    pub(super) fn succeeded(
        &mut self,
        (host, path): (&str, &str),
        fresh_for: Option<Duration>,
        now: Instant,
    ) {
        let at = self.hosts.entry(host.to_owned()).or_default().paths.entry(path.to_owned()).or_default();
        (at.failures, at.paused) = (0, None);
        if let Some(fresh_for) = fresh_for {
            at.next = at.next.max(Some(now + fresh_for));
        }
    }

    /// Records a failure of the host. Returns the pause: the one that it has asked for, or one that grows.
    pub(super) fn failed(
        &mut self,
        (host, path): (&str, &str),
        asked: Option<Duration>,
        is_about_host: bool,
        now: Instant,
    ) -> Duration {
        let first = self.intervals.path.clamp(PAUSE_FIRST_MIN, PAUSE_FIRST_MAX);
        let host = self.hosts.entry(host.to_owned()).or_default();
        let at = host.paths.entry(path.to_owned()).or_default();
        let grown = (first * (1 << at.failures.min(12))).min(PAUSE_MAX);
        at.failures = at.failures.saturating_add(1);
        let pause = with_jitter(asked.map_or(grown, |asked| asked.min(ASKED_MAX)));
        at.paused = Some(now + pause);
        if is_about_host {
            host.paused = host.paused.max(at.paused);
        }
        pause
    }
}

impl Host {
    /// Drops paths that may be requested again and have not failed: names with dates in them never come back.
    fn forget(&mut self, now: Instant) {
        self.paths.retain(|_, path| path.failures > 0 || path.next.is_some_and(|next| next > now));
    }
}

fn with_jitter(time: Duration) -> Duration {
    time + time.mul_f64(fastrand::f64() * JITTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVALS: Intervals = Intervals { host: Duration::from_secs(1), path: Duration::from_secs(60) };
    const AT: (&str, &str) = ("a.example", "/file");

    fn turn(pace: &mut Pace, at: (&str, &str), now: Instant) -> Turn {
        pace.turn(at, false, now)
    }

    fn is_about(found: Duration, expected: u64) -> bool {
        let expected = Duration::from_secs(expected);
        (expected..=expected.mul_f64(1.0 + JITTER)).contains(&found)
    }

    #[test]
    fn a_host_is_asked_once_a_second_and_a_path_once_a_minute() {
        let (mut pace, now) = (Pace::new(INTERVALS), Instant::now());
        assert_eq!(turn(&mut pace, AT, now), Turn::In(Duration::ZERO));
        assert!(matches!(turn(&mut pace, AT, now), Turn::NotDue(wait) if is_about(wait, 60)));
        let other = ("a.example", "/other");
        assert!(matches!(turn(&mut pace, other, now), Turn::In(wait) if is_about(wait, 1)));
        let third = ("a.example", "/third");
        assert!(matches!(turn(&mut pace, third, now), Turn::In(wait) if is_about(wait, 2)), "they queue");
        assert_eq!(turn(&mut pace, ("b.example", "/file"), now), Turn::In(Duration::ZERO));
        let part = pace.turn(AT, true, now + Duration::from_secs(5));
        assert_eq!(part, Turn::In(Duration::ZERO), "the next part of the same file");
        assert_eq!(turn(&mut pace, AT, now + Duration::from_secs(80)), Turn::In(Duration::ZERO));
    }

    #[test]
    fn failures_make_pauses_that_grow() {
        let (mut pace, mut now) = (Pace::new(INTERVALS), Instant::now());
        for expected in [60, 120, 240, 480, 960, 1_920, 3_600, 3_600] {
            let pause = pace.failed(AT, None, false, now);
            assert!(is_about(pause, expected), "{pause:?}");
            assert!(matches!(turn(&mut pace, AT, now), Turn::Paused(_)));
            assert!(matches!(turn(&mut pace, ("a.example", "/other"), now), Turn::In(_)));
            now += pause;
        }
        assert_eq!(turn(&mut pace, AT, now), Turn::In(Duration::ZERO));
        pace.succeeded(AT, None, now);
        assert!(is_about(pace.failed(AT, None, false, now), 60), "it begins again");
    }

    #[test]
    fn a_service_that_may_be_asked_all_the_time_is_soon_asked_again() {
        let mut pace = Pace::new(Intervals { host: Duration::ZERO, path: Duration::ZERO });
        let mut pauses = [1, 2, 4].into_iter();
        assert!(pauses.all(|expected| is_about(pace.failed(AT, None, false, Instant::now()), expected)));
        let hourly = Duration::from_secs(3_600);
        let mut pace = Pace::new(Intervals { host: hourly, path: hourly });
        assert!(is_about(pace.failed(AT, None, false, Instant::now()), 60), "never longer than before");
    }

    #[test]
    fn what_a_host_asks_for_counts_for_all_of_it() {
        let (mut pace, now) = (Pace::new(INTERVALS), Instant::now());
        let pause = pace.failed(AT, Some(Duration::from_secs(600)), true, now);
        assert!(is_about(pause, 600));
        assert!(matches!(turn(&mut pace, ("a.example", "/other"), now), Turn::Paused(_)));
        assert!(matches!(turn(&mut pace, ("b.example", "/other"), now), Turn::In(_)));
        let forever = pace.failed(AT, Some(Duration::MAX), true, now);
        assert!(is_about(forever, 86_400), "{forever:?}");
    }

    #[test]
    fn an_answer_that_stays_fresh_is_not_asked_for() {
        let (mut pace, now) = (Pace::new(INTERVALS), Instant::now());
        turn(&mut pace, AT, now);
        pace.succeeded(AT, Some(Duration::from_secs(1_800)), now);
        let later = now + Duration::from_secs(120);
        assert!(matches!(turn(&mut pace, AT, later), Turn::NotDue(wait) if is_about(wait, 1_680)));
    }

    #[test]
    fn old_paths_are_forgotten() {
        let (mut pace, mut now) = (Pace::new(INTERVALS), Instant::now());
        for day in 0..1_000 {
            now += Duration::from_secs(120);
            turn(&mut pace, ("a.example", &format!("/{day}")), now);
        }
        assert!(pace.hosts["a.example"].paths.len() < 5);
    }
}
