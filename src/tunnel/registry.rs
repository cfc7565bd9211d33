//! The live tunnels: wakes those that are due, closes some or all, waits until none is left.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Waker,
    time::Duration,
};

use atomic_waker::AtomicWaker;
use dashmap::DashMap;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use xxhash_rust::xxh3::xxh3_64;

use super::{
    Cause,
    clock::{Clock, Tick},
};
use crate::{pool::backend::BackendId, websocket::CloseCode};

/// Every live tunnel of the process, by the worker that it lives on.
#[derive(Debug)]
pub struct Registry {
    workers: Box<[Arc<Shard>]>,
    count: Arc<Count>,
}

/// The live tunnels of one worker, and its clock.
#[derive(Debug, Default)]
struct Shard {
    clock: Clock,
    live: DashMap<u64, Arc<Live>>,
    /// Whether they are to leave for another process.
    is_moving_out: AtomicBool,
}

/// How many tunnels there are, and who waits until there are none.
#[derive(Debug, Default)]
struct Count {
    /// The highest number so far. Each tunnel gets the next one.
    highest: AtomicU64,
    live: AtomicUsize,
    ended: AtomicUsize,
    emptied: Notify,
}

/// What others may touch of a live tunnel.
#[derive(Debug)]
struct Live {
    /// The tick at which it wants to be woken.
    due: AtomicU32,
    waker: AtomicWaker,
    /// The backend that serves it.
    backend: AtomicU32,
    /// The route that it came by.
    route: AtomicU64,
    opened: Tick,
    order: OnceLock<&'static CloseOrder>,
    /// Whether it is to end without a word.
    is_cut: AtomicBool,
    /// Whether it does not leave with the others: it has come back.
    stays: AtomicBool,
    has_ended: AtomicBool,
}

/// What stands for a route: the same for one of the same name, whatever else is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RouteId(u64);

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

/// A live tunnel in the hands of who may want to close it.
#[derive(Debug)]
pub struct Handle {
    live: Arc<Live>,
    age: u32,
}

/// What is kept of the place that a tunnel had in another registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerPlace {
    id: u64,
    age: Duration,
}

/// A tunnel's place in the registry, kept until dropped.
#[derive(Debug)]
pub struct Place {
    id: u64,
    live: Arc<Live>,
    shard: Arc<Shard>,
    count: Arc<Count>,
}

impl RouteId {
    /// The route that is called so.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }
}

impl Registry {
    /// A registry for as many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            count: Arc::default(),
        }
    }

    /// A place for a new tunnel on the worker with that number, which that backend serves.
    #[must_use]
    pub fn enter(&self, worker: usize, backend: BackendId) -> Place {
        let live = Live::new(backend, self.workers[worker].clock.now());
        self.seat(worker, self.count.next(), live)
    }

    /// A place for a tunnel that comes from another registry, or back to this one: it keeps its
    /// number, unless another tunnel has that already. One that comes while others leave is taken
    /// to have been sent back, and stays.
    #[must_use]
    pub fn enter_again(&self, worker: usize, backend: BackendId, former: &FormerPlace) -> Place {
        let shard = &self.workers[worker];
        let live = Live {
            stays: AtomicBool::new(shard.is_moving_out.load(Relaxed)),
            ..Live::new(backend, shard.clock.back(former.age))
        };
        let is_taken = |shard: &Arc<Shard>| shard.live.contains_key(&former.id);
        let id = if self.workers.iter().any(is_taken) {
            self.count.next()
        } else {
            former.id
        };
        self.number_after(id);
        self.seat(worker, id, live)
    }

    fn seat(&self, worker: usize, id: u64, live: Live) -> Place {
        let shard = Arc::clone(&self.workers[worker]);
        let live = Arc::new(live);
        shard.live.insert(id, Arc::clone(&live));
        self.count.live.fetch_add(1, Relaxed);
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

    /// The highest number that a tunnel has had so far.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.count.highest.load(Relaxed)
    }

    /// Has the tunnels that enter from now on get higher numbers than that.
    pub fn number_after(&self, number: u64) {
        self.count.highest.fetch_max(number, Relaxed);
    }

    /// Has every tunnel that can move end as [left](super::Outcome::Left), those that enter later
    /// too. One that cannot move now stays until it can, or ends here.
    pub fn move_out(&self) {
        for shard in &self.workers {
            shard.is_moving_out.store(true, Relaxed);
        }
        for live in self.workers.iter().flat_map(|shard| &shard.live) {
            live.stays.store(false, Relaxed);
            live.waker.wake();
        }
    }

    /// Has those stay that have not left yet.
    pub fn stay(&self) {
        for shard in &self.workers {
            shard.is_moving_out.store(false, Relaxed);
        }
    }

    /// Tunnels that live now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count.live.load(Relaxed)
    }

    /// Tunnels that have lived here, and do not any more.
    #[must_use]
    pub fn ended(&self) -> usize {
        self.count.ended.load(Relaxed)
    }

    /// Tunnels that live, and have been told to close.
    #[must_use]
    pub fn closing(&self) -> usize {
        let live = self.workers.iter().flat_map(|shard| &shard.live);
        live.filter(|live| live.order.get().is_some()).count()
    }

    /// Whether no tunnel lives now.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Ends every live tunnel at once, and says how many there are.
    pub fn cut_all(&self) -> usize {
        let live = self.workers.iter().flat_map(|shard| &shard.live);
        live.map(|live| live.cut()).count()
    }

    /// The tunnels that are served by a backend that `is_meant`, in no order. It looks at every live
    /// tunnel, so it is for those who want to close some, and not for every moment.
    pub fn served_by(&self, is_meant: impl Fn(BackendId) -> bool) -> Vec<Handle> {
        self.tunnels(|backend, _| is_meant(backend))
    }

    /// The same by their backend and the route that they came by.
    pub fn tunnels(&self, is_meant: impl Fn(BackendId, RouteId) -> bool) -> Vec<Handle> {
        let mut served = Vec::new();
        for shard in &self.workers {
            let now = shard.clock.now();
            let meant = shard
                .live
                .iter()
                .filter(|live| is_meant(live.backend(), live.route()));
            served.extend(meant.map(|live| Handle {
                age: now.since(live.opened),
                live: Arc::clone(&live),
            }));
        }
        served
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

impl Count {
    /// A number that no tunnel has had.
    fn next(&self) -> u64 {
        self.highest.fetch_add(1, Relaxed) + 1
    }
}

impl FormerPlace {
    /// The number that the tunnel had.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.id
    }
}

