//! A named group of backends: affinity first, then balance → [`Lease`].

pub mod affinity;
pub mod backend;
pub mod balance;
pub mod connect;
pub mod idle;
pub mod standing;

use std::{sync::Arc, time::Duration};

use http::HeaderValue;
use tokio::{sync::watch, time::Instant};
use tracing::{info, warn};

use self::{
    affinity::{Affinity, Asker, Claim, Outcome, Wish},
    backend::{Backend, Lease, Use},
    balance::Balancer,
    connect::{ConnectError, Connector},
    standing::State,
};
use crate::{
    config::{self, Intent, NoneReady},
    stream::Stream,
};

/// A named group of backends with one balance and one affinity.
#[derive(Debug)]
pub struct Pool {
    name: String,
    backends: Vec<Arc<Backend>>,
    balancer: Balancer,
    affinity: Affinity,
    none_ready: NoneReady,
    connector: Connector,
    /// Sent to when the state of a member has changed, be it by an operator or by its checks.
    changes: watch::Sender<()>,
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
                .map(|backend| {
                    let slow_start = config.slow_start;
                    Arc::new(Backend::new(backend, timeouts, limits, slow_start, workers))
                })
                .collect(),
            balancer: Balancer::new(config.balance, &config.backends),
            affinity: Affinity::new(config),
            none_ready: config.none_ready,
            connector: Connector::new(config.tls.as_ref(), timeouts.connect)?,
            changes: watch::Sender::default(),
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

    /// Sees when an operator or the checks have changed the state of a member. Ejections end and
    /// begin without a word.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Sets what the operator wants of a member.
    pub fn intend(&self, backend: &Backend, intent: Intent) {
        if backend.standing.intend(intent, Instant::now()) {
            info!(
                pool = self.name,
                backend = backend.name(),
                "the backend is to be {intent}"
            );
            self.changes.send_replace(());
        }
    }

    /// A member does not work, as its checks say for that `reason`.
    pub fn goes_down(&self, backend: &Backend, reason: &str) {
        if backend.standing.goes_down() {
            warn!(
                pool = self.name,
                backend = backend.name(),
                reason,
                "the backend is down"
            );
            self.changes.send_replace(());
        }
    }

    /// A member works, as its checks say.
    pub fn comes_up(&self, backend: &Backend) {
        if backend.standing.comes_up(Instant::now()) {
            info!(
                pool = self.name,
                backend = backend.name(),
                "the backend is up again"
            );
            self.changes.send_replace(());
        }
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
        let now = Instant::now();
        let state = |index: usize| self.pool.backends[index].state(now);
        let takes_new = |index| state(index) == State::Ready;
        let takes_returning = |index| matches!(state(index), State::Ready | State::Draining);
        let might_work = |index| matches!(state(index), State::Ejected | State::Down);
        let chosen = self.wished(takes_returning, takes_new, now);
        match self.pool.none_ready {
            NoneReady::Fail => chosen,
            NoneReady::TryAll => chosen.or_else(|| self.wished(might_work, might_work, now)),
        }
    }

    /// The backend that the client's affinity asks for, or else one by balance, among those that
    /// were not tried and have room.
    fn wished(
        &self,
        takes_returning: impl Fn(usize) -> bool,
        takes_new: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Option<usize> {
        let is_open = |index: usize| {
            !self.tried.contains(&index) && self.pool.backends[index].has_room(self.used_for)
        };
        let takes_new = |index: usize| is_open(index) && takes_new(index);
        let wished = match &self.claim.wish {
            Wish::Anyone { .. } => None,
            Wish::This { index, .. } => {
                Some(*index).filter(|index| is_open(*index) && takes_returning(*index))
            }
            Wish::Ranked { key } => self.pool.affinity.ranking().best(*key, takes_new),
        };
        wished.or_else(|| {
            self.pool
                .balancer
                .choose(&self.pool.backends, takes_new, now)
        })
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
