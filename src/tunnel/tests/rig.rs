//! A tunnel between two peers that do as they are told, on a clock that only the test moves.

use std::{borrow::Cow, future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    io::AsyncWriteExt,
    task::JoinHandle,
    time::{self, Instant},
};

use super::peer::Peer;
use crate::{
    config::Keepalive,
    pool::backend::BackendId,
    stream::Socket,
    tunnel::{
        Cause, End, Ended, Party, Policy, Traffic, Tunnel, TunnelEnd,
        moving::Outcome,
        registry::{CloseOrder, Place, Registry},
    },
    websocket::{CloseCode, Role},
};

/// Nobody is pinged, and whatever does not end is given a long time.
pub(super) const QUIET: Policy = Policy {
    keepalive: Keepalive {
        interval: None,
        timeout: Duration::from_secs(10),
    },
    stall: Duration::from_secs(60),
    close: Duration::from_secs(5),
    idle: None,
    lifetime: None,
    lifetime_jitter: 0,
};

/// Idle peers are pinged.
pub(super) const PINGING: Policy = Policy {
    keepalive: Keepalive {
        interval: Some(Duration::from_secs(20)),
        timeout: Duration::from_secs(10),
    },
    stall: Duration::from_secs(1_000),
    ..QUIET
};

/// How long a quiet tunnel may take to close, in seconds.
pub(super) const CLOSE: u64 = QUIET.close.as_secs();

pub(super) static SHUTDOWN: CloseOrder = CloseOrder {
    cause: Cause::Shutdown,
    code: CloseCode::GOING_AWAY,
    reason: Cow::Borrowed("the proxy stops"),
};

/// What the sockets of a duplex pair hold unless a test says otherwise.
pub(super) const BUFFER: usize = 4096;

/// Longer than anything that a test waits for.
const PATIENCE: Duration = Duration::from_secs(400);

/// A tunnel that runs.
pub(super) struct Running {
    pub(super) registry: Arc<Registry>,
    /// `None` if it has left.
    task: JoinHandle<Option<Ended>>,
}

/// A tunnel between two peers.
pub(super) fn open(policy: Policy) -> (Peer, Peer, Running) {
    open_with(policy, BUFFER, BUFFER)
}

/// A tunnel between two peers whose sockets hold as much as that in each direction.
pub(super) fn open_with(
    policy: Policy,
    client_buffer: usize,
    backend_buffer: usize,
) -> (Peer, Peer, Running) {
    let (client, client_socket) = tokio::io::duplex(client_buffer);
    let (backend, backend_socket) = tokio::io::duplex(backend_buffer);
    (
        Peer::new(Role::Client, client),
        Peer::new(Role::Server, backend),
        Running::between(bare(client_socket), bare(backend_socket), policy),
    )
}

/// An end that had sent nothing behind its handshake.
pub(super) fn bare<S>(socket: S) -> End<S> {
    End {
        socket,
        glued: Bytes::new(),
    }
}

impl Running {
    /// Starts a tunnel and the clock of its worker.
    pub(super) fn between<C, B>(client: End<C>, backend: End<B>, policy: Policy) -> Self
    where
        C: Socket + Unpin + Send + 'static,
        B: Socket + Unpin + Send + 'static,
    {
        Self::opened(policy, |policy, place| {
            Tunnel::new(client, backend, policy, place)
        })
    }

    /// Starts the tunnel that `open` opens, and the clock of its worker.
    pub(super) fn opened<C, B>(
        policy: Policy,
        open: impl FnOnce(Arc<Policy>, Place) -> Tunnel<C, B>,
    ) -> Self
    where
        C: Socket + Unpin + Send + 'static,
        B: Socket + Unpin + Send + 'static,
    {
        let registry = ticking_registry();
        let place = registry.enter(0, BackendId::next());
        let tunnel = open(Arc::new(policy), place);
        let task = tokio::spawn(async {
            match tunnel.await {
                Outcome::Ended(ended) => Some(ended),
                Outcome::Left(_) => None,
            }
        });
        Self { registry, task }
    }

    pub(super) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub(super) async fn ended(self) -> Ended {
        let ended = patiently(self.task).await.unwrap();
        ended.expect("it has left")
    }

    /// Whether it runs elsewhere, or could.
    pub(super) async fn has_left(self) -> bool {
        patiently(self.task).await.unwrap().is_none()
    }

    /// Who ended it, why, and with which code.
    pub(super) async fn end(self) -> (Party, Cause, Option<u16>) {
        let TunnelEnd { by, cause, code } = self.ended().await.end;
        (by, cause, code.map(|code| code.0))
    }
}

/// Tells every tunnel of the registry to close.
pub(super) fn close_all(registry: &Registry, order: &'static CloseOrder) {
    for tunnel in registry.served_by(|_| true) {
        tunnel.close(order);
    }
}

/// A registry of one worker whose clock goes.
pub(super) fn ticking_registry() -> Arc<Registry> {
    registry_ticking_from(Instant::now())
}

/// The same; its clock ticks first at `first`.
pub(super) fn registry_ticking_from(first: Instant) -> Arc<Registry> {
    let registry = Arc::new(Registry::new(1));
    let ticking = Arc::clone(&registry);
    tokio::spawn(async move {
        let mut second = time::interval_at(first, Duration::from_secs(1));
        loop {
            second.tick().await;
            ticking.tick(0);
        }
    });
    registry
}

pub(super) fn traffic(bytes: usize, messages: u64) -> Traffic {
    Traffic {
        bytes: bytes as u64,
        messages,
    }
}

/// Says something every second, whatever it hears.
pub(super) async fn talk_until_cut(mut peer: Peer) {
    let word = peer.message(b"word");
    while peer.socket.write_all(&word).await.is_ok() {
        pass(1).await;
    }
}

/// Waits for what must come.
pub(super) async fn patiently<F: Future>(future: F) -> F::Output {
    let waited = time::timeout(PATIENCE, future).await;
    waited.expect("what must come has not come")
}

/// Lets time pass, and everything happen that it brings.
pub(super) async fn pass(seconds: u64) {
    time::sleep(Duration::from_secs(seconds)).await;
}

/// Lets everything happen that needs no time.
pub(super) async fn settle() {
    time::sleep(Duration::from_millis(1)).await;
}

/// Whole seconds of the test's clock since `start`.
pub(super) fn seconds_since(start: Instant) -> u64 {
    start.elapsed().as_secs()
}
