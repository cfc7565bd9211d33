//! The life of a server: it serves and obeys until it is to end.

use std::{
    future::{pending, ready},
    pin::{Pin, pin},
    sync::Arc,
};

use tokio::{
    task::JoinSet,
    time::{interval, sleep},
};

use super::{
    Changes, Readiness, ReloadError, Server, Stopped, TICK, control::Order, upgrade::Giving,
};
use crate::{
    config::{self, Config},
    supervision::{Task, attempt, supervised},
    tunnel::registry::Registry,
};

/// Why a server does not serve any more.
enum End {
    /// It was asked to.
    Asked,
    /// Another process is ready to take over.
    Succeeded(Giving),
}

impl Server {
    /// Serves until `stop` is ready, then stops gracefully: it is not ready any more, after a delay
    /// it accepts nobody, lets requests finish and closes tunnels, until all have ended, the
    /// deadline has come, or `abort` is ready. Meanwhile it does what its
    /// [`Control`](super::Control) asks for.
    pub async fn run(
        mut self,
        stop: impl Future<Output = ()>,
        abort: impl Future<Output = ()>,
    ) -> Stopped {
        let _clocks = self.start_clocks();
        self.look_after_pools(self.config.reload.removed);
        self.care.report_tunnels(&self.config.log);
        for door in &mut self.doors {
            door.open();
        }
        let (mut stop, mut abort) = (pin!(stop), pin!(abort));
        let end = self.serve_until(stop.as_mut()).await;
        self.readiness.send_replace(Readiness::Stopping);
        if let End::Succeeded(giving) = end {
            return self.be_succeeded(giving, stop, abort).await;
        }
        let delay = pin!(sleep(self.config.stop.delay));
        tokio::select! {
            end = self.serve_until(delay) => match end {
                End::Asked => self.stop(abort).await,
                End::Succeeded(giving) => {
                    let now = pin!(ready(()));
                    self.be_succeeded(giving, now, abort).await
                }
            },
            () = &mut abort => self.stop(pin!(ready(()))).await,
        }
    }

    /// Serves, and does what it is asked to, until `end` is ready or another process is.
    async fn serve_until(&mut self, mut end: Pin<&mut impl Future<Output = ()>>) -> End {
        loop {
            tokio::select! {
                () = &mut end => return End::Asked,
                Some(order) = self.orders.recv() => self.obey(order).await,
                outcome = self.succession.outcome() => {
                    if let Some(giving) = self.succession.tell(outcome) {
                        return End::Succeeded(giving);
                    }
                }
                () = certificates_are_due(&self.config.reload) => {
                    for door in &mut self.doors {
                        attempt(Task::Certificates, || door.renew_certificates());
                    }
                }
                // So that they are not kept when they have closed.
                Some(_) = self.closing.join_next() => {}
            }
        }
    }

    /// Has whoever gives an order know at once that nobody obeys.
    pub(super) fn obey_no_more(&mut self) {
        self.orders.close();
        while self.orders.try_recv().is_ok() {}
    }

    async fn obey(&mut self, order: Order) {
        match order {
            Order::Reload { config, reply } => {
                let changed = self.reload(*config).await;
                // Whoever has asked need not wait for the answer.
                let _ = reply.send(changed);
            }
            Order::HandOver {
                channel,
                sockets,
                reply,
            } => {
                let offer = self.offer(channel, sockets);
                self.succession.begin(offer, reply);
            }
        }
    }

    async fn reload(&mut self, config: Config) -> Result<Changes, ReloadError> {
        if self.succession.is_under_way() {
            return Err(ReloadError::Succession);
        }
        // An address that the last reload has given up may be wanted again.
        self.await_closed_doors().await;
        let prepared = self.prepare(config)?;
        Ok(self.apply(prepared))
    }

    /// Moves the clocks of tunnels, on their workers, until dropped.
    fn start_clocks(&self) -> JoinSet<()> {
        let mut clocks = JoinSet::new();
        for worker in self.workers.iter() {
            let registry = Arc::clone(&self.shared.registry);
            let index = worker.index;
            let tick = move || tick(Arc::clone(&registry), index);
            clocks.spawn_on(supervised(Task::Clocks, tick), worker.handle());
        }
        clocks
    }
}

/// Moves the clock of the tunnels of the worker with that number.
async fn tick(registry: Arc<Registry>, worker: usize) {
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        registry.tick(worker);
    }
}

/// Waits until the files of certificates are to be looked at, if ever.
async fn certificates_are_due(config: &config::Reload) {
    match config.certificates {
        Some(interval) => sleep(interval).await,
        None => pending().await,
    }
}
