//! The synthetic world whose weather services the daemons follow: its stations, and rules over their days, nights and
//! hours.

use std::fmt::Write;

use crate::noaa::Station;
use crate::weather_server::{World, WorldStation};

/// Two stations of each of its regions.
const STATIONS: usize = 22;
/// Limits of rules, in °C. In any season some of these are between the present temperature and the lowest of the
/// coming night.
const LIMITS: [i32; 9] = [-24, -18, -12, -6, 0, 6, 12, 18, 24];

/// The world of a run.
pub(super) fn world(seed: u64) -> World {
    World::new(seed, STATIONS)
}

/// Its stations, for the station table.
pub(super) fn stations(world: &World) -> impl Iterator<Item = Station> {
    world.stations().iter().map(|known| known.station.clone())
}

/// Rules over days for the stations that the filter keeps, and over nights and hours for those that report hourly.
/// Some have no `clear`.
pub(super) fn rules(world: &World) -> String {
    let mut text = String::new();
    for station in world.stations() {
        let id = station.id();
        let mut add = |name: &str, limit: usize, when: String, clear: String| {
            // Writing to a string cannot fail.
            let _ = write!(
                text,
                "[[rule]]\nid = \"{name}-{id}-{limit}\"\nstation = \"{id}\"\nwhen = \"{when}\"\n{clear}\n\n"
            );
        };
        for (number, limit) in LIMITS.into_iter().enumerate() {
            let clear =
                |text: String| if number % 2 == 0 { format!("clear = \"{text}\"") } else { String::new() };
            if is_kept(station) {
                add("day", number, format!("TMIN <= {limit}.0"), clear(format!("TMIN > {limit}.0")));
            }
            if !station.is_cooperative() {
                let above = limit + 1;
                add("hour", number, format!("T <= {limit}.0"), clear(format!("T > {above}.0")));
                let night = format!("chance({limit}.0) >= 0.3");
                add("night", number, night, clear(format!("chance({limit}.0) < 0.1")));
            }
        }
    }
    text
}

/// The talk's filter, which is the default.
fn is_kept(station: &WorldStation) -> bool {
    station.station.state_code.as_deref() == Some("AZ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RuleSet;

    #[test]
    fn rules_are_sound_and_stations_can_be_found() {
        let world = world(7);
        let rules = RuleSet::parse(&rules(&world)).unwrap();
        let airports = stations(&world).filter(|station| station.icao.is_some()).count();
        assert!((10..STATIONS).contains(&airports));
        let kept = world.stations().iter().filter(|station| is_kept(station)).count();
        assert_eq!(rules.all().len(), (kept + 2 * airports) * LIMITS.len());
        assert!(kept > 2);
    }
}
