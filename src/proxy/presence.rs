//! A client that has gone is noticed, whatever it sent behind its request.

use std::{
    fmt,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

use super::patience::Patience;
use crate::stream::{SharedTcp, Stream, Watched};

/// What a client waits for on its connection.
#[derive(Debug, Default)]
pub struct Awaited(AtomicU8);

const NOTHING: u8 = 0;
const ANSWER: u8 = 1;
const TUNNEL: u8 = 2;

/// A client's stream that fails once the client is not there any more to get what it waits for.
///
/// A reset says so at once. The end of the client's side alone does where it waits for a tunnel;
/// else it may still read, and is given its answer as long as bytes move within a limit.
pub(super) struct Attended {
    stream: Patience<Watched>,
    /// `None` if it cannot be watched.
    socket: Option<SharedTcp>,
    awaited: Arc<Awaited>,
    /// How long a client that has ended its side is served while nothing moves; `None` not at all.
    limit: Option<Duration>,
    watch: Watch,
}

type Event = Pin<Box<dyn Future<Output = ()> + Send>>;

enum Watch {
    /// Nothing was awaited so far.
    Off,
    /// Until the client ends its side.
    End(Event),
    /// It has; until it resets the connection, or the time is over.
    Reset { event: Event, over: Pin<Box<Sleep>> },
}

impl Awaited {
    /// A request has come, or its tunnel was not granted.
    pub(super) fn answer(&self) {
        self.0.store(ANSWER, Relaxed);
    }

    /// The request asks for a tunnel, which is of no use to a client that sends nothing.
    pub(super) fn tunnel(&self) {
        self.0.store(TUNNEL, Relaxed);
    }
}

impl Attended {
    pub(super) fn new(
        stream: Stream,
        stall: Duration,
        half_closed: Option<Duration>,
        awaited: &Arc<Awaited>,
    ) -> Self {
        let (stream, socket) = Watched::new(stream);
        Self {
            stream: Patience::with(stream, stall),
            socket,
            awaited: Arc::clone(awaited),
            limit: half_closed,
            watch: Watch::Off,
        }
    }

    /// The stream, which nobody watches.
    pub(super) fn into_inner(self) -> Stream {
        let Self {
            stream,
            socket,
            watch,
            ..
        } = self;
        drop((socket, watch));
        stream.into_inner().into_stream()
    }

    /// # Errors
    /// If the client is gone.
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        let (awaited, Some(socket)) = (self.awaited.0.load(Relaxed), &self.socket) else {
            return Ok(());
        };
        if awaited == NOTHING {
            return Ok(());
        }
        if let Watch::Off = self.watch {
            let socket = socket.clone();
            self.watch = Watch::End(Box::pin(async move { socket.ended().await }));
        }
        if let Watch::End(event) = &mut self.watch
            && (event.as_mut().poll(cx).is_ready() || self.stream.get_mut().poll_has_closed(cx))
        {
            let socket = socket.clone();
            self.watch = Watch::Reset {
                event: Box::pin(async move { socket.reset().await }),
                over: Box::pin(sleep(self.limit.unwrap_or_default())),
            };
        }
        let Watch::Reset { event, over } = &mut self.watch else {
            return Ok(());
        };
        if event.as_mut().poll(cx).is_ready() {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if awaited == TUNNEL || self.limit.is_none() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        match over.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }

    /// Bytes move, so that somebody is there.
    fn note<T>(&mut self, moved: &Poll<io::Result<T>>) {
        if let (Watch::Reset { over, .. }, Some(limit), Poll::Ready(Ok(_))) =
            (&mut self.watch, self.limit, moved)
        {
            over.as_mut().reset(Instant::now() + limit);
        }
    }
}

impl fmt::Debug for Attended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attended")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl AsyncRead for Attended {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.note(&read);
        read
    }
}

impl AsyncWrite for Attended {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// hyper flushes whenever it has been woken and has nothing to write, above all while a request
    /// is under way; so this is where the client is looked after.
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.look(cx)?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
