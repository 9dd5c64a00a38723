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
    pub fn convert(self, metric: f64) -> f64 {
        match self {
            // In this order 10.0 gives exactly 50.0, and so do all tenths that give whole degrees.
            Self::Fahrenheit => metric * 9.0 / 5.0 + 32.0,
            Self::Celsius => (metric - 32.0) * 5.0 / 9.0,
            Self::Inches => metric / 25.4,
            Self::Feet => metric / 0.3048,
            Self::MilesPerHour => metric / 0.44704,
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
        assert!((Unit::MilesPerHour.convert(10.0) - 22.369).abs() < 0.001);
        assert_eq!(Unit::of_function("feet"), Some(Unit::Feet));
    }
}
