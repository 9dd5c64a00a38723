//! Why the certificate of a broker is refused. librdkafka only says that it is, so the brokers are asked for it once more,
//! with the same library below and the same authorities.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode};
use openssl::x509::store::X509StoreBuilderRef;
use openssl::x509::{X509, X509NameRef, X509Ref, X509VerifyResult};

const PATIENCE: Duration = Duration::from_secs(2);
/// Where distributions keep the authorities that a system trusts.
const SYSTEM_AUTHORITIES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];

/// What a client trusts, by its settings.
pub(super) struct Trust<'a> {
    /// `ssl.ca.location`.
    pub(super) location: Option<&'a str>,
    /// `ssl.ca.pem`.
    pub(super) pem: Option<&'a str>,
    /// Whether the certificate must be for the host that was asked.
    pub(super) checks_name: bool,
}

/// The reason in a sentence, with what to do; `None` if no broker's certificate is refused. `brokers` are addresses,
/// separated by commas.
pub(super) fn refusal(brokers: &str, trust: &Trust<'_>) -> Option<String> {
    brokers.split(',').find_map(|address| refusal_of(trust, address.trim()))
}

fn refusal_of(trust: &Trust<'_>, address: &str) -> Option<String> {
    let (host, _) = address.rsplit_once(':')?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let socket = address.to_socket_addrs().ok()?.next()?;
    let stream = TcpStream::connect_timeout(&socket, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).and_then(|()| stream.set_write_timeout(Some(PATIENCE))).ok()?;
    let found = Arc::new(Mutex::new(None));
    let mut builder = SslConnector::builder(SslMethod::tls_client()).ok()?;
    load(trust, &mut builder).ok()?;
    let first = Arc::clone(&found);
    builder.set_verify_callback(SslVerifyMode::PEER, move |is_valid, context| {
        if !is_valid {
            let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert_with(|| (context.error(), context.current_cert().map(X509Ref::to_owned)));
        }
        is_valid
    });
    let connection = builder.build().configure().ok()?.verify_hostname(trust.checks_name);
    // Only the certificate matters here: a refusal by the broker is librdkafka's to report.
    let _ = connection.connect(host, stream);
    let (error, certificate) = found.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    let authorities = trust.location.unwrap_or("this machine's authorities");
    Some(format!(
        "the certificate of {address} {}",
        sentence(error, certificate.as_deref(), host, authorities)
    ))
}

/// Trusts what librdkafka trusts.
fn load(trust: &Trust<'_>, builder: &mut SslConnectorBuilder) -> Result<(), ErrorStack> {
    if let Some(text) = trust.pem {
        let store: &mut X509StoreBuilderRef = builder.cert_store_mut();
        return X509::stack_from_pem(text.as_bytes())?
            .into_iter()
            .try_for_each(|authority| store.add_cert(authority));
    }
    let given = trust.location.filter(|location| *location != "probe");
    match given.or_else(|| SYSTEM_AUTHORITIES.into_iter().find(|path| Path::new(path).exists())) {
        Some(path) if Path::new(path).is_dir() => builder.load_verify_locations(None, Some(Path::new(path))),
        Some(path) => builder.set_ca_file(path),
        None => Ok(()),
    }
}

fn sentence(error: X509VerifyResult, certificate: Option<&X509Ref>, host: &str, authorities: &str) -> String {
    let Some(certificate) = certificate else { return format!("is refused: {}", error.error_string()) };
    match error.as_raw() {
        openssl_sys::X509_V_ERR_CERT_HAS_EXPIRED => {
            format!("expired on {}: the broker needs a new one", certificate.not_after())
        }
        openssl_sys::X509_V_ERR_CERT_NOT_YET_VALID => {
            format!("is valid from {} on: is the clock of this machine right?", certificate.not_before())
        }
        openssl_sys::X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        | openssl_sys::X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
        | openssl_sys::X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
        | openssl_sys::X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        | openssl_sys::X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE => format!(
            "is signed by {}, which is not among {authorities}: set kafka.client.\"ssl.ca.location\" to the PEM file of \
             that authority",
            name(certificate.issuer_name())
        ),
        openssl_sys::X509_V_ERR_HOSTNAME_MISMATCH | openssl_sys::X509_V_ERR_IP_ADDRESS_MISMATCH => format!(
            "is for {}, not for {host}: use such a name in kafka.brokers and in the broker's advertised.listeners",
            names(certificate)
        ),
        _ => format!("is refused: {}", error.error_string()),
    }
}

