//! HTTP to addresses of the operator's configuration: no redirects, no proxies, no way into private networks unless that
//! is meant, bounded in time and size.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::{Attempt, tls, without};
use crate::config::{ServerUrl, check_url};
use crate::stages::Reply;

/// As much of an answer is read.
const ANSWER_BYTES_MAX: usize = 4_096;
/// A part of an address with so many characters may be a secret.
const SECRET_CHARS_MIN: usize = 12;

/// A server that is spoken to.
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) url: Url,
    /// What an answer means for the message.
    pub(super) judge: fn(StatusCode, String) -> Attempt,
}

impl Target {
    /// # Errors
    /// Where the address cannot be, or is one of a private network that is not allowed.
    pub(super) fn new(url: &ServerUrl, allow_private: bool, timeout: Duration) -> Result<Self, String> {
        let url = url.resolve()?;
        check_url(&url, allow_private)?;
        let url = Url::parse(&url).map_err(|error| error.to_string())?;
        let reach = match (url.scheme(), allow_private) {
            (_, false) => Reach::Public,
            // In clear, and perhaps with a password: not over other people's networks.
            ("http", true) => Reach::Private,
            (_, true) => Reach::Any,
        };
        // Numbers are not looked up, so the resolver never sees them.
        let literal = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        if let Some(address) = literal.and_then(|host| host.parse::<IpAddr>().ok()) {
            reach.check(address)?;
        }
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .timeout(timeout)
            .connect_timeout(timeout)
            .dns_resolver(Arc::new(Guarded(reach)))
            .user_agent(concat!("frostline/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(Self { client: client.map_err(|error| error.to_string())?, url, judge })
    }

    /// The same server with a path below its own.
    ///
    /// # Errors
    /// Where that is no address.
    pub(super) fn below(mut self, path: &str) -> Result<Self, String> {
        let url = format!("{}{path}", self.url.as_str().trim_end_matches('/'));
        self.url = Url::parse(&url).map_err(|error| error.to_string())?;
        Ok(self)
    }

    /// A request to it.
    pub(super) fn post(&self) -> RequestBuilder {
        self.client.post(self.url.clone())
    }

    /// Sends, and returns what became of it. The answer is repeated without what may be a secret of the address.
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

/// The client's time limit covers all of it, from looking up the name to the end of the answer's body.
async fn send(request: RequestBuilder, judge: fn(StatusCode, String) -> Attempt) -> Attempt {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Attempt::refused(cause(&error.without_url())),
        Err(error) => return Attempt::ill(cause(&error.without_url())),
    };
    let (status, mut body) = (response.status(), Vec::new());
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|value| parse_retry_after(value, SystemTime::now()));
    // A body that breaks off does not change what the status says.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]);
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    let answer = format!("{status} {}", String::from_utf8_lossy(&body)).trim_end().to_owned();
    Attempt { retry_after, ..judge(status, answer) }
}

/// What an answer means, for most servers.
pub(super) fn judge(status: StatusCode, answer: String) -> Attempt {
    match status.as_u16() {
        200..=299 => Attempt::of(Reply::Sent(answer)),
        // 409: a gateway that looks at keys still works on the message's last attempt.
        408 | 409 | 425 | 429 => Attempt::of(Reply::Again(answer)),
        // The operator has to act: the same happens to every message until then.
        300..=399 | 401 | 403 | 404 | 407 | 500..=599 => Attempt::ill(answer),
        _ => Attempt::refused(answer),
    }
}

/// The time that an answer asks for: seconds, or a date of HTTP.
fn parse_retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    httpdate::parse_http_date(value).ok()?.duration_since(now).ok()
}

