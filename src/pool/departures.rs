//! Clients that were sent away to be balanced anew.
//!
//! Their cookies still ask for the backend that they had, and do not say whose they are. So what is
//! kept is only how many may come back: each lets one returning client go to another backend.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokio::time::Instant;

/// The departures from one backend that nobody has come back from, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Departures(Mutex<VecDeque<Instant>>);

/// Whoever has not come back after this time will hardly do so.
const REMEMBERED: Duration = Duration::from_secs(60);

impl Departures {
    /// A client was sent away at `now`.
    pub(super) fn note(&self, now: Instant) {
        self.remembered(now).push_back(now);
    }

    /// Whether anybody may come back at `now` who was sent away.
    pub(super) fn are_awaited(&self, now: Instant) -> bool {
        !self.remembered(now).is_empty()
    }

    /// Whether a client that comes back at `now` may be taken for one that was sent away. Each of
    /// those is taken once.
    pub(super) fn take(&self, now: Instant) -> bool {
        self.remembered(now).pop_front().is_some()
    }

    fn remembered(&self, now: Instant) -> MutexGuard<'_, VecDeque<Instant>> {
        let mut departures = self.0.lock().expect("no holder panics");
        while departures.front().is_some_and(|at| now >= *at + REMEMBERED) {
            departures.pop_front();
        }
        departures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_are_taken_as_were_sent_away() {
        let departures = Departures::default();
        let now = Instant::now();
        assert!(!departures.take(now));
        departures.note(now);
        departures.note(now);
        assert!(departures.take(now) && departures.take(now));
        assert!(!departures.take(now));
    }

    #[test]
    fn whoever_stays_away_is_forgotten() {
        let departures = Departures::default();
        let now = Instant::now();
        departures.note(now);
        departures.note(now + Duration::from_secs(1));
        assert!(
            departures.take(now + REMEMBERED),
            "the second is remembered"
        );
        assert!(!departures.take(now + REMEMBERED));
    }
}
