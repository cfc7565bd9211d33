//! Counters and histograms that cost next to nothing to add to, what is read of them, and what the
//! system knows.

mod counter;
mod histogram;
mod process;

use std::time::Duration;

pub use self::{
    counter::{Count, Counter, LocalCounter},
    histogram::{Histogram, Snapshot},
    process::Process,
};

/// A duration in whole microseconds, as histograms of durations take it.
#[must_use]
pub fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
