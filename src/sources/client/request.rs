//! The requests of a source, and their answers.

use std::time::Duration;

use frostline_engine::PollError;

/// Fetches files of services. Implemented by [`Client`](super::Client), and by canned answers in tests.
pub trait Fetch: Send + Sync {
    /// Requests a file. It may block, for less than a minute.
    ///
    /// # Errors
    /// The service cannot be reached, refuses, or answers with something else; a sentence with host and path.
    fn get(&self, request: &Request<'_>) -> Result<Answer, PollError>;
}

/// A file to request.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The whole address.
    pub url: &'a str,
    /// The validators of the answer that the caller has: an unchanged file is not sent again.
    pub validators: Validators,
    /// Most bytes, before decompression.
    pub bytes_max: usize,
    /// Most bytes after decompression; `None` leaves a compressed file as it is.
    pub unpacked_max: Option<usize>,
    /// Whether an HTML page is expected.
    pub is_html: bool,
    /// A part of the file; `None` for all of it.
    pub part: Option<Part>,
}

impl<'a> Request<'a> {
    /// A file that is decompressed if necessary.
    pub fn text(url: &'a str, bytes_max: usize, unpacked_max: usize) -> Self {
        let unpacked_max = Some(unpacked_max);
        Self { url, validators: Validators::default(), bytes_max, unpacked_max, is_html: false, part: None }
    }

    /// A file that is left as it is.
    pub fn packed(url: &'a str, bytes_max: usize) -> Self {
        Self { unpacked_max: None, ..Self::text(url, bytes_max, 0) }
    }
}

/// A part of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Its first byte.
    pub from: u64,
    /// How many bytes; the file may end before.
    pub bytes: u64,
}

/// The version of a file that a client has, in the service's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, exactly as received.
    pub etag: Option<String>,
    /// `Last-Modified`, exactly as received.
    pub last_modified: Option<String>,
}

impl Validators {
    /// Whether the service sent none.
    pub fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// The form for a position: two lines, of which either may be empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        format!("{}\n{}", text(&self.etag), text(&self.last_modified)).into_bytes()
    }

    /// Parses the result of [`Validators::to_bytes`].
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (etag, last_modified) = text.split_once('\n').unwrap_or((&text, ""));
        let value = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self { etag: value(etag), last_modified: value(last_modified) }
    }
}

/// The answer of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The file, or a part of it.
    New(Fresh),
    /// The file is unchanged, or there is nothing at the moment.
    Unchanged {
        /// How long the file stays like this, if the service says so.
        fresh_for: Option<Duration>,
    },
    /// There is no such file; often it comes later.
    NotFound,
    /// No request was sent, because the last one was a short time ago. The next one is due after this time.
    NotDue(Duration),
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// For requests of later versions.
    pub validators: Validators,
    /// How long it stays like this, if the service says so (`Expires`).
    pub fresh_for: Option<Duration>,
    /// If `bytes` are a requested part of the file: the size of the whole.
    pub part_of: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validators_come_back_from_a_position() {
        let text = |text: &str| Some(text.to_owned());
        for validators in [
            Validators::default(),
            Validators { etag: text("W/\"5f-61\""), last_modified: None },
            Validators { etag: None, last_modified: text("Sat, 28 Nov 2026 17:53:00 GMT") },
            Validators { etag: text("\"a\""), last_modified: text("Sat, 28 Nov 2026 17:53:00 GMT") },
        ] {
            assert_eq!(Validators::from_bytes(&validators.to_bytes()), validators);
        }
        assert!(Validators::from_bytes(b"").is_empty());
    }
}
