//! What can be asked of a server that runs.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, oneshot};

use super::reload::{Changes, ReloadError};
use crate::{config::Config, pool::Pool};

/// A hand on a server that runs.
#[derive(Debug, Clone)]
pub struct Control {
    orders: mpsc::Sender<Order>,
    pools: Arc<ArcSwap<Vec<Arc<Pool>>>>,
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
    pub(super) fn new(pools: &Arc<ArcSwap<Vec<Arc<Pool>>>>) -> (Self, mpsc::Receiver<Order>) {
        let (orders, arriving) = mpsc::channel(1);
        let pools = Arc::clone(pools);
        (Self { orders, pools }, arriving)
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
