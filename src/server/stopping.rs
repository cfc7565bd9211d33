//! The end of a server: it accepts nobody, lets requests finish and closes tunnels.

use std::{pin::Pin, sync::Arc, time::Duration};

use tokio::time::{Instant, sleep_until, timeout};
use tracing::{info, warn};

use super::{Server, TICK};
use crate::{
    config::{self, DrainCode, DrainPace},
    tunnel::{
        Cause,
        drain::{Drain, Whose},
        pacing::Pace,
        registry::CloseOrder,
    },
    websocket::CloseCode,
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
}

/// How tunnels are closed when the server stops.
#[derive(Debug)]
pub(super) struct Farewell {
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
    pub(super) fn stopping(config: &config::Stop) -> Self {
        const fn order(code: CloseCode) -> CloseOrder {
            CloseOrder {
                cause: Cause::Shutdown,
                code,
                reason: "proxy is stopping",
            }
        }
        Self {
            pace: config.pace,
            deadline: config.deadline,
            order: match config.code {
                DrainCode::GoingAway => const { &order(CloseCode::GOING_AWAY) },
                DrainCode::ServiceRestart => const { &order(CloseCode::SERVICE_RESTART) },
            },
        }
    }
}

impl Server {
    /// Stops, at once when `abort` is ready.
    pub(super) async fn stop(
        mut self,
        farewell: Farewell,
        haste: Haste,
        abort: Pin<&mut impl Future<Output = ()>>,
    ) -> Stopped {
        let began = Instant::now();
        let registry = Arc::clone(&self.shared.registry);
        let before = registry.ended();
        info!(tunnels = registry.len(), "stopping");
        for door in self.doors.drain(..) {
            self.closing.spawn(door.close());
        }
        while self.closing.join_next().await.is_some() {}
        self.stopping.send_replace(());
        let pace = Pace::from(farewell.pace).for_few(registry.len());
        let mut drain = Drain::new(pace, None, began);
        drain.set(vec![(Whose::Everyone, farewell.order)], began);
        if haste == Haste::None {
            self.close_tunnels(&mut drain, farewell.deadline, abort)
                .await;
        }
        let not_closed = registry.closing();
        let cut_tunnels = registry.cut_all();
        // They still have to say how they ended; a worker that hangs is not waited for.
        let _ = timeout(TICK, registry.emptied()).await;
        let closed_tunnels = drain.told().saturating_sub(not_closed);
        let ended = registry.ended() - before;
        let stopped = Stopped {
            closed_tunnels,
            ended_tunnels: ended.saturating_sub(closed_tunnels + cut_tunnels),
            cut_tunnels,
        };
        if let Some(workers) = Arc::into_inner(self.workers) {
            workers.stop();
        }
        stopped
    }

    /// Closes tunnels at their pace, until none is left and no request either, or time is up.
    async fn close_tunnels(
        &self,
        drain: &mut Drain,
        limit: Duration,
        mut abort: Pin<&mut impl Future<Output = ()>>,
    ) {
        let registry = &self.shared.registry;
        let deadline = Instant::now() + limit;
        let finished = async {
            // In this order: a connection may yet become a tunnel.
            self.stopping.closed().await;
            registry.emptied().await;
        };
        let mut finished = std::pin::pin!(finished);
        loop {
            let next = drain.proceed(registry, Instant::now()).next;
            tokio::select! {
                () = &mut finished => return,
                () = sleep_until(next.min(deadline)) => if Instant::now() >= deadline {
                    warn!(deadline = ?limit, "not all have ended in time: the rest is cut");
                    return;
                },
                () = &mut abort => {
                    warn!("stopping at once");
                    return;
                }
            }
        }
    }
}
