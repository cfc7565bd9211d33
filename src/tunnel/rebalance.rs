//! Closing tunnels that their backend has too many of, a few at a time.

use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;

use super::{
    Cause,
    pacing::{Pace, Pacing},
    registry::{CloseOrder, Handle, Registry},
};
use crate::{
    config::{self, RebalanceOrder},
    pool::{Pool, backend::BackendId},
    websocket::CloseCode,
};

/// The rebalance of one pool.
#[derive(Debug)]
pub struct Rebalance {
    config: config::Rebalance,
    pacing: Pacing,
    /// Those that are to be told next, the last of them first.
    waiting: Vec<Handle>,
    told: Vec<Told>,
    /// When it is worked out anew who has too many.
    look: Instant,
}

/// A tunnel that was told to close, whose client is taken to be on its way back.
#[derive(Debug)]
struct Told {
    tunnel: Handle,
    until: Instant,
}

static MOVING: CloseOrder = CloseOrder {
    cause: Cause::Rebalance,
    code: CloseCode::SERVICE_RESTART,
    reason: Cow::Borrowed("moving to another backend"),
};

/// How often it is worked out who has too many.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long after the end of its tunnel a client is taken to be on its way. To count one that is
/// back already only makes us wait.
const RETURNS_WITHIN: Duration = Duration::from_secs(5);

impl Rebalance {
    /// A rebalance that begins at `now`.
    #[must_use]
    pub fn new(config: config::Rebalance, now: Instant) -> Self {
        Self {
            config,
            pacing: Pacing::new(Pace::Rate(config.rate), now),
            waiting: Vec::new(),
            told: Vec::new(),
            look: now,
        }
    }

    /// Does what is due at `now`, and says when there is more to do.
    pub fn proceed(&mut self, pool: &Pool, registry: &Registry, now: Instant) -> Instant {
        if now >= self.look {
            self.forget_returned(now);
            self.waiting = self.superfluous(pool, registry);
            self.look = now + LOOK_EVERY;
        }
        for _ in 0..self.pacing.due(self.open_places(), now) {
            self.tell_one(pool, registry, now);
        }
        match self.open_places() {
            0 => self.look,
            left => self.pacing.next(left).min(self.look),
        }
    }

    /// How many of those that wait may be told before some have ended.
    fn open_places(&self) -> usize {
        let closing = self.closing().count();
        let most = self.config.max_closing.get().saturating_sub(closing);
        self.waiting.len().min(most)
    }

    fn tell_one(&mut self, pool: &Pool, registry: &Registry, now: Instant) {
        while let Some(tunnel) = self.waiting.pop() {
            if tunnel.close(&MOVING) {
                registry.has_told(MOVING.cause);
                pool.sends_away(tunnel.service());
                let until = now + RETURNS_WITHIN;
                self.told.push(Told { tunnel, until });
                return;
            }
        }
    }

    fn forget_returned(&mut self, now: Instant) {
        for told in &mut self.told {
            if told.tunnel.is_alive() {
                told.until = now + RETURNS_WITHIN;
            }
        }
        self.told.retain(|told| now < told.until);
    }

    /// What was told to close and has not ended.
    fn closing(&self) -> impl Iterator<Item = &Handle> {
        let tunnels = self.told.iter().map(|told| &told.tunnel);
        tunnels.filter(|tunnel| tunnel.is_alive())
    }

    /// The tunnels that backends have too many of, in the order in which they are to be told, the
    /// last first.
    fn superfluous(&self, pool: &Pool, registry: &Registry) -> Vec<Handle> {
        let closing = |id| {
            self.closing()
                .filter(|tunnel| tunnel.service() == id)
                .count()
        };
        let mut excess = pool.excess(closing, self.told.len(), self.config.tolerance);
        excess.retain(|(_, excess)| *excess > 0);
        if excess.is_empty() {
            return Vec::new();
        }
        let mut tunnels =
            registry.served_by(|served_by| excess.iter().any(|(id, _)| *id == served_by));
        tunnels.retain(|tunnel| !tunnel.is_closing() && tunnel.age() >= self.config.min_age);
        tunnels.sort_by_key(Handle::age);
        if self.config.order == RebalanceOrder::Oldest {
            tunnels.reverse();
        }
        tunnels.retain(|tunnel| takes_one(&mut excess, tunnel.service()));
        tunnels.reverse();
        tunnels
    }
}

/// Takes one from what a backend has too many, if there is one left.
fn takes_one(excess: &mut [(BackendId, usize)], of: BackendId) -> bool {
    let left = excess.iter_mut().find(|(id, left)| *id == of && *left > 0);
    left.map(|(_, left)| *left -= 1).is_some()
}