/// The error with all that is behind it; a TLS error in words that say what to do.
fn cause(error: &(dyn std::error::Error + 'static)) -> String {
    if let Some(sentence) = tls::explained(error) {
        return sentence;
    }
    let (mut text, mut source) = (error.to_string(), error.source());
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Looks names up once, and gives only addresses that may be spoken to; what was checked is what is connected to.
struct Guarded(Reach);

/// Which addresses may be spoken to.
#[derive(Clone, Copy)]
enum Reach {
    Public,
    Private,
    Any,
}

impl Reach {
    fn check(self, address: IpAddr) -> Result<(), String> {
        match (self, is_private(address)) {
            (Self::Public, true) => {
                Err(format!("{address} is in a private network: set allow_private if that is meant"))
            }
            (Self::Private, false) => {
                Err(format!("{address} is not in a private network: expected https://"))
            }
            _ => Ok(()),
        }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let (mut allowed, mut refusal) = (Vec::<SocketAddr>::new(), None);
            for found in found {
                match reach.check(found.ip()) {
                    Ok(()) => allowed.push(found),
                    Err(reason) => refusal = Some(reason),
                }
            }
            if let Some(reason) = refusal.filter(|_| allowed.is_empty()) {
                return Err(format!("{}: {reason}", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address is on this machine, in a private network, or nobody's: all that is not public.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a >= 240
                || (a == 100 && (64..128).contains(&b))
                || (a == 192 && b == 0 && c == 0)
                || (a == 198 && (18..20).contains(&b))
        }
        IpAddr::V6(v6) => is_private_v6(v6),
    }
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    if let Some(v4) = address.to_ipv4_mapped() {
        return is_private(v4.into());
    }
    let [first, second, third, _, fifth, sixth, ..] = address.segments();
    // Public addresses are in 2000::/3. Outside are loopback, link and site, but also IPv4 addresses in disguise:
    // ::a.b.c.d, ::ffff:0:a.b.c.d (IPv4-translated) and 64:ff9b::a.b.c.d (NAT64).
    let is_global = (first & 0xe000) == 0x2000;
    !is_global
        // Protocols of the IETF: Teredo, which holds an IPv4 address too, benchmarks, ORCHID.
        || (first == 0x2001 && second < 0x200)
        // 6to4: the IPv4 address follows.
        || first == 0x2002
        // ISATAP: it ends with one.
        || (matches!(fifth, 0 | 0x200) && sixth == 0x5efe)
        // Documentation.
        || (first == 0x2001 && second == 0xdb8)
        || (first == 0x3fff && second < 0x1000)
        // The addresses of DNS servers that ask for themselves, AS112.
        || (first == 0x2620 && second == 0x4f && third == 0x8000)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::notify::smtp::scripted::Act::{self, Drip, Hang, HearRequest, Repeat, Say};
    use crate::notify::smtp::scripted::Scripted;

    #[test]
    fn only_public_addresses_are_spoken_to() {
        for private in [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fd00::1",
            "fe80::1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "ff02::1",
            // IPv4 addresses in disguise: translated, compatible, NAT64 with a prefix of one's own, 6to4, Teredo, ISATAP.
            "::ffff:0:127.0.0.1",
            "::ffff:0:8.8.8.8",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::a00:1",
            "2002:7f00:1::1",
            "2001::1",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
            "2620:0:1::5efe:10.0.0.1",
            "100::1",
            "fec0::1",
            "5f00::1",
            "3fff::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in [
            "93.184.216.34",
            "2606:2800:220:1::1",
            "2001:4860:4860::8888",
            "2a00:1450:4001:81b::2004",
            "::ffff:93.184.216.34",
            "100.128.0.1",
            "172.32.0.1",
        ] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

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

    #[test]
    fn a_server_says_when_to_come_again() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        let asked = |value| parse_retry_after(value, now).map(|time| time.as_secs());
        assert_eq!(asked("120"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:51:37 GMT"), Some(120));
        assert_eq!(asked("Sun, 06 Nov 1994 08:49:36 GMT"), None, "it is over");
        assert_eq!((asked("soon"), asked("-1"), asked("1.5")), (None, None, None));
    }

    /// What becomes of a request to a server that plays this once it has the request.
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
        for expected in ["an authority that this machine does not know", "does not speak TLS here"] {
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
