//! The end of a server: it accepts nobody, lets requests finish and closes tunnels.

use std::sync::Arc;

use tokio::time::timeout;
use tracing::{info, warn};

use super::{Server, TICK};
use crate::{
    tunnel::{Cause, registry::CloseOrder},
    websocket::CloseCode,
};

/// How a server has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Tunnels that had not ended in time and were cut.
    pub cut_tunnels: usize,
}

/// What tunnels are told when the process stops.
static STOPPING: CloseOrder = CloseOrder {
    cause: Cause::Shutdown,
    code: CloseCode::GOING_AWAY,
    reason: "proxy is stopping",
};

impl Server {
    /// Stops, at once when `abort` is ready.
    pub(super) async fn stop(mut self, abort: impl Future<Output = ()>) -> Stopped {
        info!(tunnels = self.shared.registry.len(), "stopping");
        let deadline = self.config.stop.deadline;
        for door in self.doors.drain(..) {
            self.closing.spawn(door.close());
        }
        while self.closing.join_next().await.is_some() {}
        self.stopping.send_replace(());
        self.shared.registry.close_all(&STOPPING);
        let drained = async {
            // In this order: a connection may yet become a tunnel.
            self.stopping.closed().await;
            self.shared.registry.emptied().await;
        };
        tokio::select! {
            drained = timeout(deadline, drained) => if drained.is_err() {
                warn!(?deadline, "not all have ended in time: the rest is cut");
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
}
