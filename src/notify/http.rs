//! HTTP to addresses of the operator's configuration: no redirects, no proxies, no way into private networks unless that
//! is meant, bounded in time and size.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder, StatusCode, Url};

use super::Attempt;
use crate::config::{check_url, resolve_secret};
use crate::stages::Reply;

/// As much of an answer is read.
const ANSWER_BYTES_MAX: usize = 4_096;

/// A server that is spoken to.
pub(super) struct Target {
    pub(super) client: Client,
    pub(super) url: Url,
}

impl Target {
    /// # Errors
    /// Where the address cannot be, or is one of a private network that is not allowed.
    pub(super) fn new(url: &str, allow_private: bool, timeout: Duration) -> Result<Self, String> {
        let url = resolve_secret(url)?;
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
        Ok(Self { client: client.map_err(|error| error.to_string())?, url })
    }
}

/// Sends, and says what became of it.
pub(super) async fn send(request: RequestBuilder) -> Attempt {
    let mut response = match request.send().await {
        Ok(response) => response,
        Err(error) if error.is_builder() => return Attempt::refused(cause(&error.without_url())),
        Err(error) => return Attempt::ill(cause(&error.without_url())),
    };
    let (status, mut body) = (response.status(), Vec::new());
    // A body that breaks off does not change what the status says.
    while let Ok(Some(chunk)) = response.chunk().await {
        body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]);
        if body.len() >= ANSWER_BYTES_MAX {
            break;
        }
    }
    judge(status, format!("{status} {}", String::from_utf8_lossy(&body)).trim_end().to_owned())
}

fn judge(status: StatusCode, answer: String) -> Attempt {
    match status.as_u16() {
        200..=299 => Attempt { reply: Reply::Sent(answer) },
        408 | 425 | 429 => Attempt { reply: Reply::Again(answer) },
        // What the operator has to mend: the same happens to every message until then.
        300..=399 | 401 | 403 | 404 | 407 | 500..=599 => Attempt::ill(answer),
        _ => Attempt::refused(answer),
    }
}

/// The error with all that is behind it.
fn cause(error: &dyn std::error::Error) -> String {
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
    if let Some(v4) = address.to_ipv4() {
        return is_private(v4.into());
    }
    let [first, second, ..] = address.segments();
    // An IPv4 address may be inside of these: 64:ff9b::/96 and 2002::/16.
    let is_translated = (first == 0x64 && second == 0xff9b) || first == 0x2002;
    is_translated
        || address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || (first & 0xfe00) == 0xfc00
        || (first & 0xffc0) == 0xfe80
        || (first & 0xffc0) == 0xfec0
        || (first == 0x2001 && second == 0xdb8)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["93.184.216.34", "2606:2800:220:1::1", "100.128.0.1", "172.32.0.1"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn a_literal_is_checked_too() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let refused = |url: &str| Target::new(url, false, Duration::from_secs(1)).is_err();
        assert!(refused("https://10.0.0.1/") && refused("https://[::1]/x") && refused("https://0x7f.1/"));
        let in_clear = |url: &str| Target::new(url, true, Duration::from_secs(1));
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
        assert!(matches!(reply(422).reply, Reply::Refused(_)));
    }
}
