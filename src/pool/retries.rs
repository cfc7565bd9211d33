//! How often handshakes may go on to a further backend.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use http::StatusCode;

use super::counts::Counts;
use crate::{config, metrics::Count};

/// A pool's limits on retries, and how many handshakes it has under way.
#[derive(Debug)]
pub(super) struct Retries {
    config: config::Retries,
    underway: Arc<Underway>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Underway {
    handshakes: AtomicUsize,
    /// Those on a further backend than their first.
    retries: AtomicUsize,
}

/// A handshake under way, counted until dropped.
#[derive(Debug)]
pub(super) struct Attempts {
    underway: Arc<Underway>,
    made: usize,
}

/// What is allowed of any budget: a few handshakes are no storm.
const FLOOR: usize = 10;

impl Retries {
    pub(super) fn new(config: config::Retries, counts: Arc<Counts>) -> Self {
        Self {
            config,
            underway: Arc::default(),
            counts,
        }
    }

    /// Whether a backend's answer of that status sends a handshake on.
    pub(super) fn follow(&self, status: StatusCode) -> bool {
        self.config.statuses.contains(&status)
    }

    /// Begins a handshake.
    pub(super) fn begin(&self) -> Attempts {
        self.underway.handshakes.fetch_add(1, Relaxed);
        Attempts {
            underway: Arc::clone(&self.underway),
            made: 0,
        }
    }

    /// Whether the handshake may make one attempt more, which is counted then.
    pub(super) fn allow(&self, attempts: &mut Attempts) -> bool {
        let allowed = match attempts.made {
            0 => true,
            1 => self.config.max > 0 && self.has_budget(),
            // It is counted as one on a further backend already.
            further => further <= self.config.max,
        };
        if allowed && attempts.made > 0 {
            self.counts.retries.add(1);
        }
        attempts.made += usize::from(allowed);
        allowed
    }

    fn has_budget(&self) -> bool {
        let Underway {
            handshakes,
            retries,
        } = &*self.underway;
        let share = handshakes.load(Relaxed) * self.config.budget as usize / 100;
        let budget = share.max(FLOOR);
        let counted = retries.fetch_update(Relaxed, Relaxed, |count| {
            (count < budget).then_some(count + 1)
        });
        if counted.is_err() {
            self.counts.refused_retries.add(1);
        }
        counted.is_ok()
    }
}

impl Drop for Attempts {
    fn drop(&mut self) {
        self.underway.handshakes.fetch_sub(1, Relaxed);
        if self.made > 1 {
            self.underway.retries.fetch_sub(1, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retries(max: usize, budget: u32) -> Retries {
        let config = config::Retries {
            max,
            budget,
            ..config::Retries::default()
        };
        Retries::new(config, Arc::default())
    }

    #[test]
    fn a_handshake_goes_to_its_first_backend_and_so_many_more() {
        for max in 0..4 {
            let retries = retries(max, 50);
            let mut attempts = retries.begin();
            let made = (0..10).filter(|_| retries.allow(&mut attempts)).count();
            assert_eq!(made, 1 + max);
        }
    }

    /// How many of as many handshakes go to a first and then to a second backend.
    fn go_on(retries: &Retries, handshakes: &mut [Attempts]) -> usize {
        for attempts in &mut *handshakes {
            assert!(retries.allow(attempts));
        }
        let again = handshakes
            .iter_mut()
            .map(|attempts| retries.allow(attempts));
        again.filter(|allowed| *allowed).count()
    }

    #[test]
    fn a_share_of_all_handshakes_may_be_on_a_further_backend() {
        let retries = retries(3, 20);
        for _ in 0..2 {
            let mut all: Vec<_> = (0..100).map(|_| retries.begin()).collect();
            let again = go_on(&retries, &mut all);
            assert_eq!(again, 20, "and what ends gives its place back");
        }
    }

    #[test]
    fn a_few_retries_are_always_allowed() {
        let retries = retries(3, 0);
        let mut all: Vec<_> = (0..20).map(|_| retries.begin()).collect();
        assert_eq!(go_on(&retries, &mut all), FLOOR);
    }
}
