//! Faults of the imitated weather services: in their content, for hours or days of their own time, and on the way,
//! for moments of real time. Faults in the content affect the expected result; those on the way do not.

use crate::weather_server::{Fault, Script, Window};

/// Possible faults in reports of airports.
pub(super) const OF_REPORTS: [Fault; 8] = [
    Fault::OldForm,
    Fault::RowsRepeated,
    Fault::RowsReordered,
    Fault::Corrected,
    Fault::Nulled,
    Fault::Fahrenheit,
    Fault::FutureStamps,
    Fault::PastStamps,
];
/// Possible faults in daily values, and in their files.
pub(super) const OF_DAYS: [Fault; 4] =
    [Fault::DaysCorrected, Fault::DaysDeleted, Fault::DaysFlagged, Fault::DifferenceOfTwoDays];
/// Possible faults of any answer. Without [`Fault::Drip`], which takes ten seconds of the run each time, and
/// [`Fault::Stops`], which is what every service does until the daemons have everything that it shows.
const ON_THE_WAY: [Fault; 17] = [
    Fault::NotModified,
    Fault::NeverNotModified,
    Fault::NotFound,
    Fault::Forbidden,
    Fault::TooManyRequests,
    Fault::ServerError,
    Fault::BadGateway,
    Fault::Unavailable,
    Fault::NoContent,
    Fault::PageInstead,
    Fault::CutBody,
    Fault::BadGzip,
    Fault::EtagChanges,
    Fault::EtagStays,
    Fault::StaleEdge,
    Fault::Redirect,
    Fault::Deprecated,
];
/// In each block of time, each fault is on with a chance of one in this many.
const ON_ONE_IN: u32 = 3;
/// This many blocks have faults; later ones have none.
const BLOCKS: i64 = 100;
/// Seconds that a service asks to wait.
const RETRY_AFTER: u64 = 1;

/// Faults in a service's content, drawn for blocks of this many seconds from a time on.
pub(super) fn of_content(faults: &[Fault], (from, block): (i64, i64), rng: &mut fastrand::Rng) -> Script {
    let mut windows = Vec::new();
    for number in 0..BLOCKS {
        let from = from + number * block;
        let on = faults.iter().filter(|_| rng.u32(..ON_ONE_IN) == 0);
        windows.extend(on.map(|fault| window(*fault, from, from + block)));
    }
    Script::new(windows)
}

/// One of the faults on the way. An old document may have observations that no poll has seen: not before `has_past`,
/// when all possible ones have been seen.
pub(super) fn on_the_way(has_past: bool, rng: &mut fastrand::Rng) -> Fault {
    let possible = ON_THE_WAY.into_iter().filter(|fault| has_past || *fault != Fault::StaleEdge);
    rng.choice(possible.collect::<Vec<_>>()).unwrap_or(Fault::ServerError)
}

/// The same script with one more fault, at all times and for all paths.
pub(super) fn with(script: &Script, fault: Fault) -> Script {
    let mut windows = script.windows().to_vec();
    let value = (fault == Fault::TooManyRequests).then_some(RETRY_AFTER);
    windows.push(Window { value, ..window(fault, 0, i64::MAX) });
    Script::new(windows)
}

fn window(fault: Fault, from: i64, to: i64) -> Window {
    Window { from, to, path: String::new(), fault, value: None }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_fault_comes_and_none_is_always_there() {
        let mut rng = fastrand::Rng::with_seed(1);
        let script = of_content(&OF_REPORTS, (1_000, 100), &mut rng);
        for fault in OF_REPORTS {
            let count = script.windows().iter().filter(|window| window.fault == fault).count();
            assert!((10..60).contains(&count), "{} comes {count} times", fault.name());
        }
        assert!(script.windows().iter().all(|window| window.to - window.from == 100));
        let drawn = |has_past, rng: &mut fastrand::Rng| {
            (0..1_000).map(|_| on_the_way(has_past, rng).name()).collect::<BTreeSet<_>>()
        };
        assert_eq!(drawn(true, &mut rng).len(), ON_THE_WAY.len());
        assert!(!drawn(false, &mut rng).contains(Fault::StaleEdge.name()));
        let with = with(&script, Fault::TooManyRequests);
        assert_eq!(with.windows().last().unwrap().value, Some(1));
        assert_eq!(with.windows().len(), script.windows().len() + 1);
    }
}
