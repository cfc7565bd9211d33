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
    /// How far the true time was beyond the last tick when that came, in nanoseconds.
    late: AtomicU32,
}

/// A point in a worker's time, in whole seconds. Never 0, so that an `Option` of it is no larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tick(NonZeroU32);

/// A point in a worker's time, to the microsecond, for stretches of less than an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment(NonZeroU32);

impl Clock {
    /// A clock that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            began: Instant::now(),
            now: AtomicU32::new(0),
            late: AtomicU32::new(0),
        }
    }

    /// The last tick: up to a second behind the true time.
    pub fn now(&self) -> Tick {
        Tick::at(self.now.load(Relaxed))
    }

    /// Moves the clock on to the true time.
    pub fn tick(&self) -> Tick {
        let elapsed = self.began.elapsed();
        let now = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        self.now.store(now, Relaxed);
        self.late.store(elapsed.subsec_nanos(), Relaxed);
        Tick::at(now)
    }

    /// The true time. It takes as long to read as a hundred of [`now`](Self::now).
    pub(super) fn moment(&self) -> Moment {
        let micros = self.began.elapsed().as_micros();
        // It comes round every 71 minutes.
        let micros = u32::try_from(micros & u128::from(u32::MAX)).unwrap_or_default();
        Moment(NonZeroU32::new(micros).unwrap_or(NonZeroU32::MIN))
    }

    /// How long ago `moment` was.
    pub(super) fn elapsed_since(&self, moment: Moment) -> Duration {
        let micros = self.moment().0.get().wrapping_sub(moment.0.get());
        Duration::from_micros(micros.into())
    }

    /// How long ago `tick` came, or would have come, to the fraction of a second.
    pub(super) fn since(&self, tick: Tick) -> Duration {
        self.precise().saturating_sub(tick.precise())
    }

    /// The first tick that is no longer ago than that.
    ///
    /// What is noted at a tick came up to a second after it. For what was noted at a tick of
    /// another clock that is still true of this one, which comes up to a second after that. So what
    /// is due some time after it may be due a second later than it would have been, and never
    /// earlier.
    pub(super) fn back(&self, ago: Duration) -> Tick {
        Tick::not_before(self.precise().saturating_sub(ago))
    }

    /// How long it is until `tick`; `None` if it never comes.
    pub(super) fn until(&self, tick: Tick) -> Option<Duration> {
        (tick != Tick::NEVER).then(|| tick.precise().saturating_sub(self.precise()))
    }

    /// The first tick that is at least as far away; never if that is `None`.
    pub(super) fn ahead(&self, until: Option<Duration>) -> Tick {
        until.map_or(Tick::NEVER, |until| {
            Tick::not_before(self.precise().saturating_add(until))
        })
    }

    /// The true time, on the scale of the ticks.
    fn precise(&self) -> Duration {
        let late = Duration::from_nanos(self.late.load(Relaxed).into());
        Tick::at(0).precise() + self.began.elapsed().saturating_sub(late)
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

    /// That of a clock's beginning. A tunnel may be much older than its worker.
    const BEGINNING: NonZeroU32 = NonZeroU32::new(1 << 30).unwrap();

    /// So many seconds after the beginning.
    fn at(second: u32) -> Self {
        Self(Self::BEGINNING.saturating_add(second))
    }

    /// The first one that does not come before `time`.
    fn not_before(time: Duration) -> Self {
        let rest = u64::from(time.subsec_nanos() > 0);
        let second = u32::try_from(time.as_secs().saturating_add(rest)).unwrap_or(u32::MAX);
        Self::from_bits(second)
    }

    fn precise(self) -> Duration {
        Duration::from_secs(self.0.get().into())
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

    /// The tick halfway to the one [after](Self::after) `duration`, and before that.
    pub(super) fn halfway(self, duration: Duration) -> Self {
        let half = u32::try_from(duration.as_secs() / 2).unwrap_or(u32::MAX);
        Self(self.0.saturating_add(half.max(1)))
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

    /// Two clocks, of which one ticks `apart` tenths of a second after the full ones of the test.
    struct Clocks {
        one: Clock,
        other: Clock,
        apart: u32,
        tenths: u32,
    }

    impl Clocks {
        async fn begin(apart: u32) -> Self {
            let one = Clock::new();
            tokio::time::advance(Duration::from_millis(300)).await;
            let (other, tenths) = (Clock::new(), 0);
            Self {
                one,
                other,
                apart,
                tenths,
            }
        }

        async fn go_on(&mut self) {
            if self.tenths % 10 == 4 {
                self.one.tick();
            }
            if self.tenths % 10 == self.apart {
                self.other.tick();
            }
            tokio::time::advance(Duration::from_millis(100)).await;
            self.tenths += 1;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_noted_on_another_clock_is_due_up_to_a_second_later_and_never_earlier() {
        for (apart, moment) in (0..10).flat_map(|apart| (30..40).map(move |at| (apart, at))) {
            let mut clocks = Clocks::begin(apart).await;
            while clocks.tenths < moment {
                clocks.go_on().await;
            }
            let Clocks { one, other, .. } = &clocks;
            let wait = Duration::from_secs(5);
            let here = one.now().after(wait);
            let moved = [
                other.back(one.since(one.now())).after(wait),
                other.ahead(one.until(here)),
            ];
            let mut late = [0; 2];
            for _ in 0..100 {
                let is_due_here = clocks.one.now() >= here;
                for (late, there) in late.iter_mut().zip(moved) {
                    let is_due_there = clocks.other.now() >= there;
                    assert!(is_due_here || !is_due_there, "too early: {apart}, {moment}");
                    *late += u32::from(is_due_here && !is_due_there);
                }
                clocks.go_on().await;
            }
            assert!(late.into_iter().all(|tenths| tenths < 10), "{late:?}");
            assert!(moved.into_iter().all(|there| clocks.other.now() >= there));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_never_comes_never_comes_on_another_clock() {
        let [one, other] = [Clock::new(), Clock::new()];
        assert_eq!(other.ahead(one.until(Tick::NEVER)), Tick::NEVER);
        assert_eq!(other.ahead(Some(Duration::MAX)), Tick::NEVER, "nor so soon");
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_knows_of_times_long_before_it_began() {
        let year = Duration::from_secs(365 * 24 * 3_600);
        let clock = Clock::new();
        assert_eq!(clock.since(clock.back(year)), year);
    }
}
