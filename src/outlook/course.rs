//! The course of a night at one station: the parts of its observations that are kept until the night is over.

use serde::{Deserialize, Serialize};

use super::distribution::Degrees;
use super::model::{INPUTS, Inputs, NODES};
use crate::hourly::{HOUR, Night};

/// Dew point and wind may be at most this old, and two observations at most this far apart, to be used together, in
/// seconds.
const FRESH: i64 = 3 * HOUR;
/// The trend covers this time, in seconds.
const TREND: i64 = 3 * HOUR;
/// How many of the last clock hours are kept for it.
const RECENT_MAX: usize = 5;
/// A jump from one observation to the next, in K, is believed only after others confirm it; see [`jump_max_k`].
pub(super) const JUMP_K: f64 = 10.0;
/// Two observations that are no further apart follow one another in a station that reports every hour, in seconds.
const HOURLY: i64 = 3 * HOUR / 2;
/// Observations confirm each other if they are at most so far apart, in seconds: those of every three hours may be late.
const CONFIRMING: i64 = 4 * HOUR;
const DAY: i64 = 24 * HOUR;
/// This many observations near each other confirm a jump of up to twice [`JUMP_K`].
const CONFIRMED_BY: u8 = 2;
/// This many confirm a larger jump.
const LARGE_CONFIRMED_BY: u8 = 4;
/// How far from the hour of a node an observation may be to train it, in hours.
const NODE_HOURS: f64 = 1.25;
/// Weight of the newest observation in the share of whole degrees.
const GRID_WEIGHT: f64 = 0.01;

/// An observation in the form that the model uses.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) time: i64,
    pub(super) temperature_c: f64,
    pub(super) dew_point_c: Option<f64>,
    pub(super) wind_m_s: Option<f64>,
}

/// A value and the time of its observation.
type Timed = (i64, f64);

/// The inputs at the hour of a node, to learn from once the night is over.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    /// How far it was from the node's hour, in hours.
    distance: f32,
    pub(super) inputs: Inputs,
    pub(super) lowest_c: f64,
}

/// The course; see the module's description.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Course {
    /// The night, in days since 1970; `None` before the first observation.
    pub(super) day: Option<i32>,
    /// The lowest temperature since the night began.
    pub(super) lowest: Option<Timed>,
    /// The highest temperature since the previous night ended.
    highest_c: Option<f64>,
    /// The first and the newest observation since the night began.
    first: Option<i64>,
    newest: Option<i64>,
    /// The longest time between two observations of the night, in seconds.
    gap: i64,
    snapshots: [Option<Snapshot>; NODES.len()],
    /// The newest observation of each of the last clock hours.
    recent: Vec<Timed>,
    pub(super) last: Option<Timed>,
    /// The newest doubtful observation, and how many such observations have been near each other.
    doubtful: Option<(i64, f64, u8)>,
    dew_point: Option<Timed>,
    wind: Option<Timed>,
    /// The lowest temperature of the previous night, and when that night ended.
    night_before: Option<Timed>,
    /// How many of the temperatures are whole degrees Celsius and Fahrenheit, as running shares.
    whole_c: f64,
    whole_f: f64,
}

/// How far two observations that are this many seconds apart may differ, in K.
///
/// In dry air in the mountains it falls by 12 K in three hours, the distance of many stations' reports. After a day the
/// weather may have become any other.
pub(super) fn jump_max_k(seconds: i64) -> f64 {
    match seconds.abs() {
        seconds if seconds <= HOURLY => JUMP_K,
        seconds if seconds <= FRESH => 2.0 * JUMP_K,
        seconds if seconds < DAY => 3.0 * JUMP_K,
        _ => f64::INFINITY,
    }
}

impl Course {
    pub(super) fn new() -> Self {
        Self { whole_c: 0.5, whole_f: 0.5, ..Self::default() }
    }

    /// Whether the observation is too far from the previous one to be believed yet. A repetition confirms nothing.
    pub(super) fn doubts(&mut self, seen: Seen) -> bool {
        let Some((last_time, last)) = self.last else { return false };
        let jump = (seen.temperature_c - last).abs();
        if jump <= jump_max_k(seen.time - last_time) {
            self.doubtful = None;
            return false;
        }
        let near = self.doubtful.filter(|(time, temperature, _)| {
            seen.time - time <= CONFIRMING && (seen.temperature_c - temperature).abs() <= JUMP_K / 2.0
        });
        let count = match near {
            Some((time, _, count)) => count.saturating_add(u8::from(seen.time > time)),
            None => 1,
        };
        let enough = if jump <= 2.0 * JUMP_K { CONFIRMED_BY } else { LARGE_CONFIRMED_BY };
        self.doubtful = (count < enough).then_some((seen.time, seen.temperature_c, count));
        count < enough
    }

