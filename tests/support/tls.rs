use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
    SupportedProtocolVersion,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    version::{TLS12, TLS13},
};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client};

use super::Raw;

/// An authority of the test's own. Its files are gone when it is dropped.
pub(crate) struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// A certificate with its key, in memory and in PEM files.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) der: CertificateDer<'static>,
    signing_key: KeyPair,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = Self {
            folder: TempDir::new().unwrap(),
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
        };
        fs::write(authority.file(), authority.issuer.pem()).unwrap();
        authority
    }

    /// The PEM file with its own certificate.
    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `names`, of which the first names its files.
    pub(crate) fn certify(&self, names: &[&str]) -> Certificate {
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let signing_key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(owned).unwrap();
        let certificate = params.signed_by(&signing_key, &self.issuer).unwrap();
        let [chain, key] = self.files(names[0]);
        fs::write(&chain, certificate.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        Certificate {
            chain,
            key,
            der: certificate.der().clone(),
            signing_key,
        }
    }

    /// A certificate for `names` that has signed itself, as an authority's if `is_ca`, and is valid
    /// until that year.
    pub(crate) fn self_signed(&self, names: &[&str], is_ca: bool, until: i32) -> Certificate {
        let owned: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let signing_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(owned).unwrap();
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.self_signed(&signing_key).unwrap();
        let [chain, key] = self.files(&format!("own-{}-{is_ca}-{until}", names[0]));
        fs::write(&chain, certificate.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        Certificate {
            chain,
            key,
            der: certificate.der().clone(),
            signing_key,
        }
    }

    /// A line for `[[listener]]` that serves whatever is in the files of that name.
    pub(crate) fn listed(&self, name: &str) -> String {
        let [chain, key] = self.files(name);
        format!("tls.certificates = [{{ chain = {chain:?}, key = {key:?} }}]")
    }

    fn files(&self, name: &str) -> [PathBuf; 2] {
        ["pem", "key"].map(|end| self.folder.path().join(format!("{name}.{end}")))
    }
}

impl Certificate {
    /// What serves it, in TOML.
    pub(crate) fn entry(&self) -> String {
        format!("{{ chain = {:?}, key = {:?} }}", self.chain, self.key)
    }

    /// A line for `[[listener]]` that serves it alone.
    pub(crate) fn on_listener(&self) -> String {
        format!("tls.certificates = [{}]", self.entry())
    }

    /// TLS with it, for a backend.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.signing_key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)
            .unwrap();
        TlsAcceptor::from(Arc::new(server))
    }
}

/// How a client of the test's speaks TLS. Sessions are resumed among its own connections.
#[derive(Clone)]
pub(crate) struct TlsClient {
    config: ClientConfig,
}

impl TlsClient {
    /// One that trusts whom `authority` vouches for.
    pub(crate) fn trusting(authority: &Authority) -> Self {
        Self::speaking(&[&TLS13, &TLS12], authority)
    }

    /// The same with only those versions of TLS.
    pub(crate) fn speaking(
        versions: &[&'static SupportedProtocolVersion],
        authority: &Authority,
    ) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(authority.issuer.der().clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self { config }
    }

    /// One that takes any certificate for any name, as long as the server has its key.
    pub(crate) fn trusting_anyone() -> Self {
        let config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anyone(provider())))
            .with_no_client_auth();
        Self { config }
    }

    /// The same with what it offers to speak inside TLS.
    pub(crate) fn offering(mut self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|p| p.as_bytes().to_vec());
        self.config.alpn_protocols = protocols.collect();
        self
    }

    /// A connection to the server that is called `name`.
    pub(crate) async fn try_connect(
        &self,
        address: SocketAddr,
        name: &str,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        let socket = TcpStream::connect(address).await?;
        self.try_over(socket, name).await
    }

    async fn try_over(
        &self,
        socket: TcpStream,
        name: &str,
    ) -> io::Result<client::TlsStream<TcpStream>> {
        // Or else the system holds small records back for a while, in which a paused clock runs off.
        socket.set_nodelay(true)?;
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let connector = TlsConnector::from(Arc::new(self.config.clone()));
        connector.connect(name, socket).await
    }

    /// The same, on which the test says every byte itself.
    pub(crate) async fn connect(&self, address: SocketAddr, name: &str) -> Raw<ClientSocket> {
        Raw::new(self.try_connect(address, name).await.unwrap())
    }

    /// The same over a connection that is there already.
    pub(crate) async fn over(&self, socket: TcpStream, name: &str) -> Raw<ClientSocket> {
        Raw::new(self.try_over(socket, name).await.unwrap())
    }
}

/// Looks at signatures alone.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub(crate) type ClientSocket = client::TlsStream<TcpStream>;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
