use std::{
    net::{Ipv4Addr, SocketAddr},
    process,
    sync::atomic::{AtomicU8, Ordering::Relaxed},
};

use super::{Authority, Backend, Certificate, Entrance, Folder, TlsClient};

/// A folder with a configuration of a plain listener and one with TLS.
pub(crate) struct Site {
    pub(crate) folder: Folder,
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    authority: Authority,
}

impl Site {
    pub(crate) fn new() -> Self {
        let ip = own_ip();
        let site = Self {
            folder: Folder::new(),
            plain: (ip, 8080).into(),
            tls: (ip, 8443).into(),
            authority: Authority::new(),
        };
        site.renew_certificate();
        site
    }

    /// Replaces the files of the certificate.
    pub(crate) fn renew_certificate(&self) -> Certificate {
        self.authority.certify(&["proxy.test"])
    }

    /// Has all requests go to a pool `main` of these backends; `rest` is what else there is.
    pub(crate) fn configure(&self, backends: &[Backend], rest: &str) {
        let entries: Vec<_> = backends.iter().map(|backend| backend.entry("")).collect();
        let entries = entries.join(", ");
        self.configure_pool(&format!("backends = [{entries}]"), rest);
    }

    /// Has all requests go to a pool `main` with these keys.
    pub(crate) fn configure_pool(&self, pool: &str, rest: &str) {
        let Self { plain, tls, .. } = self;
        let certificates = self.authority.listed("proxy.test");
        let text = format!(
            "[[listener]]\naddress = \"{plain}\"\n\
             [[listener]]\naddress = \"{tls}\"\n{certificates}\n\
             [[route]]\npool = \"main\"\n[pool.main]\n{pool}\n{rest}\n"
        );
        self.folder.write("proxy.toml", &text);
    }

    /// A client that trusts its certificates.
    pub(crate) fn client(&self) -> TlsClient {
        TlsClient::trusting(&self.authority)
    }

    /// The ways in: the plain one, and the one with TLS.
    pub(crate) fn entrances(&self) -> [Entrance; 2] {
        let tls = Entrance::Tls(self.tls, Box::new(self.client()));
        [Entrance::Plain(self.plain), tls]
    }
}

/// An address of this machine that no other test uses: its ports are known before anybody listens.
fn own_ip() -> Ipv4Addr {
    static TAKEN: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = process::id().to_be_bytes();
    Ipv4Addr::new(127, high, low, TAKEN.fetch_add(1, Relaxed))
}
