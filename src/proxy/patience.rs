//! A client that takes nothing of its response is not waited for for ever.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use crate::stream::Socket;

/// A client's socket whose writes fail when it has taken nothing for some time.
#[derive(Debug)]
pub(super) struct Patience<S> {
    stream: S,
    limit: Duration,
    /// Runs while the client takes nothing.
    over: Option<Pin<Box<Sleep>>>,
}

impl<S: Socket> Patience<S> {
    pub(super) fn with(stream: S, limit: Duration) -> Self {
        Self {
            stream,
            limit,
            over: None,
        }
    }

    /// The socket, with nobody who loses patience.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    pub(super) fn get_mut(&mut self) -> &mut S {
        &mut self.stream
    }

    /// Hands on what came of a write, or the end of patience.
    fn wait<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.over = None;
            return written;
        }
        let limit = self.limit;
        let over = self.over.get_or_insert_with(|| Box::pin(sleep(limit)));
        if self.stream.has_taken() {
            over.as_mut().reset(Instant::now() + limit);
        }
        ready!(over.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: Socket + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wait(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.wait(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.wait(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.wait(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::time::advance;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(30);

    /// A client that takes some of what it was sent now and then, but never all of it.
    struct Slow {
        moves: bool,
    }

    impl Socket for Slow {
        fn has_taken(&mut self) -> bool {
            self.moves
        }
    }

    impl AsyncRead for Slow {
        fn poll_read(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            _: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Pending
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_moves_is_waited_for_and_one_that_stops_is_not() {
        let mut client = Patience::with(Slow { moves: true }, LIMIT);
        let waits = async |client: &mut Patience<Slow>| {
            poll_fn(|cx| Poll::Ready(Pin::new(&mut *client).poll_flush(cx).is_pending())).await
        };
        for _ in 0..10 {
            assert!(waits(&mut client).await);
            advance(LIMIT - Duration::from_secs(1)).await;
        }
        client.stream.moves = false;
        assert!(waits(&mut client).await);
        advance(LIMIT).await;
        assert!(!waits(&mut client).await);
    }
}
