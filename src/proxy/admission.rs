//! Admission of a handshake: by its client's gate, then by its pool's, then by the proxy's.

use super::{Exchange, reply::Rejection};
use crate::{
    config,
    pool::admission::{Clients, Entrance, Pass, Scope},
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
    pub(super) fn new(config: &config::Admission) -> Self {
        Self {
            config: *config,
            clients: Clients::new(config.client),
            all: Entrance::new(&config.all, Scope::Proxy, "longwire".to_owned()),
        }
    }

    /// Whether it lets in as many as `other`, at whatever pace each is now.
    pub(super) fn is_as(&self, other: &Self) -> bool {
        self.config == other.config
    }

    /// What is to be done now and then.
    pub(super) fn settle(&self) {
        self.clients.settle();
        self.all.settle();
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
