//! The live tunnels: wakes those that are due, closes them all, waits until none is left.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
};

use atomic_waker::AtomicWaker;
use dashmap::DashMap;
use tokio::sync::Notify;

use super::{
    Cause,
    clock::{Clock, Tick},
};
use crate::websocket::CloseCode;

/// Every live tunnel of the process, by the worker that it lives on.
#[derive(Debug)]
pub struct Registry {
    workers: Box<[Arc<Shard>]>,
    count: Arc<Count>,
    /// The order that holds for all, those that enter later too.
    standing: OnceLock<CloseOrder>,
}

/// The live tunnels of one worker, and its clock.
#[derive(Debug, Default)]
struct Shard {
    clock: Clock,
    live: DashMap<u64, Arc<Live>>,
}

/// How many tunnels there are, and who waits until there are none.
#[derive(Debug, Default)]
struct Count {
    /// Tunnels so far, from which each gets its number.
    total: AtomicU64,
    live: AtomicUsize,
    emptied: Notify,
}

/// What others may touch of a live tunnel.
#[derive(Debug)]
struct Live {
    /// The tick at which it wants to be woken.
    due: AtomicU32,
    waker: AtomicWaker,
    order: OnceLock<CloseOrder>,
    /// Whether it is to end without a word.
    is_cut: AtomicBool,
}

/// A wish that a tunnel be closed by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseOrder {
    /// Why, for the log.
    pub cause: Cause,
    /// What its peers are told.
    pub code: CloseCode,
    /// The same in words. At most 123 bytes.
    pub reason: &'static str,
}

/// A tunnel's place in the registry, kept until dropped.
#[derive(Debug)]
pub struct Place {
    id: u64,
    live: Arc<Live>,
    shard: Arc<Shard>,
    count: Arc<Count>,
}

impl Registry {
    /// A registry for as many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            count: Arc::default(),
            standing: OnceLock::new(),
        }
    }

    /// A place for a new tunnel on the worker with that number.
    #[must_use]
    pub fn enter(&self, worker: usize) -> Place {
        let shard = Arc::clone(&self.workers[worker]);
        let live = Arc::new(Live {
            due: AtomicU32::new(Tick::NEVER.to_bits()),
            waker: AtomicWaker::new(),
            order: OnceLock::new(),
            is_cut: AtomicBool::new(false),
        });
        let id = self.count.total.fetch_add(1, Relaxed) + 1;
        shard.live.insert(id, Arc::clone(&live));
        self.count.live.fetch_add(1, Relaxed);
        // After the insertion, so that `close_all` either meets the tunnel or is seen here.
        if let Some(order) = self.standing.get() {
            live.obey(*order);
        }
        Place {
            id,
            live,
            shard,
            count: Arc::clone(&self.count),
        }
    }

    /// Moves the clock of the worker with that number on, and wakes its tunnels that are due.
    /// To be called once a second, on that worker.
    pub fn tick(&self, worker: usize) {
        let shard = &self.workers[worker];
        let now = shard.clock.tick();
        for live in &shard.live {
            if Tick::from_bits(live.due.load(Relaxed)) <= now {
                live.waker.wake();
            }
        }
    }

    /// Tunnels that live now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.live.load(Relaxed)
    }

    /// Whether no tunnel lives now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Asks every tunnel to close, those that enter later too. A tunnel obeys the first order that
    /// it gets.
    pub fn close_all(&self, order: CloseOrder) {
        let order = *self.standing.get_or_init(|| order);
        for live in self.workers.iter().flat_map(|shard| &shard.live) {
            live.obey(order);
        }
    }

    /// Ends every live tunnel at once, and says how many there are.
    pub fn cut_all(&self) -> usize {
        let live = self.workers.iter().flat_map(|shard| &shard.live);
        live.map(|live| live.cut()).count()
    }

    /// Waits until no tunnel lives.
    pub async fn emptied(&self) {
        loop {
            let emptied = self.count.emptied.notified();
            if self.is_empty() {
                return;
            }
            emptied.await;
        }
    }
}

impl Live {
    fn obey(&self, order: CloseOrder) {
        if self.order.set(order).is_ok() {
            self.waker.wake();
        }
    }

    fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        self.waker.wake();
    }
}

impl Place {
    /// The tunnel's number, unique in the process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// The time on the tunnel's worker.
    pub(super) fn now(&self) -> Tick {
        self.shard.clock.now()
    }

    /// Sets when the tunnel is woken next.
    pub(super) fn wake_at(&self, due: Tick) {
        self.live.due.store(due.to_bits(), Relaxed);
    }

    /// Sets whom to wake.
    pub(super) fn register(&self, waker: &Waker) {
        self.live.waker.register(waker);
    }

    /// The order to close, if there is one.
    pub(super) fn order(&self) -> Option<CloseOrder> {
        self.live.order.get().copied()
    }

    /// Whether the tunnel is to end without a word.
    pub(super) fn is_cut(&self) -> bool {
        self.live.is_cut.load(Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shard.live.remove(&self.id);
        if self.count.live.fetch_sub(1, Relaxed) == 1 {
            self.count.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_registry_is_emptied_when_the_last_place_is_given_up() {
        let registry = Registry::new(2);
        let (one, other) = (registry.enter(0), registry.enter(1));
        assert_eq!(registry.len(), 2);

        drop(one);
        let mut emptied = Box::pin(registry.emptied());
        assert!(futures_util::poll!(&mut emptied).is_pending());
        drop(other);
        emptied.await;
    }

    #[test]
    fn a_tunnel_obeys_the_first_order() {
        let registry = Registry::new(1);
        let place = registry.enter(0);
        let order = |reason| CloseOrder {
            cause: Cause::Shutdown,
            code: CloseCode::GOING_AWAY,
            reason,
        };
        registry.close_all(order("first"));
        registry.close_all(order("second"));
        assert_eq!(place.order(), Some(order("first")));
        assert_eq!(
            registry.enter(0).order(),
            Some(order("first")),
            "nor does a late one escape"
        );
    }
}
