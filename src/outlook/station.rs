//! A station's outlooks: the course of its night, and the model that it has learned.

use serde::{Deserialize, Serialize};

use super::course::{Course, JUMP_K, Seen, hour_of, jump_max_k};
use super::distribution::{Distribution, SCORES};
use super::model::Model;
use super::record::{CurvePoint, Expected, Guide, NightBounds, Outcome};
use crate::hourly::{HOUR, Hour, Night};
use crate::noaa::Date;

/// A station that has reported nothing for longer is silent, in seconds: what its night does is unknown. Many stations of
/// the world report every three hours, some minutes later now and then.
pub const SILENCE: i64 = 4 * HOUR;
/// The lowest temperature is expected this long before sunrise, in seconds.
const BEFORE_SUNRISE: i64 = HOUR / 2;
/// Interval of the points of an expected curve, in seconds.
const CURVE_STEP: i64 = HOUR;

/// The place of a station.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spot {
    /// In degrees, north positive.
    pub latitude: f64,
    /// In degrees, east positive.
    pub longitude: f64,
}

/// The whole state of a station: its lessons, and its present night.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Nights {
    course: Course,
    /// The course without the newest observation, in case that is corrected.
    before: Course,
    /// The newest observation, to distinguish a repetition from a correction.
    newest: Option<(i64, f64, Option<f64>, Option<f64>)>,
    /// How many times the newest time was observed: 1, or more after corrections and late observations.
    revision: u32,
}

/// The lessons from a station's nights. They change once a night, the rest with each observation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Lessons(pub(super) Model);

impl Default for Lessons {
    fn default() -> Self {
        Self(Model::new())
    }
}

impl Lessons {
    /// Whether it has the form that this version writes.
    pub fn is_sound(&self) -> bool {
        self.0.is_sound()
    }

    /// How many nights it has learned from.
    pub fn nights(&self) -> u32 {
        self.0.nights
    }
}

/// The effect of an observation.
#[derive(Clone, Debug, PartialEq)]
pub enum Taken {
    /// It is the newest, with this result.
    Newest(Box<News>),
    /// It was known, or came too late to have an effect.
    Known,
    /// It is so far from the previous one that another one must confirm it.
    Doubtful,
    /// No night can be computed for its time.
    OutOfTime,
}

/// The result of an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// A night that has ended before it.
    pub outcome: Option<Outcome>,
    /// The newest observation's time, in seconds since 1970: later than its own if it was late.
    pub time: i64,
    /// The present or coming night.
    pub night: Night,
    /// The outlook on that night, from the afternoon on.
    pub expected: Option<Expected>,
    /// 1, or more if an observation of this time, or a late one, was corrected.
    pub revision: u32,
    /// Whether the model has learned from a night.
    pub has_learnt: bool,
}

impl Default for Nights {
    fn default() -> Self {
        Self { course: Course::new(), before: Course::new(), newest: None, revision: 0 }
    }
}

impl Nights {
    /// The newest observation's time, in seconds since 1970.
    pub fn newest(&self) -> Option<i64> {
        self.newest.map(|(time, ..)| time)
    }

    /// Adds an observation, which must have passed [`Hour::check`].
    pub fn observe(&mut self, lessons: &mut Lessons, spot: Spot, hour: &Hour) -> Taken {
        let Some(night) = Night::at(hour.time, spot.latitude, spot.longitude) else {
            return Taken::OutOfTime;
        };
        let seen = Seen {
            time: hour.time,
            temperature_c: hour.temperature_c,
            dew_point_c: hour.dew_point_c,
            wind_m_s: hour.wind_m_s,
        };
        let fingerprint = (hour.time, hour.temperature_c, hour.dew_point_c, hour.wind_m_s);
        match self.newest {
            Some((newest, ..)) if hour.time < newest => return self.take_late(lessons, spot, seen),
            Some(known) if known == fingerprint => return Taken::Known,
            Some((newest, known_c, ..)) if newest == hour.time => {
                let mut course = self.before.clone();
                // One near the accepted one is as good as that.
                if (hour.temperature_c - known_c).abs() > JUMP_K && course.doubts(seen) {
                    self.course.doubt_as(&course);
                    return Taken::Doubtful;
                }
                self.course = course;
                self.revision += 1;
            }
            _ => {
                if self.course.doubts(seen) {
                    return Taken::Doubtful;
                }
                self.revision = 1;
            }
        }
        let (outcome, has_learnt) = self.turn_to(&night, lessons, spot);
        self.before = self.course.clone();
        self.newest = Some(fingerprint);
        let inputs = self.course.take(&night, spot.latitude, seen);
        let expected = night.is_open(hour.time).then(|| self.expect(lessons, &night, hour.time, &inputs));
        Taken::Newest(Box::new(News {
            outcome,
            time: hour.time,
            night,
            expected,
            revision: self.revision,
            has_learnt,
        }))
    }

