//! When each of many tunnels is told to close: spread out, so that their clients do not all come
//! back at once.
//!
//! Each has a slot of its own, and a random place in it. So they follow one another evenly, and yet
//! not in step with other proxies that do the same.

use std::{num::NonZeroU32, time::Duration};

use tokio::time::Instant;

use crate::config::DrainPace;

/// How fast tunnels are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All within that time, evenly.
    Over(Duration),
    /// So many a second.
    Rate(NonZeroU32),
}

impl From<DrainPace> for Pace {
    fn from(config: DrainPace) -> Self {
        match config {
            DrainPace::Over(window) => Self::Over(window),
            DrainPace::Rate(rate) => Self::Rate(rate),
        }
    }
}

impl Pace {
    /// The pace for so many: whoever has a time to tell few of them in needs less of it.
    #[must_use]
    pub fn for_few(self, count: usize) -> Self {
        match self {
            Self::Over(window) => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                Self::Over(window.min(EACH.saturating_mul(count)))
            }
            rate @ Self::Rate(_) => rate,
        }
    }
}

/// Says who is due. How many there are may change from question to question.
#[derive(Debug)]
pub struct Pacing {
    pace: Pace,
    /// Where the slot of the next one begins.
    slot: Instant,
    /// Where in its slot the next one is due: 0 is its beginning, 1 its end.
    place: f64,
    /// Where the slots of a window end.
    end: Instant,
}

/// The most time that one alone is worth.
const EACH: Duration = Duration::from_millis(100);

/// What was missed longer ago is not made up for: a process that has slept would else wake to a
/// storm.
const MADE_UP_FOR: Duration = Duration::from_millis(100);

impl Pacing {
    /// A pacing that begins at `now`.
    #[must_use]
    pub fn new(pace: Pace, now: Instant) -> Self {
        Self {
            pace,
            slot: now,
            place: rand::random(),
            end: match pace {
                Pace::Over(window) => now + window,
                Pace::Rate(_) => now,
            },
        }
    }

    /// How many of those `left` are due at `now`. They are taken to be told.
    pub fn due(&mut self, left: usize, now: Instant) -> usize {
        self.leave_out_missed(left, now);
        let mut due = 0;
        while due < left && self.next(left - due) <= now {
            self.slot += self.width(left - due);
            self.place = rand::random();
            due += 1;
        }
        due
    }

    /// When the next of those `left` is due.
    #[must_use]
    pub fn next(&self, left: usize) -> Instant {
        self.slot + self.width(left).mul_f64(self.place)
    }

    /// When the last of those `left` is due, at the latest.
    #[must_use]
    pub fn last(&self, left: usize) -> Instant {
        let left_slots = u32::try_from(left).unwrap_or(u32::MAX);
        self.slot + self.width(left).saturating_mul(left_slots)
    }

    /// How long a slot is if there are so many `left`.
    fn width(&self, left: usize) -> Duration {
        match self.pace {
            Pace::Rate(rate) => Duration::from_secs(1) / rate.get(),
            Pace::Over(_) => {
                let left = u32::try_from(left).unwrap_or(u32::MAX).max(1);
                self.end.saturating_duration_since(self.slot) / left
            }
        }
    }

