//! HTTP to addresses of the operator's configuration: no redirects, no proxies, no private networks unless allowed,
//! with limits of time and size.

use std::time::{Duration, SystemTime};

use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::{Attempt, without};
use crate::config::{ServerUrl, check_url};
use crate::outbound::{Reach, cause, http_client, parse_retry_after};
use crate::stages::Reply;

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 4_096;
/// A part of an address with at least this many characters may be a secret.
const SECRET_CHARS_MIN: usize = 12;

/// A server.
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) url: Url,
    /// The meaning of an answer for the message.
    pub(super) judge: fn(StatusCode, String) -> Attempt,
}

impl Target {
    /// # Errors
    /// The address is not valid, or is in a private network that is not allowed.
    pub(super) fn new(url: &ServerUrl, allow_private: bool, timeout: Duration) -> Result<Self, String> {
        let url = url.resolve()?;
        check_url(&url, allow_private)?;
        let url = Url::parse(&url).map_err(|error| error.to_string())?;
        let client = http_client(Reach::of(&url, allow_private)?, timeout)
            .timeout(timeout)
            .user_agent(concat!("frostline/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, url, judge })
    }

    /// The same server with a path below its own.
    ///
    /// # Errors
    /// The result is not a valid address.
    pub(super) fn below(mut self, path: &str) -> Result<Self, String> {
        let url = format!("{}{path}", self.url.as_str().trim_end_matches('/'));
        self.url = Url::parse(&url).map_err(|error| error.to_string())?;
        Ok(self)
    }

    /// A request to the server.
    pub(super) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }

    /// Sends, and returns the outcome. The answer is repeated without parts of the address that may be secret.
    pub(super) async fn send(&self, request: RequestBuilder) -> Attempt {
        let mut attempt = send(request, self.judge).await;
        let parts = self.url.path().split('/').chain(self.url.query());
        for part in parts.filter(|part| part.len() >= SECRET_CHARS_MIN) {
            let text = attempt.text_mut();
            *text = without(text, part);
        }
        attempt
    }
}

/// The client's time limit covers everything, from the name lookup to the end of the answer's body.
async fn send(request: RequestBuilder, judge: fn(StatusCode, String) -> Attempt) -> Attempt {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Attempt::refused(cause(&error.without_url())),
        Err(error) => return Attempt::ill(cause(&error.without_url())),
    };
    let (status, mut body) = (response.status(), Vec::new());
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| parse_retry_after(value, SystemTime::now()));
    // A truncated body does not change the meaning of the status.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]);
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let answer = format!("{status} {}", String::from_utf8_lossy(&body)).trim_end().to_owned();
    Attempt { retry_after, ..judge(status, answer) }
}

/// The meaning of an answer, for most servers.
pub(super) fn judge(status: StatusCode, answer: String) -> Attempt {
    match status.as_u16() {
        200..=299 => Attempt::of(Reply::Sent(answer)),
        // 409: a gateway that checks keys is still working on the message's last attempt.
        408 | 409 | 425 | 429 => Attempt::of(Reply::Again(answer)),
        // The operator must act: every message fails the same way until then.
        300..=399 | 401 | 403 | 404 | 407 | 500..=599 => Attempt::ill(answer),
        _ => Attempt::refused(answer),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::notify::smtp::scripted::Act::{self, Drip, Hang, HearRequest, Repeat, Say};
    use crate::notify::smtp::scripted::Scripted;

    #[test]
    fn a_literal_is_checked_too() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let refused = |url: &str| Target::new(&url.into(), false, Duration::from_secs(1)).is_err();
        assert!(refused("https://10.0.0.1/") && refused("https://[::1]/x") && refused("https://0x7f.1/"));
        let in_clear = |url: &str| Target::new(&url.into(), true, Duration::from_secs(1));
        assert!(in_clear("http://93.184.216.34/").is_err_and(|reason| reason.contains("https")));
        assert!(in_clear("http://10.0.0.1/").is_ok() && in_clear("https://93.184.216.34/").is_ok());
    }

    #[test]
    fn what_can_be_mended_is_tried_again() {
        let reply = |status| judge(StatusCode::from_u16(status).unwrap(), String::new());
        assert!(matches!(reply(201).reply, Reply::Sent(_)));
        assert!(matches!(reply(429).reply, Reply::Again(_)) && !reply(429).is_ill());
        assert!(matches!(reply(503).reply, Reply::Down(_)) && reply(503).is_ill());
        assert!(matches!(reply(302).reply, Reply::Down(_)));
        assert!(matches!(reply(409).reply, Reply::Again(_)));
        assert!(matches!(reply(422).reply, Reply::Refused(_)));
    }

    /// The outcome of a request to a server that plays this once it has the request.
    async fn answered(script: &[Act]) -> (Attempt, Duration) {
        let scripted = Scripted::start(vec![[&[HearRequest], script].concat()]).await;
        let url = format!("http://127.0.0.1:{}/bot12:SECRET-TOKEN/send", scripted.port);
        let target = Target::new(&url.as_str().into(), true, TIMEOUT).unwrap();
        let started = Instant::now();
        (target.send(target.post()).await, started.elapsed())
    }

    const TIMEOUT: Duration = Duration::from_millis(400);

    #[tokio::test]
    async fn a_slow_or_endless_answer_ends_in_time() {
        let ok = Say("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n");
        for (script, is_sent) in [
            (vec![Hang], false),
            (vec![Drip("HTTP/1.1 200 OK\r\nX: yyyyyyyyyyyyyyyy", 50), Hang], false),
            (vec![Say("HTTP/1.1 200 OK"), Repeat("X: y\r\n")], false),
            (vec![Repeat("HTTP/1.1 103 Early Hints\r\n\r\n")], false),
            // The status has said it all.
            (vec![ok, Drip("kept, but who reads on", 50), Hang], true),
            (vec![ok, Repeat("kept ")], true),
        ] {
            let (attempt, took) = answered(&script).await;
            assert!(took < 3 * TIMEOUT, "{script:?} {took:?}");
            match &attempt.reply {
                Reply::Sent(answer) => assert!(is_sent && answer.len() < 5_000, "{script:?} {answer}"),
                Reply::Down(_) => assert!(!is_sent, "{script:?}"),
                other => panic!("{script:?} {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn what_is_wrong_with_tls_is_explained() {
        let scripted = Scripted::start(vec![vec![Act::Tls, Hang], vec![Say("220 test ESMTP"), Hang]]).await;
        for expected in ["signed by an unknown authority", "does not speak TLS on this port"] {
            let target = Target::new(
                &format!("https://127.0.0.1:{}/", scripted.port).as_str().into(),
                true,
                5 * TIMEOUT,
            )
            .unwrap();
            let attempt = target.send(target.post()).await;
            assert!(
                matches!(&attempt.reply, Reply::Down(reason) if reason.contains(expected)),
                "{:?}",
                attempt.reply
            );
        }
    }

    #[tokio::test]
    async fn retry_after_is_read() {
        let busy = Say("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n");
        let (attempt, _) = answered(&[busy]).await;
        assert_eq!(attempt.retry_after, Some(Duration::from_secs(7)));
        assert!(matches!(attempt.reply, Reply::Again(_)));
    }
}
