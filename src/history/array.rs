//! The objects of JSON arrays, one by one, however large the array is.

use std::io::{self, BufRead};

/// Largest object that is read, in bytes.
const OBJECT_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Reads one array, or several one after the other.
pub(super) struct Objects<R> {
    input: R,
    /// The present line, from 1.
    pub(super) line: u64,
    /// Open brackets around the objects.
    brackets: usize,
    object: Vec<u8>,
}

impl<R: BufRead> Objects<R> {
    pub(super) fn new(input: R) -> Self {
        Self { input, line: 1, brackets: 0, object: Vec::new() }
    }

    /// The next element of the array, as written; the caller checks whether it is JSON.
    ///
    /// # Errors
    /// The file cannot be read, or ends within an element or before the closing bracket.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let cut_off = |what: &str| io::Error::new(io::ErrorKind::UnexpectedEof, what.to_owned());
        self.object.clear();
        let (mut depth, mut in_string, mut is_escaped) = (0_usize, false, false);
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return match (depth + self.brackets, self.object.is_empty()) {
                    (0, true) => Ok(None),
                    (_, true) => Err(cut_off("the array is not closed; the file may be truncated")),
                    _ => Err(cut_off("the array ends within an object; the file may be truncated")),
                };
            }
            let mut used = 0;
            let mut is_done = false;
            for byte in buffer {
                used += 1;
                self.line += u64::from(*byte == b'\n');
                let is_outside = depth == 0 && !in_string;
                if is_outside && (matches!(byte, b'[' | b']' | b',') || is_blank(*byte)) {
                    match byte {
                        b'[' => self.brackets += 1,
                        b']' => self.brackets = self.brackets.saturating_sub(1),
                        _ => {}
                    }
                    // A bare value ends at a comma or a bracket.
                    if self.object.is_empty() {
                        continue;
                    }
                    is_done = true;
                    break;
                }
                self.object.push(*byte);
                match byte {
                    _ if in_string && is_escaped => is_escaped = false,
                    b'\\' if in_string => is_escaped = true,
                    b'"' => in_string = !in_string,
                    b'{' | b'[' if !in_string => depth += 1,
                    b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
                    _ => {}
                }
                if depth == 0 && !in_string && *byte == b'}' {
                    is_done = true;
                    break;
                }
            }
            self.input.consume(used);
            if is_done {
                return Ok(Some(&self.object));
            }
            if self.object.len() > OBJECT_BYTES_MAX {
                return Err(io::Error::other(format!("an object has more than {OBJECT_BYTES_MAX} bytes")));
            }
        }
    }
}

/// White space, and the bytes of the byte order mark that some editors put before a text, because files may have been
/// joined.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0xef | 0xbb | 0xbf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(text: &str) -> io::Result<Vec<String>> {
        let mut objects = Objects::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(object) = objects.next()? {
            found.push(String::from_utf8_lossy(object).into_owned());
        }
        Ok(found)
    }

    #[test]
    fn elements_come_as_they_are_written() {
        let text = "[\n {\"a\": [1, {\"b\": \"]}\\\"\"}]},\n{ },3]\n[{\"c\":1}]";
        assert_eq!(objects(text).unwrap(), ["{\"a\": [1, {\"b\": \"]}\\\"\"}]}", "{ }", "3", "{\"c\":1}"]);
        assert!(objects("[]").unwrap().is_empty());
        assert_eq!(objects("[{}]\n\u{feff}[{}]").unwrap(), ["{}", "{}"]);
        for cut in ["[{\"a\": 1}, {\"b\"", "[{\"a\": 1},\n", "[{\"a\": 1}", "[["] {
            assert!(objects(cut).is_err(), "{cut}");
        }
    }
}
