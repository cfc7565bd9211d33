//! Servers and clients of every kind.

use std::sync::{Arc, LazyLock};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use rustls::{
    CipherSuiteCommon, ClientConfig, RootCertStore, ServerConfig, SupportedCipherSuite,
    SupportedProtocolVersion, Tls13CipherSuite,
    crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs, aws_lc_rs::kx_group},
    pki_types::PrivateKeyDer,
    server::WebPkiClientVerifier,
    version::{TLS12, TLS13},
};

/// Who the server is, and in some tests the client.
static CERTIFIED: LazyLock<CertifiedKey<KeyPair>> =
    LazyLock::new(|| generate_simple_self_signed(vec!["one.test".into()]).unwrap());

/// How a server and a client speak.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) versions: Versions,
    pub(super) server_groups: Vec<&'static dyn SupportedKxGroup>,
    pub(super) client_groups: Vec<&'static dyn SupportedKxGroup>,
    /// Whether the server asks for the client's certificate.
    pub(super) client_certificate: bool,
    /// After how many records TLS 1.3 is to take new keys.
    pub(super) key_limit: u64,
}

type Versions = &'static [&'static SupportedProtocolVersion];

const BOTH_VERSIONS: Versions = &[&TLS12, &TLS13];
const TLS12_ALONE: Versions = &[&TLS12];
const TLS13_ALONE: Versions = &[&TLS13];

/// TLS 1.2 and TLS 1.3 by themselves.
pub(super) fn each_version() -> [Settings; 2] {
    [TLS12_ALONE, TLS13_ALONE].map(|versions| Settings {
        versions,
        ..Settings::default()
    })
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            versions: BOTH_VERSIONS,
            server_groups: vec![kx_group::X25519, kx_group::SECP256R1],
            client_groups: vec![kx_group::X25519],
            client_certificate: false,
            key_limit: u64::MAX,
        }
    }
}

impl Settings {
    pub(super) fn server(&self) -> ServerConfig {
        let server = ServerConfig::builder_with_provider(self.provider(&self.server_groups))
            .with_protocol_versions(self.versions)
            .unwrap();
        let server = if self.client_certificate {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                Arc::new(roots()),
                Arc::new(aws_lc_rs::default_provider()),
            );
            server.with_client_cert_verifier(verifier.build().unwrap())
        } else {
            server.with_no_client_auth()
        };
        let mut server = server
            .with_single_cert(vec![CERTIFIED.cert.der().clone()], key())
            .unwrap();
        server.alpn_protocols = vec![b"http/1.1".to_vec()];
        server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
        server
    }

    pub(super) fn client(&self) -> ClientConfig {
        let client = ClientConfig::builder_with_provider(self.provider(&self.client_groups))
            .with_protocol_versions(self.versions)
            .unwrap()
            .with_root_certificates(roots());
        let mut client = if self.client_certificate {
            client
                .with_client_auth_cert(vec![CERTIFIED.cert.der().clone()], key())
                .unwrap()
        } else {
            client.with_no_client_auth()
        };
        client.alpn_protocols = vec![b"http/1.1".to_vec()];
        client.enable_secret_extraction = true;
        client
    }

    fn provider(&self, groups: &[&'static dyn SupportedKxGroup]) -> Arc<CryptoProvider> {
        let mut provider = aws_lc_rs::default_provider();
        provider.kx_groups = groups.to_vec();
        if self.key_limit < u64::MAX {
            let limited = provider
                .cipher_suites
                .iter()
                .map(|suite| self.limited(suite));
            provider.cipher_suites = limited.collect();
        }
        Arc::new(provider)
    }

    fn limited(&self, suite: &SupportedCipherSuite) -> SupportedCipherSuite {
        let Some(tls13) = suite.tls13() else {
            return *suite;
        };
        let CipherSuiteCommon {
            suite,
            hash_provider,
            ..
        } = tls13.common;
        let limited = Tls13CipherSuite {
            common: CipherSuiteCommon {
                suite,
                hash_provider,
                confidentiality_limit: self.key_limit,
            },
            hkdf_provider: tls13.hkdf_provider,
            aead_alg: tls13.aead_alg,
            quic: None,
        };
        // A suite lives for ever.
        SupportedCipherSuite::Tls13(Box::leak(Box::new(limited)))
    }
}

fn roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add(CERTIFIED.cert.der().clone()).unwrap();
    roots
}

fn key() -> PrivateKeyDer<'static> {
    PrivateKeyDer::try_from(CERTIFIED.signing_key.serialize_der()).unwrap()
}
