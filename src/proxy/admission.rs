//! Admission of a handshake or a plain request: by its client's gate, then by its pool's, then by
//! the proxy's.

use std::sync::Arc;

use super::{Exchange, Proxy, reply::Rejection};
use crate::{
    config,
    pool::admission::{Clients, Counts, Entrance, Kind, Pass, Queue, Scope},
};

/// The gates that are not a pool's.
#[derive(Debug)]
pub(super) struct Admission {
    config: config::Admission,
    clients: Clients,
    all: Entrance,
    client_requests: Clients,
    requests: Entrance,
}

/// What counts those who come to the gates.
#[derive(Debug, Default)]
struct AllCounts {
    clients: Arc<Counts>,
    all: Arc<Counts>,
    client_requests: Arc<Counts>,
    requests: Arc<Counts>,
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
        Arc::new(Self::counting(config, AllCounts::default()))
    }

    fn counting(config: &config::Admission, counts: AllCounts) -> Self {
        let entrance = |gate: &config::Gate, kind: Kind, counts: Arc<Counts>| {
            Entrance::new(gate, kind, Scope::Proxy, "longwire".to_owned(), counts)
        };
        let (handshakes, requests) = (Kind::Handshakes, Kind::Requests);
        Self {
            config: *config,
            clients: Clients::new(config.client, handshakes, counts.clients),
            all: entrance(&config.all, handshakes, counts.all),
            client_requests: Clients::new(config.client_requests, requests, counts.client_requests),
            requests: entrance(&config.requests, requests, counts.requests),
        }
    }

    /// The gates as they are configured now, after those `before`: the same, if nothing has changed.
    pub(super) fn after(before: &Arc<Self>, config: &config::Admission) -> Arc<Self> {
        if before.config == *config {
            return Arc::clone(before);
        }
        let counts = AllCounts {
            clients: Arc::clone(before.clients.counts()),
            all: Arc::clone(before.all.counts()),
            client_requests: Arc::clone(before.client_requests.counts()),
            requests: Arc::clone(before.requests.counts()),
        };
        Arc::new(Self::counting(config, counts))
    }

    /// What is to be done now and then.
    pub(super) fn settle(&self) {
        self.clients.settle();
        self.all.settle();
        self.client_requests.settle();
        self.requests.settle();
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

    /// What became of plain requests at the gates of their clients.
    #[must_use]
    pub fn client_requests(&self) -> Queue {
        self.terms.load().admission.client_requests.queue()
    }

    /// What became of plain requests at the gate of the whole proxy.
    #[must_use]
    pub fn requests(&self) -> Queue {
        self.terms.load().admission.requests.queue()
    }
}

impl Exchange<'_> {
    /// Lets a handshake in, which may have to wait. The narrow gate comes before the wide one, so
    /// that who waits in the line of one client or one pool takes nothing from all others.
    pub(super) async fn admit(&self) -> Result<Passes, Rejection> {
        self.arrival.record.take_share()?;
        let admission = &self.terms.admission;
        Ok(Passes {
            _client: admission.clients.enter(self.arrival.client.ip()).await?,
            _pool: self.route.pool.admit().await?,
            _proxy: admission.all.enter().await?,
        })
    }

    /// Lets a plain request in, or refuses it at once.
    pub(super) async fn admit_request(&self) -> Result<(), Rejection> {
        let admission = &self.terms.admission;
        let client = self.arrival.client.ip();
        admission.client_requests.enter(client).await?;
        self.route.pool.admit_request().await?;
        admission.requests.enter().await?;
        Ok(())
    }
}
