//! A tunnel's own side of the registry.

use std::{
    sync::{Arc, atomic::Ordering::Relaxed},
    task::Waker,
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::{
    Count, Shard,
    live::{Live, Order},
};
use crate::{
    pool::backend::BackendId,
    tunnel::{
        clock::{Clock, Tick},
        counts::Here,
    },
};

/// What is kept of the place that a tunnel had in another registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerPlace {
    pub(super) id: u64,
    pub(super) age: Duration,
}

/// A tunnel's place in the registry, kept until dropped.
#[derive(Debug)]
pub struct Place {
    pub(super) id: u64,
    pub(super) live: Arc<Live>,
    pub(super) shard: Arc<Shard>,
    pub(super) count: Arc<Count>,
}

impl FormerPlace {
    /// The number that the tunnel had.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.id
    }
}

impl Place {
    /// The tunnel's number, unique in the process.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// The time on the tunnel's worker.
    pub(in crate::tunnel) fn now(&self) -> Tick {
        self.shard.clock.now()
    }

    /// The clock that has that time.
    pub(in crate::tunnel) fn clock(&self) -> &Clock {
        &self.shard.clock
    }

    /// Whether the tunnel is to leave for another process.
    pub(in crate::tunnel) fn is_to_leave(&self) -> bool {
        self.live.leaves.load(Relaxed)
    }

    /// Gives the place up before it is dropped, but for the count: whoever waits until no tunnel
    /// lives waits until this one has been sent off.
    pub(in crate::tunnel) fn leave(&self) -> FormerPlace {
        self.vacate();
        FormerPlace {
            id: self.id,
            age: self.clock().since(self.live.opened),
        }
    }

    fn vacate(&self) {
        self.live.has_ended.store(true, Relaxed);
        let is_own = |_: &u64, live: &Arc<Live>| Arc::ptr_eq(live, &self.live);
        self.shard.live.remove_if(&self.id, is_own);
    }

    /// What is read and counted of the client's side.
    pub(in crate::tunnel) fn client(&self) -> Here<'_> {
        Here {
            clock: &self.shard.clock,
            counts: &self.shard.counts.client,
            meter: &self.live.client,
        }
    }

    /// What is read and counted of the backend's side.
    pub(in crate::tunnel) fn backend(&self) -> Here<'_> {
        Here {
            clock: &self.shard.clock,
            counts: &self.shard.counts.backend,
            meter: &self.live.backend,
        }
    }

    /// Sets which backend serves the tunnel from now on.
    pub(in crate::tunnel) fn serve(&self, backend: BackendId) {
        self.live.service.store(backend.to_bits(), Relaxed);
    }

    /// Sets when the tunnel is woken next.
    pub(in crate::tunnel) fn wake_at(&self, due: Tick) {
        self.live.due.store(due.to_bits(), Relaxed);
    }

    /// Sets whom to wake.
    pub(in crate::tunnel) fn register(&self, waker: &Waker) {
        self.live.waker.register(waker);
    }

    /// The order to close, if there is one.
    pub(in crate::tunnel) fn order(&self) -> Option<Order> {
        self.live.order.get().cloned()
    }

    /// Whether the tunnel is to end without a word.
    pub(in crate::tunnel) fn is_cut(&self) -> bool {
        self.live.is_cut.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.count.ended.fetch_add(1, Relaxed);
        self.vacate();
        if self.count.live.fetch_sub(1, Relaxed) == 1 {
            self.count.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::registry::Registry;

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_comes_from_another_registry_keeps_its_number_and_its_age() {
        let (old, new) = (Registry::new(1), Registry::new(2));
        let backend = BackendId::next();
        let _before = old.enter(0, backend);
        let place = old.enter(0, backend);
        tokio::time::advance(Duration::from_secs(60)).await;
        old.tick(0);
        new.tick(1);
        let former = place.leave();
        assert_eq!(old.served_by(|_| true).len(), 1);
        assert_eq!(old.len(), 2, "it counts until it is dropped");
        drop(place);
        assert_eq!(old.len(), 1);

        let again = new.enter_again(1, backend, &former, None);
        assert_eq!(again.id(), 2);
        let handle = new.served_by(|of| of == backend).remove(0);
        assert_eq!(handle.age(), Duration::from_secs(59));
        assert_eq!(new.enter(0, backend).id(), 3, "later ones get higher ones");
    }
}
