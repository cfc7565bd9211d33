//! What clients count together.

use std::{
    cell::{Cell, RefCell},
    io,
    time::Duration,
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// Nothing takes longer, in nanoseconds.
const MINUTE: u64 = 60_000_000_000;

/// How much was done, how long each piece took, and what went wrong.
pub struct Tally {
    count: Cell<u64>,
    latency: RefCell<Histogram<u64>>,
    resumed: Cell<u64>,
    failed: Cell<u64>,
    last_failure: RefCell<Option<String>>,
}

impl Default for Tally {
    fn default() -> Self {
        let latency = Histogram::new_with_max(MINUTE, 3).expect("three digits are allowed");
        Self {
            count: Cell::new(0),
            latency: RefCell::new(latency),
            resumed: Cell::new(0),
            failed: Cell::new(0),
            last_failure: RefCell::new(None),
        }
    }
}

impl Tally {
    /// Counts a piece of work that took so long.
    pub fn add(&self, count: u64, took: Duration) {
        self.count.set(self.count.get() + count);
        let nanoseconds = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.latency.borrow_mut().saturating_record(nanoseconds);
    }

    pub fn add_resumed(&self) {
        self.resumed.set(self.resumed.get() + 1);
    }

    /// Counts work that failed, if it did.
    pub fn judge(&self, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            self.failed.set(self.failed.get() + 1);
            *self.last_failure.borrow_mut() = Some(error.to_string());
        }
    }

    pub fn report(&self, took: Duration) -> Value {
        let latency = self.latency.borrow();
        let microseconds = |quantile| latency.value_at_quantile(quantile) as f64 / 1_000.0;
        json!({
            "count": self.count.get(),
            "seconds": took.as_secs_f64(),
            "resumed": self.resumed.get(),
            "failed": self.failed.get(),
            "last_failure": *self.last_failure.borrow(),
            "p50_microseconds": microseconds(0.5),
            "p99_microseconds": microseconds(0.99),
            "p999_microseconds": microseconds(0.999),
        })
    }
}
