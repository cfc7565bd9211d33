//! What a backend says unasked is no answer to the next request.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::stream::Stream;

/// Whether a backend is to have said nothing before the next bytes go to it.
#[derive(Debug, Clone, Default)]
pub(super) struct Silence(Arc<AtomicBool>);

/// A socket to a backend. Where it is to be silent and is not, it fails before anything is written
/// to it. Over TLS any byte breaks the silence: nobody can tell a session ticket from an answer
/// without reading it, and a new connection costs little.
#[derive(Debug)]
pub struct BackendSocket {
    stream: Stream,
    silence: Silence,
}

impl Silence {
    /// The connection has been idle: whatever has come on it was sent unasked.
    pub(super) fn demand(&self) {
        self.0.store(true, Relaxed);
    }

    fn is_demanded(&self) -> bool {
        self.0.load(Relaxed)
    }

    /// A request is on its way, so that bytes may come.
    fn end(&self) {
        self.0.store(false, Relaxed);
    }
}

impl BackendSocket {
    pub(super) fn new(stream: Stream, silence: Silence) -> Self {
        Self { stream, silence }
    }

    /// The socket, with nobody who listens for silence.
    #[must_use]
    pub fn into_inner(self) -> Stream {
        self.stream
    }

    fn check(&self) -> io::Result<()> {
        if self.silence.is_demanded() && !self.stream.is_silent() {
            let broken =
                "the idle connection has ended, or bytes have come on it that nobody asked for";
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, broken));
        }
        Ok(())
    }

    /// The last look, since bytes may have come between the one before a request was taken up and
    /// the moment when it is written.
    fn check_before_write(&self) -> io::Result<()> {
        self.check()?;
        self.silence.end();
        Ok(())
    }
}

impl AsyncRead for BackendSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for BackendSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check_before_write()?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check_before_write()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