    /// Keeps in mind what another version of an observation made doubtful.
    pub(super) fn doubt_as(&mut self, other: &Self) {
        self.doubtful = other.doubtful;
    }

    /// Adds an observation of this night, newer than all others. Returns the inputs of a prediction.
    pub(super) fn take(&mut self, night: &Night, latitude: f64, seen: Seen) -> Inputs {
        let Seen { time, temperature_c, .. } = seen;
        self.last = Some((time, temperature_c));
        self.note_grid(temperature_c);
        if let Some(dew_point) = seen.dew_point_c {
            self.dew_point = Some((time, dew_point));
        }
        if let Some(wind) = seen.wind_m_s {
            self.wind = Some((time, wind));
        }
        if night.contains(time) {
            self.first.get_or_insert(time);
            self.gap = self.gap.max(self.newest.map_or(0, |newest| time - newest));
            self.newest = Some(time);
            self.lower(time, temperature_c);
        }
        self.highest_c = Some(self.highest_c.map_or(temperature_c, |highest| highest.max(temperature_c)));
        match self.recent.last_mut() {
            Some(last) if last.0.div_euclid(HOUR) == time.div_euclid(HOUR) => *last = (time, temperature_c),
            _ => self.recent.push((time, temperature_c)),
        }
        let excess = self.recent.len().saturating_sub(RECENT_MAX);
        self.recent.drain(..excess);
        let inputs = self.inputs(night, latitude, seen);
        self.keep_snapshot(night, time, &inputs);
        inputs
    }

    /// Adds a late temperature; returns whether it changes the lowest so far.
    pub(super) fn lower(&mut self, time: i64, temperature_c: f64) -> bool {
        let is_lower = self.lowest.is_none_or(|(_, lowest)| temperature_c < lowest);
        if is_lower {
            self.lowest = Some((time, temperature_c));
        }
        is_lower
    }

    /// The inputs of a prediction from the newest observation, after a late one has changed the lowest so far.
    pub(super) fn inputs_again(&self, night: &Night, latitude: f64, (time, temperature_c): Timed) -> Inputs {
        self.inputs(night, latitude, Seen { time, temperature_c, dew_point_c: None, wind_m_s: None })
    }

    /// The lowest temperature so far; before the night begins, the newest temperature.
    pub(super) fn reference_c(&self) -> f64 {
        let newest = self.last.map_or(0.0, |(_, temperature)| temperature);
        self.lowest.map_or(newest, |(_, lowest)| lowest.min(newest))
    }

    /// The longest time without an observation between sunset and morning, in seconds.
    pub(super) fn longest_gap(&self, night: &Night) -> i64 {
        match (self.first, self.newest) {
            (Some(first), Some(newest)) => self.gap.max(first - night.begins).max(night.ends - newest),
            _ => night.ends - night.begins,
        }
    }

    /// The inputs at each node's hour.
    pub(super) fn snapshots(&self) -> impl Iterator<Item = (usize, &Snapshot)> {
        self.snapshots.iter().enumerate().filter_map(|(node, snapshot)| Some((node, snapshot.as_ref()?)))
    }

    /// The course of the next night, which starts with the end of this one.
    pub(super) fn next(&self, ended: &Night) -> Self {
        Self {
            recent: self.recent.clone(),
            last: self.last,
            doubtful: self.doubtful,
            dew_point: self.dew_point,
            wind: self.wind,
            night_before: self.lowest.map(|(_, lowest)| (ended.ends, lowest)),
            whole_c: self.whole_c,
            whole_f: self.whole_f,
            ..Self::default()
        }
    }

    /// The whole degrees in which the station reports, if it does.
    pub(super) fn reported_in(&self) -> Option<Degrees> {
        if self.whole_c > 0.8 { Some(Degrees::C) } else { (self.whole_f > 0.75).then_some(Degrees::F) }
    }

    /// The names of a prediction's inputs in addition to the temperature.
    pub(super) fn names_of_inputs(&self, time: i64) -> Vec<String> {
        let is_fresh = |value: Option<Timed>| value.is_some_and(|(at, _)| time - at <= FRESH);
        let named = [("dew point", is_fresh(self.dew_point)), ("wind", is_fresh(self.wind))];
        std::iter::once("temperature")
            .chain(named.into_iter().filter(|(_, is)| *is).map(|(name, _)| name))
            .map(str::to_owned)
            .collect()
    }

    fn note_grid(&mut self, temperature_c: f64) {
        let is_whole = |value: f64, within: f64| f64::from(u8::from((value - value.round()).abs() < within));
        self.whole_f += GRID_WEIGHT * (is_whole(temperature_c * 1.8, 0.1) - self.whole_f);
        self.whole_c += GRID_WEIGHT * (is_whole(temperature_c, 0.01) - self.whole_c);
    }

