//! What can be asked of a server that runs.

use std::{net::SocketAddr, os::fd::OwnedFd, sync::Arc, time::Duration};

use tokio::sync::{mpsc, oneshot, watch};

use super::{
    Readiness, Shared,
    changes::Changes,
    closings::Closings,
    reload::{ReloadError, ReloadTotals, Reloads},
    upgrade::NotReady,
    workers::Pulse,
};
use crate::{
    config::{Config, Source},
    handover::Channel,
    listener::Connections,
    pool::{Fixed, Pool, Stand},
    proxy::Proxy,
    tls,
    tunnel::registry::{CloseOrder, Handle, Registry},
};

/// A hand on a server that runs.
#[derive(Debug, Clone)]
pub struct Control {
    orders: mpsc::Sender<Order>,
    shared: Shared,
    closings: Arc<Closings>,
    reloads: Arc<Reloads>,
    readiness: watch::Receiver<Readiness>,
    pulse: Pulse,
}

/// Why tunnels are not rebalanced.
#[derive(Debug, thiserror::Error)]
pub enum RebalanceError {
    /// There is no pool of that name.
    #[error("there is no such pool")]
    NoPool,
    /// That would move nobody.
    #[error(transparent)]
    Fixed(#[from] Fixed),
}

/// What a server is asked to do, and whom to tell what came of it.
#[derive(Debug)]
pub(super) enum Order {
    Reload {
        config: Box<Config>,
        reply: oneshot::Sender<Result<Changes, ReloadError>>,
    },
    HandOver {
        channel: Channel,
        sockets: Vec<OwnedFd>,
        reply: oneshot::Sender<Result<String, NotReady>>,
    },
}

impl Control {
    /// A hand, and where its orders arrive.
    pub(super) fn new(
        shared: &Shared,
        readiness: &watch::Sender<Readiness>,
        pulse: Pulse,
    ) -> (Self, mpsc::Receiver<Order>) {
        let (orders, arriving) = mpsc::channel(1);
        let control = Self {
            orders,
            closings: Arc::new(Closings::of(&shared.registry)),
            reloads: Arc::default(),
            shared: shared.clone(),
            readiness: readiness.subscribe(),
            pulse,
        };
        (control, arriving)
    }

    /// Returns what tells whether the workers still live.
    #[must_use]
    pub fn pulse(&self) -> &Pulse {
        &self.pulse
    }

    /// Whether the server is ready, and when that changes.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// The pools that there are now, in the configuration's order.
    #[must_use]
    pub fn pools(&self) -> Arc<Vec<Arc<Pool>>> {
        self.shared.pools.load_full()
    }

    /// The tunnels that live on it.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    /// How many threads its connections live on.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.shared.registry.workers()
    }

    /// What its connections share.
    #[must_use]
    pub fn proxy(&self) -> &Proxy {
        &self.shared.proxy
    }

    /// Has the tunnels of the pool of that name rebalanced from now on, or not any more: until a
    /// reload brings another `rebalance` for it.
    ///
    /// # Errors
    /// If there is no such pool, or if that would move nobody.
    pub fn rebalance(&self, pool: &str, wanted: bool) -> Result<Arc<Pool>, RebalanceError> {
        let pools = self.shared.pools.load();
        let mut named = pools.iter().filter(|own| own.name() == pool);
        let pool = named.next().ok_or(RebalanceError::NoPool)?;
        pool.set_rebalanced(wanted)?;
        Ok(Arc::clone(pool))
    }

    /// How many clients' connections there are, and what became of those that came.
    #[must_use]
    pub fn connections(&self) -> Connections {
        self.shared.total.connections()
    }

    /// The same for each address that is listened on now, in the configuration's order.
    #[must_use]
    pub fn listeners(&self) -> Vec<(SocketAddr, Connections)> {
        let listening = self.shared.listening.load();
        let each = listening.iter();
        each.map(|(address, limit)| (*address, limit.connections()))
            .collect()
    }

    /// What was counted of clients' TLS handshakes.
    #[must_use]
    pub fn tls(&self) -> tls::Totals {
        self.shared.tls.totals()
    }

    /// Closes those tunnels, one after the other over that time, and gives the number of that. To be
    /// called on a Tokio runtime.
    #[must_use]
    pub fn close(&self, which: Vec<Handle>, order: CloseOrder, over: Duration) -> u64 {
        self.closings.begin(which, order, over)
    }

    /// How far the closing of that number is, while it goes on and for ten minutes after. The last
    /// 64 are known.
    #[must_use]
    pub fn closing(&self, number: u64) -> Option<Stand> {
        self.closings.stand(number)
    }

    /// Has the server run under `config` from now on. What is the same in it is left alone:
    /// listeners keep their sockets, pools what they know of backends and clients, and tunnels go
    /// on as they began.
    ///
    /// # Errors
    /// If the configuration cannot take effect, which then changes nothing, or if the server does
    /// not run.
    pub async fn reload(&self, config: Config) -> Result<Changes, ReloadError> {
        let (reply, replied) = oneshot::channel();
        let config = Box::new(config);
        let order = Order::Reload { config, reply };
        let outcome = match self.orders.send(order).await {
            Ok(()) => replied.await.unwrap_or(Err(ReloadError::NotRunning)),
            Err(_) => Err(ReloadError::NotRunning),
        };
        self.reloads.count(outcome.is_ok());
        outcome
    }

    /// Takes note that a reload was refused before there was a configuration to
    /// [reload](Self::reload).
    pub fn note_refused_reload(&self) {
        self.reloads.count(false);
    }

    /// How many reloads there were.
    #[must_use]
    pub fn reloads(&self) -> ReloadTotals {
        self.reloads.totals()
    }

    /// What the configuration in force was read from.
    #[must_use]
    pub fn source(&self) -> Arc<Source> {
        self.shared.source.load_full()
    }

    /// Has the process at the other end of the channel take over: it gets the listening sockets and
    /// those `others`, what pools remember, and once it is ready, the tunnels that can move. Gives
    /// its version of longwire when it is ready; from then on this server ends.
    ///
    /// # Errors
    /// If the process does not become ready in time, and then the server goes on as before; or if
    /// the server stops meanwhile.
    pub async fn hand_over(
        &self,
        channel: Channel,
        others: Vec<OwnedFd>,
    ) -> Result<String, NotReady> {
        let (reply, replied) = oneshot::channel();
        let sockets = others;
        let order = Order::HandOver {
            channel,
            sockets,
            reply,
        };
        let sent = self.orders.send(order).await;
        sent.map_err(|_| NotReady::Stopping)?;
        replied.await.unwrap_or(Err(NotReady::Stopping))
    }
}
