//! Reads at most a bound, measured by the bytes that arrive: the size of a file says nothing about a device, a pipe,
//! or the content of a compressed file.

use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// Bytes that are checked before more is read.
const CHUNK_BYTES: u64 = 64 * 1024;

/// Reads a line of at most `bytes_max` bytes, with its end, into `line`, replacing its content; `false` at the end of
/// the input.
///
/// # Errors
/// The input cannot be read, or the line is longer.
pub fn read_line(input: impl BufRead, line: &mut Vec<u8>, bytes_max: usize) -> io::Result<bool> {
    line.clear();
    let read = input.take(bytes_max as u64 + 1).read_until(b'\n', line)?;
    if read > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("the line has more than {bytes_max} bytes: check that this is a text file"),
        ));
    }
    Ok(read > 0)
}

/// Reads a whole text file of at most `bytes_max` bytes.
///
/// # Errors
/// It cannot be read, is larger, or is not text.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let mut file = File::open(path)?.take(bytes_max + 1);
    let mut bytes = Vec::new();
    loop {
        let before = bytes.len();
        if file.by_ref().take(CHUNK_BYTES).read_to_end(&mut bytes)? == 0 {
            break;
        }
        // /dev/zero would continue up to the bound.
        if bytes[before..].contains(&0) {
            return Err(invalid("it is not a text file (it has a zero byte)".into()));
        }
    }
    if bytes.len() as u64 > bytes_max {
        return Err(invalid(format!("it has more than {bytes_max} bytes")));
    }
    String::from_utf8(bytes).map_err(|error| {
        invalid(format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_their_bound() {
        let mut input = &b"one\nthree\nx"[..];
        let mut line = b"before".to_vec();
        assert!(read_line(&mut input, &mut line, 6).unwrap());
        assert_eq!(line, b"one\n");
        assert!(read_line(&mut input, &mut line, 6).unwrap());
        assert!(read_line(&mut input, &mut line, 6).unwrap());
        assert_eq!(line, b"x");
        assert!(!read_line(&mut input, &mut line, 6).unwrap());
        assert!(read_line(&b"three\n"[..], &mut line, 5).unwrap_err().to_string().contains("more than 5"));
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(read_line(endless, &mut line, 1_000).is_err());
        assert!(line.len() <= 1_001);
    }

    #[test]
    fn texts_end_at_their_bound() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.toml");
        std::fs::write(&path, "a = 1").unwrap();
        assert_eq!(read_text(&path, 5).unwrap(), "a = 1");
        assert!(read_text(&path, 4).unwrap_err().to_string().contains("more than 4 bytes"));
        let error = read_text(Path::new("/dev/zero"), u64::MAX - 1).unwrap_err();
        assert!(error.to_string().contains("not a text file"), "{error}");
        std::fs::write(&path, b"a\xff").unwrap();
        assert!(read_text(&path, 5).unwrap_err().to_string().contains("from byte 1"));
        let missing = read_text(&dir.path().join("b"), 5).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
}
