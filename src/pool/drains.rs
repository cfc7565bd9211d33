//! How far the drains of a pool's backends are. Who drains them writes it here; anybody may read it.

use std::{
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

use super::backend::BackendId;
use crate::metrics::{Count, Counter};

/// The drains that are under way, and how many have begun.
#[derive(Debug, Default)]
pub(super) struct Drains {
    under_way: Mutex<Vec<(BackendId, Stand)>>,
    begun: Counter,
}

/// How far the drain of a backend is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    /// Tunnels that it had when that began, and those that it has got since.
    pub total: usize,
    /// Those that have not been told to close yet.
    pub untold: usize,
    /// Those that have not ended yet.
    pub left: usize,
    /// When all have been told, if no more come.
    pub all_told: Instant,
}

impl Drains {
    /// These are under way now, and no others.
    pub(super) fn show(&self, drains: Vec<(BackendId, Stand)>) {
        let mut under_way = self.locked();
        let is_new = |id: BackendId| under_way.iter().all(|(known, _)| *known != id);
        let new = drains.iter().filter(|(id, _)| is_new(*id)).count();
        self.begun.add(new as u64);
        *under_way = drains;
    }

    pub(super) fn of(&self, backend: BackendId) -> Option<Stand> {
        let under_way = self.locked();
        let mut own = under_way.iter().filter(|(id, _)| *id == backend);
        own.next().map(|(_, stand)| *stand)
    }

    pub(super) fn begun(&self) -> u64 {
        self.begun.value()
    }

    fn locked(&self) -> MutexGuard<'_, Vec<(BackendId, Stand)>> {
        self.under_way.lock().expect("no holder panics")
    }
}

impl Stand {
    /// How long it takes from `now` on until all have been told.
    #[must_use]
    pub fn time_left(&self, now: Instant) -> Duration {
        match self.untold {
            0 => Duration::ZERO,
            _ => self.all_told.saturating_duration_since(now),
        }
    }
}
