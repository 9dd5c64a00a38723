//! The forecasts of services: the truth, with a bias for each grid cell and an error that grows with the time ahead.

use super::times::{DAY, HOUR};
use super::world::World;
use crate::noaa::Location;
use crate::synthetic::random::{hash, mix, swing, unit};
use crate::synthetic::{Place, Weather};

/// Largest bias of a cell, in K.
const BIAS_MAX: f64 = 1.8;
/// Error at once, and after each day ahead, in K.
const ERROR_AT_ONCE: f64 = 0.5;
const ERROR_PER_DAY: f64 = 0.9;
const ERROR_MAX: f64 = 5.0;
/// The decrease of temperature with height, in K per metre.
pub(super) const LAPSE: f64 = 0.006_5;

/// A forecast of one service for one cell.
pub(super) struct Forecast {
    pub(super) place: Place,
    key: u64,
    /// When it was made, in seconds since 1970.
    issued: i64,
}

impl World {
    /// The forecast of a service for the weather at a location, for the cell of this name.
    pub(super) fn forecast(&self, cell: &str, location: Location, issued: i64) -> Forecast {
        let key = mix(&[self.seed(), hash(cell.as_bytes())]);
        Forecast { place: self.place_near(location), key, issued }
    }
}

impl Forecast {
    /// Bias of the cell, in K: it is always there.
    pub(super) fn bias(&self) -> f64 {
        BIAS_MAX * (2.0 * unit(&[self.key, 1]) - 1.0)
    }

    /// How uncertain the temperature of a time is, in K.
    pub(super) fn spread(&self, time: i64) -> f64 {
        let days = (time - self.issued).max(0) as f64 / DAY as f64;
        (ERROR_AT_ONCE + ERROR_PER_DAY * days).min(ERROR_MAX)
    }

    /// Temperature and all else at a time.
    pub(super) fn at(&self, time: i64) -> Weather {
        let truth = self.place.weather(time);
        // The error of one forecast changes slowly over the hours, and from one forecast to the next.
        let run = mix(&[self.key, self.issued.cast_unsigned(), 2]);
        let error = self.bias() + self.spread(time) * swing(run, time as f64 / (9.0 * HOUR as f64));
        Weather {
            temperature_c: truth.temperature_c + error,
            dew_point_c: (truth.dew_point_c + 0.7 * error).min(truth.temperature_c + error),
            ..truth
        }
    }

    /// Lowest and highest temperature of the full hours from a time on until before another.
    pub(super) fn extremes(&self, from: i64, to: i64) -> (f64, f64) {
        let times = (0..).map(|hour| from + hour * HOUR).take_while(|time| *time < to);
        let temperatures = times.map(|time| self.at(time).temperature_c);
        temperatures.fold((f64::MAX, f64::MIN), |(low, high), one| (low.min(one), high.max(one)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_small_at_first_and_the_bias_remains() {
        let world = World::new(1, 3);
        let location = world.stations()[0].location();
        let place = world.place(0);
        let (mut sum, mut count) = (0.0, 0.0);
        let mut far: f64 = 0.0;
        for run in 0..200 {
            let issued = 1_795_824_000 + run * 6 * HOUR;
            let forecast = world.forecast("cell", location, issued);
            let miss =
                |time: i64| forecast.at(time).temperature_c - place.temperature_c(time) - forecast.bias();
            assert!(miss(issued).abs() <= ERROR_AT_ONCE);
            far = far.max(miss(issued + 6 * DAY).abs());
            sum += miss(issued + 12 * HOUR);
            count += 1.0;
            let weather = forecast.at(issued + DAY);
            assert!(weather.dew_point_c <= weather.temperature_c);
        }
        let mean: f64 = sum / count;
        assert!(mean.abs() < 0.3 && far > 2.0, "{mean} {far}");
        let bias = |cell: &str| world.forecast(cell, location, 0).bias();
        assert!(bias("cell") != bias("other") && bias("cell").abs() <= BIAS_MAX);
    }
}
