//! What a source asks for, and what it gets.

use std::time::Duration;

use frostline_engine::PollError;

/// Fetches files of services. [`Client`](super::Client) does; tests have canned answers.
pub trait Fetch: Send + Sync {
    /// Asks for a file. It may block, for less than a minute.
    ///
    /// # Errors
    /// The service cannot be reached, refuses, or answers with something else; a sentence with host and path.
    fn get(&self, request: &Request<'_>) -> Result<Answer, PollError>;
}

/// A file to ask for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// The whole address.
    pub url: &'a str,
    /// What the service sent with the answer that the caller has: an unchanged file is not sent again.
    pub validators: Validators,
    /// Most bytes, as they come.
    pub bytes_max: usize,
    /// Most bytes after unpacking; `None`: a packed file stays as it comes.
    pub unpacked_max: Option<usize>,
    /// Whether a page of HTML is what is expected.
    pub is_html: bool,
    /// A part of the file; `None`: all of it.
    pub part: Option<Part>,
}

impl<'a> Request<'a> {
    /// A file that is unpacked if it comes packed.
    pub fn text(url: &'a str, bytes_max: usize, unpacked_max: usize) -> Self {
        let unpacked_max = Some(unpacked_max);
        Self { url, validators: Validators::default(), bytes_max, unpacked_max, is_html: false, part: None }
    }

    /// A file that stays as it comes.
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

/// Which version of a file somebody has, in the words of the service.
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

    /// For a position: two lines, of which either may be empty.
    pub fn to_bytes(&self) -> Vec<u8> {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        format!("{}\n{}", text(&self.etag), text(&self.last_modified)).into_bytes()
    }

    /// Reads what [`Validators::to_bytes`] wrote.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let (etag, last_modified) = text.split_once('\n').unwrap_or((&text, ""));
        let value = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self { etag: value(etag), last_modified: value(last_modified) }
    }
}

/// What a service answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The file, or a part of it.
    New(Fresh),
    /// The file is as it was, or there is nothing at the moment.
    Unchanged {
        /// The file stays so for this time, where the service says so.
        fresh_for: Option<Duration>,
    },
    /// There is no such file; often it comes later.
    NotFound,
    /// Nothing was asked, since the file was asked for a short time ago. It is due after this time.
    NotDue(Duration),
}

/// A file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fresh {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// To ask for later versions.
    pub validators: Validators,
    /// It stays as it is for this time, where the service says so (`Expires`).
    pub fresh_for: Option<Duration>,
    /// If `bytes` are a part of the file, as was asked: the size of the whole.
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
