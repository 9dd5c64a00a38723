//! Dice that fall the same way on every machine.
//!
//! Our own, so that a new version of a library never changes what a seed gives. Nothing here or in the
//! weather calls the C library's `cos`, `ln` or `exp`, whose last digits differ between systems.

/// 2^64 divided by the golden ratio: its multiples lie evenly spread.
pub(super) const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// A stream of numbers after the `SplitMix64` generator of Steele, Lea and Flood.
pub(super) struct Random(u64);

impl Random {
    /// The dice of one station on one day. They depend on nothing else, so that a longer run, or one of more
    /// stations, repeats what a smaller one gave.
    pub(super) fn new(seed: u64, station: u64, day: u64) -> Self {
        let of_station = mix(seed ^ mix(station.wrapping_add(1).wrapping_mul(GOLDEN)));
        Self(of_station ^ mix(day.wrapping_mul(GOLDEN)))
    }

    /// 64 even bits.
    fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GOLDEN);
        mix(self.0)
    }

    /// Evenly from 0 to below 1.
    pub(super) fn share(&mut self) -> f64 {
        // An f64 holds 53 bits exactly.
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Evenly from 0 to below `end`.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        ((u64::from(self.bits() as u32) * u64::from(end)) >> 32) as u32
    }

    /// Close to a normal deviate, never beyond 3.47: the sum of four even ones of 16 bits.
    pub(super) fn normal(&mut self) -> f64 {
        let bits = self.bits();
        let sum: u64 = [0, 16, 32, 48].iter().map(|shift| (bits >> shift) & 0xffff).sum();
        // The sum of four has a variance of 4/12; the root of 3 makes it 1.
        (sum as f64 / 65_536.0 - 2.0) * 1.732_050_8
    }
}

fn mix(bits: u64) -> u64 {
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
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
}
