//! Whether a backend takes clients, and how large its share is while it comes back.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

use crate::config::Intent;

/// What a backend is good for at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It takes clients.
    Ready,
    /// It takes no new clients, but may take returning ones.
    Draining,
    /// Traffic has failed on it, so it is left out for a while.
    Ejected,
    /// Its checks say that it does not work.
    Down,
    /// The operator has taken it out.
    Maintenance,
}

/// What is known of a backend that decides about its [`State`]. Read at every selection, so it is
/// made of atomics; each says something of its own, and none has to agree with another.
#[derive(Debug)]
pub(super) struct Standing {
    /// Where its times begin.
    epoch: Instant,
    intent: AtomicU8,
    is_down: AtomicBool,
    /// In milliseconds from the epoch; 0 if it never was.
    ejected_until: AtomicU64,
    /// When it came back last, in milliseconds from the epoch; 0 if it was never away.
    back_since: AtomicU64,
}

/// A full share; others are fractions of it.
pub(super) const FULL: u64 = 1_000;

/// What a backend gets that has just come back: enough to warm up with.
const FIRST: u64 = FULL / 10;

impl Standing {
    pub(super) fn new(intent: Intent) -> Self {
        Self {
            epoch: Instant::now(),
            intent: AtomicU8::new(intent as u8),
            is_down: AtomicBool::new(false),
            ejected_until: AtomicU64::new(0),
            back_since: AtomicU64::new(0),
        }
    }

    pub(super) fn state(&self, now: Instant) -> State {
        let intent = self.intent.load(Relaxed);
        if intent == Intent::Maintenance as u8 {
            State::Maintenance
        } else if self.is_down() {
            State::Down
        } else if self.ejected_until.load(Relaxed) > self.millis(now) {
            State::Ejected
        } else if intent == Intent::Draining as u8 {
            State::Draining
        } else {
            State::Ready
        }
    }

    /// Sets what the operator wants, and says whether that is new.
    pub(super) fn intend(&self, intent: Intent, now: Instant) -> bool {
        let before = self.intent.swap(intent as u8, Relaxed);
        let is_new = before != intent as u8;
        if is_new && intent == Intent::Ready {
            let ejected_until = self.ejected_until.load(Relaxed);
            self.back_since
                .store(self.millis(now).max(ejected_until).max(1), Relaxed);
        }
        is_new
    }

    /// What the operator wants.
    pub(super) fn is_meant_to(&self, intent: Intent) -> bool {
        self.intent.load(Relaxed) == intent as u8
    }

    /// Whether the checks say that it does not work.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Relaxed)
    }

    /// The checks say that it does not work; whether that is new.
    pub(super) fn goes_down(&self) -> bool {
        !self.is_down.swap(true, Relaxed)
    }

    /// The checks say that it works; whether that is new. Then it is not left out any longer: what
    /// had failed on it is most likely mended.
    pub(super) fn comes_up(&self, now: Instant) -> bool {
        let is_new = self.is_down.swap(false, Relaxed);
        if is_new {
            self.ejected_until.store(0, Relaxed);
            self.comes_back(now);
        }
        is_new
    }

    /// Leaves it out until then.
    pub(super) fn eject(&self, until: Instant) {
        self.ejected_until.store(self.millis(until), Relaxed);
        self.comes_back(until);
    }

    /// The fraction of its share that it gets, in parts of [`FULL`]: it grows evenly from when it
    /// came back, over the time that its `slow_start` is.
    pub(super) fn share(&self, slow_start: Option<Duration>, now: Instant) -> u64 {
        let (Some(window), back @ 1..) = (slow_start, self.back_since.load(Relaxed)) else {
            return FULL;
        };
        let grown = self.millis(now).saturating_sub(back);
        let window = u64::try_from(window.as_millis()).unwrap_or(u64::MAX).max(1);
        (grown.saturating_mul(FULL) / window).clamp(FIRST, FULL)
    }

    /// It takes clients from then on who had none before.
    pub(super) fn comes_back(&self, at: Instant) {
        self.back_since.store(self.millis(at).max(1), Relaxed);
    }

    fn millis(&self, at: Instant) -> u64 {
        let since = at.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Draining => "draining",
            Self::Ejected => "ejected",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const WINDOW: Duration = Duration::from_secs(10);

    fn standing() -> Standing {
        Standing::new(Intent::Ready)
    }

    fn state(standing: &Standing) -> State {
        standing.state(Instant::now())
    }

    fn share(standing: &Standing) -> u64 {
        standing.share(Some(WINDOW), Instant::now())
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_operator_wants_counts_before_what_the_checks_say() {
        let standing = standing();
        assert_eq!(state(&standing), State::Ready);
        assert!(standing.goes_down());
        assert!(!standing.goes_down(), "it is so already");
        assert_eq!(state(&standing), State::Down);
        standing.intend(Intent::Draining, Instant::now());
        assert_eq!(state(&standing), State::Down);
        standing.comes_up(Instant::now());
        assert_eq!(state(&standing), State::Draining);
        standing.intend(Intent::Maintenance, Instant::now());
        standing.goes_down();
        assert_eq!(state(&standing), State::Maintenance);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ejection_ends_by_itself() {
        let standing = standing();
        standing.eject(Instant::now() + WINDOW);
        advance(WINDOW - Duration::from_millis(1)).await;
        assert_eq!(state(&standing), State::Ejected);
        advance(Duration::from_millis(1)).await;
        assert_eq!(state(&standing), State::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_wanted_again_while_it_is_ejected_comes_back_when_that_is_over() {
        let standing = standing();
        standing.eject(Instant::now() + 2 * WINDOW);
        standing.intend(Intent::Maintenance, Instant::now());
        standing.intend(Intent::Ready, Instant::now());
        advance(2 * WINDOW).await;
        assert_eq!(state(&standing), State::Ready);
        assert_eq!(share(&standing), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn an_ejection_ends_when_checks_find_it_up_again() {
        let standing = standing();
        standing.eject(Instant::now() + WINDOW);
        standing.comes_up(Instant::now());
        assert_eq!(state(&standing), State::Ejected, "it was not down");
        standing.goes_down();
        standing.comes_up(Instant::now());
        assert_eq!(state(&standing), State::Ready);
        assert_eq!(share(&standing), FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_share_grows_evenly_after_any_return() {
        let ways_back: [fn(&Standing); 3] = [
            |standing| standing.eject(Instant::now()),
            |standing| {
                standing.goes_down();
                standing.comes_up(Instant::now());
            },
            |standing| {
                standing.intend(Intent::Maintenance, Instant::now());
                standing.intend(Intent::Ready, Instant::now());
            },
        ];
        for way_back in ways_back {
            advance(WINDOW).await;
            let standing = standing();
            assert_eq!(share(&standing), FULL, "it was never away");
            advance(Duration::from_secs(60)).await;
            way_back(&standing);
            let mut shares = Vec::new();
            for _ in 0..4 {
                shares.push(share(&standing));
                advance(WINDOW * 2 / 5).await;
            }
            assert_eq!(shares, [FIRST, 400, 800, FULL]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_window_it_has_its_share_at_once() {
        let standing = Standing::new(Intent::Ready);
        standing.goes_down();
        standing.comes_up(Instant::now());
        assert_eq!(standing.share(None, Instant::now()), FULL);
    }
}
