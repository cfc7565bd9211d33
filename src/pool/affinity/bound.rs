//! How much a backend may carry before keys that ask for it go on to the next (Mirrokni, Thorup and
//! Zadimoghaddam, "Consistent Hashing with Bounded Loads", 2018).

/// A limit on the load of each backend, relative to what all carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bound {
    /// In percent of a fair share.
    factor: u64,
    /// What all carry, with one use more.
    total: u64,
    /// The weights of all.
    weights: u64,
}

impl Bound {
    /// The bound at `factor` percent of a fair share, between backends with these loads and weights.
    pub(crate) fn new(factor: u32, backends: impl Iterator<Item = (usize, u64)>) -> Self {
        let sums = backends.fold((0, 0), |(total, weights), (load, weight)| {
            (total + load as u64, weights + weight)
        });
        Self {
            factor: u64::from(factor),
            total: sums.0 + 1,
            weights: sums.1,
        }
    }

    /// Whether a backend with that load and weight may carry one use more.
    pub(crate) fn allows(&self, load: usize, weight: u64) -> bool {
        let share = u128::from(self.factor) * u128::from(self.total) * u128::from(weight);
        let most = share.div_ceil(100 * u128::from(self.weights.max(1)));
        (load as u128) < most
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    /// Which of the backends may carry one more.
    fn allowed(factor: u32, backends: &[(usize, u64)]) -> Vec<bool> {
        let bound = Bound::new(factor, backends.iter().copied());
        let allowed = backends
            .iter()
            .map(|(load, weight)| bound.allows(*load, *weight));
        allowed.collect()
    }

    #[test]
    fn a_backend_may_carry_so_much_more_than_its_fair_share() {
        // With one more there are 100, so a fair share is 25.
        assert_eq!(
            allowed(125, &[(31, 1), (32, 1), (18, 1), (18, 1)]),
            [true, false, true, true]
        );
        assert_eq!(
            allowed(100, &[(24, 1), (25, 1), (25, 1), (25, 1)]),
            [true, false, false, false]
        );
    }

    #[test]
    fn a_heavier_backend_may_carry_as_much_more() {
        assert_eq!(allowed(100, &[(65, 2), (34, 1)]), [true, false]);
        assert_eq!(allowed(100, &[(66, 2), (33, 1)]), [true, true]);
    }

    proptest! {
        #[test]
        fn somebody_may_always_carry_one_more(
            factor in 100u32..300,
            backends in vec((0usize..1000, 1u64..100_000), 1..8),
        ) {
            prop_assert!(allowed(factor, &backends).contains(&true));
        }
    }
}
