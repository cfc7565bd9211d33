//! What is connected to, and how.

use std::{io, net::SocketAddr, sync::Arc};

use rustls::{
    CipherSuite, ClientConfig, DigitallySignedStruct, HandshakeKind, SignatureScheme,
    client::{
        Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
    version::TLS13,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::tickets::Tickets;

/// A stream to a target, encrypted or not.
pub trait Io: AsyncRead + AsyncWrite + Unpin {}
impl<T: AsyncRead + AsyncWrite + Unpin> Io for T {}

/// What is connected to, and how.
pub struct Target {
    address: SocketAddr,
    tls: Option<TlsConnector>,
    tickets: Arc<Tickets>,
}

/// What a target is spoken to in.
#[derive(Clone, Copy)]
pub enum Speech {
    Plain,
    /// Every session is a new one.
    Tls,
    ResumedTls,
}

/// A connection, and whether its TLS session was resumed.
pub struct Connected {
    pub io: Box<dyn Io>,
    pub is_resumed: bool,
}

impl Target {
    /// What speaks no TLS resumes nothing either.
    pub fn new(address: SocketAddr, speech: Speech) -> Self {
        let tickets = Arc::new(Tickets::default());
        let resumption = match speech {
            Speech::Plain => None,
            Speech::Tls => Some(Resumption::disabled()),
            Speech::ResumedTls => Some(Resumption::store(Arc::clone(&tickets) as _)),
        };
        let tls = resumption.map(|resumption| TlsConnector::from(Arc::new(config(resumption))));
        Self {
            address,
            tls,
            tickets,
        }
    }

    /// How many session tickets its clients have come with so far.
    pub fn offered(&self) -> u64 {
        self.tickets.offered()
    }

    pub async fn connect(&self) -> io::Result<Connected> {
        let socket = TcpStream::connect(self.address).await?;
        socket.set_nodelay(true)?;
        let Some(connector) = &self.tls else {
            return Ok(Connected {
                io: Box::new(socket),
                is_resumed: false,
            });
        };
        let name = ServerName::try_from("localhost").expect("it is a name");
        let stream = connector.connect(name, socket).await?;
        let kind = stream.get_ref().1.handshake_kind();
        Ok(Connected {
            io: Box::new(stream),
            is_resumed: kind == Some(HandshakeKind::Resumed),
        })
    }
}

/// A listener with a queue that a crowd fits into.
pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(4096)?;
    Ok(socket.into())
}

/// One key exchange and one cipher, so that every proxy does the same work.
fn config(resumption: Resumption) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    let cipher = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider
        .cipher_suites
        .retain(|suite| suite.suite() == cipher);
    let provider = Arc::new(provider);
    let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])
        .expect("the provider has what TLS 1.3 needs")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Anyone(provider)))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = resumption;
    config
}

/// Trusts every certificate, but checks that its key signed the handshake.
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
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
