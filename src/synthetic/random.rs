//! Random numbers that are the same on every machine: [`Random`] is a stream, and the functions give chance that can
//! be computed at any point.
//!
//! Own code, so that a new version of a library never changes the results of a seed. Nothing here or in the daily
//! weather calls the C library's `cos`, `ln` or `exp`, whose last digits differ between systems.

/// 2^64 divided by the golden ratio: its multiples are evenly spread.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers after the `SplitMix64` generator of Steele, Lea and Flood.
pub(super) struct Random(u64);

impl Random {
    /// The random numbers of one station on one day. They depend on nothing else, so a longer run, or one with more
    /// stations, repeats the results of a smaller one.
    pub(super) fn new(seed: u64, station: u64, day: u64) -> Self {
        let of_station = scramble(seed ^ scramble(station.wrapping_add(1).wrapping_mul(GOLDEN)));
        Self(of_station ^ scramble(day.wrapping_mul(GOLDEN)))
    }

    /// 64 uniform bits.
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        scramble(self.0)
    }

    /// Uniform from 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        share_of(self.bits())
    }

    /// Uniform from 0 to below `end`.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.bits() as u32) * u64::from(end)) >> 32) as u32
    }

    /// Close to a normal deviate, never beyond 3.47: the sum of four uniform ones of 16 bits.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = [0, 16, 32, 48].iter().map(|shift| (bits >> shift) & 0xffff).sum();
        // The sum of four has a variance of 4/12; the root of 3 makes it 1.
        (sum as f64 / 65_536.0 - 2.0) * 1.732_050_8
    }
}

/// The last steps of `SplitMix64`: neighbouring numbers come out far apart.
fn scramble(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// Uniform bits as a number from 0 to below 1.
fn share_of(bits: u64) -> f64 {
    // An f64 holds 53 bits exactly.
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// Mixes numbers into 64 bits that look random; the same numbers always give the same bits.
pub(crate) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(GOLDEN, |state, part| scramble(state.wrapping_add(*part).wrapping_add(GOLDEN)))
}

/// A number from 0 to below 1.
pub(crate) fn unit(parts: &[u64]) -> f64 {
    share_of(mix(parts))
}

/// True with this probability.
pub(crate) fn chance(probability: f64, parts: &[u64]) -> bool {
    unit(parts) < probability
}

/// A number from `low` to just below `high`; `low` for an empty range.
pub(crate) fn between(low: i64, high: i64, parts: &[u64]) -> i64 {
    low + (unit(parts) * (high - low).max(0) as f64) as i64
}

/// A number from 0 to 1 that changes smoothly with `position`: one random value at each whole number.
pub(super) fn smooth(key: u64, position: f64) -> f64 {
    let left = position.floor();
    let index = left as i64;
    let share = position - left;
    let weight = share * share * (3.0 - 2.0 * share);
    let at = |index: i64| unit(&[key, index.cast_unsigned()]);
    at(index) * (1.0 - weight) + at(index + 1) * weight
}

/// The same from -1 to 1.
pub(crate) fn swing(key: u64, position: f64) -> f64 {
    2.0 * smooth(key, position) - 1.0
}

/// Bits that depend on all bytes, by the FNV-1a hash.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deviates_have_their_mean_and_spread() {
        let mut random = Random::new(7, 0, 0);
        let all: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = all.iter().sum::<f64>() / all.len() as f64;
        let variance = all.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / all.len() as f64;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn seed_station_and_day_all_count() {
        let first = |seed, station, day| Random::new(seed, station, day).bits();
        assert_eq!(first(1, 2, 3), first(1, 2, 3));
        for other in [first(2, 2, 3), first(1, 3, 3), first(1, 2, 4), first(2, 1, 3)] {
            assert_ne!(first(1, 2, 3), other);
        }
        let mut random = Random::new(1, 1, 1);
        assert!((0..1_000).all(|_| random.below(5) < 5 && random.share() < 1.0));
    }

    #[test]
    fn chance_at_a_point_is_spread_and_repeats() {
        let mean = (0..10_000).map(|index| unit(&[7, index])).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
        assert_eq!(mix(&[1, 2]), mix(&[1, 2]));
        assert_ne!(mix(&[1, 2]), mix(&[2, 1]));
        assert!((0..1_000).all(|index| (3..9).contains(&between(3, 9, &[index]))));
        assert_eq!(between(5, 5, &[1]), 5);
    }

    #[test]
    fn smooth_noise_has_no_jumps() {
        let mut before = smooth(9, -3.0);
        for step in 1..6_000 {
            let now = smooth(9, -3.0 + f64::from(step) / 1_000.0);
            assert!((now - before).abs() < 0.01 && (0.0..=1.0).contains(&now));
            before = now;
        }
    }
}
