//! A socket as the system knows it: what another process can be given, and what can be asked of it.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::net::{AddressFamily, RecvFlags, SocketType, recv, sockopt};
use tokio::net::{TcpStream, UnixStream};

use super::Stream;

/// The socket that the bytes go through, whatever stands above it.
impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(socket) => socket.as_fd(),
            Self::Unix(socket) => socket.as_fd(),
            Self::ServerTls(tls) => tls.as_fd(),
            Self::ClientTls(tls) => tls.get_ref().0.as_fd(),
        }
    }
}

impl Stream {
    /// Whether nothing has come on the socket that nobody has read, its end included. The system is
    /// asked: the runtime hears of what has come only when it looks next.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
        let peeked = recv(self.as_fd(), &mut [0; 1], flags);
        peeked.is_err_and(|error| error == rustix::io::Errno::AGAIN)
    }

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
