//! What a reload does to a pool: another version of it, which knows what the last one knew.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::{
    Pool,
    backend::{Backend, BackendId, Before},
    means::{Bounds, Means},
    vitals::Vitals,
};
use crate::config::{self, BackendAddress};

impl Pool {
    /// Whether another version of it would be the same.
    #[must_use]
    pub fn is_as(
        &self,
        config: &config::Pool,
        timeouts: &config::Timeouts,
        limits: &config::Limits,
    ) -> bool {
        self.config == *config && self.bounds == Bounds::new(timeouts, limits, self.bounds.workers)
    }

    /// The pool as configured now. A backend is the same if its address is: its state, its counts
    /// and what clients have to do with it go on, also of one that was a member before the last.
    /// Nothing changes for those who use the version `before` until this one
    /// [takes over](Self::takes_over).
    ///
    /// # Errors
    /// If TLS to its backends cannot be set up.
    pub fn after(
        before: &Self,
        config: &config::Pool,
        timeouts: &config::Timeouts,
        limits: &config::Limits,
    ) -> Result<Self, rustls::Error> {
        let bounds = Bounds::new(timeouts, limits, before.bounds.workers);
        let backends = config.backends.iter().map(|backend| {
            Arc::new(match before.member(&backend.address) {
                Some(member) => {
                    let before = Before {
                        backend: member,
                        pool: &before.config,
                        bounds: &before.bounds,
                    };
                    Backend::after(&before, backend, config, &bounds)
                }
                None => {
                    let vitals = before.former_at(&backend.address);
                    let unknown = || Arc::new(Vitals::new(&backend.address, backend.intent));
                    Backend::new(vitals.unwrap_or_else(unknown), backend, config, &bounds)
                }
            })
        });
        let backends = backends.collect();
        let means = Means::new(config)?;
        let counts = Arc::clone(&before.counts);
        let mut pool = Self::of(config, bounds, backends, means, counts);
        pool.former = pool.former_after(before);
        pool.affinity.share(&before.affinity);
        pool.changes = Arc::clone(&before.changes);
        if config.rebalance == before.config.rebalance && config.can_be_rebalanced() {
            pool.rebalancing = Arc::clone(&before.rebalancing);
        }
        if config.admission.all == before.config.admission.all {
            pool.entrance = Arc::clone(&before.entrance);
        }
        if config.admission.requests == before.config.admission.requests {
            pool.request_entrance = Arc::clone(&before.request_entrance);
        }
        Ok(pool)
    }

    /// The pool without members, for one that is not configured any more: there is only to see to
    /// what is left of its tunnels.
    #[must_use]
    pub fn dissolved(before: &Self) -> Self {
        let config = config::Pool {
            backends: Vec::new(),
            health: None,
            rebalance: None,
            tls: None,
            ..before.config.clone()
        };
        let means = Means::none();
        let counts = Arc::clone(&before.counts);
        let mut pool = Self::of(&config, before.bounds, Vec::new(), means, counts);
        pool.former = pool.former_after(before);
        pool.changes = Arc::clone(&before.changes);
        pool
    }

    /// Has the members be as they are configured in this version and were not in that `before`.
    pub fn takes_over(&self, before: &Self) {
        let now = Instant::now();
        for backend in &self.backends {
            let intent = backend.configured_intent();
            match before.member(backend.address()) {
                Some(member) if member.configured_intent() == intent => {}
                Some(_) => self.intend(backend, intent),
                // It has no tunnels yet, and should not get all new ones at once.
                None => {
                    self.intend(backend, intent);
                    backend.standing().comes_back(now);
                }
            }
            self.end_what_nobody_would(backend, now);
        }
        // A tunnel may keep its version of a backend for long.
        for backend in &before.backends {
            let member = self.member(backend.address());
            if member.is_none_or(|member| !Arc::ptr_eq(member.idle(), backend.idle())) {
                backend.idle().close();
            }
        }
        // Who drains the members has another list of them now.
        self.changes.send_replace(());
    }

    /// A member is neither down nor ejected where nobody looks after that any more.
    pub(super) fn end_what_nobody_would(&self, backend: &Backend, now: Instant) {
        if self.health.is_none() {
            self.comes_up(backend);
        }
        if self.config.ejection.is_none() {
            backend.standing().end_ejection(now);
        }
    }

    /// Closes all connections to its backends that wait for a request, and those that come to do so.
    pub fn close_idle(&self) {
        for backend in &self.backends {
            backend.idle().close();
        }
    }

    /// Backends that were members once and that somebody uses yet.
    pub fn former(&self) -> impl Iterator<Item = BackendId> {
        let in_use = self.former.iter().filter_map(Weak::upgrade);
        in_use.map(|vitals| vitals.id)
    }

    /// A backend that was a member once, without all that only members have.
    pub(super) fn retired(&self, vitals: Arc<Vitals>) -> Arc<Backend> {
        let config = config::Backend::at(vitals.address.clone());
        Arc::new(Backend::new(vitals, &config, &self.config, &self.bounds))
    }

    pub(super) fn member(&self, address: &BackendAddress) -> Option<&Arc<Backend>> {
        let mut members = self.backends.iter();
        members.find(|backend| backend.address() == address)
    }

    pub(super) fn former_at(&self, address: &BackendAddress) -> Option<Arc<Vitals>> {
        let mut former = self.former.iter().filter_map(Weak::upgrade);
        former.find(|vitals| vitals.address == *address)
    }

    /// Those that were members of the version `before`, or of one before that, and are not any more.
    fn former_after(&self, before: &Self) -> Vec<Weak<Vitals>> {
        let members = before.backends.iter().map(|backend| backend.vitals());
        let members = members.map(Arc::downgrade);
        let all = members.chain(before.former.iter().cloned());
        let is_former = |vitals: &Weak<Vitals>| {
            let vitals = vitals.upgrade();
            vitals.is_some_and(|vitals| self.member(&vitals.address).is_none())
        };
        all.filter(is_former).collect()
    }
}
