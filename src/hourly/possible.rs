//! Impossible values of observations from files.

use super::{Hour, HourError};

/// Removes impossible values other than the temperature: NOAA's archives have winds of 468 m/s next to a correct
/// temperature.
///
/// # Errors
/// The temperature itself is not possible.
pub(super) fn without_impossible(hour: Hour) -> Result<Hour, HourError> {
    let mut kept = Hour::new(hour.station, hour.time, hour.temperature_c);
    kept.check()?;
    let fields: [fn(&mut Hour, &Hour); 7] = [
        |to, from| to.dew_point_c = from.dew_point_c,
        |to, from| to.wind_m_s = from.wind_m_s,
        |to, from| to.pressure_hpa = from.pressure_hpa,
        |to, from| to.cloud_oktas = from.cloud_oktas,
        |to, from| to.weather.clone_from(&from.weather),
        |to, from| to.source.clone_from(&from.source),
        |to, from| to.raw.clone_from(&from.raw),
    ];
    for copy in fields {
        let mut with = kept.clone();
        copy(&mut with, &hour);
        if with.check().is_ok() {
            kept = with;
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noaa::StationId;

    #[test]
    fn only_a_possible_temperature_counts() {
        let station = StationId::parse(b"USW00014734").unwrap();
        let sound = Hour {
            dew_point_c: Some(-3.3),
            wind_m_s: Some(4.6),
            raw: Some("METAR".to_owned()),
            ..Hour::new(station, 0, 3.9)
        };
        assert_eq!(without_impossible(sound.clone()), Ok(sound.clone()));
        let windy = Hour { wind_m_s: Some(468.7), ..sound.clone() };
        assert_eq!(without_impossible(windy), Ok(Hour { wind_m_s: None, ..sound.clone() }));
        let moist = Hour { dew_point_c: Some(9.0), raw: Some("x".repeat(2_000)), ..sound.clone() };
        assert_eq!(without_impossible(moist), Ok(Hour { dew_point_c: None, raw: None, ..sound.clone() }));
        assert!(without_impossible(Hour { temperature_c: 99.0, ..sound }).is_err());
    }
}
