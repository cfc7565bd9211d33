//! A named group of backends: affinity first, then balance → [`Lease`].

pub mod affinity;
pub mod backend;
pub mod balance;
pub mod connect;
pub mod idle;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;

use self::{
    affinity::{Affinity, Asker, Claim, Outcome, Wish},
    backend::{Backend, Lease, Use},
    balance::Balancer,
    connect::{ConnectError, Connector},
};
use crate::{config, stream::Stream};

/// A named group of backends with one balance and one affinity.
#[derive(Debug)]
pub struct Pool {
    name: String,
    backends: Vec<Arc<Backend>>,
    balancer: Balancer,
    affinity: Affinity,
    connector: Connector,
}

/// A selection under way: backends are tried until one takes the request.
#[derive(Debug)]
pub struct Selection<'p> {
    pool: &'p Pool,
    used_for: Use,
    claim: Claim,
    tried: Vec<usize>,
}

/// What came of a selection.
#[derive(Debug)]
pub struct Selected {
    /// The use of the backend that took the request.
    pub lease: Lease,
    /// What became of the client's affinity.
    pub affinity: Outcome,
    /// The affinity cookie that the client is to be given.
    pub cookie: Option<HeaderValue>,
}

impl Pool {
    /// A pool as configured, for as many workers.
    ///
    /// # Errors
    /// If TLS to its backends cannot be set up.
    pub fn new(
        config: &config::Pool,
        timeouts: &config::Timeouts,
        limits: &config::Limits,
        workers: usize,
    ) -> Result<Self, rustls::Error> {
        let backends = config.backends.iter();
        Ok(Self {
            name: config.name.clone(),
            backends: backends
                .map(|backend| Arc::new(Backend::new(backend, timeouts, limits, workers)))
                .collect(),
            balancer: Balancer::new(config.balance, &config.backends),
            affinity: Affinity::new(config),
            connector: Connector::new(config.tls.as_ref(), timeouts.connect)?,
        })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its members.
    #[must_use]
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// Begins to select a backend for what `asker` wants to use it for.
    #[must_use]
    pub fn select(&self, asker: &Asker<'_>, used_for: Use) -> Selection<'_> {
        Selection {
            pool: self,
            used_for,
            claim: self.affinity.claim(asker),
            tried: Vec::new(),
        }
    }

    /// Connects to one of its backends.
    ///
    /// # Errors
    /// If that does not succeed before the deadline.
    pub async fn connect(&self, backend: &Backend) -> Result<Stream, ConnectError> {
        self.connector.connect(backend.address()).await
    }

    /// Forgets clients and closes idle connections whose time is over.
    pub fn forget_expired(&self) {
        self.affinity.forget_expired();
        for backend in &self.backends {
            backend.idle().close_expired();
        }
    }

    /// How often [`forget_expired`](Self::forget_expired) is worth calling.
    pub const FORGET_EVERY: Duration = Duration::from_secs(10);
}

/// The backends to try: the one that the client's affinity asks for, then others, until none is left
/// that has room.
impl Iterator for Selection<'_> {
    type Item = Lease;

    fn next(&mut self) -> Option<Lease> {
        loop {
            let index = self.candidate()?;
            self.tried.push(index);
            // Another worker may have taken the last place meanwhile.
            if let Some(lease) = Lease::of(&self.pool.backends[index], self.used_for) {
                return Some(lease);
            }
        }
    }
}

impl Selection<'_> {
    fn candidate(&self) -> Option<usize> {
        let takes = |index: usize| {
            !self.tried.contains(&index) && self.pool.backends[index].has_room(self.used_for)
        };
        let wished = match &self.claim.wish {
            Wish::Anyone { .. } => None,
            Wish::This { index, .. } => Some(*index).filter(|index| takes(*index)),
            Wish::Ranked { key } => self.pool.affinity.ranking().best(*key, takes),
        };
        wished.or_else(|| self.pool.balancer.choose(&self.pool.backends, takes))
    }

    /// Ends the selection with the backend that was tried last, which took the request.
    #[must_use]
    pub fn settle(self, mut lease: Lease) -> Selected {
        let chosen = self.tried.last().copied().unwrap_or_default();
        let affinity = &self.pool.affinity;
        let bond = affinity.bind(&self.claim, chosen, self.used_for);
        lease.hold(bond.hold);
        Selected {
            lease,
            affinity: bond.outcome,
            cookie: bond.cookie,
        }
    }
}
