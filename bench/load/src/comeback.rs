//! When a client that has lost its tunnel comes back: what libraries for browsers and apps do.

use std::time::Duration;

/// A client that lost its tunnel without a word comes back after a random part of this.
const AT_ONCE: Duration = Duration::from_millis(100);
/// After a try that failed, it waits for a random part of a step, and steps double.
const FIRST_STEP: Duration = Duration::from_millis(500);
const LONGEST_STEP: Duration = Duration::from_secs(8);

/// One client's patience.
pub struct Comeback {
    dice: Dice,
    /// How many tries have failed in a row.
    failed: u32,
}

impl Comeback {
    /// The same numbers give the same delays, so that every proxy meets the same crowd.
    pub fn new(seed: u64, client: u64) -> Self {
        Self {
            dice: Dice(seed ^ client.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            failed: 0,
        }
    }

    /// How long until it tries again after a loss.
    pub fn after_loss(&mut self) -> Duration {
        self.failed = 0;
        self.dice.part_of(AT_ONCE)
    }

    /// How long until it tries again after a failure: exponential, with full jitter, and never
    /// before the time that it was asked to stay away for.
    pub fn after_failure(&mut self, retry_after: Option<Duration>) -> Duration {
        let step = FIRST_STEP.saturating_mul(1 << self.failed.min(16));
        self.failed += 1;
        let delay = self.dice.part_of(step.min(LONGEST_STEP));
        match retry_after {
            Some(asked) => delay.max(asked + self.dice.part_of(FIRST_STEP)),
            None => delay,
        }
    }

    /// Its tunnel has lasted.
    pub fn forget_failures(&mut self) {
        self.failed = 0;
    }
}

/// SplitMix64, which is random enough here and needs no crate.
struct Dice(u64);

impl Dice {
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        whole.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_client_comes_back_within_a_tenth_of_a_second() {
        let mut comeback = Comeback::new(1, 1);

        assert!((0..1_000).all(|_| comeback.after_loss() < AT_ONCE));
    }

    #[test]
    fn steps_double_until_the_longest_and_begin_again_after_a_loss() {
        let longest = |failures: usize| {
            let after = |client| {
                let mut comeback = Comeback::new(7, client);
                for _ in 0..9 {
                    comeback.after_failure(None);
                }
                comeback.after_loss();
                let delays = (0..failures).map(|_| comeback.after_failure(None));
                delays.last().unwrap_or_default()
            };
            (0..2_000)
                .map(after)
                .max()
                .unwrap_or_default()
                .as_secs_f64()
        };

        assert!((0.45..0.5).contains(&longest(1)));
        assert!((0.9..1.0).contains(&longest(2)));
        assert!((7.5..8.0).contains(&longest(5)));
        assert!((7.5..8.0).contains(&longest(40)));
    }

    #[test]
    fn nobody_comes_before_the_time_it_was_told() {
        let asked = Duration::from_secs(3);
        let delays: Vec<_> = (0..1_000)
            .map(|client| Comeback::new(3, client).after_failure(Some(asked)))
            .collect();

        assert!(delays.iter().all(|delay| *delay >= asked));
        assert!(delays.iter().any(|delay| *delay > asked + FIRST_STEP / 2));
    }
}
