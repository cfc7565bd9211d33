//! What is counted at a gate, or at gates that belong together. It outlives them: a reload may put
//! others in their place.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::time::Instant;

use super::{Gate, Pass, Refused};
use crate::metrics::{self, Count, Counter, Histogram, Snapshot};

/// What is counted of those who come to a gate.
#[derive(Debug)]
pub struct Counts {
    waiting: AtomicUsize,
    refused: Counter,
    waits: Histogram<Counter>,
}

/// Who waits to be let in, and what became of those who came before.
#[derive(Debug, Clone)]
pub struct Queue {
    /// How many wait now.
    pub waiting: usize,
    /// How many may; `None` where nobody has to. Where each client has a line of its own, in each.
    pub most: Option<usize>,
    /// How many were refused, since too many waited or it took too long.
    pub refused: u64,
    /// How long those were kept who were let in where somebody may have to wait, in microseconds.
    pub waits: Snapshot,
}

/// Somebody who waits, counted until dropped.
struct Waiting<'c>(&'c Counts);

/// In microseconds.
const WAITS: &[u64] = &[
    1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000, 30_000_000,
];

impl Counts {
    /// Comes in by `gate`, waiting in its line if there is one.
    pub(super) async fn enter(&self, gate: &Gate) -> Result<Pass, Refused> {
        let began = Instant::now();
        let entered = match gate.try_enter(began) {
            Some(pass) => Ok(pass),
            None => {
                let _waiting = Waiting::at(self);
                gate.enter().await
            }
        };
        match &entered {
            Ok(_) if gate.has_limit() => self.waits.observe(metrics::micros(began.elapsed())),
            Ok(_) => {}
            Err(Refused) => self.refused.add(1),
        }
        entered
    }

    /// What it has counted, where so many may wait.
    pub(super) fn queue(&self, most: Option<usize>) -> Queue {
        Queue {
            waiting: self.waiting.load(Relaxed),
            most,
            refused: self.refused.value(),
            waits: self.waits.snapshot(),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            waiting: AtomicUsize::new(0),
            refused: Counter::default(),
            waits: Histogram::new(WAITS),
        }
    }
}

impl<'c> Waiting<'c> {
    fn at(counts: &'c Counts) -> Self {
        counts.waiting.fetch_add(1, Relaxed);
        Self(counts)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, sync::Arc, time::Duration};

    use futures_util::poll;
    use tokio::time::advance;

    use super::*;
    use crate::{
        config,
        pool::admission::{Entrance, Kind, Scope},
    };

    const ONE_AT_A_TIME: config::Gate = config::Gate {
        rate: None,
        handshakes: NonZeroUsize::new(1),
        queue: 2,
        queue_timeout: Duration::from_secs(5),
    };

    fn entrance(config: config::Gate, counts: &Arc<Counts>) -> Entrance {
        Entrance::new(
            &config,
            Kind::Handshakes,
            Scope::Pool,
            "test".to_owned(),
            Arc::clone(counts),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_wait_count_while_they_do_and_those_who_come_in_by_how_long() {
        let counts = Arc::default();
        let entrance = entrance(ONE_AT_A_TIME, &counts);
        let inside = entrance.enter().await.unwrap();
        let mut first = Box::pin(entrance.enter());
        let mut second = Box::pin(entrance.enter());
        assert!(poll!(&mut first).is_pending() && poll!(&mut second).is_pending());
        assert!(entrance.enter().await.is_err());
        let queue = entrance.queue();
        assert_eq!((queue.waiting, queue.most, queue.refused), (2, Some(2), 1));

        advance(Duration::from_secs(2)).await;
        drop((inside, second));
        assert!(first.await.is_ok());
        let queue = entrance.queue();
        assert_eq!((queue.waiting, queue.refused), (0, 1));
        assert_eq!((queue.waits.count(), queue.waits.sum()), (2, 2_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn where_nobody_has_to_wait_nobody_is_counted() {
        let config = config::Gate {
            handshakes: None,
            ..ONE_AT_A_TIME
        };
        let entrance = entrance(config, &Arc::default());
        assert!(entrance.enter().await.is_ok());
        let queue = entrance.queue();
        assert_eq!((queue.most, queue.waits.count()), (None, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_gate_that_comes_in_place_of_another_goes_on_counting() {
        let counts = Arc::default();
        let before = entrance(ONE_AT_A_TIME, &counts);
        let _inside = before.enter().await;
        let mut waits = Box::pin(before.enter());
        assert!(poll!(&mut waits).is_pending());
        let config = config::Gate {
            queue: 0,
            ..ONE_AT_A_TIME
        };
        let after = entrance(config, &counts);
        let _inside_too = after.enter().await;
        assert!(after.enter().await.is_err());
        let queue = after.queue();
        assert_eq!((queue.waiting, queue.most, queue.refused), (1, Some(0), 1));
        assert_eq!(queue.waits.count(), 2);
    }
}
