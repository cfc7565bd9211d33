//! One member of a pool: its address, its weight, its live count.

use std::{
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::time::Instant;

use super::{
    admission::{Crowded, Entrance, Pass, Scope},
    affinity::Hold,
    departures::Departures,
    idle::IdleConnections,
    outlier::Outlier,
    rebalance::Member,
    standing::{Standing, State},
};
use crate::config::{self, BackendAddress};

/// One member of a pool.
#[derive(Debug)]
pub struct Backend {
    id: BackendId,
    address: BackendAddress,
    name: String,
    weight: NonZeroU32,
    max_tunnels: Option<NonZeroUsize>,
    tunnels: AtomicUsize,
    requests: AtomicUsize,
    pub(super) standing: Standing,
    /// `None` where nobody is ejected.
    pub(super) outlier: Option<Mutex<Outlier>>,
    pub(super) entrance: Entrance,
    pub(super) departures: Departures,
    idle: Arc<IdleConnections>,
}

/// What stands for a backend where its address would be too long: unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendId(u32);

/// What a backend is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A tunnel, from its handshake on.
    Tunnel,
    /// A plain request.
    Request,
}

/// One use of a backend, counted in its live load from creation until dropped.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    used_for: Use,
    /// Boxed, since most leases have none.
    hold: Option<Box<Hold>>,
}

impl Backend {
    /// A member of `pool` as configured, for as many workers.
    #[must_use]
    pub fn new(
        config: &config::Backend,
        pool: &config::Pool,
        timeouts: &config::Timeouts,
        limits: &config::Limits,
        workers: usize,
    ) -> Self {
        Self {
            id: BackendId::next(),
            name: config.address.to_string(),
            address: config.address.clone(),
            weight: config.weight,
            max_tunnels: config.max_tunnels,
            tunnels: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            standing: Standing::new(config.intent, pool.slow_start),
            outlier: pool.ejection.map(Outlier::new).map(Mutex::new),
            entrance: Entrance::new(
                &pool.admission.backend,
                Scope::Backend,
                format!("{} in {}", config.address, pool.name),
            ),
            departures: Departures::default(),
            idle: Arc::new(IdleConnections::new(
                workers,
                limits.backend_idle,
                timeouts.backend_idle,
            )),
        }
    }

    /// What stands for it.
    #[must_use]
    pub fn id(&self) -> BackendId {
        self.id
    }

    /// What it is good for at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        self.standing.state(now)
    }

    /// The fraction of its share of new clients that it gets at `now`, in parts of
    /// [`FULL`](super::standing::FULL).
    pub(super) fn share(&self, now: Instant) -> u64 {
        self.standing.share(now)
    }

    /// It beside its siblings, with that `share`, and without those tunnels that are being closed.
    pub(super) fn member(&self, closing: usize, share: u64) -> Member {
        Member {
            tunnels: self.tunnels().saturating_sub(closing),
            weight: u64::from(self.weight.get()) * share,
            max: self.max_tunnels.map(NonZeroUsize::get),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &BackendAddress {
        &self.address
    }

    /// Its address, as it is written everywhere.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its share of new clients beside its siblings'.
    #[must_use]
    pub fn weight(&self) -> NonZeroU32 {
        self.weight
    }

    /// Tunnels that it has now, handshakes under way included.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.tunnels.load(Relaxed)
    }

    /// Tunnels and plain requests that it has now.
    #[must_use]
    pub fn load(&self) -> usize {
        self.tunnels() + self.requests.load(Relaxed)
    }

    /// Whether it may get one more of `used_for`.
    #[must_use]
    pub fn has_room(&self, used_for: Use) -> bool {
        used_for == Use::Request
            || self
                .max_tunnels
                .is_none_or(|max| self.tunnels() < max.get())
    }

    /// Whether a handshake with it would begin at `now` without waiting.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.entrance.is_open(now)
    }

    /// Waits until a handshake with it may begin. The handshake counts as long as the pass is kept.
    ///
    /// # Errors
    /// If too many handshakes are there already.
    pub async fn admit(&self) -> Result<Pass, Crowded> {
        self.entrance.enter().await
    }

    /// Its connections that wait for a request.
    #[must_use]
    pub fn idle(&self) -> &Arc<IdleConnections> {
        &self.idle
    }
}

impl BackendId {
    /// One that nobody else has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// As a number, for what keeps it in an atomic.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// What such a number stands for.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}

impl Lease {
    /// A use of `backend`, if it has room.
    #[must_use]
    pub fn of(backend: &Arc<Backend>, used_for: Use) -> Option<Self> {
        let max = match (used_for, backend.max_tunnels) {
            (Use::Tunnel, Some(max)) => max.get(),
            _ => usize::MAX,
        };
        let counted = used_for
            .count(backend)
            .fetch_update(Relaxed, Relaxed, |count| (count < max).then_some(count + 1));
        counted.ok().map(|_| Self {
            backend: Arc::clone(backend),
            used_for,
            hold: None,
        })
    }

    /// The backend in use.
    #[must_use]
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Keeps the client's affinity alive as long as this use lasts.
    pub(super) fn hold(&mut self, hold: Option<Hold>) {
        self.hold = hold.map(Box::new);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.used_for.count(&self.backend).fetch_sub(1, Relaxed);
    }
}

impl Use {
    fn count(self, backend: &Backend) -> &AtomicUsize {
        match self {
            Self::Tunnel => &backend.tunnels,
            Self::Request => &backend.requests,
        }
    }
}
