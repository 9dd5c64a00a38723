//! A station's report of its weather: which elements, with which gaps and flags.
//!
//! | network | elements | gaps |
//! |---|---|---|
//! | airports | TMAX TMIN PRCP AWND WSF2, TAVG with a WMO number | rare |
//! | cooperative observers | TMAX TMIN TOBS PRCP SNOW SNWD | no TMIN on 6 % of days, no TMAX on 4 % |
//! | volunteers | PRCP SNOW SNWD | silent on 8 %, never a temperature |
//! | weather services | TMAX TMIN PRCP TAVG, SNWD if snow lies | no TMIN on 15 %, no TMAX on 10 % |

use super::day::DayWeather;
use super::random::Random;
use super::station::{Network, Synthetic};
use crate::noaa::{Date, Element, Reading};

/// Share of station-days with a reading that failed NOAA's quality control: about one line in 700.
const FAILED_SHARE: f64 = 0.007;
/// Share of dry days with a few drops, too little to measure.
const TRACE_SHARE: f64 = 0.03;

/// Collects the readings of one station and day in reused memory.
struct Report<'a> {
    readings: &'a mut Vec<Reading>,
    empty: Reading,
}

impl Report<'_> {
    fn add(&mut self, element: Element, value: i32) -> &mut Reading {
        self.readings.push(Reading { element, value, ..self.empty });
        let last = self.readings.len() - 1;
        &mut self.readings[last]
    }

    fn precipitation(&mut self, weather: &DayWeather, random: &mut Random) {
        let is_trace = weather.water == 0 && random.share() < TRACE_SHARE;
        let reading = self.add(Element::PRCP, weather.water);
        if is_trace {
            reading.measurement_flag = b'T';
        }
    }

    /// The mean of hourly values, which is slightly off the middle of the extremes.
    fn average(&mut self, weather: &DayWeather, random: &mut Random) {
        let off = f64::from(weather.max - weather.min) * 0.2 * (random.share() - 0.5);
        let reading = self.add(Element::TAVG, i32::midpoint(weather.max, weather.min) + off as i32);
        (reading.measurement_flag, reading.source_flag) = (b'H', b'S');
    }
}

/// Replaces `readings` by the report of `station` for this weather; empty if it is silent that day.
pub(super) fn report(
    station: &Synthetic,
    date: Date,
    weather: &DayWeather,
    random: &mut Random,
    readings: &mut Vec<Reading>,
) {
    readings.clear();
    let empty = Reading {
        station: station.id,
        date,
        element: Element::PRCP,
        value: 0,
        measurement_flag: 0,
        quality_flag: 0,
        source_flag: source_flag(station.network),
        observation_time: None,
    };
    let mut out = Report { readings, empty };
    match station.network {
        Network::Airport => airport(&mut out, station.has_wmo_id, weather, random),
        Network::Cooperative(hour) => cooperative(&mut out, hour, weather, random),
        Network::Volunteer if random.share() < 0.08 => {}
        Network::Volunteer => {
            out.precipitation(weather, random);
            out.add(Element::SNOW, weather.fresh_snow);
            out.add(Element::SNWD, weather.snow_depth);
        }
        Network::Service(_) => service(&mut out, weather, random),
    }
    if random.share() < FAILED_SHARE && !readings.is_empty() {
        let unlucky = random.below(readings.len() as u32) as usize;
        spoil(&mut readings[unlucky], random);
    }
}

fn source_flag(network: Network) -> u8 {
    match network {
        Network::Airport => b'W',
        Network::Cooperative(_) => b'7',
        Network::Volunteer => b'N',
        Network::Service(flag) => flag,
    }
}

fn airport(out: &mut Report<'_>, has_average: bool, weather: &DayWeather, random: &mut Random) {
    out.add(Element::TMAX, weather.max);
    if random.share() >= 0.003 {
        out.add(Element::TMIN, weather.min);
    }
    out.precipitation(weather, random);
    out.add(Element::AWND, weather.wind);
    out.add(Element::WSF2, weather.wind * 9 / 5 + random.below(20) as i32);
    if has_average {
        out.average(weather, random);
    }
}

fn cooperative(out: &mut Report<'_>, hour: u16, weather: &DayWeather, random: &mut Random) {
    let gap = random.share();
    if gap < 0.01 {
        return;
    }
    if gap >= 0.04 {
        out.add(Element::TMAX, weather.max);
        if gap >= 0.06 {
            out.add(Element::TMIN, weather.min);
        }
        let is_morning = hour < 1_200;
        out.add(Element::TOBS, if is_morning { weather.min + 8 } else { weather.max - 15 });
    }
    out.precipitation(weather, random);
    // Snow is measured once a day, without a time.
    out.readings.iter_mut().for_each(|reading| reading.observation_time = Some(hour));
    out.add(Element::SNOW, weather.fresh_snow);
    out.add(Element::SNWD, weather.snow_depth);
}

fn service(out: &mut Report<'_>, weather: &DayWeather, random: &mut Random) {
    if random.share() >= 0.10 {
        out.add(Element::TMAX, weather.max);
    }
    if random.share() >= 0.15 {
        out.add(Element::TMIN, weather.min);
    }
    out.precipitation(weather, random);
    out.average(weather, random);
    if weather.snow_depth > 0 {
        out.add(Element::SNWD, weather.snow_depth);
    }
}

/// Lets a reading fail quality control. The flag says that the value must not be used; a program that ignores it
/// raises false alarms.
fn spoil(reading: &mut Reading, random: &mut Random) {
    let is_temperature =
        matches!(reading.element, Element::TMAX | Element::TMIN | Element::TAVG | Element::TOBS);
    let (flag, off) = match random.below(4) {
        // A repeated value of another day; the value itself is plausible.
        0 => (b'D', 0),
        // Not consistent with the day's other values, or with the neighbours.
        1 if is_temperature => (b'I', -260),
        2 if is_temperature => (b'S', -180),
        // Beyond all bounds.
        _ => (b'X', if is_temperature { 700 } else { 20_000 }),
    };
    (reading.value, reading.quality_flag) = (reading.value + off, flag);
}
