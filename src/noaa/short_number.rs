//! Parses numbers of a few bytes, all bytes at once.

use super::element_value::ElementValue;

/// Powers of ten that an `f64` represents exactly.
pub(super) const POWERS_OF_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Parses a number that ends within eight bytes, as most do (`-12.3,`), and returns its length. Without a loop over
/// its digits and a branch on its sign, because the CPU would mispredict such data-dependent branches half of the
/// time. `None` says nothing about the number.
#[inline(always)]
pub(super) fn short_number(chunk: [u8; 8]) -> Option<(ElementValue, usize)> {
    let is_negative = chunk[0] == b'-';
    let sign = usize::from(is_negative);
    // In place of the sign, a zero is shifted in at the end, which is not a digit.
    let word = (u64::from_le_bytes(chunk) >> (8 * sign)) ^ DIGIT_ZEROS;
    let ends = not_digits(word);
    let whole = bytes_below(ends);
    if whole == 0 || whole == 8 || (whole > 1 && word & 0xff == 0) {
        return None;
    }
    if (word >> (8 * whole)) & 0xff != u64::from(b'.' ^ b'0') {
        let number = i64::try_from(value_of(word, whole)).ok()?;
        let minus = -i64::from(is_negative);
        let is_whole = !matches!(chunk.get(whole + sign), None | Some(b'e' | b'E'));
        // The thorough reader distinguishes -0 from 0.
        let is_usual = is_whole && !(is_negative && number == 0);
        return is_usual.then_some((ElementValue::Int((number ^ minus) - minus), whole + sign));
    }
    // Remove the point from the digits.
    let before = (1 << (8 * whole)) - 1;
    let digits = (word & before) | ((word >> 8) & !before);
    let all = bytes_below(ends & (ends - 1)) - 1;
    let decimals = all - whole;
    let length = all + 1 + sign;
    if decimals == 0 || length >= 8 || matches!(chunk[length], b'e' | b'E') {
        return None;
    }
    let number = value_of(digits, all) as f64 / POWERS_OF_TEN[decimals];
    let signed = f64::from_bits(number.to_bits() | (u64::from(is_negative) << 63));
    Some((ElementValue::Float(signed), length))
}

/// Eight times the digit 0: subtracting these from digits gives their values.
const DIGIT_ZEROS: u64 = u64::MAX / 255 * b'0' as u64;

/// The high bit of each byte that is more than 9. Bytes above the lowest marked one may be marked wrongly (a carry).
#[inline(always)]
fn not_digits(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    (word.wrapping_add(ONES * (0x80 - 10)) | word) & (ONES << 7)
}

/// How many bytes are below the lowest mark.
#[inline(always)]
fn bytes_below(marks: u64) -> usize {
    marks.trailing_zeros() as usize / 8
}

/// The number with the lowest `count` bytes as digits, the first one lowest; 1 to 8 of them. Combines digits to
/// pairs, then pairs, then fours: three multiplications in all.
#[inline(always)]
fn value_of(digits: u64, count: usize) -> u64 {
    const PAIR: u64 = 0x0000_00ff_0000_00ff;
    let digits = digits << (64 - 8 * count);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8);
    let high = (pairs & PAIR).wrapping_mul(100 + (1_000_000 << 32));
    let low = ((pairs >> 16) & PAIR).wrapping_mul(1 + (10_000 << 32));
    high.wrapping_add(low) >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms() {
        for (text, expected) in [
            (b"-12.3,\"T", Some((ElementValue::Float(-12.3), 5))),
            (b"0}}     ", Some((ElementValue::Int(0), 1))),
            (b"-7,     ", Some((ElementValue::Int(-7), 2))),
            (b"-0.0,   ", Some((ElementValue::Float(-0.0), 4))),
            (b"123456.7", None),
            (b"01,     ", None),
            (b"1e3,    ", None),
            (b"-0,     ", None),
            (b".5,     ", None),
            (b"5.,     ", None),
        ] {
            assert_eq!(short_number(*text), expected, "{:?}", String::from_utf8_lossy(text));
        }
    }
}