impl Live {
    fn new(backend: BackendId, opened: Tick) -> Self {
        Self {
            due: AtomicU32::new(Tick::NEVER.to_bits()),
            waker: AtomicWaker::new(),
            backend: AtomicU32::new(backend.to_bits()),
            route: AtomicU64::new(RouteId::default().0),
            opened,
            order: OnceLock::new(),
            is_cut: AtomicBool::new(false),
            stays: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    fn backend(&self) -> BackendId {
        BackendId::from_bits(self.backend.load(Relaxed))
    }

    fn route(&self) -> RouteId {
        RouteId(self.route.load(Relaxed))
    }

    /// Takes the order, unless there is one already, and says whether it did.
    fn obey(&self, order: &'static CloseOrder) -> bool {
        let is_first = self.order.set(order).is_ok();
        if is_first {
            self.waker.wake();
        }
        is_first
    }

    fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        self.waker.wake();
    }
}

impl Handle {
    /// The backend that serves it now.
    #[must_use]
    pub fn backend(&self) -> BackendId {
        self.live.backend()
    }

    /// The route that it came by.
    #[must_use]
    pub fn route(&self) -> RouteId {
        self.live.route()
    }

    /// How long it had been open at least when it was listed, in whole seconds.
    #[must_use]
    pub fn age(&self) -> Duration {
        // It was opened up to a second after the tick that stands for that.
        Duration::from_secs(self.age.saturating_sub(1).into())
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.live.has_ended.load(Relaxed)
    }

    /// Whether it has been told to close.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.live.order.get().is_some()
    }

    /// Tells it to close, and says whether that is news to it.
    pub fn close(&self, order: &'static CloseOrder) -> bool {
        self.is_alive() && self.live.obey(order)
    }

