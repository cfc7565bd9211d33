//! A TCP, TLS or Unix socket to a backend, with a deadline.

use std::{io, time::Duration};

use rustix::io::Errno;
use tokio::{
    net::{TcpStream, UnixStream},
    time,
};

use super::resolver::Resolver;
use crate::{
    config::{BackendAddress, BackendTls},
    quote::Quoted,
    stream::Stream,
    tls,
};

/// How a pool connects to its backends.
#[derive(Debug)]
pub struct Connector {
    tls: Option<tls::Connector>,
    resolver: &'static Resolver,
}

/// Why a backend could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The system, or its TLS, says no.
    #[error(
        "cannot connect to the backend {backend}: {}",
        Quoted::sentence(source)
    )]
    Failed {
        /// The backend's address.
        backend: BackendAddress,
        /// What was said.
        source: io::Error,
    },
    /// It has not answered in time.
    #[error("cannot connect to the backend {backend} within {deadline:?}")]
    TimedOut {
        /// The backend's address.
        backend: BackendAddress,
        /// How long it had.
        deadline: Duration,
    },
}

impl ConnectError {
    /// Whether we lack what a connection takes, which says nothing of the backend: open files, ports
    /// or memory.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        match self {
            Self::Failed { source, .. } => is_ours(source),
            Self::TimedOut { .. } => false,
        }
    }
}

/// Whether an error says that this process or machine has run out of something.
pub(super) fn is_ours(error: &io::Error) -> bool {
    let ours = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::ADDRNOTAVAIL,
        Errno::NOBUFS,
        Errno::NOMEM,
    ];
    Errno::from_io_error(error).is_some_and(|errno| ours.contains(&errno))
}

impl Connector {
    /// Connects with TLS where an address asks for it.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(tls: Option<&BackendTls>) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: tls.map(tls::Connector::new).transpose()?,
            resolver: Resolver::of_process(),
        })
    }

    /// Connects, and never over TLS.
    pub(super) fn without_tls() -> Self {
        Self {
            tls: None,
            resolver: Resolver::of_process(),
        }
    }

    /// A connected socket, its TLS handshake done.
    ///
    /// # Errors
    /// If there is none `within` that time.
    pub async fn connect(
        &self,
        address: &BackendAddress,
        within: Duration,
    ) -> Result<Stream, ConnectError> {
        let connected = time::timeout(within, self.try_connect(address)).await;
        if !matches!(connected, Ok(Ok(_))) {
            self.doubt(address);
        }
        match connected {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(ConnectError::Failed {
                backend: address.clone(),
                source,
            }),
            Err(_) => Err(ConnectError::TimedOut {
                backend: address.clone(),
                deadline: within,
            }),
        }
    }

    async fn try_connect(&self, address: &BackendAddress) -> io::Result<Stream> {
        match address {
            BackendAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            BackendAddress::Tcp { host, port } => self.tcp(host, *port).await.map(Stream::Tcp),
            BackendAddress::Tls { host, port } => {
                let socket = self.tcp(host, *port).await?;
                let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                tls.connect(host, socket).await
            }
        }
    }

    /// A socket to the first of the addresses of `host` that takes it.
    async fn tcp(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let mut addresses = self.resolver.addresses(host).await?.to_vec();
        for address in &mut addresses {
            address.set_port(port);
        }
        let socket = TcpStream::connect(addresses.as_slice()).await?;
        socket.set_nodelay(true)?;
        Ok(socket)
    }

    /// Has a name looked up anew that has led nowhere.
    fn doubt(&self, address: &BackendAddress) {
        match address {
            BackendAddress::Unix(_) => {}
            BackendAddress::Tcp { host, .. } | BackendAddress::Tls { host, .. } => {
                self.resolver.doubt(host);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_name_leads_to_the_next_of_its_addresses_and_to_the_old_ones_if_it_is_lost() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let lookups = AtomicUsize::new(0);
        let resolver = Resolver::new(move |_| match lookups.fetch_add(1, Relaxed) {
            // Nobody listens at the first.
            0 => Ok(vec![([127, 0, 0, 2], 0).into(), ([127, 0, 0, 1], 0).into()]),
            _ => Err(io::Error::other("the servers of names are away")),
        });
        let connector = Connector {
            tls: None,
            resolver: Box::leak(Box::new(resolver)),
        };
        let address = |port| BackendAddress::Tcp {
            host: "backend.test".to_owned(),
            port,
        };
        let within = Duration::from_secs(60);
        connector.connect(&address(port), within).await.unwrap();
        // It is looked up anew, in vain.
        assert!(connector.connect(&address(1), within).await.is_err());
        for _ in 0..20 {
            connector.connect(&address(port), within).await.unwrap();
        }
    }

    #[test]
    fn what_we_have_run_out_of_is_no_fault_of_the_backend() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(is_ours(&error(Errno::MFILE)));
        assert!(is_ours(&error(Errno::ADDRNOTAVAIL)));
        assert!(!is_ours(&error(Errno::CONNREFUSED)));
        assert!(!is_ours(&io::ErrorKind::InvalidData.into()));
    }
}
