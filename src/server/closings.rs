//! Tunnels that an operator has closed, and how far that is.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, OnceLock},
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    pool::Stand,
    tunnel::{
        closing::Closing,
        registry::{CloseOrder, Handle, Registry},
    },
};

/// The closings that an operator has ordered lately, each with its number.
#[derive(Debug)]
pub(super) struct Closings {
    registry: Arc<Registry>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    last: u64,
    /// The oldest first.
    recent: VecDeque<(u64, Arc<Ordered>)>,
}

/// A closing, and when it was over.
#[derive(Debug)]
struct Ordered {
    closing: Mutex<Closing>,
    over: OnceLock<Instant>,
}

/// How long one is remembered that is over.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

/// How many are remembered at most.
const MOST: usize = 64;

impl Closings {
    pub(super) fn of(registry: &Arc<Registry>) -> Self {
        Self {
            registry: Arc::clone(registry),
            known: Mutex::default(),
        }
    }

    /// Begins to close those, and gives the number of that.
    pub(super) fn begin(&self, which: Vec<Handle>, order: CloseOrder, over: Duration) -> u64 {
        let ordered = Arc::new(Ordered {
            closing: Mutex::new(Closing::begin(which, order, over, Instant::now())),
            over: OnceLock::new(),
        });
        let registry = Arc::clone(&self.registry);
        tokio::spawn(Arc::clone(&ordered).carry_out(registry));
        self.known().add(ordered)
    }

    /// How far the one of that number is, if it is known.
    pub(super) fn stand(&self, number: u64) -> Option<Stand> {
        let mut known = self.known();
        known.forget_old(Instant::now());
        let mut recent = known.recent.iter();
        let (_, ordered) = recent.find(|(own, _)| *own == number)?;
        Some(ordered.closing().stand())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }
}

impl Known {
    fn add(&mut self, ordered: Arc<Ordered>) -> u64 {
        self.forget_old(Instant::now());
        if self.recent.len() >= MOST {
            // One that goes on does so, though nobody can see how far it is.
            let over = self
                .recent
                .iter()
                .position(|(_, old)| old.over.get().is_some());
            self.recent.remove(over.unwrap_or(0));
        }
        self.last += 1;
        self.recent.push_back((self.last, ordered));
        self.last
    }

    fn forget_old(&mut self, now: Instant) {
        let is_old = |over: &Instant| now.saturating_duration_since(*over) >= REMEMBERED;
        self.recent
            .retain(|(_, ordered)| !ordered.over.get().is_some_and(is_old));
    }
}

impl Ordered {
    /// Goes on until it is over.
    async fn carry_out(self: Arc<Self>, registry: Arc<Registry>) {
        loop {
            let next = self.closing().proceed(&registry, Instant::now());
            match next {
                Some(next) => sleep_until(next).await,
                None => break,
            }
        }
        self.over.get_or_init(Instant::now);
    }

    fn closing(&self) -> MutexGuard<'_, Closing> {
        self.closing.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::sleep;

    use super::*;
    use crate::{pool::backend::BackendId, tunnel::registry::Place, websocket::CloseCode};

    /// Has a tunnel of its own closed.
    fn begin(closings: &Closings) -> (u64, Place) {
        let place = closings.registry.enter(0, BackendId::next());
        let mut own = closings.registry.served_by(|_| true);
        own.retain(|handle| handle.id() == place.id());
        let order = CloseOrder::of_operator(CloseCode::GOING_AWAY, "enough".to_owned());
        (closings.begin(own, order, Duration::ZERO), place)
    }

    fn closings() -> Closings {
        Closings::of(&Arc::new(Registry::new(1)))
    }

    #[tokio::test(start_paused = true)]
    async fn a_closing_is_known_while_it_goes_on_and_for_ten_minutes_after() {
        let closings = closings();
        let (number, place) = begin(&closings);
        sleep(2 * REMEMBERED).await;
        assert_eq!(closings.stand(number).unwrap().left, 1, "it does not end");
        drop(place);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(closings.stand(number).unwrap().left, 0);
        sleep(REMEMBERED - Duration::from_secs(5)).await;
        assert!(closings.stand(number).is_some());
        sleep(Duration::from_secs(5)).await;
        assert!(closings.stand(number).is_none());
        assert!(closings.stand(number + 1).is_none(), "there is none yet");
    }

    #[tokio::test(start_paused = true)]
    async fn of_many_the_oldest_is_forgotten_first_that_is_over() {
        let closings = closings();
        let (first, _place) = begin(&closings);
        let (second, gone) = begin(&closings);
        drop(gone);
        sleep(Duration::from_secs(2)).await;
        let others: Vec<_> = (2..MOST).map(|_| begin(&closings)).collect();
        assert!(closings.stand(second).is_some());
        let (last, _another) = begin(&closings);
        assert!(closings.stand(second).is_none());
        assert!(closings.stand(first).is_some() && closings.stand(last).is_some());
        let _more = begin(&closings);
        assert!(closings.stand(first).is_none(), "all of them go on");
        assert_eq!(closings.stand(others[0].0).unwrap().left, 1);
    }
}
