//! Sockets that are slower, quicker or ruder than a pipe.

use std::{
    collections::VecDeque,
    io, mem,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

use crate::{
    stream::Socket,
    websocket::{
        Role,
        frame::{self, FrameHeader, apply_mask},
    },
};

/// One that keeps what is written to it until it is flushed, as TLS may. One that keeps nothing is a
/// plain socket.
#[derive(Debug)]
pub(super) struct Hoarder {
    socket: DuplexStream,
    kept: VecDeque<u8>,
    /// The most that it keeps.
    capacity: usize,
    has_taken: bool,
}

impl Hoarder {
    pub(super) fn new(socket: DuplexStream, capacity: usize) -> Self {
        Self {
            socket,
            kept: VecDeque::new(),
            capacity,
            has_taken: false,
        }
    }
}

impl AsyncRead for Hoarder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Hoarder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.capacity == 0 {
            return Pin::new(&mut self.socket).poll_write(cx, bytes);
        }
        if self.kept.len() == self.capacity {
            ready!(self.as_mut().poll_flush(cx))?;
        }
        let taken = bytes.len().min(self.capacity - self.kept.len());
        self.kept.extend(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self {
            socket,
            kept,
            has_taken,
            ..
        } = &mut *self;
        while !kept.is_empty() {
            let written = ready!(Pin::new(&mut *socket).poll_write(cx, kept.make_contiguous()))?;
            kept.drain(..written);
            *has_taken = true;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

impl Socket for Hoarder {
    fn has_taken(&mut self) -> bool {
        mem::take(&mut self.has_taken)
    }

    fn can_move(&self) -> bool {
        self.kept.is_empty()
    }
}

/// It stands for a plain socket.
impl Socket for DuplexStream {
    fn can_move(&self) -> bool {
        true
    }
}

impl Socket for Prompt {}
impl Socket for Broken {}

/// One that counts how often something was read from it, and how often it was written to.
#[derive(Debug)]
pub(super) struct Counted {
    socket: DuplexStream,
    calls: Arc<Calls>,
}

/// What a [`Counted`] socket has counted.
#[derive(Debug, Default)]
pub(super) struct Calls {
    reads: AtomicUsize,
    writes: AtomicUsize,
}

impl Counted {
    pub(super) fn new(socket: DuplexStream) -> (Self, Arc<Calls>) {
        let calls = Arc::<Calls>::default();
        let counts = Arc::clone(&calls);
        (Self { socket, calls }, counts)
    }
}

impl Calls {
    /// Reads and writes since this was last asked.
    pub(super) fn take(&self) -> (usize, usize) {
        (self.reads.swap(0, Relaxed), self.writes.swap(0, Relaxed))
    }
}

impl Socket for Counted {}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.socket).poll_read(cx, buffer);
        self.calls.reads.fetch_add(read.is_ready().into(), Relaxed);
        read
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.calls.writes.fetch_add(1, Relaxed);
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// A backend whose answer to a ping is there before the write of the ping has returned, and that
/// says nothing else.
#[derive(Debug, Default)]
pub(super) struct Prompt {
    answer: VecDeque<u8>,
}

impl AsyncRead for Prompt {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.answer.is_empty() {
            return Poll::Pending;
        }
        buffer.put_slice(self.answer.make_contiguous());
        self.answer.clear();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Prompt {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let ping = FrameHeader::parse(bytes).unwrap();
        let mut token = bytes[ping.header_len..].to_vec();
        apply_mask(&mut token, ping.mask.unwrap());
        self.answer.extend(frame::pong(&token, Role::Server));
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// One that has broken: what it had sent can still be read, nothing can be written.
#[derive(Debug)]
pub(super) struct Broken {
    last_words: VecDeque<Vec<u8>>,
}

impl Broken {
    /// One that can still be read from as often as there are words.
    pub(super) fn after(last_words: &[&[u8]]) -> Self {
        Self {
            last_words: last_words.iter().map(|words| words.to_vec()).collect(),
        }
    }
}

impl AsyncRead for Broken {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(match self.last_words.pop_front() {
            Some(words) => {
                buffer.put_slice(&words);
                Ok(())
            }
            None => Err(io::ErrorKind::ConnectionReset.into()),
        })
    }
}

impl AsyncWrite for Broken {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::NotConnected.into()))
    }
}
