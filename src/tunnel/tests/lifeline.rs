//! A tunnel whose backend can be replaced, and a search that finds what the test says.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf},
    sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
};

use super::{
    peer::Peer,
    rig::{BUFFER, Running, bare},
};
use crate::{
    pool::backend::BackendId,
    stream::Socket,
    tunnel::{End, Found, Policy, Rescue, Tunnel},
    websocket::Role,
};

/// The test's end of a search.
pub(super) struct Lifeline {
    find: UnboundedSender<Option<End<Mortal>>>,
    begun: Arc<AtomicUsize>,
}

/// The tunnel's end of a search.
struct Search {
    found: UnboundedReceiver<Option<End<Mortal>>>,
    begun: Arc<AtomicUsize>,
}

/// A backend's socket to which writing can be made to fail, while reading goes on.
#[derive(Debug)]
pub(super) struct Mortal {
    socket: DuplexStream,
    /// How many bytes it takes before writing fails.
    takes: Arc<AtomicUsize>,
    /// Whether it has passed on a part of what it failed to write, as TLS may.
    has_taken: bool,
}

/// A tunnel that is rescued, between a client and its first backend; `buffer` bytes are kept during
/// a search.
pub(super) fn open_rescued(policy: Policy, buffer: usize) -> (Peer, Peer, Running, Lifeline) {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (backend, mortal) = Mortal::pair(BUFFER);
    let (tunnel, lifeline) = rescued(client_socket, mortal, policy, buffer);
    (Peer::new(Role::Client, client), backend, tunnel, lifeline)
}

pub(super) fn rescued(
    client: DuplexStream,
    backend: Mortal,
    policy: Policy,
    buffer: usize,
) -> (Running, Lifeline) {
    let (search, lifeline) = search();
    let tunnel = Running::opened(policy, |policy, place| {
        Tunnel::new(bare(client), bare(backend), policy, place).rescued_by(search, buffer)
    });
    (tunnel, lifeline)
}

/// Both ends of a search.
pub(super) fn search() -> (Box<dyn Rescue<Mortal>>, Lifeline) {
    let (find, found) = unbounded_channel();
    let begun = Arc::<AtomicUsize>::default();
    let search = Search {
        found,
        begun: Arc::clone(&begun),
    };
    (Box::new(search), Lifeline { find, begun })
}

impl Lifeline {
    /// Has the search under way, or else the next one, find a backend, and gives that.
    pub(super) fn find(&self) -> Peer {
        self.find_having_said(b"")
    }

    /// The same; it has sent `glued` right behind its 101.
    pub(super) fn find_having_said(&self, glued: &'static [u8]) -> Peer {
        let (backend, socket) = Mortal::pair(BUFFER);
        self.find_this(End {
            socket,
            glued: Bytes::from_static(glued),
        });
        backend
    }

    pub(super) fn find_this(&self, end: End<Mortal>) {
        // A tunnel that has ended looks for nobody.
        let _ = self.find.send(Some(end));
    }

    /// Has the search fail.
    pub(super) fn fail(&self) {
        let _ = self.find.send(None);
    }

    /// How many searches have begun.
    pub(super) fn searches(&self) -> usize {
        self.begun.load(Relaxed)
    }
}

impl Rescue<Mortal> for Search {
    fn begin(&mut self) {
        self.begun.fetch_add(1, Relaxed);
    }

    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Option<Found<Mortal>>> {
        let found = self.found.poll_recv(cx).map(Option::flatten);
        found.map(|end| {
            end.map(|end| Found {
                end,
                backend: BackendId::next(),
            })
        })
    }
}

impl Mortal {
    /// A socket that holds as much as that, and the backend behind it.
    pub(super) fn pair(buffer: usize) -> (Peer, Self) {
        let (backend, socket) = tokio::io::duplex(buffer);
        let mortal = Self {
            socket,
            takes: Arc::new(AtomicUsize::new(usize::MAX)),
            has_taken: false,
        };
        (Peer::new(Role::Server, backend), mortal)
    }

    /// One whose failed writes have passed on a part.
    pub(super) fn taking_a_part(self) -> Self {
        Self {
            has_taken: true,
            ..self
        }
    }

    /// How many bytes it takes before writing fails, for the test to set.
    pub(super) fn takes(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.takes)
    }
}

impl Socket for Mortal {
    fn has_taken(&mut self) -> bool {
        self.has_taken
    }

    fn can_move(&self) -> bool {
        true
    }
}

impl AsyncRead for Mortal {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Mortal {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let takes = self.takes.load(Relaxed);
        if takes == 0 {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        let bytes = &bytes[..takes.min(bytes.len())];
        let taken = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.takes.store(takes - taken, Relaxed);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
