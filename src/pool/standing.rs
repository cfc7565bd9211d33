//! Whether a backend takes clients, and how large its share is while it comes back.

use std::{
    fmt,
    sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use serde::{Deserialize, Serialize};
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
    /// In milliseconds from the epoch, which lies before this process; 0 if it never was.
    ejected_until: AtomicU64,
    /// When it came back last, in milliseconds from the epoch; 0 if it was never away.
    back_since: AtomicU64,
}

/// What is known of a backend, with times as seen from now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Memory {
    #[serde(default)]
    is_down: bool,
    /// How long it is still left out.
    #[serde(default)]
    ejected_for: Option<Duration>,
    /// How long ago it came back, if it was away.
    #[serde(default)]
    back_for: Option<Duration>,
}

/// A full share; others are fractions of it.
pub(super) const FULL: u64 = 1_000;

/// What a backend gets that has just come back: enough to warm up with.
const FIRST: u64 = FULL / 10;

/// How much of its past can be learnt from another process.
const KNOWN: Duration = Duration::from_secs(24 * 60 * 60);

impl Standing {
    pub(super) fn new(intent: Intent) -> Self {
        Self {
            epoch: Instant::now()
                .checked_sub(KNOWN)
                .unwrap_or_else(Instant::now),
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

    /// What is to be told of it, but for what the operator wants.
    pub(super) fn memory(&self, now: Instant) -> Memory {
        let millis = self.millis(now);
        let back = self.back_since.load(Relaxed);
        let back_for = (back > 0).then(|| millis.checked_sub(back)).flatten();
        Memory {
            is_down: self.is_down(),
            ejected_for: self.ejected_for(now),
            back_for: back_for.map(Duration::from_millis),
        }
    }

    /// Is as it was told to be at `now`.
    pub(super) fn remember(&self, memory: &Memory, now: Instant) {
        if let Some(back) = memory.back_for.and_then(|back| now.checked_sub(back)) {
            self.comes_back(back);
        }
        if let Some(until) = memory.ejected_for.and_then(|left| now.checked_add(left)) {
            self.eject(until);
        }
        if memory.is_down {
            self.goes_down();
        }
    }

    /// What the operator wants.
    pub(super) fn intent(&self) -> Intent {
        let all = [Intent::Ready, Intent::Draining, Intent::Maintenance];
        let own = all.into_iter().find(|intent| self.is_meant_to(*intent));
        own.unwrap_or_default()
    }

    /// Whether that is what the operator wants.
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

    /// How long it is left out yet, if it is.
    pub(super) fn ejected_for(&self, now: Instant) -> Option<Duration> {
        let until = self.ejected_until.load(Relaxed);
        let left = until.saturating_sub(self.millis(now));
        (left > 0).then(|| Duration::from_millis(left))
    }

    /// It is not left out any longer, if it is.
    pub(super) fn end_ejection(&self, now: Instant) {
        if self.ejected_until.load(Relaxed) > self.millis(now) {
            self.eject(now);
        }
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
    async fn what_is_known_of_one_another_process_can_learn() {
        advance(WINDOW).await;
        let (well, ejected, down) = (standing(), standing(), standing());
        ejected.eject(Instant::now() + WINDOW);
        down.goes_down();
        let told = [&well, &ejected, &down].map(|standing| standing.memory(Instant::now()));
        advance(WINDOW * 10).await;
        let now = Instant::now();
        let learnt = told.map(|memory| {
            let standing = standing();
            standing.remember(&memory, now);
            standing
        });
        let states = learnt.each_ref().map(state);
        assert_eq!(states, [State::Ready, State::Ejected, State::Down]);
        advance(WINDOW).await;
        assert_eq!(state(&learnt[1]), State::Ready);
        assert_eq!(learnt.each_ref().map(share), [FULL, FIRST, FULL]);
    }

    #[tokio::test(start_paused = true)]
    async fn times_that_no_clock_has_are_passed_over() {
        let standing = standing();
        let memory = Memory {
            ejected_for: Some(Duration::MAX),
            back_for: Some(Duration::MAX),
            ..Memory::default()
        };
        standing.remember(&memory, Instant::now());
        assert_eq!(state(&standing), State::Ready);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_comes_back_goes_on_to_do_so_in_another_process() {
        let old = standing();
        old.goes_down();
        old.comes_up(Instant::now());
        advance(WINDOW / 2).await;
        let memory = old.memory(Instant::now());
        let new = standing();
        new.remember(&memory, Instant::now());
        assert_eq!(share(&new), FULL / 2);
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
