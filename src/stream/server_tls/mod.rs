//! The server's side of TLS over a socket, made for connections that idle.

mod scratch;
mod session;

use std::{
    fmt,
    future::poll_fn,
    io,
    os::fd::{AsFd, BorrowedFd},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::session::{MAX_RECORD, Session};
use super::{Handshake, Socket, some_bytes};

/// The most that is encrypted at a time, to be sent by one system call.
const MAX_PLAINTEXT: usize = 64 * 1024;

/// The most that waits to go out with what is written next: tickets, but none that hold chains of
/// certificates.
const MAX_WAITING: usize = 1024;

/// A client's TLS connection, its handshake done.
///
/// Bytes go through a buffer that all streams of the thread share. The stream owns memory only
/// while there is half a record in it, or something that its reader or its peer has not taken.
pub struct ServerTls<S> {
    socket: S,
    session: Session,
    /// Whether what is to be sent can wait for what is written next, to go out with it.
    can_wait: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ServerTls<S> {
    /// Completes the handshake with a client.
    ///
    /// # Errors
    /// If the client fails it, or its connection breaks.
    pub async fn accept(config: Arc<ServerConfig>, socket: S) -> io::Result<Self> {
        let mut tls = Self {
            socket,
            session: Session::new(config).map_err(io::Error::other)?,
            can_wait: false,
        };
        poll_fn(|cx| tls.poll_handshake(cx)).await?;
        Ok(tls)
    }

    /// What the handshake has come to.
    pub(super) fn handshake(&self) -> Handshake {
        self.session.handshake()
    }

    /// The same over what `change` makes of the socket.
    pub(super) fn map<T>(self, change: impl FnOnce(S) -> T) -> ServerTls<T> {
        ServerTls {
            socket: change(self.socket),
            session: self.session,
            can_wait: self.can_wait,
        }
    }

    /// Whether nothing more comes from the peer than what is kept of it. Reads on for that, until a
    /// record's worth is kept.
    pub(super) fn poll_has_closed(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            if self.session.end_of_input().is_some() {
                return true;
            }
            if self.session.kept() >= MAX_RECORD {
                return false;
            }
            match self.poll_receive(cx, &mut ReadBuf::new(&mut [])) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return true,
                Poll::Pending => return false,
            }
        }
    }

    fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.session.is_handshaking() {
            if let Poll::Ready(sent) = self.poll_send(cx) {
                sent?;
                ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            }
            // Also while that is not taken: the client may wait for us to read before it does.
            ready!(self.poll_receive(cx, &mut ReadBuf::new(&mut [])))?;
            if let Some(Err(error)) = self.session.end_of_input() {
                // As much as can be done for an alert; the error comes first.
                let _ = self.poll_send(cx);
                return Poll::Ready(Err(error));
            }
        }
        let tickets = self.session.outgoing().len();
        self.can_wait = !self.session.ends_the_handshake() && tickets <= MAX_WAITING;
        if self.can_wait {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    /// Reads once from the socket. What is decrypted goes into `plaintext`, or is kept.
    fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        plaintext: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            socket, session, ..
        } = self;
        scratch::with(|scratch| {
            let kept = session.incoming().len();
            // No more than can be handed on, so that little is kept; but a whole record at least.
            let most = plaintext.remaining().max(MAX_RECORD);
            let most = if kept < most { most } else { kept + MAX_RECORD };
            let most = most.min(scratch.len());
            let mut read = ReadBuf::new(&mut scratch[kept..most]);
            ready!(Pin::new(socket).poll_read(cx, &mut read))?;
            let end = kept + read.filled().len();
            if end == kept {
                session.end_input();
            } else {
                scratch[..kept].copy_from_slice(session.incoming());
                session.receive(&mut scratch[..end], plaintext);
            }
            Poll::Ready(Ok(()))
        })
    }

    /// Sends all that is to be sent.
    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.can_wait = false;
        while !self.session.outgoing().is_empty() {
            let sent = Pin::new(&mut self.socket).poll_write(cx, self.session.outgoing());
            self.session.sent(some_bytes(ready!(sent)?)?);
        }
        Poll::Ready(Ok(()))
    }

    /// Encrypts `plaintext` and sends it, behind what was to be sent before. What the socket does
    /// not take is kept.
    fn encrypt(&mut self, cx: &mut Context<'_>, plaintext: &[u8]) -> io::Result<()> {
        self.can_wait = false;
        let Self {
            socket, session, ..
        } = self;
        scratch::with(|scratch| {
            let begin = session.take_outgoing(scratch);
            let end = session.encrypt(plaintext, scratch, begin)?;
            let sent = match Pin::new(socket).poll_write(cx, &scratch[..end]) {
                Poll::Ready(sent) => some_bytes(sent?)?,
                Poll::Pending => 0,
            };
            session.keep_outgoing(&scratch[sent..end]);
            Ok(())
        })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ServerTls<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let room = buffer.remaining();
        if this.session.take_plaintext(buffer) {
            return Poll::Ready(Ok(()));
        }
        while buffer.remaining() == room && room > 0 {
            if let Some(end) = this.session.end_of_input() {
                return Poll::Ready(end);
            }
            let waiting = this.session.outgoing().len();
            ready!(this.poll_receive(cx, buffer))?;
            // A word of our own, an alert say. Behind what waits already it goes with that.
            if this.session.outgoing().len() > waiting && (waiting == 0 || this.can_wait) {
                let _ = this.poll_send(cx);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ServerTls<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let taken = bytes.len().min(MAX_PLAINTEXT);
        if !this.can_wait {
            ready!(this.poll_send(cx))?;
        }
        if taken > 0 {
            this.encrypt(cx, &bytes[..taken])?;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.can_wait {
            ready!(this.poll_send(cx))?;
        }
        Pin::new(&mut this.socket).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        this.session.close();
        ready!(this.poll_send(cx))?;
        match ready!(Pin::new(&mut this.socket).poll_shutdown(cx)) {
            // The peer was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotConnected => Poll::Ready(Ok(())),
            shut => Poll::Ready(shut),
        }
    }
}

impl<S: Socket + Unpin> Socket for ServerTls<S> {
    fn has_taken(&mut self) -> bool {
        self.socket.has_taken()
    }
}

impl<S: AsFd> AsFd for ServerTls<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl<S: fmt::Debug> fmt::Debug for ServerTls<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerTls")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
