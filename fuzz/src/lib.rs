//! What the targets share: claims about parsers, and both ends of a TLS connection, with the fuzzer's
//! input as all that is uncertain between them.

pub mod claims;
mod input;
mod pipe;
mod server;

pub use input::Input;
pub use pipe::Pipe;
pub use server::Server;

use std::sync::{Arc, LazyLock};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::PrivateKeyDer,
    version::{TLS12, TLS13},
};

/// How the server speaks.
pub static SERVER: LazyLock<Arc<ServerConfig>> = LazyLock::new(|| CONFIGS.0.clone());

/// How clients of TLS 1.2 and of TLS 1.3 do.
pub static CLIENTS: LazyLock<[Arc<ClientConfig>; 2]> = LazyLock::new(|| CONFIGS.1.clone());

type Configs = (Arc<ServerConfig>, [Arc<ClientConfig>; 2]);

static CONFIGS: LazyLock<Configs> = LazyLock::new(|| {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["one.test".into()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    server.ticketer = aws_lc_rs::Ticketer::new().unwrap();
    let clients = [&TLS12, &TLS13].map(|version| {
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let mut client = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.enable_secret_extraction = true;
        Arc::new(client)
    });
    (Arc::new(server), clients)
});

fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    // The quickest, since every run begins with a handshake.
    provider.kx_groups = vec![aws_lc_rs::kx_group::X25519];
    Arc::new(provider)
}
