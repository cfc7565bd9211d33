//! A socket under TLS, which shows less of what moves than the socket does.

use std::{
    io::{self, IoSlice},
    mem,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Socket;

/// A socket that remembers whether it has taken anything.
#[derive(Debug)]
pub struct Metered<S> {
    socket: S,
    has_taken: bool,
}

impl<S> Metered<S> {
    /// One that has taken nothing so far.
    pub fn new(socket: S) -> Self {
        Self {
            socket,
            has_taken: false,
        }
    }

    /// The same over what `change` makes of the socket.
    pub(super) fn map<T>(self, change: impl FnOnce(S) -> T) -> Metered<T> {
        Metered {
            socket: change(self.socket),
            has_taken: self.has_taken,
        }
    }

    fn note(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.has_taken |= matches!(written, Poll::Ready(Ok(1..)));
        written
    }
}

impl<S: AsFd> AsFd for Metered<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket for Metered<S> {
    fn has_taken(&mut self) -> bool {
        mem::take(&mut self.has_taken)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.note(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, slices);
        self.note(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
