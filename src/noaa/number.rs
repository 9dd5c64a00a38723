//! Whole numbers and tenths to and from ASCII, without a detour through `str` or `f64`.

/// Parses `-?[0-9]{1,10}` as an `i32`; nothing else is a number here (no blanks, no `+`).
pub(super) fn parse_i32(text: &[u8]) -> Option<i32> {
    let (negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 10 {
        return None;
    }
    // Ten digits always fit an i64; the narrowing at the end is the range check.
    let mut value: i64 = 0;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    i32::try_from(if negative { -value } else { value }).ok()
}

/// Writes `value` in decimal.
pub(super) fn write_i32(value: i32, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    write_u32(value.unsigned_abs(), out);
}

/// Writes a number of tenths as an exact decimal with one digit after the point: `-4` is `-0.4`.
pub(super) fn write_tenths(value: i32, out: &mut Vec<u8>) {
    if value < 0 {
        out.push(b'-');
    }
    let magnitude = value.unsigned_abs();
    write_u32(magnitude / 10, out);
    out.push(b'.');
    out.push(ascii_digit(magnitude));
}

/// Writes `value` in decimal.
pub(super) fn write_u32(value: u32, out: &mut Vec<u8>) {
    let mut digits = [0u8; 10];
    let mut start = digits.len();
    let mut rest = value;
    loop {
        start -= 1;
        digits[start] = ascii_digit(rest);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// The last decimal digit of `value`, as ASCII.
fn ascii_digit(value: u32) -> u8 {
    b'0' + (value % 10) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn tenths_are_exact() {
        for (value, text) in [(89, "8.9"), (-4, "-0.4"), (20, "2.0"), (0, "0.0"), (i32::MIN, "-214748364.8")]
        {
            assert_eq!(written(|out| write_tenths(value, out)), text);
        }
    }

    #[test]
    fn only_plain_whole_numbers_are_read() {
        for bad in ["", "-", "+5", " 5", "5 ", "1.5", "0x5", "2147483648", "-2147483649", "00000000001"] {
            assert_eq!(parse_i32(bad.as_bytes()), None, "{bad:?}");
        }
        assert_eq!(parse_i32(b"-2147483648"), Some(i32::MIN));
        assert_eq!(parse_i32(b"007"), Some(7));
    }

    proptest! {
        #[test]
        fn a_written_number_reads_back(value: i32) {
            let text = written(|out| write_i32(value, out));
            prop_assert_eq!(&text, &value.to_string());
            prop_assert_eq!(parse_i32(text.as_bytes()), Some(value));
        }
    }
}
