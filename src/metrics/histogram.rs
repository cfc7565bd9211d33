//! How many values of each size there were.

use std::ops::{AddAssign, Sub};

use super::{Count, LocalCounter};

/// How many values there were up to each of some bounds, and what they amount to. Values are whole
/// numbers of some small unit: bytes, or microseconds.
#[derive(Debug)]
pub struct Histogram<C = LocalCounter> {
    bounds: &'static [u64],
    /// One for each bound, and one for what is above the last.
    counts: Box<[C]>,
    sum: C,
}

/// What a histogram has counted at some time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    bounds: &'static [u64],
    counts: Box<[u64]>,
    sum: u64,
}

impl<C: Count> Histogram<C> {
    /// One with these upper bounds, which grow.
    #[must_use]
    pub fn new(bounds: &'static [u64]) -> Self {
        debug_assert!(bounds.is_sorted());
        Self {
            bounds,
            counts: (0..=bounds.len()).map(|_| C::default()).collect(),
            sum: C::default(),
        }
    }

    /// Counts a value.
    pub fn observe(&self, value: u64) {
        let index = self.bounds.partition_point(|bound| *bound < value);
        self.counts[index].add(1);
        self.sum.add(value);
    }

    /// What it has counted so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            bounds: self.bounds,
            counts: self.counts.iter().map(Count::value).collect(),
            sum: self.sum.value(),
        }
    }
}

impl Snapshot {
    /// That of a histogram with these bounds that has counted nothing.
    #[must_use]
    pub fn empty(bounds: &'static [u64]) -> Self {
        Self {
            bounds,
            counts: vec![0; bounds.len() + 1].into(),
            sum: 0,
        }
    }

    /// How many values there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// What they amount to.
    #[must_use]
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// How many lie between each bound and the one before; `None` is beyond the last.
    pub fn buckets(&self) -> impl Iterator<Item = (Option<u64>, u64)> {
        let bounds = self.bounds.iter().copied().map(Some).chain([None]);
        bounds.zip(self.counts.iter().copied())
    }

    /// What the part `q` of the values, from 0 to 1, does not exceed, taken to be spread evenly
    /// between two bounds; `None` if there are none.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<f64> {
        let count = self.count();
        if count == 0 {
            return None;
        }
        let rank = q * count as f64;
        let (mut below, mut lower) = (0.0, 0);
        for (bound, inside) in self.buckets() {
            let upper = bound.unwrap_or(lower);
            let inside = inside as f64;
            if inside > 0.0 && below + inside >= rank {
                let part = ((rank - below) / inside).clamp(0.0, 1.0);
                return Some(lower as f64 + part * (upper - lower) as f64);
            }
            below += inside;
            lower = upper;
        }
        Some(lower as f64)
    }
}

impl AddAssign<&Self> for Snapshot {
    fn add_assign(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.sum += other.sum;
    }
}

impl Sub for &Snapshot {
    type Output = Snapshot;

    /// What was counted since `earlier`.
    fn sub(self, earlier: Self) -> Snapshot {
        let counts = self.counts.iter().zip(&earlier.counts);
        Snapshot {
            bounds: self.bounds,
            counts: counts
                .map(|(now, then)| now.saturating_sub(*then))
                .collect(),
            sum: self.sum.saturating_sub(earlier.sum),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Counter;

    const BOUNDS: &[u64] = &[10, 20, 40];

    fn of(values: &[u64]) -> Snapshot {
        let histogram = Histogram::<Counter>::new(BOUNDS);
        values.iter().for_each(|value| histogram.observe(*value));
        histogram.snapshot()
    }

    #[test]
    fn a_value_counts_up_to_the_first_bound_that_it_does_not_exceed() {
        let counted: Vec<_> = of(&[0, 10, 11, 20, 40, 41, 1_000]).buckets().collect();
        let expected = [(Some(10), 2), (Some(20), 2), (Some(40), 1), (None, 2)];
        assert_eq!(counted, expected);
        assert_eq!((of(&[1, 2, 30]).count(), of(&[1, 2, 30]).sum()), (3, 33));
    }

    #[test]
    fn several_add_up_and_the_past_can_be_taken_off() {
        let mut all = Snapshot::empty(BOUNDS);
        all += &of(&[5, 15]);
        all += &of(&[15, 100]);
        assert_eq!(all, of(&[5, 15, 15, 100]));
        assert_eq!(&all - &of(&[15, 100]), of(&[5, 15]));
    }

    #[test]
    fn a_quantile_lies_where_its_rank_does_between_two_bounds() {
        assert_eq!(of(&[]).quantile(0.5), None);
        let even = of(&[5, 5, 15, 15]);
        assert_eq!(even.quantile(0.25), Some(5.0));
        assert_eq!(even.quantile(0.5), Some(10.0));
        assert_eq!(even.quantile(0.75), Some(15.0));
        assert_eq!(even.quantile(1.0), Some(20.0));
        assert_eq!(of(&[100]).quantile(0.5), Some(40.0), "all that is known");
    }
}
