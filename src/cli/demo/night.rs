//! The hours before, during and after the demo's night with frost.

use std::ops::Range;

use crate::hourly::{HOUR, Hour};
use crate::noaa::Station;
use crate::synthetic::{Place, RealPlace, real_places};

/// With this seed the last night is clear and dry.
const SEED: u64 = 352;
/// The cold air that arrives at noon before the night, in K: without it, frost is rare at the station.
const COLDER_K: f64 = 5.0;
/// Midnight before the first day, 1 November 2024 in Arizona, in seconds since 1970.
const BEGIN: i64 = 1_730_444_400;
/// Days before the night of frost, for the model to learn from.
const DAYS: i64 = 45;
/// The hour of the last day at which the shown night starts: noon.
const NOON: i64 = DAYS * 24 + 13;

/// SCOTTSDALE MUNI AP.
fn place() -> &'static RealPlace {
    &real_places()[0]
}

/// The station of the hours.
pub(super) fn station() -> &'static Station {
    &place().station
}

/// All hours up to noon of the day before the frost.
pub(super) fn hours_before() -> impl Iterator<Item = Hour> {
    hours(Place::real(SEED, place()), 0..NOON)
}

/// From then to the next noon: an evening, a night with frost, a morning.
pub(super) fn hours_of_frost() -> impl Iterator<Item = Hour> {
    hours(Place::real(SEED, place()).colder(COLDER_K), NOON..NOON + 24)
}

fn hours(place: Place, numbers: Range<i64>) -> impl Iterator<Item = Hour> {
    numbers.map(move |number| place.hour(station().id, BEGIN + number * HOUR))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_night_has_frost() {
        assert_eq!(station().name, "SCOTTSDALE MUNI AP");
        let lowest = |hours: &mut dyn Iterator<Item = Hour>| {
            hours.map(|hour| hour.temperature_c).fold(f64::INFINITY, f64::min)
        };
        let (before, frost) = (lowest(&mut hours_before()), lowest(&mut hours_of_frost()));
        assert!(before > 0.5 && (-3.0..-2.0).contains(&frost), "{before} and {frost}: look for another seed");
        assert_eq!((hours_before().count(), hours_of_frost().count()), (45 * 24 + 13, 24));
    }
}
