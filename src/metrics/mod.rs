//! Counters and histograms that cost next to nothing to add to, and what is read of them.

mod counter;
mod histogram;

pub use self::{
    counter::{Count, Counter, LocalCounter},
    histogram::{Histogram, Snapshot},
};
