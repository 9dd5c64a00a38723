//! Lines of files of any format.

use crate::noaa::{Line, Reading, ReadingError};

/// Byte order mark, which some editors put before a text; in joined files it also occurs before later lines.
pub(super) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Longest line that is read, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

pub(super) fn without_line_end(line: &[u8]) -> &[u8] {
    let end = line.iter().rposition(|byte| !matches!(byte, b'\n' | b'\r')).map_or(0, |last| last + 1);
    &line[..end]
}

/// Passes a reading of another format on as a by_year line, if the stages accept that line. `text`: a buffer.
pub(super) fn give_line(
    reading: &Reading,
    text: &mut Vec<u8>,
    visit: &mut dyn FnMut(&[u8]),
) -> Result<(), ReadingError> {
    text.clear();
    reading.to_line_into(text);
    if let Line::Reading(_) = Reading::parse(text)? {
        visit(text);
    }
    Ok(())
}
