//! Familiar units: functions of conditions and messages that convert from the metric values of observations. `c`
//! converts the other way: it turns a limit in degrees Fahrenheit into a metric one.

use cel::{ExecutionError, Value};

/// The target unit of a conversion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `f(TMIN)`: degrees Celsius to Fahrenheit.
    Fahrenheit,
    /// `c(28.0)`: degrees Fahrenheit to Celsius.
    Celsius,
    /// `inches(PRCP)`: millimetres to inches.
    Inches,
    /// `feet(station.elevation)`: metres to feet.
    Feet,
    /// `mph(AWND)`: metres a second to miles an hour.
    MilesPerHour,
}

impl Unit {
    pub(super) const ALL: [Self; 5] =
        [Self::Fahrenheit, Self::Celsius, Self::Inches, Self::Feet, Self::MilesPerHour];

    /// The function's name in conditions and messages.
    pub fn function(self) -> &'static str {
        match self {
            Self::Fahrenheit => "f",
            Self::Celsius => "c",
            Self::Inches => "inches",
            Self::Feet => "feet",
            Self::MilesPerHour => "mph",
        }
    }

    /// How the function is used.
    pub(super) fn example(self) -> &'static str {
        match self {
            Self::Fahrenheit => "f(TMIN)",
            Self::Inches => "inches(PRCP)",
            Self::Feet => "feet(station.elevation)",
            Self::MilesPerHour => "mph(AWND)",
            Self::Celsius => "c(28)",
        }
    }

    /// The unit with this function.
    pub fn of_function(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|unit| unit.function() == name)
    }

    /// Its sign after a number.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Fahrenheit => "°F",
            Self::Celsius => "°C",
            Self::Inches => "in",
            Self::Feet => "ft",
            Self::MilesPerHour => "mph",
        }
    }

    /// Converts a metric value; `Celsius` one in degrees Fahrenheit.
    ///
    /// Many stations read whole degrees Fahrenheit, hundredths of an inch and whole miles an hour, and records have
    /// tenths of metric units. So a station that read 28 °F says -2.2 °C, which is 28.04 °F, and would miss a limit of
    /// 28 °F. Here -2.2 °C is 28 °F: what may have been such a reading is taken for it.
    pub fn convert(self, metric: f64) -> f64 {
        match self {
            // In this order 10.0 gives exactly 50.0, and so do all tenths that give whole degrees.
            Self::Fahrenheit => as_read(metric * 9.0 / 5.0 + 32.0, 1.0, 9.0 / 5.0),
            Self::Celsius => ((metric - 32.0) * 5.0 / 9.0 * 10.0).round() / 10.0,
            Self::Inches => as_read(metric / 25.4, 100.0, 1.0 / 25.4),
            Self::Feet => metric / 0.3048,
            Self::MilesPerHour => as_read(metric / 0.44704, 1.0, 1.0 / 0.44704),
        }
    }

    /// The value that converts to this one.
    pub fn invert(self, value: f64) -> f64 {
        match self {
            Self::Fahrenheit => (value - 32.0) * 5.0 / 9.0,
            Self::Celsius => value * 9.0 / 5.0 + 32.0,
            Self::Inches => value * 25.4,
            Self::Feet => value * 0.3048,
            Self::MilesPerHour => value * 0.44704,
        }
    }

    /// The same for CEL's interpreter.
    pub(super) fn convert_value(self, value: &Value) -> Result<Value, ExecutionError> {
        match value {
            Value::Float(metric) => Ok(Value::Float(self.convert(*metric))),
            Value::Int(metric) => Ok(Value::Float(self.convert(*metric as f64))),
            Value::UInt(metric) => Ok(Value::Float(self.convert(*metric as f64))),
            other => Err(ExecutionError::function_error(
                self.function(),
                format!("expected a number, not a {}", other.type_of()),
            )),
        }
    }
}

/// The reading, of which one unit has so many steps, that is this value but for the rounding of its metric form to
/// tenths; otherwise the value. `scale`: the metric unit in this one.
fn as_read(value: f64, steps: f64, scale: f64) -> f64 {
    let reading = (value * steps).round() / steps;
    // A little more than half a tenth, since the numbers are binary.
    if (value - reading).abs() < 0.050_001 * scale { reading } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_degrees_are_exact() {
        let fahrenheit: Vec<f64> = [-40.0, 0.0, 5.0, 10.0, 100.0].map(|c| Unit::Fahrenheit.convert(c)).into();
        assert_eq!(fahrenheit, [-40.0, 32.0, 41.0, 50.0, 212.0]);
        assert_eq!([23.0, 32.0, 50.0].map(|f| Unit::Celsius.convert(f)), [-5.0, 0.0, 10.0]);
        assert_eq!(Unit::Celsius.invert(-5.0), 23.0);
        assert_eq!(Unit::Inches.convert(25.4), 1.0);
        assert!((Unit::MilesPerHour.convert(10.1) - 22.593).abs() < 0.001);
        assert_eq!(Unit::of_function("feet"), Some(Unit::Feet));
    }

    #[test]
    fn what_a_station_read_comes_back() {
        let kept = |metric: f64| (metric * 10.0).round() / 10.0;
        for reading in (-90..=130).map(f64::from) {
            assert_eq!(Unit::Fahrenheit.convert(kept(Unit::Fahrenheit.invert(reading))), reading);
            assert_eq!(
                Unit::Celsius.convert(reading),
                kept(Unit::Fahrenheit.invert(reading)),
                "c({reading})"
            );
        }
        for reading in (0..=200).map(f64::from) {
            assert_eq!(Unit::MilesPerHour.convert(kept(Unit::MilesPerHour.invert(reading))), reading);
            assert_eq!(Unit::Inches.convert(kept(Unit::Inches.invert(reading / 100.0))), reading / 100.0);
        }
        // In between nothing changes, and the order stays.
        assert_eq!(Unit::Fahrenheit.convert(-2.0), 28.4);
        let tenths: Vec<f64> =
            (-900..=600).map(|tenths| Unit::Fahrenheit.convert(f64::from(tenths) / 10.0)).collect();
        assert!(tenths.is_sorted_by(|a, b| a < b));
    }
}
