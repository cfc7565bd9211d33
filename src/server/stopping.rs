//! The end of a server: it accepts nobody, lets requests finish and closes tunnels.

use std::{
    pin::{Pin, pin},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::{Server, Shared, TICK, orders, upgrade::Giving};
use crate::{
    config::{self, DrainPace},
    tunnel::{
        drain::{Drain, Whose},
        pacing::Pace,
        registry::CloseOrder,
    },
};

/// How a server has stopped, and what has become of the tunnels that it had then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Tunnels that were told to close, and have closed.
    pub closed_tunnels: usize,
    /// Tunnels that have ended by themselves.
    pub ended_tunnels: usize,
    /// Tunnels that had not ended in time and were cut.
    pub cut_tunnels: usize,
    /// Tunnels that go on in the process that has taken over.
    pub moved_tunnels: usize,
}

/// What is known so far of the tunnels that a server had when it began to stop.
#[derive(Debug, Clone, Copy)]
struct Tally {
    /// How many had ended before.
    ended_before: usize,
    told: usize,
    moved: usize,
}

/// How the closing of tunnels went.
#[derive(Debug, Clone, Copy)]
struct Closed {
    /// Those that were told to close.
    told: usize,
    is_interrupted: bool,
}

/// How tunnels are closed when the server stops.
#[derive(Debug)]
struct Farewell {
    pace: DrainPace,
    deadline: Duration,
    order: &'static CloseOrder,
}

/// How long the end may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// As long as it is graceful.
    None,
    /// No time at all.
    AtOnce,
}

impl Farewell {
    /// What tunnels are told when the process stops.
    fn stopping(config: &config::Stop) -> Self {
        Self {
            pace: config.pace,
            deadline: config.deadline,
            order: orders::stopping(config.code),
        }
    }

    /// What those tunnels are told that cannot go on in the process that has taken over.
    fn upgrading(config: &config::Upgrade) -> Self {
        Self {
            pace: config.pace,
            deadline: config.deadline,
            order: orders::upgrading(config.code),
        }
    }
}

impl Server {
    /// Stops, at once when `abort` is ready.
    pub(super) async fn stop(
        mut self,
        haste: Haste,
        abort: Pin<&mut impl Future<Output = ()>>,
    ) -> Stopped {
        info!(tunnels = self.shared.registry.len(), "stopping");
        self.obey_no_more();
        // Who was asked to take over is not to serve when this one is told to stop.
        self.succession.withdraw();
        let mut tally = Tally::begin(&self.shared);
        for door in self.doors.drain(..) {
            self.closing.spawn(door.close());
        }
        self.let_connections_end().await;
        match haste {
            Haste::None => self.stop_tunnels(&mut tally, abort).await,
            Haste::AtOnce => warn!("stopping at once"),
        }
        self.finish(tally).await
    }

    /// Ends as another process has taken over: what it can be given goes there, and the rest is
    /// closed. If `stop` is ready, the rest is closed as in a stop, and at once when `abort` is.
    pub(super) async fn be_succeeded(
        mut self,
        giving: Giving,
        stop: Pin<&mut impl Future<Output = ()>>,
        abort: Pin<&mut impl Future<Output = ()>>,
    ) -> Stopped {
        let tunnels = self.shared.registry.len();
        info!(tunnels, "another process has taken over");
        self.obey_no_more();
        let mut tally = Tally::begin(&self.shared);
        for door in self.doors.drain(..) {
            self.closing.spawn(door.leave());
        }
        self.let_connections_end().await;
        let departures = self.depart(giving);
        self.settle().await;
        let farewell = Farewell::upgrading(&self.config.upgrade);
        let closed = self.close_tunnels(&farewell, stop).await;
        tally.told += closed.told;
        if closed.is_interrupted {
            self.stop_tunnels(&mut tally, abort).await;
        }
        tally.moved = departures.end(&self.shared.exit).await;
        self.finish(tally).await
    }

    /// Waits until all doors are closed, and has connections end with the request under way.
    async fn let_connections_end(&mut self) {
        while self.closing.join_next().await.is_some() {}
        self.stopping.send_replace(());
    }

    async fn stop_tunnels(&self, tally: &mut Tally, abort: Pin<&mut impl Future<Output = ()>>) {
        let farewell = Farewell::stopping(&self.config.stop);
        let closed = self.close_tunnels(&farewell, abort).await;
        tally.told += closed.told;
        if closed.is_interrupted {
            warn!("stopping at once");
        }
    }

    /// Closes tunnels at their pace, until none is left and no request either, time is up, or there
    /// is an `interruption`.
    async fn close_tunnels(
        &self,
        farewell: &Farewell,
        mut interruption: Pin<&mut impl Future<Output = ()>>,
    ) -> Closed {
        let registry = &self.shared.registry;
        let began = Instant::now();
        let deadline = began + farewell.deadline;
        let pace = Pace::from(farewell.pace).for_few(registry.len());
        let mut drain = Drain::new(pace, None, began);
        drain.set(vec![(Whose::Everyone, farewell.order)], began);
        let finished = async {
            // In this order: a connection may yet become a tunnel.
            self.stopping.closed().await;
            self.emptied().await;
        };
        let mut finished = pin!(finished);
        let mut is_interrupted = false;
        loop {
            let next = drain.proceed(registry, Instant::now()).next;
            tokio::select! {
                () = &mut finished => break,
                () = sleep_until(next.min(deadline)) => if Instant::now() >= deadline {
                    let deadline = farewell.deadline;
                    warn!(?deadline, "not all have ended in time: the rest is cut");
                    break;
                },
                () = &mut interruption => {
                    is_interrupted = true;
                    break;
                }
            }
        }
        Closed {
            told: drain.told(),
            is_interrupted,
        }
    }

    /// Waits until no tunnel is left. One that is on its way to another process may come back.
    async fn emptied(&self) {
        let registry = &self.shared.registry;
        loop {
            registry.emptied().await;
            self.shared.exit.settled().await;
            if registry.is_empty() {
                return;
            }
        }
    }

    /// Cuts what is left, and ends the workers.
    async fn finish(self, tally: Tally) -> Stopped {
        let registry = &self.shared.registry;
        let not_closed = registry.closing();
        let cut = registry.cut_all();
        // They still have to say how they ended; a worker that hangs is not waited for.
        let _ = timeout(TICK, registry.emptied()).await;
        let ended = tally.ended_since(&self.shared);
        let closed = tally.told.saturating_sub(not_closed);
        let stopped = Stopped {
            closed_tunnels: closed,
            ended_tunnels: ended.saturating_sub(closed + cut + tally.moved),
            cut_tunnels: cut,
            moved_tunnels: tally.moved,
        };
        self.workers.stop();
        stopped
    }
}

impl Tally {
    fn begin(shared: &Shared) -> Self {
        Self {
            ended_before: ended(shared),
            told: 0,
            moved: 0,
        }
    }

    /// How many have ended since it began.
    fn ended_since(&self, shared: &Shared) -> usize {
        ended(shared).saturating_sub(self.ended_before)
    }
}

/// How many have ended so far. One that has left and come back has not.
fn ended(shared: &Shared) -> usize {
    let ended = shared.registry.ended();
    ended.saturating_sub(shared.exit.returned())
}