    fn keep_snapshot(&mut self, night: &Night, time: i64, inputs: &Inputs) {
        let hour = hour_of(night, time);
        let lowest_c = self.reference_c();
        for (snapshot, node) in self.snapshots.iter_mut().zip(NODES) {
            let distance = (hour - node).abs();
            let is_nearer = snapshot.is_none_or(|known| distance < f64::from(known.distance));
            if distance <= NODE_HOURS && is_nearer {
                *snapshot = Some(Snapshot { distance: distance as f32, inputs: *inputs, lowest_c });
            }
        }
    }

    fn inputs(&self, night: &Night, latitude: f64, seen: Seen) -> Inputs {
        let Seen { time, temperature_c, .. } = seen;
        let fresh = |value: Option<Timed>| value.filter(|(at, _)| time - at <= FRESH).map(|(_, value)| value);
        let depression =
            fresh(self.dew_point).map_or(0.0, |dew| (temperature_c - dew).clamp(0.0, 25.0) / 5.0 - 1.0);
        let wind = fresh(self.wind).map_or(0.0, |wind| (wind.clamp(0.0, 12.0) - 3.0) / 3.0);
        let length = ((night.sunrise - night.begins) as f64 / HOUR as f64 - 12.0) / 2.5;
        let inputs: [f64; INPUTS] = [
            1.0,
            (temperature_c - 8.0) / 10.0,
            depression,
            wind,
            season(night, latitude),
            length,
            self.range(time) * (0.5 - 0.5 * length).clamp(0.0, 1.0),
            self.trend(time, temperature_c),
            (temperature_c - self.reference_c()).clamp(0.0, 6.0),
        ];
        inputs.map(|input| input as f32)
    }

    /// From the lowest temperature of the previous night to the highest of the day. It counts in the warm half of the
    /// year: there a large range means dry and clear air, in winter a change of air mass.
    fn range(&self, time: i64) -> f64 {
        let before = self.night_before.filter(|(ended, _)| *ended > time - 26 * HOUR);
        let (Some(highest), Some((_, before))) = (self.highest_c, before) else { return 0.0 };
        let lowest = self.lowest.map_or(before, |(_, lowest)| lowest.min(before));
        ((highest - lowest) / 5.0 - 1.5).clamp(-1.5, 3.0)
    }

    /// The change over three hours, from the observation nearest to three hours ago.
    fn trend(&self, time: i64, temperature_c: f64) -> f64 {
        let distance = |known: &Timed| (time - known.0 - TREND).abs();
        let Some((at, before)) = self.recent.iter().min_by_key(|known| distance(known)).copied() else {
            return 0.0;
        };
        if distance(&(at, before)) > HOUR {
            return 0.0;
        }
        let change = (temperature_c - before) * TREND as f64 / (time - at) as f64;
        change.clamp(-8.0, 4.0) / 2.0 + 1.0
    }
}

/// Hours since midnight before the evening, local standard time.
pub(super) fn hour_of(night: &Night, time: i64) -> f64 {
    (time - night.local(0)) as f64 / HOUR as f64
}

/// The sine of the season, 0 at the equator; half a year later in the southern hemisphere.
fn season(night: &Night, latitude: f64) -> f64 {
    let new_year = crate::noaa::Date::new(night.date.year(), 1, 1).map_or(0, |date| date.days_since_1970());
    let day_of_year = night.date.days_since_1970() - new_year + 1 + if latitude < 0.0 { 183 } else { 0 };
    let angle = std::f64::consts::TAU * f64::from(day_of_year) / 365.25;
    angle.sin() * (latitude.abs() / 40.0).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these readings, at hours and in °C, are doubted.
    fn doubted(readings: &[(f64, f64)]) -> usize {
        let mut course = Course::new();
        let mut doubted = 0;
        for (hour, temperature_c) in readings.iter().copied() {
            let time = (hour * HOUR as f64) as i64;
            match course.doubts(Seen { time, temperature_c, dew_point_c: None, wind_m_s: None }) {
                true => doubted += 1,
                false => course.last = Some((time, temperature_c)),
            }
        }
        doubted
    }

    #[test]
    fn the_longer_ago_the_other_reading_the_further_it_may_be() {
        // A dry evening in the mountains, reported every three hours.
        assert_eq!(doubted(&[(15.0, 18.0), (18.0, 6.0), (21.1, -3.0), (24.0, -6.0), (27.0, -8.0)]), 0);
        assert_eq!(doubted(&[(0.0, 25.0), (150.0 * 24.0, 2.0)]), 0, "the first after a summer");
        assert_eq!(doubted(&[(15.0, 18.0), (16.0, 6.0), (17.0, 18.0)]), 1, "within an hour");
        // Confirmed by the next one, also if both come every three hours.
        assert_eq!(doubted(&[(15.0, 18.0), (18.0, -17.0), (21.1, -18.0), (24.2, -19.0), (27.3, -20.0)]), 3);
    }
}