    /// Ends it at once, on account of the first order that it got.
    pub fn cut(&self, order: &'static CloseOrder) {
        self.live.obey(order);
        self.live.cut();
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

    /// The clock that has that time.
    pub(super) fn clock(&self) -> &Clock {
        &self.shard.clock
    }

    /// Whether the tunnel is to leave for another process.
    pub(super) fn is_to_leave(&self) -> bool {
        self.shard.is_moving_out.load(Relaxed) && !self.live.stays.load(Relaxed)
    }

    /// Gives the place up before it is dropped, but for the count: whoever waits until no tunnel
    /// lives waits until this one has been sent off.
    pub(super) fn leave(&self) -> FormerPlace {
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

    /// Sets the route that the tunnel came by.
    pub fn came_by(&self, route: RouteId) {
        self.live.route.store(route.0, Relaxed);
    }

    /// Sets which backend serves the tunnel from now on.
    pub(super) fn serve(&self, backend: BackendId) {
        self.live.backend.store(backend.to_bits(), Relaxed);
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
    pub(super) fn order(&self) -> Option<&'static CloseOrder> {
        self.live.order.get().copied()
    }

    /// Whether the tunnel is to end without a word.
    pub(super) fn is_cut(&self) -> bool {
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

    static FIRST: CloseOrder = CloseOrder {
        cause: Cause::Shutdown,
        code: CloseCode::GOING_AWAY,
        reason: "first",
    };
    static SECOND: CloseOrder = CloseOrder {
        reason: "second",
        ..FIRST
    };

    #[tokio::test]
    async fn a_registry_is_emptied_when_the_last_place_is_given_up() {
        let registry = Registry::new(2);
        let backend = BackendId::next();
        let (one, other) = (registry.enter(0, backend), registry.enter(1, backend));
        assert_eq!(registry.len(), 2);

        drop(one);
        let mut emptied = Box::pin(registry.emptied());
        assert!(futures_util::poll!(&mut emptied).is_pending());
        drop(other);
        emptied.await;
    }

    #[test]
    fn a_backends_tunnels_are_found_on_every_worker_and_follow_when_they_move() {
        let registry = Registry::new(2);
        let (one, other) = (BackendId::next(), BackendId::next());
        let places = [
            registry.enter(0, one),
            registry.enter(1, one),
            registry.enter(1, other),
        ];
        let count = |backend| registry.served_by(|of| of == backend).len();
        assert_eq!((count(one), count(other)), (2, 1));
        places[0].serve(other);
        assert_eq!((count(one), count(other)), (1, 2));
        drop(places);
        assert_eq!((count(one), count(other)), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_handle_says_how_old_its_tunnel_is() {
        let registry = Registry::new(1);
        let backend = BackendId::next();
        let _old = registry.enter(0, backend);
        tokio::time::advance(Duration::from_secs(60)).await;
        registry.tick(0);
        let _young = registry.enter(0, backend);
        tokio::time::advance(Duration::from_secs(5)).await;
        registry.tick(0);
        let handles = registry.served_by(|of| of == backend);
        let mut ages: Vec<_> = handles
            .iter()
            .map(|handle| handle.age().as_secs())
            .collect();
        ages.sort_unstable();
        assert_eq!(ages, [4, 64]);
    }

    #[test]
    fn a_handle_closes_once_and_nobody_who_is_gone() {
        let registry = Registry::new(1);
        let backend = BackendId::next();
        let place = registry.enter(0, backend);
        let handle = registry.served_by(|of| of == backend).remove(0);
        assert!(handle.is_alive() && !handle.is_closing());
        assert!(handle.close(&FIRST));
        assert!(!handle.close(&SECOND), "it knows already");
        assert_eq!(place.order(), Some(&FIRST));
        assert!(handle.is_alive() && handle.is_closing());

        let place = registry.enter(0, backend);
        let handles = registry.served_by(|of| of == backend);
        drop(place);
        let gone = handles.iter().find(|handle| !handle.is_closing()).unwrap();
        assert!(!gone.is_alive());
        assert!(!gone.close(&FIRST));
    }

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

        let again = new.enter_again(1, backend, &former);
        assert_eq!(again.id(), 2);
        let handle = new.served_by(|of| of == backend).remove(0);
        assert_eq!(handle.age(), Duration::from_secs(59));
        assert_eq!(new.enter(0, backend).id(), 3, "later ones get higher ones");
    }

    #[test]
    fn a_number_that_is_taken_is_not_given_twice() {
        let (old, new) = (Registry::new(1), Registry::new(2));
        let backend = BackendId::next();
        let theirs = new.enter(0, backend);
        let again = new.enter_again(1, backend, &old.enter(0, backend).leave());
        assert_ne!(again.id(), theirs.id());
        drop(again);
        assert_eq!(new.served_by(|_| true).len(), 1);

        new.number_after(1_000);
        assert_eq!(new.last_number(), 1_000);
        assert_eq!(new.enter(0, backend).id(), 1_001);
    }

    #[test]
    fn one_that_comes_back_stays_until_all_are_asked_anew() {
        let registry = Registry::new(1);
        let backend = BackendId::next();
        let place = registry.enter(0, backend);
        assert!(!place.is_to_leave());
        registry.move_out();
        assert!(place.is_to_leave());

        let back = registry.enter_again(0, backend, &place.leave());
        drop(place);
        assert!(!back.is_to_leave());
        assert_eq!(registry.served_by(|_| true).len(), 1);
        assert!(registry.enter(0, backend).is_to_leave());
        registry.stay();
        registry.move_out();
        assert!(back.is_to_leave());
        registry.stay();
        assert!(!back.is_to_leave());
    }

    #[test]
    fn what_others_may_touch_of_a_tunnel_is_small() {
        // With the counts of its Arc that makes 80 bytes, a size of the allocator's.
        assert!(size_of::<Live>() <= 64, "{}", size_of::<Live>());
    }
}
