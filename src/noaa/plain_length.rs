//! Finds the end of the plain part of a JSON string.

/// How many bytes come before the first quote, backslash or control character, or the end. Eight at a time, because
/// this step handles the most bytes of a record.
#[inline(always)]
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return 8 * index + special.trailing_zeros() as usize / 8;
        }
    }
    let start = 8 * words.len();
    let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    bytes[start..].iter().position(is_special).map_or(bytes.len(), |position| start + position)
}

/// The high bit of each byte that is a quote, a backslash or a control character. Bytes above the lowest marked one
/// may be marked wrongly (a borrow), so only the lowest counts.
#[inline(always)]
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGH;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}
