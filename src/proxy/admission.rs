//! Admission of a handshake: by its client's gate, then by its pool's, then by the proxy's.

use std::sync::Arc;

use super::{Exchange, Proxy, reply::Rejection};
use crate::{
    config,
    pool::admission::{Clients, Counts, Entrance, Pass, Queue, Scope},
};

/// The gates that are not a pool's.
#[derive(Debug)]
pub(super) struct Admission {
    config: config::Admission,
    clients: Clients,
    all: Entrance,
}

/// What a handshake holds until it is answered.
#[derive(Debug)]
pub(super) struct Passes {
    _client: Pass,
    _pool: Pass,
    _proxy: Pass,
}

impl Admission {
    pub(super) fn new(config: &config::Admission) -> Arc<Self> {
        Arc::new(Self::counting(config, Arc::default(), Arc::default()))
    }

    fn counting(config: &config::Admission, clients: Arc<Counts>, all: Arc<Counts>) -> Self {
        Self {
            config: *config,
            clients: Clients::new(config.client, clients),
            all: Entrance::new(&config.all, Scope::Proxy, "longwire".to_owned(), all),
        }
    }

    /// The gates as they are configured now, after those `before`: the same, if nothing has changed.
    pub(super) fn after(before: &Arc<Self>, config: &config::Admission) -> Arc<Self> {
        if before.config == *config {
            return Arc::clone(before);
        }
        let clients = Arc::clone(before.clients.counts());
        let all = Arc::clone(before.all.counts());
        Arc::new(Self::counting(config, clients, all))
    }

    /// What is to be done now and then.
    pub(super) fn settle(&self) {
        self.clients.settle();
        self.all.settle();
    }
}

impl Proxy {
    /// Handshakes that wait at the gates of their clients, and what became of those that came there.
    #[must_use]
    pub fn client_queues(&self) -> Queue {
        self.terms.load().admission.clients.queue()
    }

    /// Handshakes that wait at the gate of the whole proxy, and what became of those that came there.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.terms.load().admission.all.queue()
    }
}

impl Exchange<'_> {
    /// Lets a handshake in, which may have to wait. The narrow gate comes before the wide one, so
    /// that who waits in the line of one client or one pool takes nothing from all others.
    pub(super) async fn admit(&self) -> Result<Passes, Rejection> {
        let admission = &self.terms.admission;
        Ok(Passes {
            _client: admission.clients.enter(self.arrival.client.ip()).await?,
            _pool: self.route.pool.admit().await?,
            _proxy: admission.all.enter().await?,
        })
    }
}
