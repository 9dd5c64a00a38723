//! Text from outside (topics, files, names of stations, answers of servers) on its way to people, without characters
//! that control a terminal, change the order in which a text is shown, or are invisible and so make it look like
//! another text, and without stacks of combining marks that cover other lines. Numbers with thousands separators.

use std::borrow::Cow;

/// Replaces a character that is not shown.
pub const REPLACEMENT: char = '\u{fffd}';
/// The colour sequences that the program and its log write themselves; an `m` follows.
const OWN_STYLES: [&str; 10] = ["0", "1", "2", "3", "31", "32", "33", "34", "35", "36"];

/// Most combining marks on one character: scripts need up to three, and a larger stack covers the lines around it.
const MARKS_MAX: u8 = 3;

/// Whether a character is not text: a control character, a change of direction, or invisible.
pub fn is_steering(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
        || is_invisible(c)
}

/// Whether a character takes no space and shows nothing: joiners, fillers, variation selectors, tags. With them two
/// different texts look the same.
pub fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Whether a character combines with the one before it.
fn is_mark(c: char) -> bool {
    matches!(
        c,
        '\u{300}'..='\u{36f}' | '\u{483}'..='\u{489}' | '\u{591}'..='\u{5c7}' | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}' | '\u{6d6}'..='\u{6ed}' | '\u{e31}' | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}' | '\u{1ab0}'..='\u{1aff}' | '\u{1dc0}'..='\u{1dff}' | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

/// Counts the marks on a character, one after the other.
#[derive(Default)]
struct Marks(u8);

impl Marks {
    /// Whether this is one mark too many.
    fn is_extra(&mut self, c: char) -> bool {
        self.0 = if is_mark(c) { self.0.saturating_add(1) } else { 0 };
        self.0 > MARKS_MAX
    }
}

/// The text with at most three combining marks on each character.
pub fn without_stacks(text: &str) -> Cow<'_, str> {
    if !text.contains(is_mark) {
        return Cow::Borrowed(text);
    }
    let mut marks = Marks::default();
    Cow::Owned(text.chars().filter(|c| !marks.is_extra(*c)).collect())
}

/// The text with each such character replaced, including line ends, and without stacks of marks: for a part of a
/// line.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_steering) {
        return without_stacks(text);
    }
    let replaced: String = text.chars().map(|c| if is_steering(c) { REPLACEMENT } else { c }).collect();
    Cow::Owned(without_stacks(&replaced).into_owned())
}

/// As [`printable`], for whole output: line ends, tabs and the program's own colours stay.
pub fn printable_lines(text: &str) -> Cow<'_, str> {
    let is_strange = |c: char| is_steering(c) && !matches!(c, '\n' | '\t');
    if !text.contains(is_strange) {
        return without_stacks(text);
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
    Cow::Owned(without_stacks(&cleaned).into_owned())
}

/// One of the program's colour sequences at the start of the text; empty if there is none.
fn own_style(text: &str) -> &str {
    let end = text.strip_prefix("\u{1b}[").and_then(|rest| Some((rest, rest.find('m')?)));
    match end {
        Some((rest, end)) if OWN_STYLES.contains(&&rest[..end]) => &text[..end + 3],
        _ => "",
    }
}

/// Written JSON with each such character, and each excess mark, as an escape. They can only be inside its strings.
pub fn printable_json(text: &str) -> Cow<'_, str> {
    if !text.contains(|c| is_steering(c) || is_mark(c)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    let mut marks = Marks::default();
    for c in text.chars() {
        let is_extra = marks.is_extra(c);
        match c {
            // Between values, not inside strings.
            '\n' | '\t' | '\r' => escaped.push(c),
            c if is_extra || is_steering(c) => {
                let units = c
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .map(|unit| format!("\\u{unit:04x}"))
                    .collect::<String>();
                escaped.push_str(&units);
            }
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// The text, or its first `chars_max` characters with an ellipsis behind them.
pub fn at_most(text: &str, chars_max: usize) -> Cow<'_, str> {
    // Most texts are short, and counting characters is slow.
    if text.len() <= chars_max {
        return Cow::Borrowed(text);
    }
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A number with thousands separators.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of things: `1 night`, `1,240 nights`.
pub fn counted(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_ends_with_an_ellipsis() {
        assert_eq!([at_most("äöü", 3), at_most("äöü", 2), at_most("", 0)], ["äöü", "äö…", ""]);
    }

    #[test]
    fn one_thing_is_not_a_plural() {
        assert_eq!(
            [0, 1, 1_240].map(|number| counted(number, "night")),
            ["0 nights", "1 night", "1,240 nights"]
        );
    }

    #[test]
    fn thousands_are_apart() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_924_173), "1,924,173");
    }

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
    fn what_is_not_seen_is_replaced_and_stacks_are_cut() {
        let unseen = [
            '\u{200b}',
            '\u{200d}',
            '\u{2060}',
            '\u{feff}',
            '\u{ad}',
            '\u{fff9}',
            '\u{180e}',
            '\u{3164}',
            '\u{2062}',
            '\u{206a}',
            '\u{fe0f}',
            '\u{e0101}',
        ];
        for c in unseen {
            assert_eq!(printable(&format!("a{c}b")), "a\u{fffd}b", "{:x}", u32::from(c));
            let text = serde_json::Value::from(format!("a{c}b")).to_string();
            let escaped = printable_json(&text);
            assert!(
                escaped.is_ascii() && serde_json::from_str::<String>(&escaped).unwrap().contains(c),
                "{escaped}"
            );
        }
        let stack = format!("a{}b\u{301}", "\u{301}".repeat(500));
        assert_eq!(printable(&stack), "a\u{301}\u{301}\u{301}b\u{301}");
        assert_eq!(printable_lines(&stack), printable(&stack));
        let json = serde_json::Value::from(stack.clone()).to_string();
        assert_eq!(printable_json(&json).matches('\u{301}').count(), 4);
        assert_eq!(serde_json::from_str::<String>(&printable_json(&json)).unwrap(), stack);
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
