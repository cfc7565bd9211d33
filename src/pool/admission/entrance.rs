//! The gate of the proxy, of a pool or of a backend.

use tokio::time::Instant;

use super::{Crowded, Gate, Pass, Refused, Scope, refusals::Refusals};
use crate::config;

/// A gate that is known by a name, and says in the log when it begins to refuse and when it has
/// stopped.
#[derive(Debug)]
pub struct Entrance {
    scope: Scope,
    gate: Gate,
    refusals: Refusals,
}

impl Entrance {
    /// The entrance to what the log is to call `name`.
    #[must_use]
    pub fn new(config: &config::Gate, scope: Scope, name: String) -> Self {
        Self {
            scope,
            gate: Gate::new(config, Instant::now()),
            refusals: Refusals::of(scope, name),
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
        let entered = self.gate.enter().await;
        entered.map_err(|Refused| {
            self.refusals.add(Instant::now());
            Crowded { scope: self.scope }
        })
    }

    /// Tells the log if it refuses no more. To be called now and then.
    pub fn settle(&self) {
        self.refusals.settle(Instant::now());
    }
}
