//! A named group of backends: affinity first, then balance → [`Lease`].

pub mod admission;
pub mod affinity;
mod answers;
pub mod backend;
pub mod balance;
pub mod connect;
mod counts;
mod departures;
mod drains;
mod health;
pub mod idle;
mod means;
mod memory;
pub mod outlier;
pub mod rebalance;
mod record;
mod renewal;
mod resolver;
mod retries;
mod selection;
pub mod silence;
pub mod standing;
mod verdicts;
mod vitals;

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, Weak},
    time::Duration,
};

use http::StatusCode;
use tokio::sync::watch;

use self::{
    admission::{Crowded, Entrance, Kind, Pass, Queue, Scope},
    affinity::{Affinity, Asker},
    backend::{Backend, BackendId, Lease, Use},
    balance::Balancer,
    connect::{ConnectError, Connector},
    counts::Counts,
    health::Health,
    means::{Bounds, Means},
    outlier::Seen,
    retries::Retries,
    vitals::Vitals,
};
pub use self::{
    answers::AnswerLimits,
    counts::Totals,
    drains::Stand,
    memory::Memory,
    rebalance::Fixed,
    selection::{Selected, Selection},
};
use crate::{
    config::{self, BackendAddress, Intent, OnDown},
    stream::Stream,
};

