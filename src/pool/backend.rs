//! One member of a pool: its address, its weight, its live count.

use std::{
    net::IpAddr,
    num::{NonZeroU32, NonZeroUsize},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{
    admission::{Crowded, Entrance, Kind, Pass, Queue, Scope},
    affinity::Hold,
    departures::Departures,
    health::Course,
    idle::IdleConnections,
    means::Bounds,
    outlier::Outlier,
    rebalance::Member,
    record::Record,
    standing::{FULL, Standing, State},
    vitals::Vitals,
};
pub use super::{
    record::{Checks, Ejected, Failures},
    vitals::BackendId,
};
use crate::config::{self, BackendAddress, Intent};

/// One member of a pool, as it is configured. A reload makes another version of it, which shares
/// what is known of the backend, and how much it is used.
#[derive(Debug)]
pub struct Backend {
    vitals: Arc<Vitals>,
    config: config::Backend,
    /// `None` where nobody is ejected.
    outlier: Option<Arc<Mutex<Outlier>>>,
    /// `None` where nobody is checked.
    course: Option<Arc<Mutex<Course>>>,
    /// How long it takes to get its full share after it has come back.
    slow_start: Option<Duration>,
    entrance: Arc<Entrance>,
    idle: Arc<IdleConnections>,
}

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

/// What a version of a backend takes over from the one before.
pub(super) struct Before<'p> {
    pub(super) backend: &'p Backend,
    /// The pool that it was a member of.
    pub(super) pool: &'p config::Pool,
    pub(super) bounds: &'p Bounds,
}

impl Backend {
    /// A member of `pool` as configured, of which nothing is known yet but those `vitals`.
    pub(super) fn new(
        vitals: Arc<Vitals>,
        config: &config::Backend,
        pool: &config::Pool,
        bounds: &Bounds,
    ) -> Self {
        Self {
            outlier: pool
                .ejection
                .map(|ejection| Arc::new(Mutex::new(Outlier::new(ejection)))),
            course: pool
                .health
                .as_ref()
                .map(|health| Arc::new(Mutex::new(Course::new(health)))),
            slow_start: pool.slow_start,
            entrance: Arc::new(Entrance::new(
                &pool.admission.backend,
                Kind::Handshakes,
                Scope::Backend,
                format!("{} in {}", config.address, pool.name),
                Arc::clone(&vitals.admission),
            )),
            idle: Arc::new(IdleConnections::new(bounds)),
            config: config.clone(),
            vitals,
        }
    }

    /// The member as configured now: what has not changed goes on as it is.
    pub(super) fn after(
        before: &Before<'_>,
        config: &config::Backend,
        pool: &config::Pool,
        bounds: &Bounds,
    ) -> Self {
        let Before { backend, .. } = before;
        let mut version = Self::new(Arc::clone(&backend.vitals), config, pool, bounds);
        if pool.ejection == before.pool.ejection {
            version.outlier.clone_from(&backend.outlier);
        } else if let (Some(ejection), Some(before)) = (pool.ejection, backend.outlier()) {
            let outlier = before.lock().expect("no holder panics").under(ejection);
            version.outlier = Some(Arc::new(Mutex::new(outlier)));
        }
        if pool.health == before.pool.health {
            version.course.clone_from(&backend.course);
        }
        if pool.admission.backend == before.pool.admission.backend {
            version.entrance = Arc::clone(&backend.entrance);
        }
        if pool.tls == before.pool.tls && bounds == before.bounds {
            version.idle = Arc::clone(&backend.idle);
        }
        version
    }

    /// What the operator wants of it, as configured.
    pub(super) fn configured_intent(&self) -> Intent {
        self.config.intent
    }

    /// What all versions of it share.
    pub(super) fn vitals(&self) -> &Arc<Vitals> {
        &self.vitals
    }

    pub(super) fn standing(&self) -> &Standing {
        &self.vitals.standing
    }

    pub(super) fn departures(&self) -> &Departures {
        &self.vitals.departures
    }

    pub(super) fn record(&self) -> &Record {
        &self.vitals.record
    }

    pub(super) fn outlier(&self) -> Option<&Mutex<Outlier>> {
        self.outlier.as_deref()
    }

    /// How far its checks have come.
    pub(super) fn course(&self) -> Option<&Mutex<Course>> {
        self.course.as_deref()
    }

