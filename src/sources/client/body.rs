//! Bodies of answers: limited in size and time, and complete.

use std::io::Read;
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use crate::outbound::cause;

/// The first bytes of gzip.
pub(super) const GZIP: [u8; 2] = [0x1f, 0x8b];
/// A compressed file may be compressed once more for transfer.
const LAYERS_MAX: usize = 2;

/// Limits of a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Most bytes, before decompression.
    pub(super) bytes: usize,
    /// Within each such time …
    pub(super) window: Duration,
    /// … at least this many bytes must arrive.
    pub(super) window_bytes: usize,
}

/// Reads the whole body.
///
/// # Errors
/// It is too large or too slow, or it breaks off.
pub(super) async fn read(mut response: Response, bounds: Bounds) -> Result<Vec<u8>, String> {
    let too_large =
        |found: String| Err(format!("the answer has {found}; at most {} are accepted", bounds.bytes));
    let announced = response.content_length();
    if let Some(length) = announced.filter(|length| *length > bounds.bytes as u64) {
        return too_large(format!("{length} bytes"));
    }
    let mut body: Vec<u8> = Vec::new();
    let (mut window_end, mut window_from) = (Instant::now() + bounds.window, 0);
    loop {
        match timeout_at(window_end, response.chunk()).await {
            Ok(Ok(Some(chunk))) if body.len() + chunk.len() > bounds.bytes => {
                return too_large(format!("more than {} bytes", bounds.bytes));
            }
            Ok(Ok(Some(chunk))) => body.extend_from_slice(&chunk),
            Ok(Ok(None)) => break,
            Ok(Err(error)) => {
                let of = announced.map_or(String::new(), |length| format!(" of {length}"));
                let cause = cause(&error.without_url());
                return Err(format!("the answer was cut off after {}{of} bytes ({cause})", body.len()));
            }
            Err(_) if body.len() - window_from < bounds.window_bytes => {
                let seconds = bounds.window.as_secs_f64();
                return Err(format!(
                    "the answer is too slow: {} bytes in the last {seconds} s",
                    body.len() - window_from
                ));
            }
            Err(_) => (window_end, window_from) = (Instant::now() + bounds.window, body.len()),
        }
    }
    match announced {
        Some(length) if length != body.len() as u64 => {
            Err(format!("the answer was cut off after {} of {length} bytes", body.len()))
        }
        _ => Ok(body),
    }
}

/// Decompresses gzip up to its trailer; other bytes stay as they are.
///
/// # Errors
/// The bytes are damaged or truncated, or there are more than `bytes_max` of them.
pub(super) fn unpack(mut bytes: Vec<u8>, bytes_max: usize) -> Result<Vec<u8>, String> {
    for _ in 0..LAYERS_MAX {
        if !bytes.starts_with(&GZIP) {
            break;
        }
        let mut unpacked = Vec::new();
        let mut reader = MultiGzDecoder::new(bytes.as_slice()).take(bytes_max as u64 + 1);
        let read = reader.read_to_end(&mut unpacked);
        read.map_err(|error| format!("the compressed answer is damaged or truncated ({error})"))?;
        if unpacked.len() > bytes_max {
            return Err(format!("the answer has more than {bytes_max} bytes after decompression"));
        }
        bytes = unpacked;
    }
    Ok(bytes)
}

/// Whether this is a web page.
pub(super) fn is_html(content_type: &str, body: &[u8]) -> bool {
    let text = body.trim_ascii_start();
    let begins =
        |with: &str| text.get(..with.len()).is_some_and(|text| text.eq_ignore_ascii_case(with.as_bytes()));
    content_type.to_ascii_lowercase().starts_with("text/html") || begins("<!doctype html") || begins("<html")
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packer.write_all(bytes).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn gzip_is_read_to_its_trailer() {
        let text = b"raw_text,station_id\n".repeat(50);
        let whole = packed(&text);
        assert_eq!(unpack(whole.clone(), 10_000).unwrap(), text);
        assert_eq!(unpack(packed(&whole), 10_000).unwrap(), text, "packed twice");
        assert_eq!(unpack(text.clone(), 1).unwrap(), text, "not packed");
        for cut in 1..=8 {
            let error = unpack(whole[..whole.len() - cut].to_vec(), 10_000).unwrap_err();
            assert!(error.contains("truncated"), "{cut}: {error}");
        }
        let mut wrong = whole.clone();
        wrong[whole.len() - 6] ^= 1;
        assert!(unpack(wrong, 10_000).unwrap_err().contains("damaged"));
        assert!(unpack(packed(&vec![0; 2_000_000]), 1_000_000).unwrap_err().contains("1000000"), "a bomb");
    }

    #[test]
    fn pages_for_people_are_known() {
        assert!(is_html("text/html; charset=utf-8", b""));
        assert!(is_html("", b"\r\n<!DOCTYPE html><html>") && is_html("text/plain", b"<HTML>"));
        assert!(!is_html("text/csv", b"raw_text,<html>"));
    }
}