    /// An observation that is older than the newest can still be the lowest of the night.
    fn take_late(&mut self, lessons: &Lessons, spot: Spot, seen: Seen) -> Taken {
        let (Some(day), Some(last)) = (self.course.day, self.course.last) else { return Taken::Known };
        let Some(night) = night_of(day, spot) else { return Taken::Known };
        // Nothing confirms it.
        let far_k = jump_max_k(last.0 - seen.time).min(2.0 * JUMP_K);
        let is_far = (seen.temperature_c - last.1).abs() > far_k;
        if !night.contains(seen.time) || is_far || !self.course.lower(seen.time, seen.temperature_c) {
            return Taken::Known;
        }
        self.before.lower(seen.time, seen.temperature_c);
        self.revision += 1;
        let inputs = self.course.inputs_again(&night, spot.latitude, last);
        let expected = night.is_open(last.0).then(|| self.expect(lessons, &night, last.0, &inputs));
        let revision = self.revision;
        Taken::Newest(Box::new(News {
            outcome: None,
            time: last.0,
            night,
            expected,
            revision,
            has_learnt: false,
        }))
    }

    /// Ends the previous night, if there is one, and starts this one.
    fn turn_to(&mut self, night: &Night, lessons: &mut Lessons, spot: Spot) -> (Option<Outcome>, bool) {
        let day = night.date.days_since_1970();
        if self.course.day == Some(day) {
            return (None, false);
        }
        let ended = self.course.day.and_then(|day| night_of(day, spot));
        let (mut outcome, mut has_learnt) = (None, false);
        if let Some(ended) = ended {
            let gap = self.course.longest_gap(&ended);
            if let Some((time, lowest)) = self.course.lowest {
                // A silence teaches nothing, and does not prove that a limit was not reached.
                let is_complete = gap <= SILENCE;
                outcome = Some(Outcome::new(&ended, lowest, time, gap, is_complete));
                if is_complete {
                    has_learnt = true;
                    lessons.0.nights += 1;
                    for (node, snapshot) in self.course.snapshots() {
                        lessons.0.learn(node, &snapshot.inputs, snapshot.lowest_c - lowest);
                    }
                }
            }
            self.course = self.course.next(&ended);
        }
        self.course.day = Some(day);
        (outcome, has_learnt)
    }

    fn expect(&self, lessons: &Lessons, night: &Night, time: i64, inputs: &super::model::Inputs) -> Expected {
        let prediction = lessons.0.predict(hour_of(night, time), inputs);
        let reference = self.course.reference_c();
        let lowest = self.course.lowest.map(|(_, lowest)| lowest);
        let distribution = Distribution::of_places(|at| reference - prediction.drop_at(SCORES[at]))
            .seen(lowest, self.course.reported_in());
        let now = self.course.last.map_or(reference, |(_, temperature)| temperature);
        let bounds = NightBounds::of(night);
        let fall = Fall { time, now, lowest_at: fall_ends(&bounds, time) };
        let curve = fall.curve(&distribution);
        Expected {
            night: bounds,
            lowest_at: match self.course.lowest {
                Some((at, lowest)) if lowest <= distribution.quantile(0.5) => at,
                _ => fall.lowest_at,
            },
            distribution,
            temperature_c: now,
            curve,
            nights: lessons.0.nights,
            inputs: self.course.names_of_inputs(time),
            forecast: None,
        }
    }
}

