//! The choice of a backend for one use: affinity first, then balance, until one takes it.

use std::sync::Arc;

use http::HeaderValue;
use tokio::time::Instant;

use super::{
    Pool,
    affinity::{Asker, Claim, Outcome, Wish},
    backend::{Backend, Lease, Use},
    balance::Choice,
    counts::Counts,
    retries::Attempts,
    standing::State,
};
use crate::{
    config::{Intent, NoneReady, Returning},
    metrics::Count,
};

/// A selection under way: backends are tried until one takes the request.
#[derive(Debug)]
pub struct Selection<'p> {
    pool: &'p Pool,
    used_for: Use,
    claim: Claim,
    tried: Vec<usize>,
    /// Those of a handshake; plain requests are not counted.
    attempts: Option<Attempts>,
    /// One that is taken only if there is no other.
    avoided: Option<usize>,
    /// Whether a further backend was there that may not be tried.
    is_held_back: bool,
}

/// What came of a selection.
#[derive(Debug)]
pub struct Selected {
    /// The use of the backend that took the request.
    pub lease: Lease,
    /// What became of the client's affinity.
    pub affinity: Outcome,
    /// The affinity cookie that the client is to be given.
    pub cookie: Option<HeaderValue>,
}

/// The backends to try: the one that the client's affinity asks for, then others, until none is left
/// that takes clients, or no further one is allowed.
impl Iterator for Selection<'_> {
    type Item = Lease;

    fn next(&mut self) -> Option<Lease> {
        let is_first = self.tried.is_empty();
        if is_first {
            self.release();
        }
        let found = self.find();
        if is_first && found.is_none() {
            let Counts {
                none_ready,
                no_room,
                ..
            } = &*self.pool.counts;
            let missing = if self.finds_none_ready() {
                none_ready
            } else {
                no_room
            };
            missing.add(1);
        }
        found
    }
}

impl<'p> Selection<'p> {
    /// The use of the next one to try.
    fn find(&mut self) -> Option<Lease> {
        let mut candidate = self.candidate();
        if let (Some(_), Some(attempts)) = (candidate, &mut self.attempts)
            && !self.pool.retries.allow(attempts)
        {
            self.is_held_back = true;
            return None;
        }
        loop {
            let index = candidate.take()?;
            self.tried.push(index);
            // Another worker may have taken the last place meanwhile.
            if let Some(lease) = Lease::of(&self.pool.backends[index], self.used_for) {
                return Some(lease);
            }
            candidate = self.candidate();
        }
    }

    pub(super) fn begin(pool: &'p Pool, asker: &Asker<'_>, used_for: Use) -> Self {
        Self {
            pool,
            used_for,
            claim: pool.affinity.claim(asker),
            tried: Vec::new(),
            attempts: (used_for == Use::Tunnel).then(|| pool.retries.begin()),
            avoided: None,
            is_held_back: false,
        }
    }

    /// Whether it has ended though a further backend was there: no more were allowed.
    #[must_use]
    pub fn was_held_back(&self) -> bool {
        self.is_held_back
    }

    /// Tries `backend` last, whatever the client's affinity asks for.
    #[must_use]
    pub fn avoiding(mut self, backend: &Arc<Backend>) -> Self {
        self.avoided = self.pool.position(backend);
        self
    }

    /// Whether no backend is ready, full or not.
    #[must_use]
    pub fn finds_none_ready(&self) -> bool {
        let now = Instant::now();
        let mut backends = self.pool.backends.iter();
        !backends.any(|backend| backend.state(now) == State::Ready)
    }

    /// Ends the selection with the backend that took the request.
    #[must_use]
    pub fn settle(self, mut lease: Lease) -> Selected {
        let chosen = self.pool.position(lease.backend());
        let chosen = chosen.expect("a lease of this selection is of a member of its pool");
        let affinity = &self.pool.affinity;
        let mut claim = self.claim;
        claim.will_return = self.wishes_for_ejected(Instant::now());
        let bond = affinity.bind(&claim, chosen, self.used_for);
        lease.hold(bond.hold);
        Selected {
            lease,
            affinity: bond.outcome,
            cookie: bond.cookie,
        }
    }

