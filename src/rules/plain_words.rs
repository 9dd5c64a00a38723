//! Rewrites a deserialiser's messages for people, without values: these may be addresses, and messages end up in
//! logs.

use crate::spelling::with_advice;

/// Words before a value in serde's messages.
const VALUES: [&str; 6] =
    ["string \"", "integer `", "floating point `", "character `", "unknown variant `", "unknown field `"];
/// Replaces a word that is not repeated.
const HIDDEN: &str = "(not shown: it may be an address)";
/// A telephone number has at least as many digits.
const NUMBER_DIGITS_MIN: usize = 6;

/// Terms of Rust, and their meaning for the author of a rule.
const WORDS: [(&str, &str); 10] = [
    ("struct Near", "a table, as in { lat = 33.6, lon = -111.9 }"),
    ("struct Nearest", "a table"),
    ("struct ActiveDefinition", "a table, as in { months = [4, 5] }"),
    ("struct Definition", "a table"),
    ("struct Subscriber", "a table"),
    ("a sequence", "a list"),
    ("unknown variant", "unknown word"),
    ("expected u16", "expected a whole number"),
    ("expected u8", "expected a whole number"),
    ("expected f64", "expected a number"),
];

/// The message of an error of serde's.
pub(super) fn without_values(message: &str) -> String {
    let mut plain = String::with_capacity(message.len());
    let mut rest = message;
    while let Some((at, open, end)) = next_value(rest) {
        let value = &rest[at + open.len()..end];
        plain.push_str(&rest[..at + open.len()]);
        plain.push_str(if is_harmless(value) { value } else { "…" });
        rest = &rest[end..];
    }
    plain.push_str(rest);
    let plain = WORDS.iter().fold(plain, |plain, (rust, word)| replace_word(&plain, rust, word));
    with_advice(&plain)
}

/// The next value in serde's message: its place, the words before it, and its end.
fn next_value(text: &str) -> Option<(usize, &'static str, usize)> {
    let (at, open) = VALUES.iter().filter_map(|open| Some((text.find(open)?, *open))).min()?;
    let start = at + open.len();
    let quote = if open.ends_with('"') { '"' } else { '`' };
    // The value itself may contain quotes; the expected form follows the last one.
    let close = format!("{quote}, expected");
    let end = text[start..].find(&close).or_else(|| text[start..].rfind(quote));
    Some((at, open, end.map_or(text.len(), |end| start + end)))
}

/// A misspelt word or a small number, which is neither an address nor a telephone number.
fn is_harmless(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && digits(value) < NUMBER_DIGITS_MIN
}

fn digits(text: &str) -> usize {
    text.bytes().filter(u8::is_ascii_digit).count()
}

/// A user's word in quotes for a message, hidden if it may be an address or a telephone number.
pub(super) fn shown(word: &str) -> String {
    match unquoted(word) {
        HIDDEN => HIDDEN.into(),
        word => format!("`{word}`"),
    }
}

/// The same without quotes.
pub(super) fn unquoted(word: &str) -> &str {
    // Ids often contain those of stations, which have as many digits as a telephone number.
    let is_name = word.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    let is_text = digits(word) < NUMBER_DIGITS_MIN && !word.contains(|c: char| c == '@' || c.is_control());
    let has_letter = word.contains(|c: char| c.is_alphabetic());
    let is_dots = !word.is_empty() && word.chars().all(|c| c == '.');
    if is_dots || has_letter && (is_name || is_text) { word } else { HIDDEN }
}

fn replace_word(text: &str, from: &str, to: &str) -> String {
    let mut replaced = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(from) {
        let after = &rest[at + from.len()..];
        replaced.push_str(&rest[..at]);
        replaced.push_str(if after.starts_with(|c: char| c.is_alphanumeric()) { from } else { to });
        rest = after;
    }
    replaced + rest
}

/// `a, b or c`.
pub(super) fn one_of(names: &[impl std::borrow::Borrow<str>]) -> String {
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {}", rest.join(", "), last.borrow()),
        _ => names.join(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_not_repeated() {
        let told = without_values("invalid type: string \"secret@example.org\", expected u16");
        assert_eq!(told, "invalid type: string \"…\", expected a whole number");
        let told = without_values("unknown variant `secret@example.org`, expected one of `info`, `warning`");
        assert_eq!(told, "unknown word `…`, expected one of `info`, `warning`");
        assert_eq!(
            without_values("invalid type: string \"two\", expected u16"),
            "invalid type: string \"two\", expected a whole number"
        );
        for (value, kept) in [("15551234567", "…"), ("42", "42")] {
            let told =
                without_values(&format!("invalid type: integer `{value}`, expected a string at line 1"));
            assert_eq!(told, format!("invalid type: integer `{kept}`, expected a string at line 1"));
        }
        let told =
            without_values("unknown field `a`, expected one of`@person.org`, expected one of `id`, `name`");
        assert!(told.ends_with("expected one of `id`, `name`"), "{told}");
        let told = without_values("unknown field `secret@person.org`, there are no fields");
        assert_eq!(told, "unknown field `…`, there are no fields");
        let told = without_values("invalid type: string \"../x\", expected struct Nearest at line 1");
        assert_eq!(told, "invalid type: string \"…\", expected a table at line 1");
        for word in ["America/Phoenix", "frost-USW00003192", "a b", "..", "straße 7"] {
            assert_eq!(shown(word), format!("`{word}`"));
        }
        for word in ["a@example.org", "+15551234567", "15551234567", "tel. 0664 9876543", "", "a\u{1b}[2J"] {
            assert_eq!(shown(word), HIDDEN, "{word:?}");
        }
    }
}
