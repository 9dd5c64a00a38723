//! Shared by all HTTP clients: which addresses they may connect to, and errors as sentences.

mod reach;
mod tls;
mod token;

use std::time::{Duration, SystemTime};

pub use self::reach::{Reach, http_client};
pub use self::tls::{explained, tls_sentence};
pub use self::token::obtain_token;

/// The delay that an answer asks for: seconds, or an HTTP date.
pub fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

/// The error with all its causes; for a TLS error, a sentence that says what to do.
pub fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(sentence) = explained(error) {
        return sentence;
    }
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_says_when_to_come_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = |value| parse_retry_after(value, now).map(|time| time.as_secs());
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:36 GMT"), None, "it is over");
        assert_eq!((asked("soon"), asked("-1"), asked("1.5")), (None, None, None));
    }
}
