//! TLS on both sides: certificates by SNI towards clients, verified names towards backends.

mod counts;
mod failed;
mod verify;

use std::{collections::HashMap, fmt, io, sync::Arc};

use rustls::{
    ClientConfig, ServerConfig, SupportedProtocolVersion,
    client::danger::ServerCertVerifier,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, InvalidDnsNameError, ServerName},
    server::{ClientHello, ProducesTickets, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub use self::{
    counts::{Counts, Failure, Totals},
    failed::tls_error,
};
use self::{
    failed::in_words,
    verify::{Anybody, NamedOrVouchedFor},
};
use crate::{
    config::{BackendTls, ListenerTls, TlsVersion},
    stream::{Metered, ServerTls, Stream},
};

/// What we speak inside TLS, on both sides (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// TLS on a listener.
#[derive(Clone)]
pub struct Acceptor {
    config: Arc<ServerConfig>,
}

impl Acceptor {
    /// TLS as a listener's configuration asks for it.
    ///
    /// # Errors
    /// If the provider of cryptography cannot do what is needed.
    pub fn new(config: &ListenerTls) -> Result<Self, rustls::Error> {
        // Stateless tickets: a client is resumed however many others came in between.
        Self::with(config, aws_lc_rs::Ticketer::new()?)
    }

    /// TLS as the configuration of the same listener asks for it now. Sessions go on that began
    /// under the one `before`.
    ///
    /// # Errors
    /// If the provider of cryptography cannot do what is needed.
    pub fn after(before: &Self, config: &ListenerTls) -> Result<Self, rustls::Error> {
        Self::with(config, Arc::clone(&before.config.ticketer))
    }

    fn with(
        config: &ListenerTls,
        ticketer: Arc<dyn ProducesTickets>,
    ) -> Result<Self, rustls::Error> {
        let versions: &[&SupportedProtocolVersion] = match config.min_version {
            TlsVersion::Tls12 => &[&TLS13, &TLS12],
            TlsVersion::Tls13 => &[&TLS13],
        };
        let certificates = config.certificates.iter();
        let mut by_sni = BySni::new(certificates.map(|certificate| &certificate.certified));
        if config.strict_sni {
            by_sni.default = None;
        }
        let mut server = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(by_sni));
        server.alpn_protocols = vec![ALPN.to_vec()];
        server.ticketer = ticketer;
        Ok(Self {
            config: Arc::new(server),
        })
    }

    /// Completes the handshake with a client.
    ///
    /// # Errors
    /// If the client fails it, or its connection breaks.
    pub async fn accept(&self, socket: TcpStream) -> io::Result<Stream> {
        let tls = ServerTls::accept(Arc::clone(&self.config), Metered::new(socket)).await;
        let tls = tls.map_err(in_words)?;
        Ok(Stream::ServerTls(Box::new(tls)))
    }
}

/// TLS to the backends of a pool.
#[derive(Clone)]
pub struct Connector {
    connector: TlsConnector,
    server_name: Option<String>,
}

impl Connector {
    /// TLS as a pool's configuration asks for it.
    ///
    /// # Errors
    /// If the provider of cryptography cannot do what is needed.
    pub fn new(config: &BackendTls) -> Result<Self, rustls::Error> {
        let verifier: Arc<dyn ServerCertVerifier> = match &config.authorities {
            Some(authorities) => Arc::new(NamedOrVouchedFor::new(authorities, provider())?),
            None => Arc::new(Anybody::new(provider())),
        };
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(verifier)
            .with_no_client_auth();
        client.alpn_protocols = vec![ALPN.to_vec()];
        Ok(Self {
            connector: TlsConnector::from(Arc::new(client)),
            server_name: config.server_name.clone(),
        })
    }

    /// Completes the handshake with the backend at `host`, which must prove its name.
    ///
    /// # Errors
    /// If it does not, or its connection breaks.
    pub async fn connect(&self, host: &str, socket: TcpStream) -> io::Result<Stream> {
        let name = self.server_name.as_deref().unwrap_or(host);
        let name =
            ServerName::try_from(name.to_owned()).map_err(|error: InvalidDnsNameError| {
                io::Error::new(io::ErrorKind::InvalidInput, error)
            })?;
        let tls = self.connector.connect(name, Metered::new(socket)).await;
        let tls = tls.map_err(in_words)?;
        Ok(Stream::ClientTls(Box::new(tls)))
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Certificates by the names that they carry.
#[derive(Debug)]
struct BySni {
    /// For clients that name no host or one that no certificate carries.
    default: Option<Arc<CertifiedKey>>,
    /// `*.example.com` stands as `.example.com`.
    by_name: HashMap<String, Arc<CertifiedKey>>,
}

impl BySni {
    fn new<'c>(certificates: impl Iterator<Item = &'c Arc<CertifiedKey>>) -> Self {
        let mut by_sni = Self {
            default: None,
            by_name: HashMap::new(),
        };
        for certificate in certificates {
            // The first is the default, and the first that carries a name has it.
            by_sni
                .default
                .get_or_insert_with(|| Arc::clone(certificate));
            for name in certificate.cert.first().map(names).unwrap_or_default() {
                let own = by_sni.by_name.entry(name);
                own.or_insert_with(|| Arc::clone(certificate));
            }
        }
        by_sni
    }

    fn certificate(&self, host: &str) -> Option<&Arc<CertifiedKey>> {
        let host = host.to_ascii_lowercase();
        self.by_name.get(&host).or_else(|| {
            // A wildcard stands for exactly one label (RFC 6125, section 6.4.3).
            let parent = &host[host.find('.')?..];
            self.by_name.get(parent)
        })
    }
}

impl ResolvesServerCert for BySni {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|host| self.certificate(host));
        named.or(self.default.as_ref()).cloned()
    }
}

/// The DNS names in a certificate's subject alternative names, in lower case.
fn names(certificate: &CertificateDer<'_>) -> Vec<String> {
    let Ok(certificate) = webpki::EndEntityCert::try_from(certificate) else {
        return Vec::new();
    };
    let names = certificate.valid_dns_names();
    names
        .map(|name| name.strip_prefix('*').unwrap_or(name).to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey as Generated, generate_simple_self_signed};
    use rustls::pki_types::PrivateKeyDer;

    use super::*;

    fn certificate(names: &[&str]) -> Arc<CertifiedKey> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let Generated { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let chain = vec![cert.der().clone()];
        Arc::new(CertifiedKey::from_der(chain, key, &provider()).unwrap())
    }

    #[test]
    fn a_certificate_is_found_by_each_of_its_names_and_by_wildcard_for_one_label() {
        let (one, other) = (
            certificate(&["one.test", "uno.test"]),
            certificate(&["*.other.test"]),
        );
        let by_sni = BySni::new([&one, &other].into_iter());
        let found = |host| by_sni.certificate(host);

        assert!(Arc::ptr_eq(found("uno.test").unwrap(), &one));
        assert!(Arc::ptr_eq(found("ONE.test").unwrap(), &one));
        assert!(Arc::ptr_eq(found("a.other.test").unwrap(), &other));
        assert!(found("a.b.other.test").is_none());
        assert!(found("other.test").is_none());
        assert!(Arc::ptr_eq(by_sni.default.as_ref().unwrap(), &one));
    }
}
