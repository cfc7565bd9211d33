//! What can be asked of a server that runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot, watch};

use super::reload::{Changes, ReloadError};
use crate::{admin::Readiness, config::Config, pool::Pool};

/// A hand on a server that runs.
#[derive(Debug, Clone)]
pub struct Control {
    orders: mpsc::Sender<Order>,
    pools: Arc<ArcSwap<Vec<Arc<Pool>>>>,
    readiness: watch::Receiver<Readiness>,
}

/// What a server is asked to do, and whom to tell what came of it.
#[derive(Debug)]
pub(super) enum Order {
    Reload {
        config: Box<Config>,
        reply: oneshot::Sender<Result<Changes, ReloadError>>,
    },
}

impl Control {
    /// A hand, and where its orders arrive.
    pub(super) fn new(
        pools: &Arc<ArcSwap<Vec<Arc<Pool>>>>,
        readiness: &watch::Sender<Readiness>,
    ) -> (Self, mpsc::Receiver<Order>) {
        let (orders, arriving) = mpsc::channel(1);
        let control = Self {
            orders,
            pools: Arc::clone(pools),
            readiness: readiness.subscribe(),
        };
        (control, arriving)
    }

    /// Whether the server is ready, and when that changes.
    #[must_use]
    pub fn readiness(&self) -> watch::Receiver<Readiness> {
        self.readiness.clone()
    }

    /// The pools that there are now, in the configuration's order.
    #[must_use]
    pub fn pools(&self) -> Arc<Vec<Arc<Pool>>> {
        self.pools.load_full()
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
        let sent = self.orders.send(order).await;
        sent.map_err(|_| ReloadError::NotRunning)?;
        replied.await.unwrap_or(Err(ReloadError::NotRunning))
    }
}
