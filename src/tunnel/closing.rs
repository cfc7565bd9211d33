//! Closing tunnels that somebody has chosen, at a pace.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    pacing::{Pace, Pacing},
    registry::{CloseOrder, Handle, Order, Registry},
};
use crate::pool::Stand;

/// The closing of some tunnels. It is over once all have been told, and have ended.
#[derive(Debug)]
pub struct Closing {
    order: Order,
    pacing: Pacing,
    /// How many there were.
    total: usize,
    /// Those that we have not told, the first of them last.
    waiting: Vec<Handle>,
    /// Those that were told, and had not ended when that was looked at last.
    told: Vec<Handle>,
    look: Instant,
}

/// How often it is looked at who has ended.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Closing {
    /// The closing of those, which are told `order` over that time, one after the other.
    #[must_use]
    pub fn begin(mut which: Vec<Handle>, order: CloseOrder, over: Duration, now: Instant) -> Self {
        which.retain(Handle::is_alive);
        which.reverse();
        Self {
            order: order.into(),
            pacing: Pacing::new(Pace::Over(over), now),
            total: which.len(),
            waiting: which,
            told: Vec::new(),
            look: now,
        }
    }

    /// Does what is due at `now`, and says when there is more to do; `None` when it is over.
    pub fn proceed(&mut self, registry: &Registry, now: Instant) -> Option<Instant> {
        if now >= self.look {
            self.forget_ended();
            self.look = now + LOOK_EVERY;
        }
        for _ in 0..self.pacing.due(self.waiting.len(), now) {
            self.tell_one(registry);
        }
        match (self.waiting.len(), self.told.len()) {
            (0, 0) => None,
            (0, _) => Some(self.look),
            (left, _) => Some(self.look.min(self.pacing.next(left))),
        }
    }

    /// How far it is.
    #[must_use]
    pub fn stand(&self) -> Stand {
        let alive = |tunnel: &&Handle| tunnel.is_alive();
        let untold = |tunnel: &&Handle| tunnel.is_alive() && !tunnel.is_closing();
        let all = self.waiting.iter().chain(&self.told);
        Stand {
            total: self.total,
            untold: self.waiting.iter().filter(untold).count(),
            left: all.filter(alive).count(),
            all_told: self.pacing.last(self.waiting.len()),
        }
    }

    fn tell_one(&mut self, registry: &Registry) {
        while let Some(tunnel) = self.waiting.pop() {
            let is_news = tunnel.close(self.order.clone());
            if tunnel.is_alive() {
                self.told.push(tunnel);
            }
            if is_news {
                registry.has_told(self.order.cause);
                return;
            }
        }
    }

    fn forget_ended(&mut self) {
        self.waiting.retain(Handle::is_alive);
        self.told.retain(Handle::is_alive);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{pool::backend::BackendId, tunnel::registry::Place, websocket::CloseCode};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn order() -> CloseOrder {
        CloseOrder::of_operator(CloseCode(4_000), "come back, please".to_owned())
    }

    /// As many tunnels, which only are where they are.
    fn open(registry: &Registry, count: usize) -> Vec<Place> {
        let enter = |_| registry.enter(0, BackendId::next());
        (0..count).map(enter).collect()
    }

    fn told(places: &[Place]) -> usize {
        let own = order();
        let is_told = |place: &&Place| place.order().is_some_and(|order| *order == own);
        places.iter().filter(is_told).count()
    }

    /// Proceeds whenever it wants to, until it is over or `to` has come; whether it is over.
    fn pass(closing: &mut Closing, registry: &Registry, from: Instant, to: Instant) -> bool {
        let mut now = from;
        while now <= to {
            match closing.proceed(registry, now) {
                Some(next) => now = next,
                None => return true,
            }
        }
        false
    }

    #[test]
    fn those_who_were_chosen_are_told_one_after_the_other_and_no_others() {
        let registry = Registry::new(1);
        let mut places = open(&registry, 60);
        let chosen = registry.served_by(|_| true);
        let others = open(&registry, 10);
        let began = Instant::now();
        let mut closing = Closing::begin(chosen, order(), seconds(30), began);
        assert!(!pass(&mut closing, &registry, began, began + seconds(15)));
        let half = closing.stand();
        assert_eq!((half.total, half.left), (60, 60));
        assert_eq!(half.untold, 60 - told(&places));
        assert!((28..=32).contains(&half.untold), "{half:?}");
        let time_left = half.time_left(began + seconds(15));
        assert!(
            time_left.abs_diff(seconds(15)) < seconds(1),
            "{time_left:?}"
        );

        places.retain(|place| place.order().is_none());
        assert_eq!(
            closing.stand().left,
            places.len(),
            "who has ended is seen at once"
        );
        assert!(!pass(
            &mut closing,
            &registry,
            began + seconds(15),
            began + seconds(31)
        ));
        assert_eq!((told(&places), told(&others)), (places.len(), 0));
        assert_eq!(registry.told().told[4], ("closed", 60));
        drop(places);
        assert!(pass(
            &mut closing,
            &registry,
            began + seconds(31),
            began + seconds(33)
        ));
    }

    #[test]
    fn without_time_all_are_told_at_once_but_those_who_were_told_before() {
        let registry = Registry::new(1);
        let places = open(&registry, 10);
        let chosen = registry.served_by(|_| true);
        let other = CloseOrder::of_operator(CloseCode::GOING_AWAY, "for another reason".to_owned());
        chosen[0].close(other);
        let now = Instant::now();
        let mut closing = Closing::begin(chosen, order(), Duration::ZERO, now);
        assert_eq!(closing.stand().untold, 9);
        assert!(
            closing.proceed(&registry, now).is_some(),
            "they have not ended"
        );
        assert_eq!(told(&places), 9);
        let stand = closing.stand();
        assert_eq!((stand.total, stand.untold, stand.left), (10, 0, 10));
    }
}