/// A name such as `CN=test CA, O=Example`.
fn name(name: &X509NameRef) -> String {
    let part = |entry: &openssl::x509::X509NameEntryRef| {
        let value = String::from_utf8_lossy(entry.data().as_slice()).escape_debug().to_string();
        format!("{}={value}", entry.object().nid().short_name().unwrap_or("?"))
    };
    name.entries().map(part).collect::<Vec<_>>().join(", ")
}

/// The hosts that a certificate is for.
fn names(certificate: &X509Ref) -> String {
    let alternatives = certificate.subject_alt_names();
    let names: Vec<String> = alternatives
        .iter()
        .flatten()
        .filter_map(|name| name.dnsname().map(str::to_owned).or_else(|| ip(name.ipaddress()?)))
        .collect();
    if names.is_empty() { name(certificate.subject_name()) } else { names.join(", ") }
}

fn ip(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string());
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(|bytes| std::net::IpAddr::from(bytes).to_string())).ok()
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use openssl::asn1::Asn1Time;
    use openssl::bn::BigNum;
    use openssl::ec::{EcGroup, EcKey};
    use openssl::hash::MessageDigest;
    use openssl::nid::Nid;
    use openssl::pkey::{PKey, Private};
    use openssl::ssl::SslAcceptor;
    use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
    use openssl::x509::{X509Builder, X509Name};

    use super::*;

    /// What a server or an authority needs to prove itself.
    type Pair = (X509, PKey<Private>);

    /// A certificate for `localhost`, or of an authority, valid for days from now: from and until.
    fn certificate(of: &str, signed_by: Option<&Pair>, (from, until): (i64, i64)) -> Pair {
        let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
        let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
        let mut subject = X509Name::builder().unwrap();
        subject.append_entry_by_text("CN", of).unwrap();
        let subject = subject.build();
        let mut builder = X509Builder::new().unwrap();
        let now = crate::record::unix_ms() / 1_000;
        let day = |days: i64| Asn1Time::from_unix(now + days * 86_400).unwrap();
        builder.set_version(2).unwrap();
        builder.set_serial_number(&BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap()).unwrap();
        builder.set_subject_name(&subject).unwrap();
        builder.set_issuer_name(signed_by.map_or(&subject, |(issuer, _)| issuer.subject_name())).unwrap();
        builder.set_not_before(&day(from)).unwrap();
        builder.set_not_after(&day(until)).unwrap();
        builder.set_pubkey(&key).unwrap();
        match signed_by {
            None => {
                builder.append_extension(BasicConstraints::new().critical().ca().build().unwrap()).unwrap()
            }
            Some(_) => {
                let context = builder.x509v3_context(None, None);
                let names = SubjectAlternativeName::new().dns("localhost").build(&context).unwrap();
                builder.append_extension(names).unwrap();
            }
        }
        builder.sign(signed_by.map_or(&key, |(_, key)| key), MessageDigest::sha256()).unwrap();
        (builder.build(), key)
    }

    /// Asks a server with this certificate under the name of a host.
    fn refused((certificate, key): &Pair, trusted: &X509, host: &str) -> Option<String> {
        let mut acceptor = SslAcceptor::mozilla_intermediate(SslMethod::tls_server()).unwrap();
        acceptor.set_private_key(key).unwrap();
        acceptor.set_certificate(certificate).unwrap();
        let acceptor = acceptor.build();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || drop(acceptor.accept(listener.accept().unwrap().0)));
        let dir = tempfile::tempdir().unwrap();
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, trusted.to_pem().unwrap()).unwrap();
        let trust = Trust { location: ca.to_str(), pem: None, checks_name: true };
        let reason = refusal(&format!("{host}:{port}"), &trust);
        server.join().unwrap();
        reason
    }

    #[test]
    fn what_is_wrong_with_a_certificate_is_said() {
        let authority = certificate("test CA", None, (-900, 900));
        let other = certificate("other CA", None, (-900, 900));
        let of = |days| certificate("broker", Some(&authority), days);
        assert_eq!(refused(&of((-1, 1)), &authority.0, "localhost"), None);
        for (pair, trusted, host, parts) in [
            (of((-10, -1)), &authority, "localhost", ["expired on", "GMT"]),
            (of((1, 10)), &authority, "localhost", ["is valid from", "clock"]),
            (of((-1, 1)), &other, "localhost", ["is signed by CN=test CA", "ssl.ca.location"]),
            (
                of((-1, 1)),
                &authority,
                "127.0.0.1",
                ["is for localhost, not for 127.0.0.1", "advertised.listeners"],
            ),
        ] {
            let reason = refused(&pair, &trusted.0, host).expect("refused");
            assert!(parts.iter().all(|part| reason.contains(part)), "{reason}");
        }
    }
}
