//! A token bucket: so many a second, and so many at once after a pause.

use std::time::Duration;

use tokio::time::Instant;

use crate::config::Rate;

/// A bucket that fills by `rate` tokens a second until there are `burst`. It is kept as the time at
/// which it will be full again, and a token taken moves that on (the generic cell rate algorithm,
/// ITU-T I.371): so it may be taken before it is there, by whoever waits for it.
///
/// Times are counted in nanoseconds × `rate`, of which a token is worth a whole number: no rate is
/// off by a fraction.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u128,
    burst: u128,
    /// Where its times begin.
    epoch: Instant,
    full_at: u128,
    /// Tokens taken by those who still wait until they are there.
    reserved: usize,
}

const TOKEN: u128 = 1_000_000_000;

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate: u128::from(rate.per_second.get()),
            burst: u128::from(rate.burst.get()),
            epoch: now,
            full_at: 0,
            reserved: 0,
        }
    }

    /// When there is a token for somebody with so many `ahead`, if each of them who has not
    /// reserved one takes one as soon as it is there; `now` if there is one already.
    pub(super) fn next_at(&self, now: Instant, ahead: usize) -> Instant {
        let ahead = ahead.saturating_sub(self.reserved) as u128;
        let full_at = self.full_at.max(self.units(now)) + TOKEN * ahead;
        let next = full_at.saturating_sub(TOKEN * (self.burst - 1));
        let nanos = u64::try_from(next.div_ceil(self.rate)).unwrap_or(u64::MAX);
        now.max(self.epoch + Duration::from_nanos(nanos))
    }

    /// Takes the next token.
    pub(super) fn take(&mut self, now: Instant) {
        self.full_at = self.full_at.max(self.units(now)) + TOKEN;
    }

    /// Takes the next token, which may still have to come.
    pub(super) fn reserve(&mut self, now: Instant) {
        self.take(now);
        self.reserved += 1;
    }

    /// A token that was reserved has come, and is used.
    pub(super) fn use_reserved(&mut self) {
        self.reserved -= 1;
    }

    /// A token that was reserved is not needed.
    pub(super) fn give_back(&mut self) {
        self.reserved -= 1;
        self.full_at = self.full_at.saturating_sub(TOKEN);
    }

    /// Whether it is as it was when it was new.
    pub(super) fn is_full(&self, now: Instant) -> bool {
        self.full_at <= self.units(now)
    }

    fn units(&self, at: Instant) -> u128 {
        at.saturating_duration_since(self.epoch).as_nanos() * self.rate
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use proptest::prelude::*;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate {
            per_second: NonZeroU32::new(per_second).unwrap(),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    /// Takes what is there at `now`, and says how much it was.
    fn empty(bucket: &mut Bucket, now: Instant) -> u32 {
        let mut taken = 0;
        while bucket.next_at(now, 0) <= now {
            bucket.take(now);
            taken += 1;
        }
        taken
    }

    fn millis(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn a_new_bucket_has_a_burst_and_then_a_token_at_a_time() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(10, 3), start);
        assert_eq!(empty(&mut bucket, start), 3);
        assert_eq!(bucket.next_at(start, 0), start + millis(100));
        assert_eq!(bucket.next_at(start, 4), start + millis(500));
        assert_eq!(empty(&mut bucket, start + millis(99)), 0);
        assert_eq!(empty(&mut bucket, start + millis(100)), 1);
        assert_eq!(empty(&mut bucket, start + millis(350)), 2);
        assert_eq!(empty(&mut bucket, start + millis(399)), 0);
        assert_eq!(empty(&mut bucket, start + millis(400)), 1);
    }

    #[test]
    fn no_pause_saves_up_more_than_a_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(10, 3), start);
        empty(&mut bucket, start);
        assert!(!bucket.is_full(start + millis(299)));
        assert!(bucket.is_full(start + millis(300)));
        assert_eq!(empty(&mut bucket, start + Duration::from_secs(3_600)), 3);
    }

    #[test]
    fn a_token_can_be_reserved_before_it_is_there_and_given_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(10, 1), start);
        bucket.take(start);
        bucket.reserve(start);
        assert_eq!(bucket.next_at(start, 0), start + millis(200));
        assert_eq!(
            bucket.next_at(start, 1),
            start + millis(200),
            "it has its own"
        );
        assert_eq!(bucket.next_at(start, 2), start + millis(300));
        bucket.give_back();
        assert_eq!(bucket.next_at(start, 0), start + millis(100));
        bucket.reserve(start);
        bucket.use_reserved();
        assert_eq!(bucket.next_at(start, 1), start + millis(300));
    }

    #[test]
    fn a_rate_that_divides_no_second_is_exact_over_a_day() {
        let start = Instant::now();
        let mut bucket = Bucket::new(rate(7, 1), start);
        let day = 24 * 60 * 60;
        for _ in 0..7 * day {
            bucket.take(start);
        }
        assert_eq!(bucket.next_at(start, 0), start + Duration::from_secs(day));
    }

    proptest! {
        #[test]
        fn no_time_span_sees_more_than_a_burst_and_its_rate(
            per_second in 1_u32..5_000,
            burst in 1_u32..50,
            pauses in prop::collection::vec(0_u64..400_000_000, 1..60),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket::new(rate(per_second, burst), start);
            let mut now = start;
            let mut entries = Vec::new();
            for pause in pauses {
                now += Duration::from_nanos(pause);
                entries.push((now, u128::from(empty(&mut bucket, now))));
            }
            for first in 0..entries.len() {
                let mut total = 0;
                for (at, taken) in &entries[first..] {
                    total += taken;
                    let span = (*at - entries[first].0).as_nanos();
                    let allowed = u128::from(burst) + span * u128::from(per_second) / TOKEN;
                    prop_assert!(total <= allowed, "{total} in {span} ns, allowed {allowed}");
                }
            }
        }
    }
}
