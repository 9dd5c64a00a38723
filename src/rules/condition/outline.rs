//! The brackets of a condition's text, and the limits that are checked before it is parsed.
//!
//! The parser recurses for each level of nesting, so a text that is nested too deeply is refused before it is parsed.
//! Strings and comments do not count.

/// Longest condition that is compiled, in bytes.
const TEXT_BYTES_MAX: usize = 2_000;
/// Deepest nesting that is parsed: brackets, runs of `!` and `-`, and conditionals (`?:`) in a row.
const DEPTH_MAX: usize = 32;
/// Most operators that the parser nests from the left, each inside the one before: arithmetic, comparisons, `.` and
/// `[`.
const OPERATORS_MAX: usize = 500;

/// Where the brackets of a text are.
#[derive(Debug, Default)]
pub(super) struct Outline {
    /// Pairs of round brackets: where each opens and closes.
    pairs: Vec<(usize, usize)>,
}

impl Outline {
    /// Scans a text.
    ///
    /// # Errors
    /// The place where a limit is exceeded, and the words that follow "the condition" in a sentence about it.
    pub(super) fn of(text: &str) -> Result<Self, (usize, String)> {
        if text.len() > TEXT_BYTES_MAX {
            return Err((0, format!("has {} bytes; the limit is {TEXT_BYTES_MAX}", text.len())));
        }
        let mut outline = Self::default();
        let (mut open, mut unary, mut conditionals, mut operators) = (Vec::new(), 0, 0, 0);
        let mut scan = Scan { bytes: text.as_bytes(), at: 0 };
        while let Some((offset, byte)) = scan.next()? {
            match byte {
                b'(' | b'[' | b'{' => open.push((offset, byte)),
                b')' | b']' | b'}' => {
                    if let Some((start, b'(')) = open.pop() {
                        outline.pairs.push((start, offset));
                    }
                }
                _ => {}
            }
            match byte {
                b'-' | b'!' => unary += 1,
                byte if byte.is_ascii_whitespace() || byte == b'(' => {}
                _ => unary = 0,
            }
            conditionals += usize::from(byte == b'?');
            operators += usize::from(b"+-*/%<>=.[".contains(&byte));
            if open.len() > DEPTH_MAX || unary > DEPTH_MAX || conditionals > DEPTH_MAX {
                return Err((offset, format!("is nested deeper than {DEPTH_MAX} levels")));
            }
            if operators > OPERATORS_MAX {
                return Err((offset, format!("has more than {OPERATORS_MAX} operators")));
            }
        }
        Ok(outline)
    }

    /// Whether a pair of brackets encloses the whole range.
    pub(super) fn encloses(&self, (start, end): (usize, usize)) -> bool {
        self.pairs.iter().any(|(open, close)| *open == start && close + 1 == end)
    }
}

/// Steps through a text, skipping strings and comments.
struct Scan<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scan<'_> {
    /// The next byte that is neither in a string nor in a comment.
    fn next(&mut self) -> Result<Option<(usize, u8)>, (usize, String)> {
        while let Some(&byte) = self.bytes.get(self.at) {
            match byte {
                b'\'' | b'"' => self.skip_string(byte)?,
                b'/' if self.bytes.get(self.at + 1) == Some(&b'/') => self.skip_comment(),
                _ => {
                    self.at += 1;
                    return Ok(Some((self.at - 1, byte)));
                }
            }
        }
        Ok(None)
    }

    fn skip_string(&mut self, quote: u8) -> Result<(), (usize, String)> {
        let (start, is_raw) = (self.at, self.is_raw());
        let long = [quote; 3];
        let end: &[u8] = if self.bytes[start..].starts_with(&long) { &long } else { &long[..1] };
        self.at += end.len();
        while let Some(&byte) = self.bytes.get(self.at) {
            if self.bytes[self.at..].starts_with(end) {
                self.at += end.len();
                return Ok(());
            }
            self.at += if byte == b'\\' && !is_raw { 2 } else { 1 };
        }
        Err((start, "has a string that does not end: the closing quote is missing".into()))
    }

    /// Whether the quote at this place follows `r`, as in `r'\d'`, where a backslash has no special meaning.
    fn is_raw(&self) -> bool {
        let is_part = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
        let prefix: Vec<u8> = self.bytes[..self.at]
            .iter()
            .rev()
            .take_while(is_part)
            .take(3)
            .map(u8::to_ascii_lowercase)
            .collect();
        matches!(prefix.as_slice(), b"r" | b"rb" | b"br")
    }

    fn skip_comment(&mut self) {
        let rest = &self.bytes[self.at..];
        self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_and_comments_do_not_count() {
        let brackets = "(".repeat(100);
        for text in [
            format!("station.name == '{brackets}'"),
            format!("station.name == \"{brackets}\\\"{brackets}\""),
            format!("station.name == r'{brackets}\\'"),
            format!("station.name == '''{brackets}'{brackets}'''"),
            format!("TMIN < 0.0 // {brackets}\n && TMAX < 3.0"),
        ] {
            assert!(Outline::of(&text).is_ok(), "{text}");
        }
        assert!(Outline::of(&brackets).unwrap_err().1.contains("nested deeper"));
        assert_eq!(Outline::of("TMIN < 0 && 'a").unwrap_err().0, 12);
        assert_eq!(Outline::of("'a\\'").unwrap_err().0, 0);
    }

    #[test]
    fn brackets_round_everything() {
        let outline = Outline::of("(a) || (b(')') && [(c)])").unwrap();
        assert!(outline.encloses((0, 3)) && outline.encloses((7, 24)));
        assert!(!outline.encloses((0, 24)));
    }
}
