//! Builds every part from a [`Config`], starts them, changes them, and stops them in order.

mod announcements;
mod care;
mod changes;
mod closings;
mod control;
mod door;
mod draining;
mod exit;
mod orders;
mod prepared;
mod readiness;
mod rebalancing;
mod reception;
mod reload;
mod reports;
mod serving;
mod stopping;
mod succession;
pub mod upgrade;
mod workers;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use serde_json::Value;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
};

use self::{
    announcements::announce_routes,
    care::Care,
    control::Order,
    door::Door,
    reception::Welcome,
    succession::{Memory, Succession},
    workers::Workers,
};
pub use self::{
    changes::Changes,
    control::{Control, RebalanceError},
    exit::{Absent, Departing, Exit},
    readiness::Readiness,
    reload::{ReloadError, ReloadTotals},
    stopping::Stopped,
    succession::{Arrivals, Passage},
    workers::{Placement, Pulse},
};
use crate::{
    config::{self, Config, Source},
    listener::{BindError, Inherited, Limit, PerClient},
    pool::Pool,
    proxy::Proxy,
    tls::{self, Acceptor},
    tunnel::registry::{Registry, RouteId},
};

/// How often the clocks of tunnels move.
const TICK: Duration = Duration::from_secs(1);

/// A proxy that listens, but does not serve yet.
#[derive(Debug)]
pub struct Server {
    /// The configuration in force.
    config: Config,
    doors: Vec<Door>,
    /// Doors that a reload has removed, and that are about to close.
    closing: JoinSet<()>,
    workers: Arc<Workers>,
    shared: Shared,
    /// Pools that are not configured any more, and whose backends somebody uses yet.
    dissolved: Vec<Arc<Pool>>,
    /// Routes that are not configured any more, with the pools that they led to.
    removed_routes: Vec<(RouteId, String)>,
    care: Care,
    /// Sent to when the server stops; whoever serves a connection listens.
    stopping: watch::Sender<()>,
    readiness: watch::Sender<Readiness>,
    succession: Succession,
    control: Control,
    orders: mpsc::Receiver<Order>,
}

/// What all workers share.
#[derive(Debug, Clone)]
struct Shared {
    proxy: Arc<Proxy>,
    /// The pools that there are now, in the configuration's order.
    pools: Arc<ArcSwap<Vec<Arc<Pool>>>>,
    registry: Arc<Registry>,
    exit: Arc<Exit>,
    /// The limit of connections to all doors.
    total: Arc<Limit>,
    /// The limit of connections of each client.
    clients: Arc<PerClient>,
    /// The limits of each address that is listened on now, in the configuration's order.
    listening: Arc<Listening>,
    /// Counts the TLS handshakes of clients.
    tls: Arc<tls::Counts>,
    /// What the configuration in force was read from.
    source: Arc<ArcSwap<Source>>,
}

/// Addresses that are listened on, each with its limit of connections.
type Listening = ArcSwap<Vec<(SocketAddr, Arc<Limit>)>>;

/// Why a server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    /// The worker threads cannot be started.
    #[error("cannot start the workers")]
    Workers(#[from] io::Error),
}

impl Server {
    /// A server as configured, listening on all its addresses. To be called on a Tokio runtime.
    ///
    /// # Errors
    /// If an address is taken, or the system refuses something else that is needed.
    pub fn bind(config: &Config, placement: Placement) -> Result<Self, StartError> {
        Self::bind_inheriting(config, placement, &mut Inherited::default())
    }