    /// Whether the client's own backend is only left out for a while.
    fn wishes_for_ejected(&self, now: Instant) -> bool {
        match self.claim.wish {
            Wish::This { index, .. } => self.pool.backends[index].state(now) == State::Ejected,
            Wish::Anyone { .. } | Wish::Ranked { .. } => false,
        }
    }

    /// Has a client that comes back balanced, if it was sent away so that others get more. One that
    /// never left is not asked to.
    fn release(&mut self) {
        if let (Use::Tunnel, Wish::This { index, .. }) = (self.used_for, self.claim.wish)
            && self.avoided.is_none()
            && self.pool.lets_go(index)
        {
            let outcome = Outcome::Moved;
            self.claim.wish = Wish::Anyone { outcome };
        }
    }

    /// The next one to try.
    fn candidate(&self) -> Option<usize> {
        let now = Instant::now();
        let is_left = |index: usize| {
            !self.tried.contains(&index) && self.pool.backends[index].has_room(self.used_for)
        };
        let Some(avoided) = self.avoided else {
            return self.best(is_left, now);
        };
        let other = self.best(|index| index != avoided && is_left(index), now);
        other.or_else(|| self.best(is_left, now))
    }

    /// The best of those that are ready, or, where the pool says so, of all that might work.
    fn best(&self, is_left: impl Fn(usize) -> bool, now: Instant) -> Option<usize> {
        let state = |index: usize| self.pool.backends[index].state(now);
        let takes_new = |index| is_left(index) && state(index) == State::Ready;
        let takes_returning = |index| is_left(index) && self.takes_returning(state(index));
        let might_work = |index: usize| {
            let is_wanted = self.pool.backends[index]
                .standing()
                .is_meant_to(Intent::Ready);
            is_left(index) && is_wanted
        };
        let chosen = self.wished(takes_returning, takes_new, now);
        match self.pool.config.none_ready {
            NoneReady::TryAll if self.finds_none_ready() => {
                chosen.or_else(|| self.wished(might_work, might_work, now))
            }
            _ => chosen,
        }
    }

    fn takes_returning(&self, state: State) -> bool {
        match state {
            State::Ready => true,
            State::Draining => self.pool.config.drain.returning == Returning::Keep,
            State::Ejected | State::Down | State::Maintenance => false,
        }
    }

    /// The backend that the client's affinity asks for, or else one by balance.
    fn wished(
        &self,
        takes_returning: impl Fn(usize) -> bool,
        takes_new: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Option<usize> {
        let Pool {
            affinity,
            backends,
            balancer,
            ..
        } = self.pool;
        let crowded = self.crowded(&takes_new, now);
        let takes_more = |index: usize| takes_new(index) && !crowded.contains(&index);
        let wished = match &self.claim.wish {
            Wish::This { index, .. } if takes_returning(*index) => Some(*index),
            Wish::This { key, .. } if self.wishes_for_ejected(now) => {
                affinity.home(*key, backends, takes_more, now)
            }
            Wish::Ranked { key } if affinity.spills_over() => {
                affinity.home(*key, backends, takes_more, now)
            }
            Wish::Ranked { key } => affinity.home(*key, backends, &takes_new, now),
            Wish::Anyone { .. } | Wish::This { .. } => None,
        };
        let choice = match *self.tried {
            [] => Choice::First,
            _ => Choice::Substitute,
        };
        wished.or_else(|| balancer.choose(backends, takes_more, choice, now))
    }

    /// Those of the backends that `takes_new` allows at which a handshake would have to wait: nobody
    /// new is sent there, unless it would be so at all of them.
    fn crowded(&self, takes_new: impl Fn(usize) -> bool, now: Instant) -> Vec<usize> {
        if self.used_for == Use::Request {
            return Vec::new();
        }
        let allowed = || (0..self.pool.backends.len()).filter(|index| takes_new(*index));
        let is_crowded = |index: &usize| !self.pool.backends[*index].is_open(now);
        let crowded: Vec<_> = allowed().filter(is_crowded).collect();
        if crowded.len() < allowed().count() {
            crowded
        } else {
            Vec::new()
        }
    }
}
