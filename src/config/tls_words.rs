//! TLS errors in plain words: the library shows parts of them as its code calls them.

use std::fmt::Debug;

use rustls::{CertificateError, Error};

/// What is wrong, in words that follow a colon; `its` is the other side's.
#[must_use]
pub fn tls_words(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate(error),
        Error::NoCertificatesPresented => "it has shown no certificate".to_owned(),
        Error::InvalidMessage(what) => format!("it does not speak TLS rightly: {}", words(what)),
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "it has sent a message of TLS out of turn".to_owned()
        }
        Error::PeerIncompatible(what) => format!("its TLS does not go with ours: {}", words(what)),
        Error::PeerMisbehaved(what) => format!("it breaks the rules of TLS: {}", words(what)),
        Error::AlertReceived(what) => format!("it has refused TLS: {}", words(what)),
        Error::InvalidCertRevocationList(what) => {
            format!(
                "the list of revoked certificates cannot be used: {}",
                words(what)
            )
        }
        Error::InvalidEncryptedClientHello(what) => {
            format!("the encrypted greeting has failed: {}", words(what))
        }
        Error::InconsistentKeys(what) => {
            format!("the key does not fit the certificate: {}", words(what))
        }
        Error::Other(_) => "the cryptography has failed".to_owned(),
        plain => plain.to_string(),
    }
}

fn certificate(error: &CertificateError) -> String {
    use CertificateError as Bad;
    match error {
        Bad::Expired | Bad::ExpiredContext { .. } => "its certificate has expired".to_owned(),
        Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        Bad::Revoked => "its certificate was revoked".to_owned(),
        Bad::UnknownIssuer => "no authority that is trusted vouches for its certificate".to_owned(),
        Bad::NotValidForName => "its certificate is for another name".to_owned(),
        Bad::NotValidForNameContext { expected, .. } => {
            format!(
                "its certificate is not for the name `{}`",
                expected.to_str()
            )
        }
        Bad::BadEncoding => "its certificate cannot be read".to_owned(),
        Bad::BadSignature => "the signature of its certificate is wrong".to_owned(),
        Bad::Other(other) => match other.0.downcast_ref() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "its certificate is an authority's; in a file that is named as `tls.ca`, exactly \
                 that one is accepted"
                    .to_owned()
            }
            Some(other) => format!("its certificate cannot be used: {}", words(other)),
            None => "its certificate cannot be used".to_owned(),
        },
        other => format!("its certificate cannot be used: {}", words(other)),
    }
}

/// A name as code writes it, in words, without what it holds.
fn words(name: &impl Debug) -> String {
    let name = format!("{name:?}");
    let mut words = String::new();
    for c in name.chars().take_while(char::is_ascii_alphanumeric) {
        let begins = c.is_uppercase() && words.chars().last().is_some_and(char::is_lowercase);
        if begins {
            words.push(' ');
        }
        words.push(c);
    }
    words.to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{AlertDescription, InvalidMessage, OtherError, PeerIncompatible};

    use super::*;

    #[test]
    fn no_error_is_shown_as_code_calls_it() {
        let webpki = |error| CertificateError::Other(OtherError(Arc::new(error)));
        for (error, expected) in [
            (
                Error::InvalidCertificate(webpki(webpki::Error::CaUsedAsEndEntity)),
                "an authority's",
            ),
            (
                Error::InvalidCertificate(webpki(webpki::Error::UnsupportedCertVersion)),
                "cannot be used: unsupported cert version",
            ),
            (
                Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "no authority",
            ),
            (
                Error::InvalidMessage(InvalidMessage::InvalidContentType),
                "rightly: invalid content type",
            ),
            (
                Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
                "no cipher suites in common",
            ),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "refused TLS: handshake failure",
            ),
            (
                Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    expected: "a.test".try_into().unwrap(),
                    presented: vec!["DnsName(\"b.test\")".to_owned()],
                }),
                "not for the name `a.test`",
            ),
        ] {
            let shown = tls_words(&error);
            assert!(shown.contains(expected), "{shown}");
            assert!(!shown.contains(['(', '{', '"']), "{shown}");
        }
    }
}