    /// Passes over the slots that were not asked for in time, or that nobody was there for. Those
    /// who are left when a window is over get another one.
    fn leave_out_missed(&mut self, left: usize, now: Instant) {
        let Some(early) = now.checked_sub(MADE_UP_FOR) else {
            return;
        };
        if self.next(left) < early {
            self.slot = self.slot.max(early);
        }
        if let Pace::Over(window) = self.pace
            && early > self.end
        {
            (self.slot, self.end) = (now, now + window);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(a_second: u32) -> Pace {
        Pace::Rate(NonZeroU32::new(a_second).unwrap())
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// When each of `count` is told, from the beginning on, by somebody who asks exactly when the
    /// next one is due.
    fn told(pace: Pace, count: usize) -> Vec<Duration> {
        let began = Instant::now();
        let mut pacing = Pacing::new(pace, began);
        let mut told = Vec::new();
        while told.len() < count {
            let now = pacing.next(count - told.len());
            let due = pacing.due(count - told.len(), now);
            assert!(due > 0, "it is due when it says so");
            told.extend(vec![now - began; due]);
        }
        told
    }

    /// How many are told at each of these moments, one after the other, of `count`.
    fn told_at(pace: Pace, count: usize, moments: &[Duration]) -> Vec<usize> {
        let began = Instant::now();
        let mut pacing = Pacing::new(pace, began);
        let mut left = count;
        let ask = |moment: &Duration| {
            let due = pacing.due(left, began + *moment);
            left -= due;
            due
        };
        moments.iter().map(ask).collect()
    }

    #[test]
    fn nobody_is_due_where_nobody_is_left() {
        for pace in [rate(10), Pace::Over(millis(1_000))] {
            assert_eq!(told_at(pace, 0, &[millis(0), millis(5_000)]), [0, 0]);
        }
    }

    #[test]
    fn whoever_comes_when_the_window_is_over_gets_a_window_too() {
        let began = Instant::now();
        let window = millis(10_000);
        let mut pacing = Pacing::new(Pace::Over(window), began);
        assert_eq!(pacing.due(3, began + window), 3);
        let late = began + 3 * window;
        assert!(pacing.due(1_000, late) <= 1);
        assert!(pacing.due(1_000, late + window / 2) <= 20, "not at once");
        assert_eq!(pacing.due(1_000, late + window), 1_000);
    }

    #[test]
    fn slots_that_nobody_was_there_for_are_not_saved_up() {
        for pace in [rate(10), Pace::Over(millis(60_000))] {
            let began = Instant::now();
            let mut pacing = Pacing::new(pace, began);
            for second in 1..30 {
                assert_eq!(pacing.due(0, began + millis(1_000) * second), 0);
            }
            let due = pacing.due(100, began + millis(30_000));
            assert!(due <= 2, "{due}");
        }
    }

    #[test]
    fn two_that_begin_together_do_not_go_in_step() {
        let (one, other) = (told(rate(10), 50), told(rate(10), 50));
        let together = one.iter().zip(&other).filter(|(a, b)| a == b).count();
        assert!(together < 5, "{together}");
    }

    #[test]
    fn few_need_less_than_the_window() {
        let window = Pace::Over(millis(15_000));
        assert_eq!(window.for_few(0), Pace::Over(Duration::ZERO));
        assert_eq!(window.for_few(20), Pace::Over(millis(2_000)));
        assert_eq!(window.for_few(usize::MAX), window);
        assert_eq!(rate(5).for_few(1), rate(5));
    }

    proptest! {
        #[test]
        fn a_window_tells_each_in_a_slot_of_its_own(
            count in 1_usize..500,
            window in 1_u64..100_000,
        ) {
            let slot = millis(window).div_f64(count as f64);
            // Whoever counts slots rounds.
            let slack = Duration::from_micros(1);
            for (place, told) in told(Pace::Over(millis(window)), count).iter().enumerate() {
                let begins = slot.mul_f64(place as f64);
                prop_assert!(*told + slack >= begins, "{told:?} of {begins:?}");
                prop_assert!(*told <= begins + slot + slack, "{told:?} of {begins:?}");
            }
        }

        #[test]
        fn a_rate_tells_each_in_a_slot_of_its_own(count in 1_usize..500, a_second in 1_u32..2_000) {
            let slot = Duration::from_secs(1) / a_second;
            for (place, told) in told(rate(a_second), count).into_iter().enumerate() {
                let begins = slot * u32::try_from(place).unwrap();
                prop_assert!(told >= begins && told <= begins + slot, "{told:?} of {begins:?}");
            }
        }

        #[test]
        fn no_second_has_more_than_the_rate_however_it_is_asked(
            a_second in 1_u32..500,
            pauses in prop::collection::vec(0_u64..3_000, 1..60),
        ) {
            let mut moments = Vec::new();
            let mut moment = millis(0);
            for pause in pauses {
                moment += millis(pause);
                moments.push(moment);
            }
            let told = told_at(rate(a_second), usize::MAX, &moments);
            // A tenth of a second may be made up for, and one slot begins before and one ends after.
            let most = (a_second + a_second / 10 + 2) as usize;
            for from in 0..moments.len() {
                let within = |moment: &Duration| *moment <= moments[from] + millis(1_000);
                let in_a_second: usize = (from..moments.len())
                    .take_while(|index| within(&moments[*index]))
                    .map(|index| told[index])
                    .sum();
                prop_assert!(in_a_second <= most, "{in_a_second} of {most}");
            }
        }

        #[test]
        fn all_are_told_by_the_windows_end_however_many_join_on_the_way(
            joining in prop::collection::vec(0_usize..50, 1..100),
        ) {
            let (began, step) = (Instant::now(), millis(50));
            let window = step * u32::try_from(joining.len()).unwrap();
            let mut pacing = Pacing::new(Pace::Over(window), began);
            let (mut left, mut now) = (0, began);
            for joining in joining {
                left += joining;
                left -= pacing.due(left, now);
                now += step;
            }
            prop_assert_eq!(left - pacing.due(left, now), 0);
        }

        #[test]
        fn a_pause_makes_no_storm(count in 100_usize..5_000, pause in 0_u64..50_000) {
            let window = millis(60_000);
            let at = [millis(pause)];
            let told = told_at(Pace::Over(window), count, &at)[0];
            // A tenth of a second's worth, at the pace that is needed for the rest of the window.
            let rest = (window - millis(pause)).as_secs_f64();
            prop_assert!(told as f64 <= 0.1 * count as f64 / rest + 2.0, "{told}");
        }
    }
}
