//! A stream whose writes never wait.
//!
//! So whoever waits for the other side may stop at any time to say something: no answer to a ping
//! is ever left half written. And two sides that both write first do not wait for each other.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf, split},
    sync::mpsc,
    task::spawn_local,
};

/// Reads as `S` does; what is written waits in a line of any length.
pub struct Unblocked<S> {
    reads: ReadHalf<S>,
    outbox: mpsc::UnboundedSender<Vec<u8>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Unblocked<S> {
    pub fn new(io: S) -> Self {
        let (reads, writes) = split(io);
        let (outbox, line) = mpsc::unbounded_channel();
        spawn_local(write_all(writes, line));
        Self { reads, outbox }
    }
}

/// Writes what is in the line, and shuts the stream down when there will be no more. That it broke
/// is seen by who reads.
async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(
    mut writes: WriteHalf<S>,
    mut line: mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Result<()> {
    while let Some(bytes) = line.recv().await {
        writes.write_all(&bytes).await?;
        writes.flush().await?;
    }
    writes.shutdown().await
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Unblocked<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reads).poll_read(context, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Unblocked<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // One that has broken takes everything; its end is to be read.
        let _ = self.outbox.send(bytes.to_vec());
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
