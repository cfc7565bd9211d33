//! A stream of ours and a client, over a pipe that counts what goes through it.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::ClientConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex},
    time::{Duration, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{super::ServerTls, settings::Settings};

/// Our end of a pipe, in the place of a socket.
#[derive(Debug)]
pub(super) struct Tap {
    socket: DuplexStream,
    /// How often it was read from, whatever came of it.
    pub(super) reads: usize,
    /// How often something was written to it, whatever came of it.
    pub(super) writes: usize,
    /// The most that it takes and gives at a time.
    pub(super) at_most: usize,
}

impl Tap {
    pub(super) fn on(socket: DuplexStream) -> Self {
        Self {
            socket,
            reads: 0,
            writes: 0,
            at_most: usize::MAX,
        }
    }
}

impl AsyncRead for Tap {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reads += 1;
        let mut fitting = buffer.take(self.at_most);
        let read = Pin::new(&mut self.socket).poll_read(cx, &mut fitting);
        let filled = fitting.filled().len();
        buffer.advance(filled);
        read
    }
}

impl AsyncWrite for Tap {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes += 1;
        let fitting = bytes.len().min(self.at_most);
        Pin::new(&mut self.socket).poll_write(cx, &bytes[..fitting])
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// What has to come about without anybody's waiting. As soon as nobody moves any more a paused clock
/// leaps, and then it has not.
pub(super) async fn patiently<T>(what: impl Future<Output = T>) -> T {
    let outcome = timeout(Duration::from_secs(60), what).await;
    outcome.expect("nobody moves any more")
}

pub(super) type Client = TlsStream<DuplexStream>;

/// A client and a stream of ours whose pipe holds `buffer` bytes.
pub(super) async fn pair(settings: &Settings, buffer: usize) -> (Client, ServerTls<Tap>) {
    let (client_end, our_end) = duplex(buffer);
    let (client, ours) = tokio::join!(
        connect(settings.client(), client_end),
        ServerTls::accept(Arc::new(settings.server()), Tap::on(our_end)),
    );
    (client.unwrap(), ours.unwrap())
}

pub(super) async fn connect(client: ClientConfig, end: DuplexStream) -> io::Result<Client> {
    let name = "one.test".try_into().unwrap();
    TlsConnector::from(Arc::new(client))
        .connect(name, end)
        .await
}
