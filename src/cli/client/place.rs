//! Where the proxy is, and the connection to it.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use anyhow::{Context, anyhow};
use http::{Uri, uri::Scheme};
use longwire::{
    config::{Authorities, BackendTls},
    stream::Stream,
    tls::Connector,
};
use rustls::RootCertStore;
use tokio::net::{TcpStream, UnixStream};

/// Where the proxy is.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// At a Unix socket: the one that goes with a configuration file, or one that the user names.
    Socket {
        path: PathBuf,
        file: Option<PathBuf>,
    },
    /// At an address.
    Address(Address),
}

/// `http://HOST:PORT` or `https://HOST:PORT`.
#[derive(Debug, Clone)]
pub(super) struct Address {
    host: String,
    port: u16,
    is_tls: bool,
    text: String,
}

impl Place {
    /// What the `Host` of a request is.
    pub(super) fn host(&self) -> &str {
        match self {
            Self::Socket { .. } => "longwire",
            Self::Address(address) => address.authority(),
        }
    }

    pub(super) async fn connect(&self) -> anyhow::Result<Stream> {
        match self {
            Self::Socket { path, file } => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Stream::Unix(stream)),
                Err(error) => Err(unreachable(path, file.as_deref(), error)),
            },
            Self::Address(address) => address.connect().await,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket { path, .. } => path.display().fmt(f),
            Self::Address(address) => address.text.fmt(f),
        }
    }
}

impl Address {
    fn authority(&self) -> &str {
        self.text
            .split_once("://")
            .map_or("", |(_, authority)| authority)
    }

    async fn connect(&self) -> anyhow::Result<Stream> {
        let socket = TcpStream::connect((&*self.host, self.port)).await;
        let socket = socket.with_context(|| format!("cannot reach {}", self.text))?;
        if !self.is_tls {
            return Ok(Stream::Tcp(socket));
        }
        let stream = trusting_the_system()?.connect(&self.host, socket).await;
        stream.with_context(|| format!("{} is not to be trusted", self.text))
    }
}

impl FromStr for Address {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let wrong = || anyhow!("write http://HOST:PORT or https://HOST:PORT");
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let is_tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(wrong()),
        };
        let has_more = !matches!(uri.path(), "" | "/") || uri.query().is_some();
        let host = uri.host().filter(|host| !host.is_empty());
        let host = host.filter(|_| !has_more).ok_or_else(wrong)?;
        Ok(Self {
            // Brackets belong to addresses in a URL alone.
            host: host.trim_matches(['[', ']']).to_owned(),
            port: uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            is_tls,
            text: text.trim_end_matches('/').to_owned(),
        })
    }
}

fn trusting_the_system() -> anyhow::Result<Connector> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = BackendTls {
        authorities: Some(Authorities::of(Arc::new(roots))),
        server_name: None,
    };
    Ok(Connector::new(&config)?)
}

fn unreachable(path: &Path, file: Option<&Path>, error: io::Error) -> anyhow::Error {
    let path = path.display();
    match (error.kind(), file) {
        (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, None) => {
            anyhow!("no longwire runs there: nobody listens at {path}")
        }
        (io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, Some(file)) => anyhow!(
            "no longwire runs with {}: nobody listens at {path}\n\
             One whose socket lies elsewhere can be reached with --socket PATH.",
            file.display()
        ),
        (io::ErrorKind::PermissionDenied, _) => {
            anyhow!("cannot reach the proxy at {path}: its own user and root alone may")
        }
        _ => anyhow::Error::from(error).context(format!("cannot reach the proxy at {path}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_scheme_a_host_and_a_port() {
        let address: Address = "http://127.0.0.1:9090/".parse().unwrap();
        assert_eq!((&*address.host, address.port), ("127.0.0.1", 9090));
        assert_eq!(address.authority(), "127.0.0.1:9090");
        let address: Address = "https://[::1]".parse().unwrap();
        assert_eq!((&*address.host, address.port), ("::1", 443));
        for wrong in [
            "127.0.0.1:9090",
            "ftp://a",
            "http://a/api",
            "http://a/?b",
            "",
        ] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
