//! Text from outside (topics, files, names of stations, answers of servers) on its way to people: without the characters
//! that steer a terminal, or turn the order in which a text is shown, so that it says something else than it holds.

use std::borrow::Cow;

/// What stands in place of a character that is not shown.
pub const REPLACEMENT: char = '\u{fffd}';
/// The sequences of colours that the program and its log write themselves; the `m` follows.
const OWN_STYLES: [&str; 10] = ["0", "1", "2", "3", "31", "32", "33", "34", "35", "36"];

/// Whether a character is a control character or one that turns the direction of text, rather than text.
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text with each such character replaced, also line ends: for a part of a line.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_steering(c) { REPLACEMENT } else { c }).collect())
}

/// As [`printable`], for whole output: line ends, tabs and the program's own colours stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let is_strange = |c: char| is_steering(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_strange) {
        return Cow::Borrowed(text);
    }
    let mut cleaned = String::with_capacity(text.len() + 8);
    let mut rest = text;
    while let Some(at) = rest.find(is_strange) {
        let (before, from) = rest.split_at(at);
        cleaned.push_str(before);
        let style = own_style(from);
        if style.is_empty() {
            cleaned.push(REPLACEMENT);
            rest = from.get(from.chars().next().map_or(1, char::len_utf8)..).unwrap_or_default();
        } else {
            cleaned.push_str(style);
            rest = &from[style.len()..];
        }
    }
    cleaned.push_str(rest);
    Cow::Owned(cleaned)
}

/// The sequence of one of our colours that the text begins with; empty where it is none.
fn own_style(text: &str) -> &str {
    let end = text.strip_prefix("\u{1b}[").and_then(|rest| Some((rest, rest.find('m')?)));
    match end {
        Some((rest, end)) if OWN_STYLES.contains(&&rest[..end]) => &text[..end + 3],
        _ => "",
    }
}

/// JSON as it is written, with each such character as an escape. They can only stand within its strings.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            // Between values, not within strings.
            '\n' | '\t' | '\r' => escaped.push(c),
            c if is_steering(c) => escaped.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATTACK: &str = "a\u{1b}[2J\u{1b}]0;pwned\u{7}\u{9b}31m\u{202e}b\u{2066}\u{200f}\u{61c}\u{7f}\r";

    #[test]
    fn nothing_that_steers_is_left() {
        let cleaned = printable(ATTACK);
        assert!(!cleaned.contains(is_steering), "{cleaned:?}");
        assert!(cleaned.starts_with("a\u{fffd}[2J") && cleaned.contains('b'));
        assert_eq!(printable("one\ntwo"), "one\u{fffd}two");
        assert!(matches!(printable("MONTRÉAL 東京 °C"), Cow::Borrowed(_)));
    }

    #[test]
    fn whole_output_keeps_its_lines_and_colours() {
        let styled = "\u{1b}[1m\u{1b}[31merror:\u{1b}[0m rule\tx\nnext";
        assert_eq!(printable_lines(styled), styled);
        let cleaned = printable_lines(ATTACK);
        assert!(!cleaned.contains(is_steering), "{cleaned:?}");
        for strange in ["\u{1b}[8m", "\u{1b}[1", "\u{1b}", "\u{1b}[31;5m", "\u{1b}[m"] {
            assert!(printable_lines(strange).starts_with(REPLACEMENT), "{strange:?}");
        }
    }

    #[test]
    fn json_stays_the_same_json() {
        let value = serde_json::json!({ "id": ATTACK, "plain": "x" });
        for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
            let escaped = printable_json(&text);
            assert!(!escaped.contains(|c| is_steering(c) && c != '\n'), "{escaped}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
        }
    }
}
