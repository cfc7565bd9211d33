//! What is said of a member, and what it is after that: by the operator, by its checks, and by what
//! its uses show.

use std::{net::IpAddr, sync::Arc};

use tokio::time::Instant;
use tracing::{info, warn};

use super::{Pool, backend::Backend, outlier::Seen, standing::State};
use crate::config::Intent;

impl Pool {
    /// Sets what the operator wants of a member.
    pub fn intend(&self, backend: &Backend, intent: Intent) {
        if backend.standing().intend(intent, Instant::now()) {
            info!(
                pool = self.name(),
                backend = backend.name(),
                "the backend is to be {intent}"
            );
            self.changes.send_replace(());
        }
    }

    /// A member does not work, as its checks say for that `reason`.
    pub fn goes_down(&self, backend: &Backend, reason: &str) {
        if backend.standing().goes_down() {
            backend.record().goes_down();
            warn!(
                pool = self.name(),
                backend = backend.name(),
                reason,
                "the backend is down"
            );
            self.changes.send_replace(());
        }
    }

    /// A member works, as its checks say.
    pub fn comes_up(&self, backend: &Backend) {
        let now = Instant::now();
        let outlier = backend.outlier();
        // Held meanwhile, so that both agree on whether it is ejected.
        let outlier = outlier.map(|outlier| outlier.lock().expect("no holder panics"));
        if backend.standing().comes_up(now) {
            if let Some(mut outlier) = outlier {
                outlier.end(now);
            }
            info!(
                pool = self.name(),
                backend = backend.name(),
                "the backend is up again"
            );
            self.changes.send_replace(());
        }
    }

    /// Ends a member's ejection if what `seen` shows is what had failed.
    pub(super) fn readmit(&self, backend: &Backend, seen: Seen) {
        let Some(outlier) = backend.outlier() else {
            return;
        };
        let now = Instant::now();
        let mut outlier = outlier.lock().expect("no holder panics");
        if outlier.is_refuted_by(seen, now) {
            outlier.end(now);
            backend.standing().eject(now);
            info!(
                pool = self.name(),
                backend = backend.name(),
                "the backend is taken in again, for its checks succeed"
            );
        }
    }

    /// Takes note of what a use of a member has shown to `client`, which may lead to its ejection.
    pub fn note(&self, backend: &Backend, seen: Seen, client: IpAddr) {
        backend.record().note(seen);
        let Some(outlier) = backend.outlier() else {
            return;
        };
        let now = Instant::now();
        let mut outlier = outlier.lock().expect("no holder panics");
        if !outlier.note(seen, client, now) {
            return;
        }
        let max_share = self.max_ejected.lock().expect("no holder panics");
        if !self.can_spare_one(*max_share, now) {
            return;
        }
        let until = outlier.eject(seen, now);
        backend.record().ejected(seen);
        backend.standing().eject(until);
        warn!(
            pool = self.name(),
            backend = backend.name(),
            seconds = (until - now).as_secs_f64(),
            reason = %seen,
            "the backend is ejected"
        );
    }

    /// Whether with one more member away no more are missing than `max_share` percent.
    fn can_spare_one(&self, max_share: u32, now: Instant) -> bool {
        let is_missing = |backend: &&Arc<Backend>| backend.state(now) != State::Ready;
        let missing = self.backends.iter().filter(is_missing).count();
        (missing + 1) * 100 <= self.backends.len() * max_share as usize
    }
}
