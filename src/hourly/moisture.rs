//! Relative humidity and wet bulb from temperature, dew point and pressure.
//!
//! Saturation vapour pressure over water after Magnus with the coefficients of the WMO guide (WMO-No. 8, annex 4.B). The wet
//! bulb solves the psychrometric equation of an aspirated instrument. Near freezing it lies about a third of the
//! dew-point depression below the temperature (Knox, Nevius and Knox 2017, BAMS).

/// Pressure at sea level, in hPa.
pub const SEA_LEVEL_HPA: f64 = 1_013.25;
/// Where people measure the weather, in metres above sea level. Other elevations stand for unknown ones.
const ELEVATIONS_M: std::ops::RangeInclusive<f64> = -450.0..=9_000.0;
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

/// Pressure of the standard atmosphere (ISO 2533) at this elevation, in hPa; that at sea level if it is unknown.
pub fn pressure_hpa(elevation_m: Option<f64>) -> f64 {
    let elevation = elevation_m.filter(|elevation| ELEVATIONS_M.contains(elevation)).unwrap_or_default();
    SEA_LEVEL_HPA * (1.0 - 2.255_77e-5 * elevation).powf(5.255_88)
}

/// Wet-bulb temperature, in °C: as low as evaporation cools, which is further where the air is thin. Between dew point and
/// temperature.
pub fn wet_bulb_c(temperature_c: f64, dew_point_c: f64, pressure_hpa: f64) -> f64 {
    let vapour = saturation_hpa(dew_point_c.min(temperature_c));
    let (mut low, mut high) = (dew_point_c.min(temperature_c), temperature_c);
    while high - low > PRECISION_K {
        let middle = f64::midpoint(low, high);
        let balance =
            saturation_hpa(middle) - PSYCHROMETER_PER_K * pressure_hpa * (temperature_c - middle) - vapour;
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
            let found = wet_bulb_c(temperature, dew_point, SEA_LEVEL_HPA);
            assert!((found - expected).abs() < 0.1, "{temperature} {dew_point}: {found}");
        }
    }

    #[test]
    fn the_wet_bulb_is_lower_in_thin_air() {
        for (elevation, expected) in
            [(Some(0.0), -1.74), (None, -1.74), (Some(-999.9), -1.74), (Some(2_000.0), -2.34)]
        {
            let found = wet_bulb_c(2.0, -10.0, pressure_hpa(elevation));
            assert!((found - expected).abs() < 0.01, "{elevation:?}: {found}");
        }
        assert!((pressure_hpa(Some(2_000.0)) - 794.95).abs() < 0.1);
    }

    #[test]
    fn saturated_air_has_a_hundred_percent() {
        assert!((humidity_percent(3.0, 3.0) - 100.0).abs() < 1e-9);
        assert!((humidity_percent(20.0, 9.3) - 50.0).abs() < 0.5);
    }
}
