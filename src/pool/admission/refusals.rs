//! What the log hears of refusals: when they begin, and when they have stopped.

use std::{sync::Mutex, time::Duration};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Kind, Scope};

/// The refusals of a gate, or of gates that belong together.
#[derive(Debug)]
pub(super) struct Refusals {
    kind: Kind,
    scope: Scope,
    /// Whose gate it is.
    name: String,
    tally: Mutex<Tally>,
}

/// Refusals that come together, counted. A storm is one event, not a thousand.
#[derive(Debug, Default)]
struct Tally {
    count: u64,
    last: Option<Instant>,
}

/// Refusals have stopped when there has been none for this long.
const QUIET: Duration = Duration::from_secs(10);

impl Refusals {
    pub(super) fn of(kind: Kind, scope: Scope, name: String) -> Self {
        Self {
            kind,
            scope,
            name,
            tally: Mutex::default(),
        }
    }

    /// One more.
    pub(super) fn add(&self, now: Instant) {
        if self.tally.lock().expect("no holder panics").add(now) {
            warn!(
                scope = %self.scope,
                name = self.name,
                "{} are refused: more come than are let in",
                self.kind
            );
        }
    }

    /// Says so if they have stopped.
    pub(super) fn settle(&self, now: Instant) {
        let settled = self.tally.lock().expect("no holder panics").settle(now);
        if let Some(refused) = settled {
            info!(
                scope = %self.scope,
                name = self.name,
                refused,
                "{} are refused no more",
                self.kind
            );
        }
    }
}

impl Tally {
    /// Counts one, and says whether it is the first.
    fn add(&mut self, now: Instant) -> bool {
        self.count += 1;
        self.last = Some(now);
        self.count == 1
    }

    /// How many there were, once they have stopped.
    fn settle(&mut self, now: Instant) -> Option<u64> {
        let has_stopped = |last: &Instant| now.saturating_duration_since(*last) >= QUIET;
        self.last.take_if(|last| has_stopped(last))?;
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_storm_begins_once_and_ends_once() {
        let mut tally = Tally::default();
        let start = Instant::now();
        assert_eq!(tally.settle(start), None);
        let begins: Vec<_> = (0..4).map(|n| tally.add(start + n * QUIET / 2)).collect();
        assert_eq!(begins, [true, false, false, false]);

        let last = start + 3 * QUIET / 2;
        assert_eq!(tally.settle(last + QUIET - Duration::from_millis(1)), None);
        assert_eq!(tally.settle(last + QUIET), Some(4));
        assert_eq!(tally.settle(last + 2 * QUIET), None);
        assert!(tally.add(last + 3 * QUIET), "the next storm begins anew");
        assert_eq!(tally.settle(last + 4 * QUIET), Some(1));
    }
}
