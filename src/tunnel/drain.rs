//! Closing the tunnels of whoever is to lose them, at a pace: of some backends, or of all.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::{
    pacing::{Pace, Pacing},
    registry::{CloseOrder, Handle, Registry, RouteId},
};
use crate::pool::{Stand, backend::BackendId};

/// Drains of which each may begin and end at any time. They share one pace: to drain two backends at
/// once is no reason for a storm.
#[derive(Debug)]
pub struct Drain {
    pace: Pace,
    /// How long each may take.
    limit: Option<Duration>,
    draining: Vec<Draining>,
    pacing: Pacing,
    /// Those that had not been told when the registry was looked into last.
    waiting: Vec<Handle>,
    look: Instant,
    told: usize,
}

/// Whose tunnels are closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whose {
    /// Those of a backend.
    Backend(BackendId),
    /// Those that came by a route.
    Route(RouteId),
    /// All there are.
    Everyone,
}

/// A drain that has begun.
#[derive(Debug)]
struct Draining {
    whose: Whose,
    /// What its tunnels are told.
    order: &'static CloseOrder,
    /// When what is left of them is cut.
    deadline: Option<Instant>,
    seen: Seen,
}

/// What was seen of the tunnels that a drain is for.
#[derive(Debug, Default)]
struct Seen {
    /// Their numbers, of those that were there at any time.
    all: HashSet<u64>,
    untold: usize,
    left: usize,
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
    /// A drain of nobody yet, at that pace. What is left of each after the `limit` is cut.
    #[must_use]
    pub fn new(pace: Pace, limit: Option<Duration>, now: Instant) -> Self {
        Self {
            pace,
            limit,
            draining: Vec::new(),
            pacing: Pacing::new(pace, now),
            waiting: Vec::new(),
            look: now,
            told: 0,
        }
    }

    /// Sets whose tunnels are closed, and what they are told. The pace for all begins anew with
    /// each that joins; each has a deadline of its own.
    pub fn set(&mut self, draining: Vec<(Whose, &'static CloseOrder)>, now: Instant) {
        let is_new = |whose: &Whose| self.find(*whose).is_none();
        if draining.iter().any(|(whose, _)| is_new(whose)) {
            self.pacing = Pacing::new(self.pace, now);
            self.look = now;
        }
        let begin = self.limit.map(|limit| now + limit);
        let mut before = std::mem::take(&mut self.draining);
        let changed = draining.into_iter().map(|(whose, order)| {
            match before.iter().position(|one| one.whose == whose) {
                Some(known) => Draining {
                    order,
                    ..before.swap_remove(known)
                },
                None => Draining {
                    whose,
                    order,
                    deadline: begin,
                    seen: Seen::default(),
                },
            }
        });
        self.draining = changed.collect();
    }

    /// Does what is due at `now`.
    pub fn proceed(&mut self, registry: &Registry, now: Instant) -> Progress {
        let cut = self.cut_late(registry, now);
        if now >= self.look {
            self.look_into(registry);
            self.look = now + LOOK_EVERY;
        }
        for _ in 0..self.pacing.due(self.waiting.len(), now) {
            self.tell_one(registry);
        }
        let pacing = (!self.waiting.is_empty()).then(|| self.pacing.next(self.waiting.len()));
        let deadlines = self.draining.iter().filter_map(|one| one.deadline);
        let next = deadlines.chain(pacing).chain([self.look]).min();
        Progress {
            cut,
            next: next.unwrap_or(self.look),
        }
    }

    /// How far it is for each backend.
    #[must_use]
    pub fn stands(&self) -> Vec<(BackendId, Stand)> {
        let all_told = self.pacing.last(self.waiting.len());
        let stand = |one: &Draining| match one.whose {
            Whose::Backend(backend) => {
                let Seen { all, untold, left } = &one.seen;
                let stand = Stand {
                    total: all.len(),
                    untold: *untold,
                    left: *left,
                    all_told,
                };
                Some((backend, stand))
            }
            Whose::Route(_) | Whose::Everyone => None,
        };
        self.draining.iter().filter_map(stand).collect()
    }

    /// Tunnels that were told so far.
    #[must_use]
    pub fn told(&self) -> usize {
        self.told
    }

    /// Tells one of those that wait, and still are where they were.
    fn tell_one(&mut self, registry: &Registry) {
        while let Some(tunnel) = self.waiting.pop() {
            let Some(one) = meant(&mut self.draining, &tunnel) else {
                continue;
            };
            one.seen.untold = one.seen.untold.saturating_sub(1);
            if tunnel.close(one.order) {
                registry.has_told(one.order.cause);
                self.told += 1;
                return;
            }
        }
    }

    /// Takes note of the tunnels that there are, and of whom to tell.
    fn look_into(&mut self, registry: &Registry) {
        for one in &mut self.draining {
            (one.seen.untold, one.seen.left) = (0, 0);
        }
        self.waiting = self.tunnels(registry);
        self.waiting.retain(|tunnel| {
            let is_untold = !tunnel.is_closing();
            if let Some(one) = meant(&mut self.draining, tunnel) {
                one.seen.left += 1;
                one.seen.untold += usize::from(is_untold);
                // Of others nobody asks, and they may be many.
                if let Whose::Backend(_) = one.whose {
                    one.seen.all.insert(tunnel.id());
                }
            }
            is_untold
        });
    }

    /// Cuts what is left of those whose time is over, and says how many. They have as much time
    /// again for those who come after that.
    fn cut_late(&mut self, registry: &Registry, now: Instant) -> usize {
        let mut cut = 0;
        for one in &mut self.draining {
            if one.deadline.is_none_or(|deadline| now < deadline) {
                continue;
            }
            one.deadline = self.limit.map(|limit| now + limit);
            let left = registry.tunnels(|backend, route| one.whose.includes(backend, route));
            cut += left.len();
            for tunnel in left {
                tunnel.cut(one.order);
            }
        }
        registry.has_cut(cut);
        cut
    }

    fn tunnels(&self, registry: &Registry) -> Vec<Handle> {
        registry.tunnels(|backend, route| self.order(backend, route).is_some())
    }

    /// What a tunnel is told that is served by that backend and came by that route, if it is to close.
    fn order(&self, backend: BackendId, route: RouteId) -> Option<&'static CloseOrder> {
        let mut draining = self.draining.iter();
        let own = draining.find(|one| one.whose.includes(backend, route));
        own.map(|one| one.order)
    }

