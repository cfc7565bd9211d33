//! The coarse time of a worker: what a tunnel's deadlines are kept in.
//!
//! A tunnel notes when it heard from its peers at every message, so the time must cost next to
//! nothing to read, and its deadlines are seconds long, so a second is fine enough.

use std::{
    num::NonZeroU32,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use tokio::time::Instant;

/// A worker's time, moved on once a second.
#[derive(Debug)]
pub struct Clock {
    began: Instant,
    now: AtomicU32,
}

/// A point in a worker's time: whole seconds since it began. Counted from 1, so that an `Option` of
/// it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(NonZeroU32);

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            now: AtomicU32::new(0),
        }
    }

    /// The last tick: up to a second behind the true time.
    pub fn now(&self) -> Tick {
        Tick::at(self.now.load(Relaxed))
    }

    /// Moves the clock on to the true time.
    pub fn tick(&self) -> Tick {
        let seconds = self.began.elapsed().as_secs();
        let now = u32::try_from(seconds).unwrap_or(u32::MAX);
        self.now.store(now, Relaxed);
        Tick::at(now)
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}

impl Tick {
    /// No deadline.
    pub const NEVER: Self = Self(NonZeroU32::MAX);

    /// So many seconds after the beginning.
    fn at(second: u32) -> Self {
        Self(NonZeroU32::MIN.saturating_add(second))
    }

    /// The first tick at which `duration` has surely passed since anything noted at this one.
    ///
    /// What is noted at a tick happened up to a second after it, so that second is added.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        let rest = u64::from(duration.subsec_nanos() > 0);
        let whole = duration.as_secs().saturating_add(rest);
        let whole = u32::try_from(whole).unwrap_or(u32::MAX);
        Self(self.0.saturating_add(whole).saturating_add(1))
    }

    /// How many seconds after `earlier` it is.
    pub(super) fn since(self, earlier: Self) -> u32 {
        self.0.get().saturating_sub(earlier.0.get())
    }

    pub(super) fn to_bits(self) -> u32 {
        self.0.get()
    }

    pub(super) fn from_bits(bits: u32) -> Self {
        Self(NonZeroU32::new(bits).unwrap_or(NonZeroU32::MIN))
    }
}

impl Default for Tick {
    fn default() -> Self {
        Self::at(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_early() {
        let noted = Tick::at(5);
        assert_eq!(noted.after(Duration::from_secs(20)), Tick::at(26));
        assert_eq!(noted.after(Duration::from_millis(1_500)), Tick::at(8));
        assert_eq!(noted.after(Duration::MAX), Tick::NEVER);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_missed_ticks_catches_up_at_the_next() {
        let clock = Clock::new();
        tokio::time::advance(Duration::from_millis(3_700)).await;
        assert_eq!(clock.now(), Tick::at(0));
        assert_eq!(clock.tick(), Tick::at(3));
        assert_eq!(clock.now(), Tick::at(3));
    }
}
