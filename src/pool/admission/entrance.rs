//! The gate of the proxy, of a pool or of a backend.

use std::sync::Arc;

use tokio::time::Instant;

use super::{Counts, Crowded, Gate, Kind, Pass, Queue, Refused, Scope, refusals::Refusals};
use crate::config;

/// A gate that is known by a name, and says in the log when it begins to refuse and when it has
/// stopped.
#[derive(Debug)]
pub struct Entrance {
    kind: Kind,
    scope: Scope,
    /// How many may wait; `None` where nobody has to.
    most: Option<usize>,
    gate: Gate,
    counts: Arc<Counts>,
    refusals: Refusals,
}

impl Entrance {
    /// The entrance to what the log is to call `name`, for that `kind`, where those are counted with
    /// `counts` who come.
    #[must_use]
    pub fn new(
        config: &config::Gate,
        kind: Kind,
        scope: Scope,
        name: String,
        counts: Arc<Counts>,
    ) -> Self {
        Self {
            kind,
            scope,
            most: config.has_limit().then_some(config.queue),
            gate: Gate::new(config, Instant::now()),
            counts,
            refusals: Refusals::of(kind, scope, name),
        }
    }

    /// Whether one more would come in at `now` without waiting.
    #[must_use]
    pub fn is_open(&self, now: Instant) -> bool {
        self.gate.is_open(now)
    }

    /// Comes in, waiting if there is a line.
    ///
    /// # Errors
    /// If the line is too long.
    pub async fn enter(&self) -> Result<Pass, Crowded> {
        let entered = self.counts.enter(&self.gate).await;
        entered.map_err(|Refused| {
            self.refusals.add(Instant::now());
            Crowded {
                kind: self.kind,
                scope: self.scope,
            }
        })
    }

    /// Who waits, and what became of those who came.
    #[must_use]
    pub fn queue(&self) -> Queue {
        self.counts.queue(self.most)
    }

    /// What counts those who come.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Tells the log if it refuses no more. To be called now and then.
    pub fn settle(&self) {
        self.refusals.settle(Instant::now());
    }
}
