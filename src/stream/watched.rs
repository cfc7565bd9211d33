//! A client's socket that can be watched while somebody else reads and writes it.

use std::{
    io::{self, IoSlice},
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::TcpStream,
};

use super::{Metered, ServerTls, Socket, Stream};

/// A TCP socket of several owners, of whom one reads and writes.
#[derive(Debug, Clone)]
pub struct SharedTcp(Arc<TcpStream>);

/// A client's stream before it is a tunnel's.
#[derive(Debug)]
pub enum Watched {
    /// TCP.
    Tcp(SharedTcp),
    /// TLS over TCP.
    Tls(Box<ServerTls<Metered<SharedTcp>>>),
    /// One that nobody can watch.
    Unwatched(Stream),
}

impl SharedTcp {
    /// Waits until the peer has ended its side or reset the connection, whatever it has sent before
    /// and nobody has read.
    pub async fn ended(&self) {
        // The runtime tells the end of the other side with whatever is asked for but writing; to ask
        // for reading would be answered by what is unread. An error is an end too.
        let _ = self.0.ready(Interest::PRIORITY | Interest::ERROR).await;
    }

    /// Waits until the connection is reset.
    pub async fn reset(&self) {
        let _ = self.0.ready(Interest::ERROR).await;
    }
}

impl Watched {
    /// The stream, and its socket to watch it by.
    #[must_use]
    pub fn new(stream: Stream) -> (Self, Option<SharedTcp>) {
        match stream {
            Stream::Tcp(socket) => {
                let socket = SharedTcp(Arc::new(socket));
                (Self::Tcp(socket.clone()), Some(socket))
            }
            Stream::ServerTls(tls) => {
                let mut shared = None;
                let tls = tls.map(|metered| {
                    metered.map(|socket| {
                        let socket = SharedTcp(Arc::new(socket));
                        shared = Some(socket.clone());
                        socket
                    })
                });
                (Self::Tls(Box::new(tls)), shared)
            }
            other => (Self::Unwatched(other), None),
        }
    }

    /// The stream again. Nobody may watch it any more.
    #[must_use]
    pub fn into_stream(self) -> Stream {
        let alone = |SharedTcp(socket)| Arc::into_inner(socket).expect("nobody watches it");
        match self {
            Self::Tcp(socket) => Stream::Tcp(alone(socket)),
            Self::Tls(tls) => Stream::ServerTls(Box::new(tls.map(|metered| metered.map(alone)))),
            Self::Unwatched(stream) => stream,
        }
    }

    /// Whether the client has said, above its socket, that nothing follows. Reads on for that, to a
    /// bound.
    pub fn poll_has_closed(&mut self, cx: &mut Context<'_>) -> bool {
        match self {
            Self::Tls(tls) => tls.poll_has_closed(cx),
            Self::Tcp(_) | Self::Unwatched(_) => false,
        }
    }
}

impl Socket for Watched {
    fn has_taken(&mut self) -> bool {
        match self {
            Self::Tcp(_) => false,
            Self::Tls(tls) => tls.has_taken(),
            Self::Unwatched(stream) => stream.has_taken(),
        }
    }
}

impl AsyncRead for SharedTcp {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = &*self.0;
        loop {
            ready!(socket.poll_read_ready(cx))?;
            let room = buffer.remaining();
            match socket.try_read_buf(buffer) {
                Ok(read) => {
                    if (1..room).contains(&read) {
                        // There is no more: that need not be asked.
                        let none = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
                        let _ = socket.try_io(Interest::READABLE, none);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl SharedTcp {
    fn poll_writing(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.0.poll_write_ready(cx))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }
}

impl AsyncWrite for SharedTcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_writing(cx, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        match SockRef::from(&*self.0).shutdown(Shutdown::Write) {
            // The peer was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}

/// Calls the same method on whatever the stream is.
macro_rules! each {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream.get_mut() {
            Watched::Tcp($io) => $call,
            Watched::Tls($io) => $call,
            Watched::Unwatched($io) => $call,
        }
    };
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        each!(self, io => Pin::new(io).poll_write_vectored(cx, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
            Self::Unwatched(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
