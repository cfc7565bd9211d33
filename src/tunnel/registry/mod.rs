//! The live tunnels: wakes those that are due, closes some or all, waits until none is left.

mod handle;
mod live;
mod place;
mod routes;
mod subject;
mod told;

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
};

use dashmap::DashMap;
use tokio::sync::Notify;

pub use self::{
    handle::{Handle, Reading},
    live::{CloseOrder, Order},
    place::{FormerPlace, Place},
    routes::RouteId,
    subject::{Description, Sketch, Subject},
    told::ToldTotals,
};
use self::{live::Live, routes::Names, told::Told};
use super::{
    clock::{Clock, Tick},
    counts::{Counts, Totals},
    end::Cause,
};
use crate::pool::backend::BackendId;

/// Every live tunnel of the process, by the worker that it lives on.
#[derive(Debug)]
pub struct Registry {
    workers: Box<[Arc<Shard>]>,
    count: Arc<Count>,
    routes: Names,
    told: Told,
}

/// The live tunnels of one worker, and its clock.
#[derive(Debug, Default)]
struct Shard {
    clock: Clock,
    live: DashMap<u64, Arc<Live>>,
    counts: Counts,
    /// Whether those that enter are to leave for another process.
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

impl Registry {
    /// A registry for as many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
            count: Arc::default(),
            routes: Names::default(),
            told: Told::default(),
        }
    }

    /// A place for a new tunnel on the worker with that number, which that backend serves.
    #[must_use]
    pub fn enter(&self, worker: usize, backend: BackendId) -> Place {
        self.enter_with(worker, backend, None)
    }

    /// The same for a tunnel of which is known what it is opened for.
    #[must_use]
    pub fn enter_for(&self, worker: usize, backend: BackendId, subject: Arc<dyn Subject>) -> Place {
        self.enter_with(worker, backend, Some(subject))
    }

    fn enter_with(
        &self,
        worker: usize,
        backend: BackendId,
        subject: Option<Arc<dyn Subject>>,
    ) -> Place {
        let shard = &self.workers[worker];
        let live = Live::new(backend, shard.clock.now(), subject);
        let place = self.seat(worker, self.count.next(), live);
        // Asked only now that it is seen: who tells all to leave has either seen it or said so.
        let is_moving_out = shard.is_moving_out.load(Relaxed);
        place.live.leaves.store(is_moving_out, Relaxed);
        place
    }

    /// A place for a tunnel that comes from another registry, or back to this one: it keeps its
    /// number, unless another tunnel has that already. One that comes while others leave is taken
    /// to have been sent back, and stays.
    #[must_use]
    pub fn enter_again(
        &self,
        worker: usize,
        backend: BackendId,
        former: &FormerPlace,
        subject: Option<Arc<dyn Subject>>,
    ) -> Place {
        let shard = &self.workers[worker];
        let live = Live::new(backend, shard.clock.back(former.age), subject);
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

    /// The name of a route, to be kept by whoever has to do with it: routes, requests that have
    /// found theirs, tunnels that came by one.
    #[must_use]
    pub fn route(&self, name: &str) -> Arc<str> {
        self.routes.share(name)
    }

    /// Whether anybody has to do with that route.
    #[must_use]
    pub fn knows(&self, route: RouteId) -> bool {
        self.routes.is_kept(route)
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

    /// Has the tunnels that enter from now on leave for another process, and gives those that are
    /// here, to be [told so](Handle::leave) by and by.
    #[must_use]
    pub fn move_out(&self) -> Vec<Handle> {
        for shard in &self.workers {
            shard.is_moving_out.store(true, Relaxed);
        }
        self.served_by(|_| true)
    }

    /// Has those stay that have not left yet.
    pub fn stay(&self) {
        for shard in &self.workers {
            shard.is_moving_out.store(false, Relaxed);
        }
        for live in self.workers.iter().flat_map(|shard| &shard.live) {
            live.leaves.store(false, Relaxed);
        }
    }

    /// What has been counted of all tunnels so far.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for shard in &self.workers {
            totals.add(&shard.counts);
        }
        totals
    }

    /// A tunnel was told to close for that cause.
    pub(super) fn has_told(&self, cause: Cause) {
        self.told.add(cause);
    }

    /// So many were cut, since they had not ended in time.
    pub(super) fn has_cut(&self, tunnels: usize) {
        self.told.cut(tunnels);
    }

    /// How many were told to close so far, and what for.
    #[must_use]
    pub fn told(&self) -> ToldTotals {
        self.told.totals()
    }

    /// As many workers as it is for.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.workers.len()
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
        let cut = live.map(|live| live.cut()).count();
        self.told.cut(cut);
        cut
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
                .filter(|live| is_meant(live.service(), live.route()));
            served.extend(meant.map(|live| Handle {
                id: *live.key(),
                now,
                live: Arc::clone(&live),
            }));
        }
        served
    }

    /// Where the clients come from of the tunnels with higher numbers than that, which are served by
    /// a backend that `is_meant`; `None` for one of which that is not known.
    pub(super) fn newcomers(
        &self,
        after: u64,
        is_meant: impl Fn(BackendId) -> bool,
    ) -> Vec<Option<IpAddr>> {
        let live = self.workers.iter().flat_map(|shard| &shard.live);
        let new = live.filter(|live| *live.key() > after && is_meant(live.service()));
        new.map(|live| live.client_address()).collect()
    }

    /// The tunnel with that number, if it lives.
    #[must_use]
    pub fn find(&self, id: u64) -> Option<Handle> {
        self.workers.iter().find_map(|shard| {
            let live = shard.live.get(&id)?;
            Some(Handle {
                id,
                now: shard.clock.now(),
                live: Arc::clone(&live),
            })
        })
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

#[cfg(test)]
impl Registry {
    /// Has all tunnels leave that can, those that enter later too.
    pub(super) fn let_all_leave(&self) {
        self.move_out().iter().for_each(Handle::leave);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_number_that_is_taken_is_not_given_twice() {
        let (old, new) = (Registry::new(1), Registry::new(2));
        let backend = BackendId::next();
        let theirs = new.enter(0, backend);
        let again = new.enter_again(1, backend, &old.enter(0, backend).leave(), None);
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
        registry.let_all_leave();
        assert!(place.is_to_leave());

        let back = registry.enter_again(0, backend, &place.leave(), None);
        drop(place);
        assert!(!back.is_to_leave());
        assert_eq!(registry.served_by(|_| true).len(), 1);
        assert!(registry.enter(0, backend).is_to_leave());
        registry.stay();
        registry.let_all_leave();
        assert!(back.is_to_leave());
        registry.stay();
        assert!(!back.is_to_leave());
    }
}
