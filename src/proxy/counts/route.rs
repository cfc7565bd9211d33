//! What is counted of the requests and the tunnels of one route.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use http::StatusCode;

use super::{Ending, Sums};
use crate::{
    metrics::{Count, Counter, Histogram, Snapshot, micros},
    pool::affinity::Outcome,
};

/// What is counted of the requests that came by a route.
#[derive(Debug)]
pub struct RouteCounts {
    /// The route; empty for requests that have found none.
    pub route: String,
    /// The pool that it leads to.
    pub pool: String,
    services: Mutex<HashMap<String, ServiceCounts>>,
    lifetimes: Histogram<Counter>,
    handshakes: Histogram<Counter>,
    failures: Mutex<BTreeMap<&'static str, u64>>,
    requests: [Counter; CLASSES.len()],
    request_durations: Histogram<Counter>,
    affinity: [Counter; OUTCOMES.len()],
}

/// What is counted of the tunnels that a backend has got by a route.
#[derive(Debug, Clone, Default)]
pub struct ServiceCounts {
    /// Those that are open.
    pub open: usize,
    /// Those that were opened.
    pub opened: u64,
    /// Those that came when their own backend was lost.
    pub rescued: u64,
    /// Those that have ended, by how.
    pub ended: BTreeMap<Ending, u64>,
}

/// What was counted of a route at some time.
#[derive(Debug, Clone)]
pub struct RouteTotals {
    /// By the name of the backend, in no order.
    pub services: Vec<(String, ServiceCounts)>,
    /// How long tunnels were open that have ended, in milliseconds.
    pub lifetimes: Snapshot,
    /// How long handshakes took that were granted, in microseconds.
    pub handshakes: Snapshot,
    /// Handshakes that became no tunnel, by what has failed.
    pub failures: BTreeMap<&'static str, u64>,
    /// Plain requests that were answered, by the class of the status, as in [`CLASSES`].
    pub requests: [u64; CLASSES.len()],
    /// How long they took, in microseconds.
    pub request_durations: Snapshot,
    /// What became of clients' affinity, as in [`OUTCOMES`].
    pub affinity: [u64; OUTCOMES.len()],
}

/// What classes of status are called; the last is that of requests without an answer.
pub const CLASSES: [&str; 6] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none"];

/// What may become of a client's affinity.
pub const OUTCOMES: [Outcome; 5] = [
    Outcome::None,
    Outcome::New,
    Outcome::Kept,
    Outcome::Moved,
    Outcome::Forged,
];

/// In milliseconds: a second to a week.
const LIFETIMES: &[u64] = &[
    1_000,
    10_000,
    60_000,
    300_000,
    1_800_000,
    3_600_000,
    4 * 3_600_000,
    12 * 3_600_000,
    24 * 3_600_000,
    7 * 24 * 3_600_000,
];

/// In microseconds.
const DURATIONS: &[u64] = &[
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000, 30_000_000,
];

impl RouteCounts {
    pub(super) fn new(route: &str, pool: &str) -> Self {
        Self {
            route: route.to_owned(),
            pool: pool.to_owned(),
            services: Mutex::default(),
            lifetimes: Histogram::new(LIFETIMES),
            handshakes: Histogram::new(DURATIONS),
            failures: Mutex::default(),
            requests: Default::default(),
            request_durations: Histogram::new(DURATIONS),
            affinity: Default::default(),
        }
    }

    /// A handshake has become a tunnel to that backend, after so long.
    pub(in crate::proxy) fn opened(&self, backend: &str, handshake: Duration) {
        self.handshakes.observe(micros(handshake));
        self.service(backend, |service| {
            service.open += 1;
            service.opened += 1;
        });
    }

    /// A tunnel goes on with another backend.
    pub(in crate::proxy) fn rescued(&self, from: &str, to: &str) {
        self.service(from, |service| service.leaves());
        self.service(to, |service| {
            service.open += 1;
            service.rescued += 1;
        });
    }

    /// A tunnel has come from another process.
    pub(in crate::proxy) fn came(&self, backend: &str) {
        self.service(backend, |service| service.open += 1);
    }

    /// A tunnel goes on in another process.
    pub(in crate::proxy) fn left(&self, backend: &str) {
        self.service(backend, ServiceCounts::leaves);
    }

    /// A tunnel has ended.
    pub(in crate::proxy) fn ended(&self, backend: &str, ending: Ending, lifetime: Duration) {
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        self.lifetimes.observe(millis);
        self.service(backend, |service| {
            service.leaves();
            *service.ended.entry(ending).or_default() += 1;
        });
    }

