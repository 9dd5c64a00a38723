//! TLS errors as sentences that say what to do.

use std::error::Error;

use rustls::{CertificateError, InvalidMessage};

/// The TLS error within an error, as a sentence.
pub fn explained(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(found) = error.downcast_ref::<rustls::Error>() {
        return Some(tls_sentence(found));
    }
    // The error inside an I/O error is not its source.
    let wrapped = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
    let wrapped = wrapped.and_then(|inner| explained(inner));
    wrapped.or_else(|| explained(error.source()?))
}

/// A TLS error as a sentence.
pub fn tls_sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(error) => certificate_sentence(error),
        rustls::Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => {
            "the server does not speak TLS on this port: check the port (a mail server may want STARTTLS instead)".into()
        }
        rustls::Error::PeerIncompatible(_) => {
            format!("the server offers no secure TLS version (1.2 or 1.3 is needed): {error}")
        }
        rustls::Error::AlertReceived(_) => format!("the server ended the TLS handshake: {error}"),
        other => format!("TLS: {other}"),
    }
}

fn certificate_sentence(error: &CertificateError) -> String {
    use CertificateError as E;
    let what = match error {
        E::Expired | E::ExpiredContext { .. } => {
            "the server's certificate has expired: renew it, or check this machine's clock"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet: check this machine's clock"
        }
        E::Revoked => "the server's certificate has been revoked: the server needs a new one",
        E::UnknownIssuer => {
            "the server's certificate is signed by an unknown authority: set notify.email.ca to its PEM file (for mail), or \
             add the authority to this machine's"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            return format!(
                "the server's certificate is for another host name: configure the name that it is for ({error})"
            );
        }
        E::BadSignature => "the server's certificate is not signed by the authority that it names",
        // These come from the library below, which has no type for them here.
        other => match format!("{other:?}") {
            text if text.contains("CaUsedAsEndEntity") => {
                "the server's certificate is an authority's own (as made by `openssl req -x509`): give the server a \
                 certificate that this authority has signed, with basicConstraints=CA:FALSE"
            }
            text if text.contains("UnsupportedCertVersion") => {
                "the server's certificate is X.509 version 1: make one of version 3, with a subjectAltName"
            }
            _ => return format!("the server's certificate is not accepted: {other}"),
        },
    };
    what.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operator_understands_what_is_wrong_with_a_certificate() {
        // As it arrives: wrapped in an error of the stream.
        let said = |error: rustls::Error| explained(&std::io::Error::other(error)).unwrap();
        let certificate = |error| said(rustls::Error::InvalidCertificate(error));
        assert!(certificate(CertificateError::UnknownIssuer).contains("notify.email.ca"));
        assert!(certificate(CertificateError::Expired).contains("clock"));
        let plain = said(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType));
        assert!(plain.contains("STARTTLS"), "{plain}");
        assert!(explained(&std::io::Error::other("reset")).is_none());
    }
}
