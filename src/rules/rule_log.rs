//! Logs rules that do not work, once for all partitions of the process. That can happen to thousands of rules at
//! once: the first few are logged by name, further ones only as a count.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Rule;

/// This many are logged by name.
const NAMED_MAX: u64 = 5;
/// After this time they are logged by name again.
const WINDOW: Duration = Duration::from_secs(60);

/// What to log about one more rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Say {
    /// Its name and the details.
    Name,
    /// Only the count so far.
    Count(u64),
    /// Nothing: the next count includes it.
    Nothing,
}

/// Counts events within a time window.
#[derive(Debug, Default)]
struct Few {
    begun: Option<Instant>,
    count: u64,
}

impl Few {
    /// Counts one more event at this time. Counts are logged at powers of ten, so there are few of them too.
    fn next(&mut self, now: Instant) -> Say {
        if self.begun.is_none_or(|begun| now.saturating_duration_since(begun) > WINDOW) {
            *self = Self { begun: Some(now), count: 0 };
        }
        self.count += 1;
        match self.count {
            1..=NAMED_MAX => Say::Name,
            count if 10_u64.checked_pow(count.ilog10()) == Some(count) => Say::Count(count),
            _ => Say::Nothing,
        }
    }
}

/// The log of rules that do not work; see the module's description.
#[derive(Default)]
pub struct RuleLog(Mutex<Logged>);

#[derive(Default)]
struct Logged {
    quarantined: Few,
    failing: Few,
    /// Rules whose evaluation has failed in this generation.
    failing_ids: HashSet<Arc<str>>,
    generation: u64,
}

impl RuleLog {
    /// Records a quarantine: `log` logs its name, if it is one of the first few.
    pub fn quarantined(&self, log: impl FnOnce()) {
        let say = self.lock().quarantined.next(Instant::now());
        match say {
            Say::Name => log(),
            Say::Count(count) => tracing::warn!(
                count,
                "many rules or subscribers were quarantined within a minute; `frostline rules list` names them all"
            ),
            Say::Nothing => {}
        }
    }

    /// Records that a rule could not be evaluated: logged once in each generation of the rules.
    pub fn failing(&self, rule: &Rule, generation: u64, reason: &str) {
        let mut logged = self.lock();
        if logged.generation != generation {
            logged.generation = generation;
            logged.failing_ids.clear();
        }
        if !logged.failing_ids.insert(Arc::clone(&rule.id)) {
            return;
        }
        let say = logged.failing.next(Instant::now());
        drop(logged);
        match say {
            Say::Name => tracing::warn!(
                rule = &*rule.id,
                reason,
                "cannot evaluate a rule; not logged again until rules change"
            ),
            Say::Count(count) => tracing::warn!(
                count,
                "many rules could not be evaluated within a minute; the metric frostline_rule_errors_total names them all"
            ),
            Say::Nothing => {}
        }
    }

    // A poisoned lock only means that a thread panicked; the data behind it is whole.
    fn lock(&self) -> MutexGuard<'_, Logged> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs `work`, and returns its log lines.
#[cfg(test)]
pub fn logged_by(work: impl FnOnce()) -> Vec<String> {
    struct Lines(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let lines = Arc::new(Mutex::new(Vec::new()));
    let writer = Arc::clone(&lines);
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_writer(move || Lines(Arc::clone(&writer)));
    tracing::subscriber::with_default(subscriber.finish(), work);
    let bytes = std::mem::take(&mut *lines.lock().unwrap());
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_are_named_and_the_others_counted() {
        let (mut few, now) = (Few::default(), Instant::now());
        let said: Vec<Say> = (0..5_000).map(|_| few.next(now)).filter(|say| *say != Say::Nothing).collect();
        assert_eq!(said[..5], [Say::Name; 5]);
        assert_eq!(said[5..], [10, 100, 1_000].map(Say::Count));
        assert_eq!(few.next(now + 2 * WINDOW), Say::Name);
    }
}