    /// A handshake has become no tunnel.
    pub(in crate::proxy) fn failed(&self, reason: &'static str) {
        let mut failures = self.failures.lock().expect("no holder panics");
        *failures.entry(reason).or_default() += 1;
    }

    /// A plain request has got its answer, or will get none.
    pub(in crate::proxy) fn answered(&self, status: Option<StatusCode>, duration: Duration) {
        let class = status.map_or(5, |status| {
            usize::from(status.as_u16() / 100).clamp(1, 5) - 1
        });
        self.requests[class].add(1);
        self.request_durations.observe(micros(duration));
    }

    pub(in crate::proxy) fn bound(&self, affinity: Outcome) {
        let all = OUTCOMES.iter().zip(&self.affinity);
        all.filter(|(outcome, _)| **outcome == affinity)
            .for_each(|(_, count)| count.add(1));
    }

    /// What was counted so far.
    #[must_use]
    pub fn totals(&self) -> RouteTotals {
        let services = self.services();
        RouteTotals {
            services: services
                .iter()
                .map(|(backend, counts)| (backend.clone(), counts.clone()))
                .collect(),
            lifetimes: self.lifetimes.snapshot(),
            handshakes: self.handshakes.snapshot(),
            failures: self.failures.lock().expect("no holder panics").clone(),
            requests: self.requests.each_ref().map(Count::value),
            request_durations: self.request_durations.snapshot(),
            affinity: self.affinity.each_ref().map(Count::value),
        }
    }

    pub(super) fn add_ends_to(&self, ends: &mut BTreeMap<Ending, u64>) {
        for (ending, count) in self.services().values().flat_map(|service| &service.ended) {
            *ends.entry(*ending).or_default() += count;
        }
    }

    /// How many tunnels a backend has got so far.
    pub(super) fn opened_by(&self, backend: &str) -> u64 {
        let services = self.services();
        services.get(backend).map_or(0, ServiceCounts::got)
    }

    /// The same for each backend, in no order.
    pub(super) fn opened_by_each(&self) -> Vec<(String, u64)> {
        let services = self.services();
        let each = services.iter();
        each.map(|(backend, service)| (backend.clone(), service.got()))
            .collect()
    }

    pub(super) fn add_to(&self, sums: &mut Sums) {
        let services = self.services();
        for service in services.values() {
            sums.opened += service.opened;
            sums.ended += service.ended.values().sum::<u64>();
        }
        sums.requests += self.requests.iter().map(Count::value).sum::<u64>();
    }

    fn services(&self) -> MutexGuard<'_, HashMap<String, ServiceCounts>> {
        self.services.lock().expect("no holder panics")
    }

    fn service(&self, backend: &str, change: impl FnOnce(&mut ServiceCounts)) {
        let mut services = self.services();
        match services.get_mut(backend) {
            Some(service) => change(service),
            None => change(services.entry(backend.to_owned()).or_default()),
        }
    }
}

impl ServiceCounts {
    /// Tunnels that it has got, from clients or in need.
    fn got(&self) -> u64 {
        self.opened + self.rescued
    }

    fn leaves(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{Cause, Party, TunnelEnd};

    fn counts() -> RouteCounts {
        RouteCounts::new("test/", "main")
    }

    #[test]
    fn a_tunnel_is_open_with_one_backend_at_a_time_wherever_it_goes() {
        let counts = counts();
        let open = || {
            let mut open: Vec<_> = counts
                .totals()
                .services
                .into_iter()
                .map(|(name, service)| (name, service.open))
                .collect();
            open.sort();
            open.into_iter().map(|(_, open)| open).collect::<Vec<_>>()
        };
        counts.opened("a", Duration::ZERO);
        counts.came("b");
        counts.rescued("a", "b");
        assert_eq!(open(), [0, 2]);
        counts.left("b");
        let end = TunnelEnd {
            by: Party::Client,
            cause: Cause::Eof,
            code: None,
        };
        counts.ended("b", Ending::of(end), Duration::ZERO);
        assert_eq!(open(), [0, 0]);
    }

    #[test]
    fn requests_count_by_the_class_of_their_status() {
        let counts = counts();
        for status in [200, 204, 302, 404, 502, 599] {
            let status = StatusCode::from_u16(status).ok();
            counts.answered(status, Duration::from_millis(1));
        }
        counts.answered(None, Duration::ZERO);
        assert_eq!(counts.totals().requests, [0, 2, 1, 1, 2, 1]);
    }
}
