//! Closing the tunnels of backends that are to lose them, at a pace.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    pacing::{Pace, Pacing},
    registry::{CloseOrder, Handle, Registry},
};
use crate::{
    config::{self, DrainPace},
    pool::backend::BackendId,
};

/// The drain of some backends, of which each may begin and end to drain at any time. They share one
/// pace: to drain two at once is no reason for a storm.
#[derive(Debug)]
pub struct Drain {
    config: config::Drain,
    draining: Vec<(BackendId, &'static CloseOrder)>,
    pacing: Pacing,
    /// When what is left is cut.
    deadline: Option<Instant>,
    /// Those that had not been told when the registry was looked into last.
    waiting: Vec<Handle>,
    look: Instant,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Tunnels that were cut just now.
    pub cut: usize,
    /// When there is more to do, at the latest: tunnels may open meanwhile.
    pub next: Instant,
}

/// How often the registry is looked into for tunnels that have opened meanwhile.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Drain {
    /// A drain of no backend yet.
    #[must_use]
    pub fn new(config: config::Drain, now: Instant) -> Self {
        Self {
            config,
            draining: Vec::new(),
            pacing: Pacing::new(pace(config.pace), now),
            deadline: None,
            waiting: Vec::new(),
            look: now,
        }
    }

    /// Sets which backends drain, and what their tunnels are told. The time for all begins anew
    /// with each that joins.
    pub fn set(&mut self, draining: Vec<(BackendId, &'static CloseOrder)>, now: Instant) {
        let is_new = |id: &BackendId| self.order(*id).is_none();
        if draining.iter().any(|(id, _)| is_new(id)) {
            self.pacing = Pacing::new(pace(self.config.pace), now);
            self.deadline = self.config.deadline.map(|deadline| now + deadline);
            self.look = now;
        }
        self.draining = draining;
    }

    /// Does what is due at `now`.
    pub fn proceed(&mut self, registry: &Registry, now: Instant) -> Progress {
        let cut = match self.deadline {
            Some(deadline) if now >= deadline => {
                self.deadline = self.config.deadline.map(|deadline| now + deadline);
                self.cut(registry)
            }
            _ => 0,
        };
        if now >= self.look {
            self.waiting = self.tunnels(registry);
            self.waiting.retain(|tunnel| !tunnel.is_closing());
            self.look = now + LOOK_EVERY;
        }
        for _ in 0..self.pacing.due(self.waiting.len(), now) {
            self.tell_one();
        }
        let pacing = (!self.waiting.is_empty()).then(|| self.pacing.next(self.waiting.len()));
        let dates = [Some(self.look), self.deadline, pacing];
        let next = dates.into_iter().flatten().min();
        Progress {
            cut,
            next: next.unwrap_or(self.look),
        }
    }

    /// Tells one of those that wait, and still are where they were.
    fn tell_one(&mut self) {
        while let Some(tunnel) = self.waiting.pop() {
            let order = self.order(tunnel.backend());
            if order.is_some_and(|order| tunnel.close(order)) {
                return;
            }
        }
    }

    fn cut(&self, registry: &Registry) -> usize {
        let tunnels = self.tunnels(registry);
        for tunnel in &tunnels {
            if let Some(order) = self.order(tunnel.backend()) {
                tunnel.cut(order);
            }
        }
        tunnels.len()
    }

    fn tunnels(&self, registry: &Registry) -> Vec<Handle> {
        registry.served_by(|id| self.order(id).is_some())
    }

    /// What the tunnels of a backend are told, if it drains.
    fn order(&self, of: BackendId) -> Option<&'static CloseOrder> {
        let draining = self.draining.iter().find(|(id, _)| *id == of);
        draining.map(|(_, order)| *order)
    }
}

fn pace(config: DrainPace) -> Pace {
    match config {
        DrainPace::Over(window) => Pace::Over(window),
        DrainPace::Rate(rate) => Pace::Rate(rate),
    }
}