    pub(super) fn entrance(&self) -> &Entrance {
        &self.entrance
    }

    /// What stands for it.
    #[must_use]
    pub fn id(&self) -> BackendId {
        self.vitals.id
    }

    /// What it is good for at `now`.
    #[must_use]
    pub fn state(&self, now: Instant) -> State {
        self.standing().state(now)
    }

    /// What the operator wants of it.
    #[must_use]
    pub fn intent(&self) -> Intent {
        self.standing().intent()
    }

    /// The fraction of its share of new clients that it gets at `now`: less than 1 while it comes
    /// back.
    #[must_use]
    pub fn share(&self, now: Instant) -> f64 {
        self.parts(now) as f64 / FULL as f64
    }

    /// The same in parts of [`FULL`].
    pub(super) fn parts(&self, now: Instant) -> u64 {
        self.standing().share(self.slow_start, now)
    }

    /// It beside its siblings, with that `share`, and without those tunnels that are being closed.
    pub(super) fn member(&self, closing: usize, share: u64) -> Member {
        Member {
            tunnels: self.tunnels().saturating_sub(closing),
            weight: u64::from(self.weight().get()) * share,
            max: self.max_tunnels(),
        }
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &BackendAddress {
        &self.vitals.address
    }

    /// Its address, as it is written everywhere.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.vitals.name
    }

    /// Its share of new clients beside its siblings'.
    #[must_use]
    pub fn weight(&self) -> NonZeroU32 {
        self.config.weight
    }

    /// Tunnels that it has now, handshakes under way included.
    #[must_use]
    pub fn tunnels(&self) -> usize {
        self.vitals.tunnels.load(Relaxed)
    }

    /// As many tunnels as it takes; `None` is no limit.
    #[must_use]
    pub fn max_tunnels(&self) -> Option<usize> {
        self.config.max_tunnels.map(NonZeroUsize::get)
    }

    /// As many plain requests at once as it takes; `None` is no limit.
    #[must_use]
    pub fn max_requests(&self) -> Option<usize> {
        self.config.max_requests.map(NonZeroUsize::get)
    }

    /// Plain requests that it has now.
    #[must_use]
    pub fn requests(&self) -> usize {
        self.vitals.requests.load(Relaxed)
    }

    /// Tunnels and plain requests that it has now.
    #[must_use]
    pub fn load(&self) -> usize {
        self.tunnels() + self.requests()
    }

    /// Whether it may get one more of `used_for`.
    #[must_use]
    pub fn has_room(&self, used_for: Use) -> bool {
        let max = self.config.most(used_for);
        max.is_none_or(|max| used_for.count(self).load(Relaxed) < max.get())
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

    /// Handshakes that wait for it, and what became of those that came.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.entrance.queue()
    }

    /// Its connections that wait for a request.
    #[must_use]
    pub fn idle(&self) -> &Arc<IdleConnections> {
        &self.idle
    }
}

impl config::Backend {
    /// How much of `used_for` it may have at once.
    fn most(&self, used_for: Use) -> Option<NonZeroUsize> {
        match used_for {
            Use::Tunnel => self.max_tunnels,
            Use::Request => self.max_requests,
        }
    }
}

impl Lease {
    /// A use of `backend`, if it has room.
    #[must_use]
    pub fn of(backend: &Arc<Backend>, used_for: Use) -> Option<Self> {
        let max = backend.config.most(used_for);
        let max = max.map_or(usize::MAX, NonZeroUsize::get);
        let counted = used_for
            .count(backend)
            .fetch_update(Relaxed, Relaxed, |count| (count < max).then_some(count + 1));
        counted.ok().map(|_| Self {
            backend: Arc::clone(backend),
            used_for,
            hold: None,
        })
    }

    /// The use of `backend` by a tunnel that it has already, whether it has room or not.
    pub(super) fn resumed(backend: &Arc<Backend>) -> Self {
        let used_for = Use::Tunnel;
        used_for.count(backend).fetch_add(1, Relaxed);
        Self {
            backend: Arc::clone(backend),
            used_for,
            hold: None,
        }
    }

    /// The client that is remembered as long as this use lasts, if one is.
    #[must_use]
    pub fn client(&self) -> Option<IpAddr> {
        self.hold.as_ref().map(|hold| hold.client())
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
            Self::Tunnel => &backend.vitals.tunnels,
            Self::Request => &backend.vitals.requests,
        }
    }
}
