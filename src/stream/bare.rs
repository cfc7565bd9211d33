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
            let done = match self {
                Self::Tcp(socket) => {
                    ready!(socket.poll_read_ready(cx))?;
                    socket.try_io(Interest::READABLE, || read(socket.as_fd()))
                }
                Self::Unix(socket) => {
                    ready!(socket.poll_read_ready(cx))?;
                    socket.try_io(Interest::READABLE, || read(socket.as_fd()))
                }
            };
            if !would_block(&done) {
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
            let done = match self {
                Self::Tcp(socket) => {
                    ready!(socket.poll_write_ready(cx))?;
                    socket.try_io(Interest::WRITABLE, || write(socket.as_fd()))
                }
                Self::Unix(socket) => {
                    ready!(socket.poll_write_ready(cx))?;
                    socket.try_io(Interest::WRITABLE, || write(socket.as_fd()))
                }
            };
            if !would_block(&done) {
                return Poll::Ready(done);
            }
        }
    }
}

fn would_block<T>(done: &io::Result<T>) -> bool {
    matches!(done, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}
