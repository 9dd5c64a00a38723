//! Relative humidity and wet bulb from temperature and dew point, at sea-level pressure.
//!
//! Saturation vapour pressure over water after Magnus with the coefficients of the WMO guide (WMO-No. 8, annex 4.B). The wet
//! bulb solves the psychrometric equation of an aspirated instrument. Near freezing it lies about a third of the
//! dew-point depression below the temperature (Knox, Nevius and Knox 2017, BAMS).

/// Pressure at sea level, in hPa.
const PRESSURE_HPA: f64 = 1_013.25;
/// Of an aspirated psychrometer, per K.
const PSYCHROMETER_PER_K: f64 = 0.000_662;
/// The bisection ends within this, in K.
const PRECISION_K: f64 = 0.001;

/// Saturation vapour pressure over water, in hPa.
fn saturation_hpa(temperature_c: f64) -> f64 {
    6.112 * (17.62 * temperature_c / (243.12 + temperature_c)).exp()
}

/// Relative humidity over water, 0 to 100 percent.
pub fn humidity_percent(temperature_c: f64, dew_point_c: f64) -> f64 {
    (100.0 * saturation_hpa(dew_point_c) / saturation_hpa(temperature_c)).clamp(0.0, 100.0)
}

/// Wet-bulb temperature, in °C: as low as evaporation cools. Between dew point and temperature.
pub fn wet_bulb_c(temperature_c: f64, dew_point_c: f64) -> f64 {
    let vapour = saturation_hpa(dew_point_c.min(temperature_c));
    let (mut low, mut high) = (dew_point_c.min(temperature_c), temperature_c);
    while high - low > PRECISION_K {
        let middle = f64::midpoint(low, high);
        let balance =
            saturation_hpa(middle) - PSYCHROMETER_PER_K * PRESSURE_HPA * (temperature_c - middle) - vapour;
        if balance > 0.0 { high = middle } else { low = middle }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wet_bulb_is_near_the_rule_of_thirds() {
        for (temperature, dew_point, expected) in
            [(0.0, -5.0, -1.73), (2.0, -3.0, 0.12), (4.0, -6.0, 0.43), (1.0, -10.0, -2.37), (5.0, 5.0, 5.0)]
        {
            let found = wet_bulb_c(temperature, dew_point);
            assert!((found - expected).abs() < 0.1, "{temperature} {dew_point}: {found}");
        }
    }

    #[test]
    fn saturated_air_has_a_hundred_percent() {
        assert!((humidity_percent(3.0, 3.0) - 100.0).abs() < 1e-9);
        assert!((humidity_percent(20.0, 9.3) - 50.0).abs() < 0.5);
    }
}
