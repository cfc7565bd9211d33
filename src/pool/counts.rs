//! What is counted of a pool.

use std::sync::{Arc, atomic::AtomicBool};

use super::{
    Pool, admission,
    backend::{Backend, BackendId},
    connect::ConnectError,
    drains::{Drains, Stand},
};
use crate::{
    metrics::{Count, Counter},
    stream::Stream,
    tls::{self, Failure, tls_error},
};

/// What is counted of a pool. All versions of it share it.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Handshakes that have gone on to a further backend.
    pub(super) retries: Counter,
    /// Those that might have, but for the budget.
    pub(super) refused_retries: Counter,
    /// Selections that have found no backend ready.
    pub(super) none_ready: Counter,
    /// Selections that have found none with room, though some were ready.
    pub(super) no_room: Counter,
    /// Clients that were sent away, so that they come back elsewhere.
    pub(super) rebalanced: Counter,
    /// Whether a rebalance pauses.
    pub(super) rebalance_pauses: AtomicBool,
    pub(super) drains: Drains,
    /// Counts the TLS handshakes of its clients' connections to backends.
    pub(super) tls: tls::Counts,
    /// What is counted at its entrance.
    pub(super) admission: Arc<admission::Counts>,
    /// The same of plain requests.
    pub(super) request_admission: Arc<admission::Counts>,
}

/// What was counted of a pool since the process has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Handshakes that have gone on to a further backend, as often as they have.
    pub retries: u64,
    /// Times that the budget has kept a handshake from going on.
    pub refused_retries: u64,
    /// Times that no backend was ready for a handshake or a request.
    pub none_ready: u64,
    /// Times that no backend had room, though some were ready.
    pub no_room: u64,
    /// Tunnels that were told to close, since their backends had too many.
    pub rebalanced: u64,
    /// Times that a backend began to lose its tunnels.
    pub drains: u64,
}

impl Pool {
    /// What was counted of it since the process has started.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.counts.totals()
    }

    /// How far a backend's drain is, while it is to lose its tunnels.
    #[must_use]
    pub fn drain_of(&self, backend: &Backend) -> Option<Stand> {
        self.counts.drains.of(backend.id())
    }

    /// Says how far the drains are that are under way now.
    pub fn show_drains(&self, drains: Vec<(BackendId, Stand)>) {
        self.counts.drains.show(drains);
    }

    /// Counts a TLS handshake with a backend, if there was one that has come to something.
    pub(super) fn count_handshake(&self, connected: &Result<Stream, ConnectError>) {
        let counts = &self.counts.tls;
        match connected {
            Ok(stream) => {
                stream.handshake().inspect(|done| counts.completed(*done));
            }
            Err(ConnectError::Failed { source, .. }) if tls_error(source).is_some() => {
                counts.failed(Failure::of(source));
            }
            // Before that, there was no connection.
            Err(_) => {}
        }
    }

    /// What was counted of TLS handshakes with its backends, but for its checks.
    #[must_use]
    pub fn tls(&self) -> tls::Totals {
        self.counts.tls.totals()
    }
}

impl Counts {
    pub(super) fn totals(&self) -> Totals {
        Totals {
            retries: self.retries.value(),
            refused_retries: self.refused_retries.value(),
            none_ready: self.none_ready.value(),
            no_room: self.no_room.value(),
            rebalanced: self.rebalanced.value(),
            drains: self.drains.begun(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{path::Path, sync::Arc};

    use http::{HeaderMap, Uri};

    use crate::{
        config::{Config, Intent},
        pool::{Pool, Selection, affinity::Asker, backend::Use},
    };

    fn config(lines: &str) -> Config {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
             [pool.a]\nbackends = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n{lines}"
        );
        Config::parse(&text, "test", Path::new("")).unwrap()
    }

    fn pool(lines: &str) -> Pool {
        let config = config(lines);
        Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap()
    }

    /// A selection of `pool` for a client of whom nothing is known.
    fn selection(pool: &Pool, used_for: Use) -> Selection<'_> {
        let asker = Asker {
            ip: [192, 0, 2, 1].into(),
            over_tls: false,
            headers: &HeaderMap::new(),
            uri: &Uri::from_static("/"),
        };
        pool.select(&asker, used_for)
    }

    #[test]
    fn handshakes_that_go_on_count_and_so_do_those_that_the_budget_holds_back() {
        let pool = pool("retries = { max = 1, budget = 1 }");
        let mut crowd: Vec<_> = (0..12).map(|_| selection(&pool, Use::Tunnel)).collect();
        let mut leases = Vec::new();
        for selection in &mut crowd {
            leases.extend(selection.next());
            leases.extend(selection.next());
        }
        let mut request = selection(&pool, Use::Request);
        leases.extend(request.next());
        leases.extend(request.next());
        let totals = pool.totals();
        assert_eq!((totals.retries, totals.refused_retries), (10, 2));
        assert_eq!((totals.none_ready, totals.no_room), (0, 0));
    }

    #[test]
    fn whoever_finds_no_backend_counts_by_what_is_missing_and_after_a_reload_too() {
        let before = pool("max_tunnels = 1");
        let taken: Vec<_> = selection(&before, Use::Tunnel).collect();
        assert_eq!(taken.len(), 2);
        assert!(selection(&before, Use::Tunnel).next().is_none());
        for backend in before.backends() {
            before.intend(backend, Intent::Draining);
        }
        let config = config("max_tunnels = 2");
        let after = Pool::after(&before, &config.pools[0], &config.timeouts, &config.limits);
        let after = Arc::new(after.unwrap());
        for _ in 0..3 {
            assert!(selection(&after, Use::Request).next().is_none());
        }
        let totals = after.totals();
        assert_eq!((totals.none_ready, totals.no_room), (3, 1));
        assert_eq!(totals.retries, 1);
    }
}
