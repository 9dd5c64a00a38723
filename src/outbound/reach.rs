//! Which addresses a client may connect to.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Url};

/// A client without redirects and proxies that connects only to addresses that `reach` allows, within
/// `connect_timeout`.
pub fn http_client(reach: Reach, connect_timeout: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .connect_timeout(connect_timeout)
        .dns_resolver(Arc::new(Guarded(reach)))
}

/// Looks up names, and returns only allowed addresses; the client connects to the addresses that were checked.
struct Guarded(Reach);

/// Which addresses are allowed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// Public addresses only.
    Public,
    /// Addresses of private networks only.
    Private,
    /// All addresses.
    Any,
}

impl Reach {
    /// The reach of an address of the configuration. An IP address in it is checked here, because it is not looked up
    /// later.
    ///
    /// # Errors
    /// It is an IP address that is not allowed.
    pub fn of(url: &Url, allow_private: bool) -> Result<Self, String> {
        let reach = match (url.scheme(), allow_private) {
            (_, false) => Self::Public,
            // Unencrypted, and perhaps with a password: not over public networks.
            ("http", true) => Self::Private,
            (_, true) => Self::Any,
        };
        let literal = url.host_str().map(|host| host.trim_start_matches('[').trim_end_matches(']'));
        if let Some(address) = literal.and_then(|host| host.parse::<IpAddr>().ok()) {
            reach.check(address)?;
        }
        Ok(reach)
    }

    fn check(self, address: IpAddr) -> Result<(), String> {
        match (self, is_private(address)) {
            (Self::Public, true) => {
                Err(format!("{address} is in a private network: set allow_private = true to allow that"))
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

/// Whether an address is on this machine, in a private network, or unassigned: everything that is not public.
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
        // ISATAP: it ends with an IPv4 address.
        || (matches!(fifth, 0 | 0x200) && sixth == 0x5efe)
        // Documentation.
        || (first == 0x2001 && second == 0xdb8)
        || (first == 0x3fff && second < 0x1000)
        // The addresses of AS112's DNS servers.
        || (first == 0x2620 && second == 0x4f && third == 0x8000)
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
}
