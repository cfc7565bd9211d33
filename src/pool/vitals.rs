//! What is known of a backend, whatever it is configured to be: it outlives a reload.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed},
};

use super::{admission, departures::Departures, record::Record, standing::Standing};
use crate::config::{BackendAddress, Intent};

/// What is known of the backend at an address, and how much it is used. All versions of the backend
/// share it, so that it is no news to a reload.
#[derive(Debug)]
pub(super) struct Vitals {
    pub(super) id: BackendId,
    pub(super) address: BackendAddress,
    /// The address, as it is written everywhere.
    pub(super) name: String,
    /// Handshakes under way included.
    pub(super) tunnels: AtomicUsize,
    pub(super) requests: AtomicUsize,
    pub(super) standing: Standing,
    pub(super) departures: Departures,
    pub(super) record: Record,
    /// What is counted at its entrance.
    pub(super) admission: Arc<admission::Counts>,
}

/// What stands for a backend where its address would be too long: unique in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendId(u32);

impl Vitals {
    /// Those of a backend of which nothing is known yet.
    pub(super) fn new(address: &BackendAddress, intent: Intent) -> Self {
        Self {
            id: BackendId::next(),
            name: address.to_string(),
            address: address.clone(),
            tunnels: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            standing: Standing::new(intent),
            departures: Departures::default(),
            record: Record::default(),
            admission: Arc::default(),
        }
    }
}

impl BackendId {
    /// One that nobody else has.
    #[must_use]
    pub fn next() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        Self(NEXT.fetch_add(1, Relaxed))
    }

    /// As a number, for what keeps it in an atomic.
    #[must_use]
    pub fn to_bits(self) -> u32 {
        self.0
    }

    /// What such a number stands for.
    #[must_use]
    pub fn from_bits(bits: u32) -> Self {
        Self(bits)
    }
}
