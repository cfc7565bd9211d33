//! Closing tunnels that their backend has too many of, a few at a time.

use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{
    Cause,
    pacing::{Pace, Pacing},
    registry::{CloseOrder, Handle, Registry},
    returns::Returns,
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
    /// Those that were told, whose clients are taken to be on their way back.
    told: Returns<Handle>,
    /// The highest number of a tunnel when it was last looked who has come back.
    last_number: Option<u64>,
    /// When it is worked out anew who has too many.
    look: Instant,
    is_pausing: bool,
}

static MOVING: CloseOrder = CloseOrder {
    cause: Cause::Rebalance,
    code: CloseCode::SERVICE_RESTART,
    reason: Cow::Borrowed("moving to another backend"),
};

/// How often it is worked out who has too many.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Rebalance {
    /// A rebalance that begins at `now`.
    #[must_use]
    pub fn new(config: config::Rebalance, now: Instant) -> Self {
        Self {
            config,
            pacing: Pacing::new(Pace::Rate(config.rate), now),
            waiting: Vec::new(),
            told: Returns::new(config.max_closing.get(), now),
            last_number: None,
            look: now,
            is_pausing: false,
        }
    }

    /// Does what is due at `now`, and says when there is more to do.
    pub fn proceed(&mut self, pool: &Pool, registry: &Registry, now: Instant) -> Instant {
        if now >= self.look {
            self.note_returned(pool, registry, now);
            self.waiting = self.superfluous(pool, registry);
            self.look = now + LOOK_EVERY;
            self.note_pause(pool, now);
        }
        for _ in 0..self.pacing.due(self.open_places(), now) {
            self.tell_one(pool, registry, now);
        }
        match self.open_places() {
            0 => self.look,
            left => self.pacing.next(left).min(self.look),
        }
    }

    /// How many of those that wait may be told before some have come back.
    fn open_places(&self) -> usize {
        self.waiting.len().min(self.told.room())
    }

    fn tell_one(&mut self, pool: &Pool, registry: &Registry, now: Instant) {
        while let Some(tunnel) = self.waiting.pop() {
            if tunnel.close(&MOVING) {
                registry.has_told(MOVING.cause);
                pool.sends_away(tunnel.service());
                let from = tunnel.client_address();
                self.told.tell(tunnel, from, now);
                return;
            }
        }
    }

    /// Takes note of who has come back since the last look, and of who will hardly do so any more.
    fn note_returned(&mut self, pool: &Pool, registry: &Registry, now: Instant) {
        let highest = registry.last_number();
        let last = self.last_number.replace(highest).unwrap_or(highest);
        if self.told.awaited() > 0 {
            let is_member = |id| pool.member_with(id).is_some();
            for from in registry.newcomers(last, is_member) {
                self.told.came(from, now);
            }
        }
        self.told.settle(|tunnel| !tunnel.is_alive(), now);
    }

    /// Says so when it begins to pause, since too few come back, and when it goes on.
    fn note_pause(&mut self, pool: &Pool, now: Instant) {
        let is_pausing = !self.waiting.is_empty() && self.told.is_pausing(now);
        pool.show_rebalance_pause(is_pausing);
        if is_pausing == self.is_pausing {
            return;
        }
        self.is_pausing = is_pausing;
        let pool = pool.name();
        if is_pausing {
            let too_many = self.waiting.len();
            warn!(
                pool,
                too_many, "the rebalance pauses: too few of the clients that were told come back"
            );
        } else {
            info!(pool, "the rebalance goes on");
        }
    }

    /// What was told to close and has not ended.
    fn closing(&self) -> impl Iterator<Item = &Handle> {
        self.told.tunnels().filter(|tunnel| tunnel.is_alive())
    }

    /// The tunnels that backends have too many of, in the order in which they are to be told, the
    /// last first.
    fn superfluous(&self, pool: &Pool, registry: &Registry) -> Vec<Handle> {
        let closing = |id| {
            self.closing()
                .filter(|tunnel| tunnel.service() == id)
                .count()
        };
        let mut excess = pool.excess(closing, self.told.awaited(), self.config.tolerance);
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
