//! Numbers that only grow.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
pub trait Count: Default {
    /// Adds to it.
    fn add(&self, more: u64);

    /// What it is now.
    fn value(&self) -> u64;
}

/// One that anybody adds to.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// One that a single thread adds to, for which that is a plain addition in its own memory; anybody
/// may read it. What others add at the same time may be lost.
#[derive(Debug, Default)]
pub struct LocalCounter(AtomicU64);

impl Count for Counter {
    fn add(&self, more: u64) {
        self.0.fetch_add(more, Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

impl Count for LocalCounter {
    fn add(&self, more: u64) {
        self.0
            .store(self.0.load(Relaxed).wrapping_add(more), Relaxed);
    }

    fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