    fn find(&self, whose: Whose) -> Option<&Draining> {
        self.draining.iter().find(|one| one.whose == whose)
    }
}

/// The first of them that a tunnel is meant by.
fn meant<'d>(draining: &'d mut [Draining], tunnel: &Handle) -> Option<&'d mut Draining> {
    let (backend, route) = (tunnel.service(), tunnel.route());
    let mut draining = draining.iter_mut();
    draining.find(|one| one.whose.includes(backend, route))
}

impl Whose {
    /// Whether a tunnel is meant that is served by that backend and came by that route.
    fn includes(self, backend: BackendId, route: RouteId) -> bool {
        match self {
            Self::Backend(own) => own == backend,
            Self::Route(own) => own == route,
            Self::Everyone => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{
        config,
        tunnel::{Cause, registry::Place},
        websocket::CloseCode,
    };

    static ORDER: CloseOrder = CloseOrder {
        cause: Cause::Draining,
        code: CloseCode::SERVICE_RESTART,
        reason: Cow::Borrowed("backend is draining"),
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
                drain: Drain::new(config.pace.into(), config.deadline, began),
                began,
            }
        }

        fn open(&self, backend: BackendId, count: usize) -> Vec<Place> {
            let enter = |_| self.registry.enter(0, backend);
            (0..count).map(enter).collect()
        }

        fn drains(&mut self, backends: &[BackendId], at: Duration) {
            let draining = backends.iter().map(|id| (Whose::Backend(*id), &ORDER));
            let draining = draining.collect();
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
    fn everyone_is_told_wherever_they_are() {
        let mut story = Story::begin(config::Drain::default());
        let mut places = story.open(BackendId::next(), 30);
        places.extend(story.open(BackendId::next(), 30));
        story
            .drain
            .set(vec![(Whose::Everyone, &ORDER)], story.began);
        story.pass(seconds(0), seconds(15));
        assert!((28..=32).contains(&told(&places)), "{}", told(&places));
        story.pass(seconds(15), seconds(30));
        assert_eq!((told(&places), story.drain.told()), (60, 60));
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
    fn a_drain_says_how_far_it_is_at_either_pace() {
        let paces = [
            config::DrainPace::Over(seconds(30)),
            config::DrainPace::Rate(2.try_into().unwrap()),
        ];
        for pace in paces {
            let mut story = Story::begin(config::Drain {
                pace,
                ..config::Drain::default()
            });
            let home = BackendId::next();
            let mut places = story.open(home, 60);
            let stand = |story: &Story| {
                let stands = story.drain.stands();
                let own = stands.iter().find(|(backend, _)| *backend == home);
                own.unwrap().1
            };
            story.drains(&[home], seconds(0));
            // Between two looks.
            let middle = Duration::from_millis(15_900);
            story.pass(seconds(0), middle);
            let half = stand(&story);
            assert_eq!((half.total, half.left), (60, 60));
            assert_eq!(half.untold, 60 - told(&places));
            assert!((26..=30).contains(&half.untold), "{half:?}");
            let time_left = half.time_left(story.began + middle);
            assert!(
                time_left.abs_diff(seconds(14)) < seconds(1),
                "{time_left:?}"
            );

            places.retain(|place| place.order().is_none());
            places.extend(story.open(home, 4));
            story.pass(middle, seconds(17));
            let later = stand(&story);
            assert_eq!(later.total, 64);
            assert!(later.left < 40, "{later:?}");
            story.pass(seconds(17), seconds(60));
            drop(places);
            story.pass(seconds(60), seconds(62));
            let end = stand(&story);
            assert_eq!((end.total, end.untold, end.left), (64, 0, 0));
            assert_eq!(end.time_left(story.began + seconds(62)), Duration::ZERO);
            assert_eq!(story.registry.told().told[0], ("drain", 64));
        }
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
        assert_eq!(story.registry.told().cut, 10);
        drop(places);
        let late = story.open(home, 10);
        story.pass(seconds(60), seconds(119));
        assert_eq!(cut(&late), 0);
        story.pass(seconds(119), seconds(120));
        assert_eq!(cut(&late), 10);
    }
}
