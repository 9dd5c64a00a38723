//! Chance that can be asked at any point: the same numbers give the same result, without a state that moves on.

/// Mixes numbers into 64 bits that look random, by the last steps of SplitMix64.
pub(super) fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0x9e37_79b9_7f4a_7c15, |state: u64, part| {
        let mut bits = state.wrapping_add(*part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ (bits >> 31)
    })
}

/// A number from 0 to just below 1.
pub(super) fn unit(parts: &[u64]) -> f64 {
    (mix(parts) >> 11) as f64 / (1_u64 << 53) as f64
}

/// True with this probability.
pub(super) fn chance(probability: f64, parts: &[u64]) -> bool {
    unit(parts) < probability
}

/// A number from `low` to just below `high`; `low` for an empty range.
pub(super) fn between(low: i64, high: i64, parts: &[u64]) -> i64 {
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
pub(super) fn swing(key: u64, position: f64) -> f64 {
    2.0 * smooth(key, position) - 1.0
}

/// Bits that depend on all bytes, the FNV-1a hash.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |state, byte| (state ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_spread_and_repeat() {
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