/// A named group of backends with one balance and one affinity, as it is configured. A reload makes
/// another version of it; see [`after`](Self::after).
#[derive(Debug)]
pub struct Pool {
    config: config::Pool,
    bounds: Bounds,
    backends: Vec<Arc<Backend>>,
    /// Backends that were members of earlier versions, as long as somebody uses them.
    former: Vec<Weak<Vitals>>,
    balancer: Balancer,
    affinity: Affinity,
    /// The share, in percent, that may be missing for one more to be ejected. Held while one is.
    max_ejected: Mutex<u32>,
    retries: Retries,
    counts: Arc<Counts>,
    /// Whether its tunnels are rebalanced.
    rebalancing: Arc<watch::Sender<bool>>,
    entrance: Arc<Entrance>,
    /// That of plain requests.
    request_entrance: Arc<Entrance>,
    connector: Connector,
    health: Option<Health>,
    /// Sent to when the state of a member has changed, be it by an operator or by its checks.
    changes: Arc<watch::Sender<()>>,
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
        let bounds = Bounds::new(timeouts, limits, workers);
        let backends = config.backends.iter().map(|backend| {
            let vitals = Arc::new(Vitals::new(&backend.address, backend.intent));
            Arc::new(Backend::new(vitals, backend, config, &bounds))
        });
        let backends = backends.collect();
        let means = Means::new(config)?;
        let counts = Arc::default();
        Ok(Self::of(config, bounds, backends, means, counts))
    }

    /// A pool of these backends, of whose clients nothing is known yet.
    fn of(
        config: &config::Pool,
        bounds: Bounds,
        backends: Vec<Arc<Backend>>,
        means: Means,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            former: Vec::new(),
            balancer: Balancer::new(config.balance, &config.backends),
            affinity: Affinity::new(config, &backends),
            max_ejected: Mutex::new(config.ejection.map_or(0, |ejection| ejection.max_share)),
            retries: Retries::new(config.retries.clone(), Arc::clone(&counts)),
            rebalancing: Arc::new(watch::Sender::new(config.rebalance.is_some())),
            connector: means.connector,
            health: means.health,
            entrance: Arc::new(Entrance::new(
                &config.admission.all,
                Kind::Handshakes,
                Scope::Pool,
                config.name.clone(),
                Arc::clone(&counts.admission),
            )),
            request_entrance: Arc::new(Entrance::new(
                &config.admission.requests,
                Kind::Requests,
                Scope::Pool,
                config.name.clone(),
                Arc::clone(&counts.request_admission),
            )),
            changes: Arc::default(),
            counts,
            config: config.clone(),
            bounds,
            backends,
        }
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.config.name
    }

    /// How new clients get a backend.
    #[must_use]
    pub fn balance(&self) -> config::Balance {
        self.config.balance
    }

    /// How returning clients get the same backend.
    #[must_use]
    pub fn affinity(&self) -> &config::Affinity {
        &self.config.affinity
    }

    /// Its members.
    #[must_use]
    pub fn backends(&self) -> &[Arc<Backend>] {
        &self.backends
    }

    /// The backend at that address: a member, or one that was a member and is used yet.
    #[must_use]
    pub fn find(&self, address: &BackendAddress) -> Option<Arc<Backend>> {
        let member = self.member(address).cloned();
        member.or_else(|| self.former_at(address).map(|vitals| self.retired(vitals)))
    }

    /// The member that has that id, whichever version of it.
    #[must_use]
    pub fn member_with(&self, id: BackendId) -> Option<&Arc<Backend>> {
        self.backends.iter().find(|backend| backend.id() == id)
    }

    fn position(&self, backend: &Backend) -> Option<usize> {
        let mut backends = self.backends.iter();
        backends.position(|own| own.id() == backend.id())
    }

    /// How the tunnels of a member are closed that [is to lose them](Self::drains).
    #[must_use]
    pub fn drain(&self) -> &config::Drain {
        &self.config.drain
    }

    /// Whether a member is to lose its tunnels.
    #[must_use]
    pub fn drains(&self, backend: &Backend) -> bool {
        let standing = backend.standing();
        let is_lost = self.on_down() == OnDown::Drain && standing.is_down();
        let may_lose = !standing.is_meant_to(Intent::Maintenance);
        standing.is_meant_to(Intent::Draining) || is_lost && may_lose
    }

    /// What a member that goes down does to its tunnels.
    fn on_down(&self) -> OnDown {
        let health = self.config.health.as_ref();
        health.map(|health| health.on_down).unwrap_or_default()
    }

    /// Sees when an operator or the checks have changed the state of a member. Ejections end and
    /// begin without a word.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Whether a backend's answer of that status sends a handshake on to the next.
    #[must_use]
    pub fn retries_after(&self, status: StatusCode) -> bool {
        self.retries.follow(status)
    }

    /// Waits until a handshake to the pool may begin. The handshake counts as long as the pass is
    /// kept.
    ///
    /// # Errors
    /// If too many handshakes are there already.
    pub async fn admit(&self) -> Result<Pass, Crowded> {
        self.entrance.enter().await
    }

    /// Handshakes that wait to be let in, and what became of those that came.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.entrance.queue()
    }

    /// How much its backends may say before the bodies of their answers.
    #[must_use]
    pub fn answer_limits(&self) -> AnswerLimits {
        self.bounds.answers
    }

    /// Lets a plain request in.
    ///
    /// # Errors
    /// If too many come.
    pub async fn admit_request(&self) -> Result<(), Crowded> {
        self.request_entrance.enter().await.map(|_| ())
    }

    /// What became of the plain requests that came.
    #[must_use]
    pub fn request_queue(&self) -> Queue {
        self.request_entrance.queue()
    }

    /// Begins to select a backend for what `asker` wants to use it for.
    #[must_use]
    pub fn select(&self, asker: &Asker<'_>, used_for: Use) -> Selection<'_> {
        Selection::begin(self, asker, used_for)
    }

    /// The use of a member by a tunnel that comes from another process, whether there is room for
    /// one more or not. If a `client` was remembered as having the member, it is again, unless
    /// another is known that it has got since.
    #[must_use]
    pub fn resume(&self, backend: &Arc<Backend>, client: Option<IpAddr>) -> Lease {
        let mut lease = Lease::resumed(backend);
        if let (Some(index), Some(client)) = (self.position(backend), client) {
            lease.hold(self.affinity.hold(client, index));
        }
        lease
    }

    /// Connects to one of its backends for `client`, `within` that time, and takes note if that fails
    /// on the backend's account.
    ///
    /// # Errors
    /// If it does not succeed before the deadline.
    pub async fn connect(
        &self,
        backend: &Backend,
        client: IpAddr,
        within: Duration,
    ) -> Result<Stream, ConnectError> {
        let connected = self.connector.connect(backend.address(), within).await;
        self.count_handshake(&connected);
        connected.inspect_err(|error| {
            if !error.is_ours() {
                self.note(backend, Seen::Unreachable, client);
            }
        })
    }

    /// Forgets clients and closes idle connections whose time is over, and tells the log of crowds
    /// that are.
    pub fn forget_expired(&self) {
        self.affinity.forget_expired();
        self.entrance.settle();
        self.request_entrance.settle();
        for backend in &self.backends {
            backend.idle().close_expired();
            backend.entrance().settle();
        }
    }

    /// How often [`forget_expired`](Self::forget_expired) is worth calling.
    pub const FORGET_EVERY: Duration = Duration::from_secs(10);
}
