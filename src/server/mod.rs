//! Builds every part from a [`Config`], starts them, and stops them in order.

mod draining;
mod rebalancing;
mod reception;
mod workers;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, timeout},
};
use tracing::{info, warn};

pub use self::workers::Placement;
use self::{
    draining::draining,
    rebalancing::rebalancing,
    reception::{Welcome, reception},
    workers::{Worker, Workers},
};
use crate::{
    config::{self, Affinity, Config},
    listener::{self, BindError, Listener},
    pool::Pool,
    proxy::Proxy,
    tls::Acceptor,
    tunnel::{
        Cause,
        registry::{CloseOrder, Registry},
    },
    websocket::CloseCode,
};

/// What tunnels are told when the process stops.
static STOPPING: CloseOrder = CloseOrder {
    cause: Cause::Shutdown,
    code: CloseCode::GOING_AWAY,
    reason: "proxy is stopping",
};

/// How often the clocks of tunnels move.
const TICK: Duration = Duration::from_secs(1);

/// A proxy that listens, but does not serve yet.
#[derive(Debug)]
pub struct Server {
    doors: Vec<Door>,
    workers: Arc<Workers>,
    shared: Shared,
    tls_deadline: Duration,
    stop_deadline: Duration,
}

/// An address and the way in behind it. Nothing else may own its listeners, so that they close when
/// the accepting ends.
#[derive(Debug)]
struct Door {
    /// One for each worker.
    listeners: Vec<Listener>,
    tls: Option<Acceptor>,
}

/// What all workers share.
#[derive(Debug, Clone)]
struct Shared {
    proxy: Arc<Proxy>,
    pools: Arc<[Arc<Pool>]>,
    registry: Arc<Registry>,
}

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

/// How a server has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Tunnels that had not ended in time and were cut.
    pub cut_tunnels: usize,
}

impl Server {
    /// A server as configured, listening on all its addresses. To be called on a Tokio runtime.
    ///
    /// # Errors
    /// If an address is taken, or the system refuses something else that is needed.
    pub fn bind(config: &Config, placement: Placement) -> Result<Self, StartError> {
        let workers = Workers::start(config.server.workers.get(), placement)?;
        let total = config.limits.connections.map(listener::limit);
        let doors = config.listeners.iter().map(|listener| {
            Ok(Door {
                listeners: Listener::bind(
                    listener,
                    total.as_ref(),
                    workers.iter().map(Worker::handle),
                )?,
                tls: listener.tls.as_ref().map(Acceptor::new).transpose()?,
            })
        });
        let doors = doors.collect::<Result<_, StartError>>()?;
        let server = Self {
            doors,
            shared: Shared::new(config, workers.len())?,
            workers: Arc::new(workers),
            tls_deadline: config.timeouts.tls_handshake,
            stop_deadline: config.stop.deadline,
        };
        server.announce(config);
        Ok(server)
    }