fn night_of(day: i32, spot: Spot) -> Option<Night> {
    Some(Night::of(Date::from_days_since_1970(day)?, spot.latitude, spot.longitude))
}

/// The fall of the temperature from now to the lowest: faster at first, the more so the longer it takes. Compared
/// with a square root of the time (Snyder and de Melo-Abreu, Frost Protection, FAO 2005), crossings are not half an
/// hour early.
struct Fall {
    time: i64,
    now: f64,
    lowest_at: i64,
}

impl Fall {
    /// How much faster the first half of the fall is: 0, a straight line, to 0.7.
    fn bend(&self) -> f64 {
        (0.06 * (self.lowest_at - self.time) as f64 / HOUR as f64).clamp(0.0, 0.7)
    }

    /// The expected temperature at a time, on the way to `lowest`.
    fn at(&self, time: i64, lowest: f64) -> f64 {
        let lowest = lowest.min(self.now);
        if time >= self.lowest_at {
            return lowest;
        }
        let part = (time - self.time).max(0) as f64 / (self.lowest_at - self.time) as f64;
        let bend = self.bend();
        self.now + (lowest - self.now) * part * (1.0 + bend - bend * part)
    }

    /// When `limit` is crossed on the way to `lowest`; `None` if it is not.
    fn crossing(&self, limit: f64, lowest: f64) -> Option<i64> {
        let lowest = lowest.min(self.now);
        if self.now <= limit {
            return Some(self.time);
        }
        if lowest > limit || self.lowest_at <= self.time {
            return None;
        }
        let (part, bend) = ((self.now - limit) / (self.now - lowest), self.bend());
        // The smaller root of bend * f² - (1 + bend) * f + part = 0.
        let f = 2.0 * part / (1.0 + bend + ((1.0 + bend).powi(2) - 4.0 * bend * part).sqrt());
        Some(self.time + (f * (self.lowest_at - self.time) as f64) as i64)
    }

    /// Each full hour until the lowest is expected.
    fn curve(&self, night: &Distribution) -> Vec<CurvePoint> {
        let [p10, p50, p90] = [0.1, 0.5, 0.9].map(|probability| night.quantile(probability));
        let hundredths = |value: f64| (value * 100.0).round() / 100.0;
        let first = (self.time.div_euclid(CURVE_STEP) + 1) * CURVE_STEP;
        let hours = (first..self.lowest_at).step_by(CURVE_STEP as usize);
        let times = hours.chain((self.lowest_at > self.time).then_some(self.lowest_at));
        times
            .map(|time| CurvePoint {
                time,
                p10_c: hundredths(self.at(time, p10)),
                p50_c: hundredths(self.at(time, p50)),
                p90_c: hundredths(self.at(time, p90)),
            })
            .collect()
    }
}

impl Expected {
    /// The same with another distribution, adjusted by a forecast.
    pub(super) fn guided(self, distribution: Distribution, guide: Guide, time: i64) -> Self {
        let fall = Fall { time, now: self.temperature_c, lowest_at: fall_ends(&self.night, time) };
        let is_past =
            distribution.lowest_so_far_c().is_some_and(|lowest| lowest <= distribution.quantile(0.5));
        let lowest_at = if is_past { self.lowest_at } else { fall.lowest_at };
        let mut inputs = self.inputs;
        inputs.push("forecast".into());
        let curve = fall.curve(&distribution);
        Self { distribution, lowest_at, curve, inputs, forecast: Some(guide), ..self }
    }

    /// When the temperature is expected to fall to `limit_c`; `time` if it has already; `None` if that is not
    /// expected.
    pub fn crossing(&self, limit_c: f64, time: i64) -> Option<i64> {
        let fall = Fall { time, now: self.temperature_c, lowest_at: fall_ends(&self.night, time) };
        fall.crossing(limit_c, self.distribution.quantile(0.5))
    }
}

/// When the lowest temperature is expected, at `time`.
fn fall_ends(night: &NightBounds, time: i64) -> i64 {
    time.max(night.sunrise - BEFORE_SUNRISE)
}
