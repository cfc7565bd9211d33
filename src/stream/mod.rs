//! A socket of any kind, to a client or to a backend, as one type.

mod bare;
mod descriptor;
mod metered;
mod server_tls;
mod watched;

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll},
};

use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::client::TlsStream;

pub use self::{
    bare::BareSocket,
    metered::Metered,
    server_tls::ServerTls,
    watched::{SharedTcp, Watched},
};

/// A connected socket.
#[derive(Debug)]
pub enum Stream {
    /// TCP.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP, to a client. Boxed, for its state is large beside a socket.
    ServerTls(Box<ServerTls<Metered<TcpStream>>>),
    /// TLS over TCP, to a backend.
    ClientTls(Box<TlsStream<Metered<TcpStream>>>),
}

/// What a TLS handshake has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handshake {
    /// Whether TLS 1.3 is spoken, and not 1.2.
    pub is_tls13: bool,
    /// Whether it goes on from an earlier session.
    pub is_resumed: bool,
}

/// A socket, or what stands for one.
pub trait Socket: AsyncRead + AsyncWrite {
    /// Whether the peer's side has taken anything since this was last asked, be it part of what a
    /// write or a flush still waits for. A socket that keeps nothing of what it took has nothing to
    /// add to what its writes say.
    fn has_taken(&mut self) -> bool {
        false
    }

    /// The socket itself, if nothing stands above it.
    fn bare(&self) -> Option<BareSocket<'_>> {
        None
    }

    /// Whether another process could go on with it: nothing of its streams is kept above it.
    fn can_move(&self) -> bool {
        self.bare().is_some()
    }
}

impl Socket for TcpStream {
    fn bare(&self) -> Option<BareSocket<'_>> {
        Some(BareSocket::Tcp(self))
    }
}

impl Socket for UnixStream {
    fn bare(&self) -> Option<BareSocket<'_>> {
        Some(BareSocket::Unix(self))
    }
}

impl Socket for Stream {
    fn has_taken(&mut self) -> bool {
        match self {
            Self::Tcp(io) => io.has_taken(),
            Self::Unix(io) => io.has_taken(),
            Self::ServerTls(io) => io.has_taken(),
            Self::ClientTls(io) => io.get_mut().0.has_taken(),
        }
    }

    fn bare(&self) -> Option<BareSocket<'_>> {
        match self {
            Self::Tcp(io) => io.bare(),
            Self::Unix(io) => io.bare(),
            Self::ServerTls(_) | Self::ClientTls(_) => None,
        }
    }
}

impl Stream {
    /// What its TLS handshake has come to, if it has TLS.
    #[must_use]
    pub fn handshake(&self) -> Option<Handshake> {
        match self {
            Self::Tcp(_) | Self::Unix(_) => None,
            Self::ServerTls(io) => Some(io.handshake()),
            Self::ClientTls(io) => Some(Handshake::of(io.get_ref().1)),
        }
    }
}

impl Handshake {
    fn of(connection: &CommonState) -> Self {
        Self {
            is_tls13: connection.protocol_version() == Some(ProtocolVersion::TLSv1_3),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}

/// What a write has taken; one that takes nothing of something will never take more.
pub(crate) fn some_bytes(written: usize) -> io::Result<usize> {
    match written {
        0 => Err(io::ErrorKind::WriteZero.into()),
        written => Ok(written),
    }
}

/// Calls the same method on whatever the stream is.
macro_rules! each {
    ($stream:expr, $io:ident => $call:expr) => {
        match $stream.get_mut() {
            Stream::Tcp($io) => $call,
            Stream::Unix($io) => $call,
            Stream::ServerTls($io) => $call,
            Stream::ClientTls($io) => $call,
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
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
            Self::Unix(io) => io.is_write_vectored(),
            Self::ServerTls(io) => io.is_write_vectored(),
            Self::ClientTls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        each!(self, io => Pin::new(io).poll_shutdown(cx))
    }
}