    /// The same, on those of its addresses that `inherited` has sockets for, with these.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_inheriting(
        config: &Config,
        placement: Placement,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let workers = Arc::new(Workers::start(config.server.workers.get(), placement)?);
        let shared = Shared::new(config, workers.len())?;
        let care = Care::begin(&shared.proxy, &shared.pools, &shared.registry);
        let readiness = watch::Sender::new(Readiness::Ready);
        let (control, orders) = Control::new(&shared, &readiness, workers.pulse());
        let mut server = Self {
            config: config.clone(),
            doors: Vec::new(),
            closing: JoinSet::new(),
            workers,
            shared,
            dissolved: Vec::new(),
            removed_routes: Vec::new(),
            care,
            stopping: watch::Sender::default(),
            readiness,
            succession: Succession::default(),
            control,
            orders,
        };
        for listener in &config.listeners {
            let door = server.new_door(listener, config, inherited)?;
            server.doors.push(door);
        }
        server.show_doors();
        for door in &server.doors {
            door.announce();
        }
        announce_routes(config);
        Ok(server)
    }

    /// The same, in the place of another process, which has left its `memory` to this one too, in
    /// parts.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_succeeding(
        config: &Config,
        placement: Placement,
        inherited: &mut Inherited,
        memory: Vec<Value>,
    ) -> Result<Self, StartError> {
        let memory = Memory::read_all(memory);
        let mut config = config.clone();
        memory
            .iter()
            .for_each(|part| part.restore_secrets(&mut config));
        let server = Self::bind_inheriting(&config, placement, inherited)?;
        memory.iter().for_each(|part| server.remember(part));
        Ok(server)
    }

    fn new_door(
        &self,
        listener: &config::Listener,
        config: &Config,
        inherited: &mut Inherited,
    ) -> Result<Door, StartError> {
        let welcome = self.welcome(door::acceptor(listener)?, config);
        Door::bind(
            listener,
            welcome,
            (&self.shared.total, &self.shared.clients),
            &self.workers,
            inherited,
        )
    }

    /// Has everybody see which addresses are listened on.
    fn show_doors(&self) {
        let doors = self.doors.iter();
        let limits = doors.map(|door| (door.address(), Arc::clone(door.limit())));
        self.shared.listening.store(Arc::new(limits.collect()));
    }

    /// What clients meet, with that `tls`.
    fn welcome(&self, tls: Option<Acceptor>, config: &Config) -> Welcome {
        Welcome {
            tls,
            tls_deadline: config.timeouts.tls_handshake,
            tls_counts: Arc::clone(&self.shared.tls),
            proxy: Arc::clone(&self.shared.proxy),
            exit: Arc::clone(&self.shared.exit),
            stopping: self.stopping.subscribe(),
        }
    }

    /// A hand on the server, for when it runs.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// The addresses that it listens on, in the configuration's order.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().map(Door::address).collect()
    }

    /// Its pools, in the configuration's order.
    #[must_use]
    pub fn pools(&self) -> Arc<Vec<Arc<Pool>>> {
        self.shared.pools.load_full()
    }

    /// The tunnels that live on it.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.shared.registry)
    }

    /// What tells whether its workers still live.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.workers.pulse()
    }

    /// The way out for its tunnels, to another process.
    #[must_use]
    pub fn exit(&self) -> Arc<Exit> {
        Arc::clone(&self.shared.exit)
    }
}

impl Shared {
    fn new(config: &Config, workers: usize) -> Result<Self, rustls::Error> {
        let pools = config
            .pools
            .iter()
            .map(|pool| Pool::new(pool, &config.timeouts, &config.limits, workers).map(Arc::new));
        let pools = pools.collect::<Result<Vec<_>, _>>()?;
        let pools = Arc::new(ArcSwap::from_pointee(pools));
        let registry = Arc::new(Registry::new(workers));
        Ok(Self {
            proxy: Arc::new(Proxy::new(config, &pools, Arc::clone(&registry))),
            exit: Arc::new(Exit::of(&registry)),
            total: Limit::new(config.limits.connections),
            clients: PerClient::new(
                config.limits.connections_per_client,
                &config.server.trusted_proxies.networks,
            ),
            listening: Arc::default(),
            tls: Arc::default(),
            source: Arc::new(ArcSwap::new(Arc::clone(&config.source))),
            pools,
            registry,
        })
    }
}
