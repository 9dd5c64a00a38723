//! The form in which models were stored before their hours shared one covariance.

use serde::{Deserialize, Serialize};

use super::model::{HourModel, INPUTS, Model};
use super::station::Lessons;

/// A station's lessons in that form.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OlderLessons {
    hours: Vec<OlderHour>,
    nights: u32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct OlderHour {
    coefficients: [f32; INPUTS],
    covariance: Vec<f32>,
    variance: f32,
}

impl From<OlderLessons> for Lessons {
    /// Everything that was learned stays; the covariance is the mean of those of the hours.
    fn from(older: OlderLessons) -> Self {
        let covariances: Vec<&[f32]> = older.hours.iter().map(|hour| hour.covariance.as_slice()).collect();
        let length = covariances.iter().map(|covariance| covariance.len()).min().unwrap_or(0);
        let mean = |at: usize| {
            covariances.iter().map(|covariance| covariance[at]).sum::<f32>() / covariances.len() as f32
        };
        let covariance = (0..length).map(mean).collect();
        let hour = |hour: OlderHour| HourModel { coefficients: hour.coefficients, variance: hour.variance };
        Self(Model { hours: older.hours.into_iter().map(hour).collect(), covariance, nights: older.nights })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_learned_in_the_older_form_stays() {
        let new = Lessons::default().0;
        let hour = |(at, hour): (usize, &HourModel)| OlderHour {
            coefficients: hour.coefficients.map(|one| one + at as f32),
            covariance: new.covariance.iter().map(|one| one * (at + 1) as f32).collect(),
            variance: hour.variance / 2.0,
        };
        let older = OlderLessons { hours: new.hours.iter().enumerate().map(hour).collect(), nights: 300 };
        let read: Lessons = older.clone().into();
        assert!(read.is_sound() && read.nights() == 300);
        for (read, older) in read.0.hours.iter().zip(&older.hours) {
            assert_eq!((read.coefficients, read.variance), (older.coefficients, older.variance));
        }
        let tripled: Vec<f32> = new.covariance.iter().map(|one| one * 3.0).collect();
        assert!(read.0.covariance.iter().zip(tripled).all(|(read, mean)| (read - mean).abs() < 1e-6));
    }
}
