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
    draining: Vec<Draining>,
    pacing: Pacing,
    /// Those that had not been told when the registry was looked into last.
    waiting: Vec<Handle>,
    look: Instant,
}

/// A backend that drains.
#[derive(Debug, Clone, Copy)]
struct Draining {
    backend: BackendId,
    /// What its tunnels are told.
    order: &'static CloseOrder,
    /// When what is left of them is cut.
    deadline: Option<Instant>,
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
            waiting: Vec::new(),
            look: now,
        }
    }

    /// Sets which backends drain, and what their tunnels are told. The pace for all begins anew with
    /// each that joins; each has a deadline of its own.
    pub fn set(&mut self, draining: Vec<(BackendId, &'static CloseOrder)>, now: Instant) {
        let is_new = |id: &BackendId| self.find(*id).is_none();
        if draining.iter().any(|(id, _)| is_new(id)) {
            self.pacing = Pacing::new(pace(self.config.pace), now);
            self.look = now;
        }
        let begin = self.config.deadline.map(|deadline| now + deadline);
        let with_deadline = draining.into_iter().map(|(backend, order)| Draining {
            backend,
            order,
            deadline: self.find(backend).map_or(begin, |before| before.deadline),
        });
        self.draining = with_deadline.collect();
    }

    /// Does what is due at `now`.
    pub fn proceed(&mut self, registry: &Registry, now: Instant) -> Progress {
        let cut = self.cut_late(registry, now);
        if now >= self.look {
            self.waiting = self.tunnels(registry);
            self.waiting.retain(|tunnel| !tunnel.is_closing());
            self.look = now + LOOK_EVERY;
        }
        for _ in 0..self.pacing.due(self.waiting.len(), now) {
            self.tell_one();
        }
        let pacing = (!self.waiting.is_empty()).then(|| self.pacing.next(self.waiting.len()));
        let deadlines = self.draining.iter().filter_map(|one| one.deadline);
        let next = deadlines.chain(pacing).chain([self.look]).min();
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

    /// Cuts what is left on backends whose time is over, and says how many. They have as much time
    /// again for those who come after that.
    fn cut_late(&mut self, registry: &Registry, now: Instant) -> usize {
        let mut cut = 0;
        for one in &mut self.draining {
            if one.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            one.deadline = self.config.deadline.map(|deadline| now + deadline);
            let left = registry.served_by(|id| id == one.backend);
            cut += left.len();
            for tunnel in left {
                tunnel.cut(one.order);
            }
        }
        cut
    }

    fn tunnels(&self, registry: &Registry) -> Vec<Handle> {
        registry.served_by(|id| self.order(id).is_some())
    }

    /// What the tunnels of a backend are told, if it drains.
    fn order(&self, of: BackendId) -> Option<&'static CloseOrder> {
        self.find(of).map(|one| one.order)
    }

    fn find(&self, backend: BackendId) -> Option<&Draining> {
        self.draining.iter().find(|one| one.backend == backend)
    }
}

fn pace(config: DrainPace) -> Pace {
    match config {
        DrainPace::Over(window) => Pace::Over(window),
        DrainPace::Rate(rate) => Pace::Rate(rate),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        tunnel::{Cause, registry::Place},
        websocket::CloseCode,
    };

    static ORDER: CloseOrder = CloseOrder {
        cause: Cause::Draining,
        code: CloseCode::SERVICE_RESTART,
        reason: "backend is draining",
    };

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// A drain of backends whose tunnels only are where they are.
    struct Story {
        registry: Registry,
        drain: Drain,
        began: Instant,
    }

    impl Story {
        fn begin(config: config::Drain) -> Self {
            let began = Instant::now();
            Self {
                registry: Registry::new(1),
                drain: Drain::new(config, began),
                began,
            }
        }

        fn open(&self, backend: BackendId, count: usize) -> Vec<Place> {
            let enter = |_| self.registry.enter(0, backend);
            (0..count).map(enter).collect()
        }

        fn drains(&mut self, backends: &[BackendId], at: Duration) {
            let draining = backends.iter().map(|id| (*id, &ORDER)).collect();
            self.drain.set(draining, self.began + at);
        }

        /// Proceeds whenever it wants to, from one moment to another.
        fn pass(&mut self, from: Duration, to: Duration) {
            let mut now = self.began + from;
            while now <= self.began + to {
                now = self.drain.proceed(&self.registry, now).next;
            }
        }
    }

    fn told(places: &[Place]) -> usize {
        places
            .iter()
            .filter(|place| place.order().is_some())
            .count()
    }

    #[test]
    fn a_tunnel_that_another_backend_serves_meanwhile_is_left_alone() {
        let mut story = Story::begin(config::Drain::default());
        let (home, elsewhere) = (BackendId::next(), BackendId::next());
        let places = story.open(home, 100);
        story.drains(&[home], seconds(0));
        story.drain.proceed(&story.registry, story.began);
        for place in &places {
            place.serve(elsewhere);
        }
        story.pass(seconds(0), seconds(31));
        assert!(told(&places) <= 1, "{}", told(&places));
    }

    #[test]
    fn a_backend_that_joins_gives_all_their_time_anew() {
        let mut story = Story::begin(config::Drain::default());
        let (first, second) = (BackendId::next(), BackendId::next());
        let (ones, others) = (story.open(first, 60), story.open(second, 60));
        story.drains(&[first], seconds(0));
        story.pass(seconds(0), seconds(15));
        assert!((28..=32).contains(&told(&ones)), "{}", told(&ones));
        story.drains(&[first, second], seconds(15));
        story.pass(seconds(15), seconds(44));
        assert!(told(&ones) + told(&others) < 120);
        story.pass(seconds(44), seconds(45));
        assert_eq!(told(&ones) + told(&others), 120);
    }

    #[test]
    fn a_backend_that_leaves_the_drain_keeps_what_it_has_left() {
        let mut story = Story::begin(config::Drain::default());
        let (first, second) = (BackendId::next(), BackendId::next());
        let (ones, others) = (story.open(first, 60), story.open(second, 60));
        story.drains(&[first, second], seconds(0));
        story.pass(seconds(0), seconds(10));
        let left = told(&ones);
        story.drains(&[second], seconds(10));
        story.pass(seconds(10), seconds(40));
        assert_eq!((told(&ones), told(&others)), (left, 60));
        assert!(left < 60);
    }

    #[test]
    fn whoever_opens_during_a_drain_is_told_within_the_window_too() {
        let mut story = Story::begin(config::Drain::default());
        let home = BackendId::next();
        let _first = story.open(home, 10);
        story.drains(&[home], seconds(0));
        story.pass(seconds(0), seconds(15));
        let late = story.open(home, 10);
        story.pass(seconds(15), seconds(30));
        assert_eq!(told(&late), 10);
    }

    #[test]
    fn a_drain_has_time_until_its_deadline_and_then_again() {
        let mut story = Story::begin(config::Drain {
            deadline: Some(seconds(60)),
            ..config::Drain::default()
        });
        let home = BackendId::next();
        let places = story.open(home, 10);
        story.drains(&[home], seconds(0));
        story.pass(seconds(0), seconds(59));
        let cut = |places: &[Place]| places.iter().filter(|place| place.is_cut()).count();
        assert_eq!((told(&places), cut(&places)), (10, 0));
        story.pass(seconds(59), seconds(60));
        assert_eq!(cut(&places), 10);
        drop(places);
        let late = story.open(home, 10);
        story.pass(seconds(60), seconds(119));
        assert_eq!(cut(&late), 0);
        story.pass(seconds(119), seconds(120));
        assert_eq!(cut(&late), 10);
    }
}
