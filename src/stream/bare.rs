//! Sockets that carry the very bytes that are read from and written to them, so that the system can
//! move these without our looking at them.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    task::{Context, Poll, ready},
};

use tokio::{
    io::Interest,
    net::{TcpStream, UnixStream},
};

/// A socket without anything above it.
#[derive(Debug, Clone, Copy)]
pub enum BareSocket<'s> {
    /// TCP.
    Tcp(&'s TcpStream),
    /// A Unix socket.
    Unix(&'s UnixStream),
}

impl BareSocket<'_> {
    /// Does what reads from the socket, once it can be read from.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn poll_reading<T>(
        self,
        cx: &mut Context<'_>,
        mut read: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(match self {
                Self::Tcp(socket) => socket.poll_read_ready(cx),
                Self::Unix(socket) => socket.poll_read_ready(cx),
            })?;
            if let Some(done) = self.try_io(Interest::READABLE, &mut read) {
                return Poll::Ready(done);
            }
        }
    }

    /// Does what writes to the socket, once it can be written to.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn poll_writing<T>(
        self,
        cx: &mut Context<'_>,
        mut write: impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(match self {
                Self::Tcp(socket) => socket.poll_write_ready(cx),
                Self::Unix(socket) => socket.poll_write_ready(cx),
            })?;
            if let Some(done) = self.try_io(Interest::WRITABLE, &mut write) {
                return Poll::Ready(done);
            }
        }
    }

    /// What comes of `io`; `None` if the socket is not ready for it after all.
    fn try_io<T>(
        self,
        interest: Interest,
        io: &mut impl FnMut(BorrowedFd<'_>) -> io::Result<T>,
    ) -> Option<io::Result<T>> {
        let done = match self {
            Self::Tcp(socket) => socket.try_io(interest, || io(socket.as_fd())),
            Self::Unix(socket) => socket.try_io(interest, || io(socket.as_fd())),
        };
        let would_block = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
        (!done.as_ref().is_err_and(would_block)).then_some(done)
    }
}
