//! The units of a station CSV, if the file itself does not name them.

use crate::noaa::{Element, Scale};

/// Marks a missing value.
const MISSING: f64 = -9999.0;

/// The units of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Units {
    /// Whole numbers, as NOAA stores them: tenths of a degree Celsius, of a millimetre, of a metre per second.
    Tenths,
    /// The units of Climate Data Online with "metric": °C, mm, m/s.
    Metric,
    /// The units of Climate Data Online with "standard": °F, inches, miles per hour.
    Standard,
}

impl Units {
    /// The number that NOAA stores for a text in these units; `None` for a missing value.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub(super) fn stored(self, element: Element, text: &str) -> Result<Option<i32>, String> {
        if self == Self::Tenths {
            let value: i32 = text.parse().map_err(|_| {
                format!("{element} is {text:?}, which is not a whole number; check --units for this file")
            })?;
            return Ok((f64::from(value) != MISSING).then_some(value));
        }
        let number: Option<f64> = text.parse().ok().filter(|number: &f64| number.is_finite());
        let number = number.ok_or_else(|| format!("{element} is {text:?}, which is not a number"))?;
        if number == MISSING {
            return Ok(None);
        }
        let metric = if self == Self::Standard { to_metric(element, number)? } else { number };
        let scaled = match element.scale() {
            Scale::Tenths => 10.0 * metric,
            Scale::Whole => metric,
        };
        let rounded = scaled.round();
        if rounded.abs() > f64::from(i32::MAX) {
            return Err(format!("{element} is {text:?}, which is too large"));
        }
        Ok(Some(rounded as i32))
    }
}

fn to_metric(element: Element, number: f64) -> Result<f64, String> {
    Ok(match element.unit() {
        Some("°C") => (number - 32.0) / 1.8,
        // Inches, miles per hour, inches, miles.
        Some("mm") => number * 25.4,
        Some("m/s") => number * 0.44704,
        Some("cm") => number * 2.54,
        Some("km") => number * 1.609_344,
        Some("hPa") => return Err(format!("{element} has no known standard unit")),
        _ => number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_what_noaa_stores() {
        let stored = |units: Units, element: &str, text: &str| {
            units.stored(Element::parse(element.as_bytes()).unwrap(), text)
        };
        for (units, element, text, expected) in [
            (Units::Tenths, "TMIN", "-44", Some(-44)),
            (Units::Tenths, "TMIN", "-9999", None),
            (Units::Metric, "TMIN", "-4.4", Some(-44)),
            (Units::Metric, "SNOW", "25", Some(25)),
            (Units::Metric, "PRCP", "-9999.0", None),
            (Units::Standard, "TMIN", "34", Some(11)),
            (Units::Standard, "TMIN", "-40", Some(-400)),
            (Units::Standard, "PRCP", "0.12", Some(30)),
            (Units::Standard, "SNOW", "1.0", Some(25)),
            (Units::Standard, "AWND", "10", Some(45)),
            (Units::Standard, "PGTM", "1630", Some(1_630)),
        ] {
            assert_eq!(stored(units, element, text), Ok(expected), "{units:?} {element} {text}");
        }
        for (units, element, text) in [
            (Units::Tenths, "TMIN", "1.5"),
            (Units::Metric, "TMIN", "nan"),
            (Units::Metric, "TMIN", "1e300"),
            (Units::Standard, "ASLP", "29.9"),
        ] {
            assert!(stored(units, element, text).is_err(), "{units:?} {element} {text}");
        }
    }
}