    /// The addresses that it listens on, in the configuration's order.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.doors.iter().map(Door::address).collect()
    }

    /// Its pools, in the configuration's order.
    #[must_use]
    pub fn pools(&self) -> Arc<[Arc<Pool>]> {
        Arc::clone(&self.shared.pools)
    }

    /// The tunnels that live on it.
    #[must_use]
    pub fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.shared.registry)
    }

    /// Serves until `stop` is ready, then stops gracefully: it accepts nobody, lets requests
    /// finish and closes tunnels, until all have ended, the deadline has come, or `abort` is ready.
    pub async fn run(
        self,
        stop: impl Future<Output = ()>,
        abort: impl Future<Output = ()>,
    ) -> Stopped {
        let (stopped, stopping) = watch::channel(());
        let _clocks = self.start_clocks();
        let mut tasks = JoinSet::new();
        for Door { listeners, tls } in self.doors {
            let welcome = Welcome {
                tls,
                tls_deadline: self.tls_deadline,
                proxy: Arc::clone(&self.shared.proxy),
                stopping: stopping.clone(),
            };
            for (listener, worker) in listeners.into_iter().zip(self.workers.iter()) {
                let workers = Arc::clone(&self.workers);
                let reception = reception(listener, worker.index, workers, welcome.clone());
                tasks.spawn_on(reception, worker.handle());
            }
        }
        self.shared.look_after_pools(&mut tasks);
        // `stopped` is to see the connections alone.
        drop(stopping);

        stop.await;
        info!(tunnels = self.shared.registry.len(), "stopping");
        tasks.shutdown().await;
        stopped.send_replace(());
        self.shared.registry.close_all(&STOPPING);
        let drained = async {
            // In this order: a connection may yet become a tunnel.
            stopped.closed().await;
            self.shared.registry.emptied().await;
        };
        tokio::select! {
            drained = timeout(self.stop_deadline, drained) => if drained.is_err() {
                warn!(deadline = ?self.stop_deadline, "not all have ended in time: the rest is cut");
            },
            () = abort => warn!("stopping at once"),
        }
        let cut_tunnels = self.shared.registry.cut_all();
        // They still have to say how they ended; a worker that hangs is not waited for.
        let _ = timeout(TICK, self.shared.registry.emptied()).await;
        if let Some(workers) = Arc::into_inner(self.workers) {
            workers.stop();
        }
        Stopped { cut_tunnels }
    }

    /// Moves the clocks of tunnels, on their workers, until dropped.
    fn start_clocks(&self) -> JoinSet<()> {
        let mut clocks = JoinSet::new();
        for worker in self.workers.iter() {
            let registry = Arc::clone(&self.shared.registry);
            let index = worker.index;
            let tick = async move {
                let mut ticks = interval(TICK);
                loop {
                    ticks.tick().await;
                    registry.tick(index);
                }
            };
            clocks.spawn_on(tick, worker.handle());
        }
        clocks
    }

    /// Says what listens where, in front of what.
    fn announce(&self, config: &Config) {
        for door in &self.doors {
            let scheme = if door.tls.is_some() { "https" } else { "http" };
            info!("listening on {scheme}://{}", door.address());
        }
        for route in &config.routes {
            let pool = &config.pools[route.pool];
            let backends: Vec<_> = pool
                .backends
                .iter()
                .map(|b| b.address.to_string())
                .collect();
            info!(
                balance = %pool.balance,
                affinity = %pool.affinity,
                "route {route} to pool {}: {}",
                pool.name,
                backends.join(", "),
            );
        }
        for pool in &config.pools {
            if has_random_secret(pool) {
                warn!(
                    pool = pool.name,
                    "affinity cookies are signed with a random secret: they are worth nothing \
                     after a restart or on another proxy; set affinity.secret, secret_file or \
                     secret_env"
                );
            }
        }
    }
}

impl Shared {
    fn new(config: &Config, workers: usize) -> Result<Self, rustls::Error> {
        let pools = config
            .pools
            .iter()
            .map(|pool| Pool::new(pool, &config.timeouts, &config.limits, workers).map(Arc::new));
        let pools = pools.collect::<Result<Arc<[_]>, _>>()?;
        let registry = Arc::new(Registry::new(workers));
        Ok(Self {
            proxy: Arc::new(Proxy::new(config, &pools, Arc::clone(&registry))),
            pools,
            registry,
        })
    }

    /// Starts what checks, drains and rebalances backends, and forgets who has not come back.
    fn look_after_pools(&self, tasks: &mut JoinSet<()>) {
        for pool in &*self.pools {
            let registry = || Arc::clone(&self.registry);
            for check in pool.checks() {
                tasks.spawn(check);
            }
            tasks.spawn(draining(Arc::clone(pool), registry()));
            if let Some(config) = pool.rebalance() {
                tasks.spawn(rebalancing(Arc::clone(pool), registry(), *config));
            }
        }
        tasks.spawn(forget_expired(self.clone()));
    }
}

impl Door {
    fn address(&self) -> SocketAddr {
        // There is a worker, so there is a listener.
        self.listeners[0].address()
    }
}

async fn forget_expired(shared: Shared) {
    let mut ticks = interval(Pool::FORGET_EVERY);
    loop {
        ticks.tick().await;
        shared.proxy.forget_expired();
        for pool in &*shared.pools {
            pool.forget_expired();
        }
    }
}

fn has_random_secret(pool: &config::Pool) -> bool {
    matches!(&pool.affinity, Affinity::Cookie(cookie) if cookie.secret.is_random())
}
