//! The server's part in an upgrade: the old one gives what it has, the new one takes it in.

mod arrivals;
mod departures;
mod memory;

use std::{
    fmt,
    future::pending,
    net::SocketAddr,
    os::fd::{AsFd, OwnedFd},
};

use serde::{Deserialize, Serialize};
use tokio::{sync::oneshot, task::JoinSet};

pub use self::arrivals::Arrivals;
pub(super) use self::memory::Memory;
use super::{
    Server,
    upgrade::{Giving, NotReady},
};
use crate::{handover::Channel, proxy::moving::Dossier};

/// The offer to take over that another process was made, if there is one.
#[derive(Default)]
pub(super) struct Succession {
    /// One at the most.
    offers: JoinSet<Result<Giving, NotReady>>,
    reply: Option<Reply>,
}

/// Whom to tell what has come of it.
type Reply = oneshot::Sender<Result<String, NotReady>>;

/// What the other process gets to know of a tunnel.
#[derive(Debug, Serialize, Deserialize)]
pub struct Passage {
    /// The address that its client was accepted at.
    pub(super) listener: SocketAddr,
    /// All else.
    pub(super) tunnel: Box<Dossier>,
}

impl Succession {
    pub(super) fn is_under_way(&self) -> bool {
        self.reply.is_some()
    }

    /// Makes an offer. One that was made before is withdrawn.
    pub(super) fn begin(
        &mut self,
        offer: impl Future<Output = Result<Giving, NotReady>> + Send + 'static,
        reply: Reply,
    ) {
        self.offers = JoinSet::new();
        self.offers.spawn(offer);
        self.reply = Some(reply);
    }

    /// Withdraws the offer, if there is one: whoever has asked for it is told so, and the other process
    /// that nobody is there.
    pub(super) fn withdraw(&mut self) {
        *self = Self::default();
    }

    /// What has come of the offer, when there is one and that is known. May be given up at any time.
    pub(super) async fn outcome(&mut self) -> Result<Giving, NotReady> {
        match self.offers.join_next().await {
            Some(Ok(outcome)) => outcome,
            Some(Err(error)) => Err(NotReady::Failed(error.to_string())),
            None => pending().await,
        }
    }

    /// Tells whoever made the offer what has come of it, and gives the way to give more.
    pub(super) fn tell(&mut self, outcome: Result<Giving, NotReady>) -> Option<Giving> {
        let reply = self.reply.take()?;
        let (told, giving) = match outcome {
            Ok(giving) => (Ok(giving.version().to_owned()), Some(giving)),
            Err(reason) => (Err(reason), None),
        };
        // Whoever has asked need not wait for the answer.
        let _ = reply.send(told);
        giving
    }
}

impl fmt::Debug for Succession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Succession")
            .field("is_under_way", &self.is_under_way())
            .finish()
    }
}

impl Server {
    /// Offers another process to take over: it gets the listening sockets, `others` too, and is
    /// waited for.
    pub(super) fn offer(
        &self,
        channel: Channel,
        others: Vec<OwnedFd>,
    ) -> impl Future<Output = Result<Giving, NotReady>> + use<> {
        let own = self.doors.iter().flat_map(|door| door.sockets());
        let own: Result<Vec<_>, _> = own.map(|socket| socket.try_clone_to_owned()).collect();
        let bequest = self.bequest();
        let within = self.config.upgrade.timeout;
        async move {
            let mut sockets = own.map_err(|error| NotReady::Failed(error.to_string()))?;
            sockets.extend(others);
            let sockets: Vec<_> = sockets.iter().map(AsFd::as_fd).collect();
            Giving::begin(channel, &sockets, bequest, within).await
        }
    }
}
