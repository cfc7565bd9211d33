//! A bare socket as the system knows it: what another process can be given.

use std::{io, os::fd::OwnedFd};

use rustix::net::{AddressFamily, SocketType, sockopt};
use tokio::net::{TcpStream, UnixStream};

use super::Stream;

impl Stream {
    /// The socket alone, if nothing stands above it.
    ///
    /// # Errors
    /// If something does, or the runtime does not let go of it.
    pub fn into_descriptor(self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(socket) => Ok(socket.into_std()?.into()),
            Self::Unix(socket) => Ok(socket.into_std()?.into()),
            Self::ServerTls(_) | Self::ClientTls(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Whether a descriptor is a socket that [can be one of these](Self::of_descriptor).
    #[must_use]
    pub fn can_be(descriptor: &OwnedFd) -> bool {
        let kind = sockopt::socket_type(descriptor);
        let family = sockopt::socket_domain(descriptor);
        let families = [
            AddressFamily::INET,
            AddressFamily::INET6,
            AddressFamily::UNIX,
        ];
        kind == Ok(SocketType::STREAM) && family.is_ok_and(|family| families.contains(&family))
    }

    /// The socket behind a descriptor. To be called on a Tokio runtime.
    ///
    /// # Errors
    /// If it is no TCP or Unix socket, or the system refuses what is needed.
    pub fn of_descriptor(descriptor: OwnedFd) -> io::Result<Self> {
        if !Self::can_be(&descriptor) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if sockopt::socket_domain(&descriptor)? == AddressFamily::UNIX {
            let socket = std::os::unix::net::UnixStream::from(descriptor);
            socket.set_nonblocking(true)?;
            UnixStream::from_std(socket).map(Self::Unix)
        } else {
            let socket = std::net::TcpStream::from(descriptor);
            socket.set_nonblocking(true)?;
            TcpStream::from_std(socket).map(Self::Tcp)
        }
    }
}
