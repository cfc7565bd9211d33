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

    /// The socket behind a descriptor, which is copied. To be called on a Tokio runtime.
    ///
    /// # Errors
    /// If it is no TCP or Unix socket, or the system refuses what is needed.
    pub fn of_descriptor(descriptor: &OwnedFd) -> io::Result<Self> {
        if sockopt::socket_type(descriptor)? != SocketType::STREAM {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let family = sockopt::socket_domain(descriptor)?;
        let copy = descriptor.try_clone()?;
        match family {
            AddressFamily::INET | AddressFamily::INET6 => {
                let socket = std::net::TcpStream::from(copy);
                socket.set_nonblocking(true)?;
                TcpStream::from_std(socket).map(Self::Tcp)
            }
            AddressFamily::UNIX => {
                let socket = std::os::unix::net::UnixStream::from(copy);
                socket.set_nonblocking(true)?;
                UnixStream::from_std(socket).map(Self::Unix)
            }
            _ => Err(io::ErrorKind::Unsupported.into()),
        }
    }
}
