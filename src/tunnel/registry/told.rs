//! How many tunnels were told to close, and what for.

use crate::{
    metrics::{Count, Counter},
    tunnel::Cause,
};

/// What is counted of the tunnels that we end.
#[derive(Debug, Default)]
pub(super) struct Told {
    by_cause: [Counter; CAUSES.len()],
    cut: Counter,
}

/// What was counted of the tunnels that we have ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToldTotals {
    /// Those that were told to close, by what for.
    pub told: [(&'static str, u64); CAUSES.len()],
    /// Those that were cut, since they had not ended in time.
    pub cut: u64,
}

/// What tunnels are told to close for, and what that is called here.
const CAUSES: [(Cause, &str); 6] = [
    (Cause::Draining, "drain"),
    (Cause::Down, "down"),
    (Cause::Removed, "removed"),
    (Cause::Rebalance, "rebalance"),
    (Cause::Closed, "closed"),
    (Cause::Shutdown, "shutdown"),
];

impl Told {
    /// One was told for that cause.
    pub(super) fn add(&self, cause: Cause) {
        let all = CAUSES.iter().zip(&self.by_cause);
        all.filter(|((own, _), _)| *own == cause)
            .for_each(|(_, count)| count.add(1));
    }

    /// So many were cut.
    pub(super) fn cut(&self, tunnels: usize) {
        self.cut.add(tunnels as u64);
    }

    pub(super) fn totals(&self) -> ToldTotals {
        let mut told = CAUSES.map(|(_, name)| (name, 0));
        for ((_, total), count) in told.iter_mut().zip(&self.by_cause) {
            *total = count.value();
        }
        ToldTotals {
            told,
            cut: self.cut.value(),
        }
    }
}
