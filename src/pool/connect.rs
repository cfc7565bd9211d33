//! A TCP, TLS or Unix socket to a backend, with a deadline.

use std::{io, time::Duration};

use rustix::io::Errno;
use tokio::{
    net::{TcpStream, UnixStream},
    time,
};

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
    deadline: Duration,
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
    /// Connects with that deadline, and with TLS where an address asks for it.
    ///
    /// # Errors
    /// If TLS cannot be set up.
    pub fn new(tls: Option<&BackendTls>, deadline: Duration) -> Result<Self, rustls::Error> {
        Ok(Self {
            tls: tls.map(tls::Connector::new).transpose()?,
            deadline,
        })
    }

    /// Connects with that deadline, and never over TLS.
    pub(super) fn without_tls(deadline: Duration) -> Self {
        Self {
            tls: None,
            deadline,
        }
    }

    /// A connected socket, its TLS handshake done.
    ///
    /// # Errors
    /// If there is none before the deadline.
    pub async fn connect(&self, address: &BackendAddress) -> Result<Stream, ConnectError> {
        match time::timeout(self.deadline, self.try_connect(address)).await {
            Ok(Ok(stream)) => Ok(stream),
            Ok(Err(source)) => Err(ConnectError::Failed {
                backend: address.clone(),
                source,
            }),
            Err(_) => Err(ConnectError::TimedOut {
                backend: address.clone(),
                deadline: self.deadline,
            }),
        }
    }

    async fn try_connect(&self, address: &BackendAddress) -> io::Result<Stream> {
        match address {
            BackendAddress::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix),
            BackendAddress::Tcp { host, port } => tcp(host, *port).await.map(Stream::Tcp),
            BackendAddress::Tls { host, port } => {
                let socket = tcp(host, *port).await?;
                let tls = self.tls.as_ref().ok_or(io::ErrorKind::Unsupported)?;
                tls.connect(host, socket).await
            }
        }
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let socket = TcpStream::connect((host, port)).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_we_have_run_out_of_is_no_fault_of_the_backend() {
        let error = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        assert!(is_ours(&error(Errno::MFILE)));
        assert!(is_ours(&error(Errno::ADDRNOTAVAIL)));
        assert!(!is_ours(&error(Errno::CONNREFUSED)));
        assert!(!is_ours(&io::ErrorKind::InvalidData.into()));
    }
}
