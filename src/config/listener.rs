//! `[[listener]]`

use std::{net::SocketAddr, num::NonZeroUsize};

use toml::Spanned;

use super::{
    address::listened,
    certificate::Certificate,
    certificates::certificate,
    field::Field,
    reading::{Reported, all},
    section::Section,
    values::{boolean, one_of, positive},
};

/// `[[listener]]`: an address that is accepted on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The address and port; port 0 lets the system choose.
    pub address: SocketAddr,
    /// Client connections on this listener at once; `None` is no limit of its own.
    pub max_connections: Option<NonZeroUsize>,
    /// How TLS is spoken here; `None` is plain.
    pub tls: Option<ListenerTls>,
}

/// `listener.tls`: how TLS is spoken on a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificates with their keys, chosen by the client's SNI; the first is the default.
    /// At least one; each key fits its certificate.
    pub certificates: Vec<Certificate>,
    /// The oldest version that is spoken. Default: 1.2.
    pub min_version: TlsVersion,
    /// Whether a client is refused whose SNI names no certificate's host, or that sends none.
    /// Default: no, it gets the first certificate.
    pub strict_sni: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::Tls12), ("1.3", TlsVersion::Tls13)];

/// A listener as written: its address is compared with the others' even where the rest is faulty.
pub(super) struct Draft {
    pub(super) address: Result<Spanned<SocketAddr>, Reported>,
    pub(super) listener: Result<Listener, Reported>,
}

impl Draft {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let address = section.required(
            "address",
            "expected an address to listen on: address = \"0.0.0.0:8080\"",
            |field| field.placed(listened),
        );
        let max_connections = section.optional("max_connections", positive);
        let tls = section.optional("tls", |field| field.table(ListenerTls::read));
        let listener = address
            .as_ref()
            .map_err(|reported| *reported)
            .and_then(|address| {
                Ok(Listener {
                    address: *address.get_ref(),
                    max_connections: max_connections?,
                    tls: tls?,
                })
            });
        Self { address, listener }
    }
}

impl ListenerTls {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let certificates = section.required(
            "certificates",
            "expected certificates = [{ chain = \"chain.pem\", key = \"key.pem\" }]",
            certificates,
        );
        let min_version = section.or(
            "min_version",
            |field| one_of(field, &VERSIONS),
            TlsVersion::Tls12,
        );
        let strict_sni = section.or("strict_sni", boolean, false);
        Ok(Self {
            certificates: certificates?,
            min_version,
            strict_sni,
        })
    }
}

fn certificates(field: &Field<'_>) -> Result<Vec<Certificate>, Reported> {
    let expected = "an array of tables such as { chain = \"chain.pem\", key = \"key.pem\" }";
    let elements = field.elements(expected)?;
    if elements.is_empty() {
        return Err(field.fault("there is no certificate", format!("expected {expected}")));
    }
    all(elements.iter().map(|element| element.table(certificate)))
}
