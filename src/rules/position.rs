//! Places in a file, and mistakes there.

use std::fmt;

use toml::de::DeTable;

/// A place in a text file. Both numbers count from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Position {
    /// The place of byte `offset` in `text`; the end of the text if it is beyond that.
    pub fn of_byte(text: &str, offset: usize) -> Self {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let before = &text[..offset];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self { line: before.matches('\n').count() + 1, column: before[line_start..].chars().count() + 1 }
    }

    /// The place of a mistake that was found while `text` was read as TOML.
    pub fn of_toml(text: &str, error: &toml::de::Error) -> Self {
        let offset = error.span().map_or_else(|| first_with(text, error.message()), |span| span.start);
        Self::of_byte(text, offset)
    }
}

/// The place of a mistake for which the parser reports none, such as a key with too many parts: the end of the
/// shortest beginning of the text that has the same mistake. The start of the text if that cannot be found.
fn first_with(text: &str, message: &str) -> usize {
    let has_it = |end: usize| {
        let (_, errors) = DeTable::parse_recoverable(&text[..end]);
        errors.iter().any(|error| error.span().is_none() && error.message() == message)
    };
    if !has_it(text.len()) {
        return 0;
    }
    let ends: Vec<usize> = text.char_indices().map(|(at, c)| at + c.len_utf8()).collect();
    let shortest = ends.partition_point(|end| !has_it(*end));
    ends.get(shortest.wrapping_sub(1)).copied().unwrap_or(0)
}

/// One mistake in a file: its place, and the expected form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Where it begins.
    pub position: Position,
    /// What is wrong and what is expected, in a sentence.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.position.line, self.position.column, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_nested_too_deeply_has_a_place() {
        let place = |text: &str| {
            let error = toml::from_str::<toml::Table>(text).unwrap_err();
            let position = Position::of_toml(text, &error);
            (position.line, position.column, error.message().to_owned())
        };
        let (line, column, message) = place(&format!("# é\na = {}", "[".repeat(100)));
        assert_eq!((line, column), (2, 5 + 80), "{message}");
        let (line, column, message) = place(&format!("# é\n{}a = 1\nb = 2", "a.".repeat(100)));
        assert_eq!((line, column), (2, 2 * 80), "{message}");
    }

    #[test]
    fn positions_count_characters_from_one() {
        let text = "a = 1\nb = \"é\" x";
        assert_eq!(Position::of_byte(text, 0), Position { line: 1, column: 1 });
        let x = text.find('x').unwrap();
        assert_eq!(Position::of_byte(text, x), Position { line: 2, column: 9 });
        assert_eq!(Position::of_byte(text, 999).line, 2);
    }
}
