//! Lists of codes, in the form of NOAA's `ghcnd-countries.txt` and `ghcnd-states.txt`.

use std::collections::HashMap;
use std::fmt;
use std::io::{self, BufRead};

use crate::bounded::read_line;

/// Longest line that is read, in bytes.
const LINE_BYTES_MAX: usize = 4_096;
/// Byte order mark, which some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// Names by two-letter code: NOAA's `ghcnd-countries.txt` or `ghcnd-states.txt`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Codes {
    names: HashMap<String, String>,
}

/// Why a file of codes could not be read. Lines are counted from 1.
#[derive(Debug)]
pub enum CodesError {
    /// Reading failed.
    Io {
        /// The line being read.
        line: usize,
        /// The reader's error.
        source: io::Error,
    },
    /// The line is not UTF-8.
    NotUtf8 {
        /// The number of the line.
        line: usize,
    },
    /// The line is not a code of two letters or digits, a blank and a name.
    BadLine {
        /// The number of the line.
        line: usize,
        /// Its text, shortened.
        text: String,
    },
    /// The code was given before, with another name.
    Duplicate {
        /// The number of the line.
        line: usize,
        /// The repeated code.
        code: String,
    },
}

impl Codes {
    /// Parses lines of a code, a blank and the name; surrounding blanks of the name and empty lines are ignored.
    ///
    /// # Errors
    ///
    /// The first line that cannot be read or has another form, with its number.
    pub fn parse(mut input: impl BufRead) -> Result<Codes, CodesError> {
        let mut names = HashMap::new();
        let mut bytes = Vec::new();
        for line in 1.. {
            let read = read_line(&mut input, &mut bytes, LINE_BYTES_MAX);
            if !read.map_err(|source| CodesError::Io { line, source })? {
                break;
            }
            let text = std::str::from_utf8(&bytes).map_err(|_| CodesError::NotUtf8 { line })?.trim_end();
            let text = text.trim_start_matches(BYTE_ORDER_MARK);
            if text.is_empty() {
                continue;
            }
            let (code, name) = split(text)
                .ok_or_else(|| CodesError::BadLine { line, text: super::shorten(text.as_bytes()) })?;
            let before = names.insert(code.to_owned(), name.to_owned());
            if before.is_some_and(|before| before != name) {
                return Err(CodesError::Duplicate { line, code: code.to_owned() });
            }
        }
        Ok(Codes { names })
    }

    /// The whole name of a code; `None` if the file does not have it.
    pub fn name(&self, code: &str) -> Option<&str> {
        self.names.get(code).map(String::as_str)
    }

    /// How many codes there are.
    pub fn len(&self) -> usize {
        self.names.len()
    }

    /// Whether there are no codes.
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    let (code, rest) = text.split_at_checked(2)?;
    let name = rest.strip_prefix(' ')?.trim();
    let is_code = code.bytes().all(|byte| byte.is_ascii_alphanumeric());
    (is_code && !name.is_empty()).then_some((code, name))
}

impl fmt::Display for CodesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodesError::Io { line, source } => write!(f, "line {line}: {source}"),
            CodesError::NotUtf8 { line } => write!(f, "line {line}: not UTF-8"),
            CodesError::BadLine { line, text } => {
                write!(f, "line {line}: '{text}' is not a code of two letters, a blank and a name")
            }
            CodesError::Duplicate { line, code } => {
                write!(f, "line {line}: code '{code}' was given before with another name")
            }
        }
    }
}

impl std::error::Error for CodesError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            CodesError::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_are_whole_and_trimmed() {
        let codes = Codes::parse("\u{feff}XA Xanadu [Far Lands]   \r\n\nXB New Bohemia".as_bytes()).unwrap();
        assert_eq!(codes.name("XA"), Some("Xanadu [Far Lands]"));
        assert_eq!(codes.name("XB"), Some("New Bohemia"));
        assert_eq!(codes.name("XC"), None);
        assert_eq!(codes.len(), 2);
    }

    #[test]
    fn errors_name_the_line() {
        let error = |text: &[u8]| Codes::parse(text).unwrap_err().to_string();
        assert_eq!(
            error(b"XA Xanadu\nXanadu\n"),
            "line 2: 'Xanadu' is not a code of two letters, a blank and a name"
        );
        assert!(error(b"XA  \n").starts_with("line 1: 'XA'"));
        assert!(error("\u{e9}X Xanadu".as_bytes()).starts_with("line 1:"));
        assert_eq!(error(b"XA Xanadu\n\nXB \xff\n"), "line 3: not UTF-8");
        assert_eq!(error(b"XA Xanadu\nXA Other\n"), "line 2: code 'XA' was given before with another name");
    }

    proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = Codes::parse(&bytes[..]);
        }
    }
}
