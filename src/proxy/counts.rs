//! What is counted of requests and of tunnels, by the route that they came by.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use http::StatusCode;

use crate::{
    metrics::{Count, Counter, Histogram, Snapshot, micros},
    pool::affinity::Outcome,
    tunnel::TunnelEnd,
    websocket::CloseCode,
};

/// What is counted of all requests.
#[derive(Debug, Default)]
pub struct Counts {
    routes: Mutex<Vec<Arc<RouteCounts>>>,
}

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

/// How a tunnel has ended, as it is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ending {
    /// Who ended it.
    pub by: &'static str,
    /// Why.
    pub cause: &'static str,
    /// The code of the first Close, or what stands for it.
    pub code: &'static str,
}

/// What was counted of all routes together, at some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Sums {
    /// Tunnels that were opened.
    pub opened: u64,
    /// Tunnels that have ended.
    pub ended: u64,
    /// Plain requests.
    pub requests: u64,
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

impl Counts {
    /// What is counted of a route to a pool, from now on or since it was first asked for.
    #[must_use]
    pub fn of(&self, route: &str, pool: &str) -> Arc<RouteCounts> {
        let mut routes = self.routes();
        let known = routes
            .iter()
            .find(|counts| counts.route == route && counts.pool == pool);
        if let Some(counts) = known {
            return Arc::clone(counts);
        }
        let counts = Arc::new(RouteCounts::new(route, pool));
        routes.push(Arc::clone(&counts));
        counts
    }

    /// What is counted of requests that have found no route.
    #[must_use]
    pub fn nowhere(&self) -> Arc<RouteCounts> {
        self.of("", "")
    }

    /// All there is, in the order in which routes were first asked for.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<RouteCounts>> {
        self.routes().clone()
    }

    /// What was counted of all routes together.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for route in &*self.routes() {
            route.add_to(&mut sums);
        }
        sums
    }

    /// How tunnels have ended so far, the most frequent first.
    #[must_use]
    pub fn ends(&self) -> Vec<(Ending, u64)> {
        let mut all = BTreeMap::<_, u64>::new();
        for route in &*self.routes() {
            let services = route.services.lock().expect("no holder panics");
            for (ending, count) in services.values().flat_map(|service| &service.ended) {
                *all.entry(*ending).or_default() += count;
            }
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, count)| Reverse(*count));
        all
    }

    /// How many tunnels a backend of a pool has got so far.
    #[must_use]
    pub fn opened(&self, pool: &str, backend: &str) -> u64 {
        let routes = self.routes();
        let routes = routes.iter().filter(|route| route.pool == pool);
        let opened = routes.map(|route| {
            let services = route.services.lock().expect("no holder panics");
            services
                .get(backend)
                .map_or(0, |service| service.opened + service.rescued)
        });
        opened.sum()
    }

    /// Forgets routes that are not configured any more, and whose last tunnel has ended.
    pub(super) fn forget_unused(&self) {
        self.routes()
            .retain(|counts| Arc::strong_count(counts) > 1 || counts.route.is_empty());
    }

    fn routes(&self) -> MutexGuard<'_, Vec<Arc<RouteCounts>>> {
        self.routes.lock().expect("no holder panics")
    }
}

impl RouteCounts {
    fn new(route: &str, pool: &str) -> Self {
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
    pub(super) fn opened(&self, backend: &str, handshake: Duration) {
        self.handshakes.observe(micros(handshake));
        self.service(backend, |service| {
            service.open += 1;
            service.opened += 1;
        });
    }

    /// A tunnel goes on with another backend.
    pub(super) fn rescued(&self, from: &str, to: &str) {
        self.service(from, |service| service.leaves());
        self.service(to, |service| {
            service.open += 1;
            service.rescued += 1;
        });
    }

    /// A tunnel has come from another process.
    pub(super) fn came(&self, backend: &str) {
        self.service(backend, |service| service.open += 1);
    }

    /// A tunnel goes on in another process.
    pub(super) fn left(&self, backend: &str) {
        self.service(backend, ServiceCounts::leaves);
    }

    /// A tunnel has ended.
    pub(super) fn ended(&self, backend: &str, ending: Ending, lifetime: Duration) {
        let millis = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        self.lifetimes.observe(millis);
        self.service(backend, |service| {
            service.leaves();
            *service.ended.entry(ending).or_default() += 1;
        });
    }

    /// A handshake has become no tunnel.
    pub(super) fn failed(&self, reason: &'static str) {
        let mut failures = self.failures.lock().expect("no holder panics");
        *failures.entry(reason).or_default() += 1;
    }

    /// A plain request has got its answer, or will get none.
    pub(super) fn answered(&self, status: Option<StatusCode>, duration: Duration) {
        let class = status.map_or(5, |status| {
            usize::from(status.as_u16() / 100).clamp(1, 5) - 1
        });
        self.requests[class].add(1);
        self.request_durations.observe(micros(duration));
    }

    pub(super) fn bound(&self, affinity: Outcome) {
        let all = OUTCOMES.iter().zip(&self.affinity);
        all.filter(|(outcome, _)| **outcome == affinity)
            .for_each(|(_, count)| count.add(1));
    }

    /// What was counted so far.
    #[must_use]
    pub fn totals(&self) -> RouteTotals {
        let services = self.services.lock().expect("no holder panics");
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

    fn add_to(&self, sums: &mut Sums) {
        let services = self.services.lock().expect("no holder panics");
        for service in services.values() {
            sums.opened += service.opened;
            sums.ended += service.ended.values().sum::<u64>();
        }
        sums.requests += self.requests.iter().map(Count::value).sum::<u64>();
    }

    fn service(&self, backend: &str, change: impl FnOnce(&mut ServiceCounts)) {
        let mut services = self.services.lock().expect("no holder panics");
        match services.get_mut(backend) {
            Some(service) => change(service),
            None => change(services.entry(backend.to_owned()).or_default()),
        }
    }
}

impl ServiceCounts {
    fn leaves(&mut self) {
        self.open = self.open.saturating_sub(1);
    }
}

impl Ending {
    /// That of a tunnel that has ended so.
    #[must_use]
    pub fn of(end: TunnelEnd) -> Self {
        Self {
            by: end.by.name(),
            cause: end.cause.name(),
            code: end.code.map_or("none", code_name),
        }
    }
}

/// What stands for a code: its number if it has a meaning that is registered, and else the range
/// that it is in, as peers may send any.
fn code_name(code: CloseCode) -> &'static str {
    const REGISTERED: [(u16, &str); 13] = [
        (1000, "1000"),
        (1001, "1001"),
        (1002, "1002"),
        (1003, "1003"),
        (1007, "1007"),
        (1008, "1008"),
        (1009, "1009"),
        (1010, "1010"),
        (1011, "1011"),
        (1012, "1012"),
        (1013, "1013"),
        (1014, "1014"),
        (3000, "3000"),
    ];
    let registered = REGISTERED.iter().find(|(number, _)| *number == code.0);
    match (registered, code.0) {
        (Some((_, name)), _) => name,
        (None, 3000..=3999) => "3xxx",
        (None, 4000..=4999) => "4xxx",
        (None, _) => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tunnel::{Cause, Party};

    fn ending(code: Option<u16>) -> Ending {
        Ending::of(TunnelEnd {
            by: Party::Client,
            cause: Cause::Close,
            code: code.map(CloseCode),
        })
    }

    #[test]
    fn a_client_that_closes_with_any_number_adds_few_series() {
        let counts = Counts::default().of("test/", "main");
        for code in 0..=u16::MAX {
            counts.ended("backend", ending(Some(code)), Duration::ZERO);
        }
        let (_, service) = &counts.totals().services[0];
        assert_eq!(service.ended.values().sum::<u64>(), 65_536);
        assert_eq!(service.ended.len(), 16);
        assert_eq!(ending(Some(4_321)).code, "4xxx");
        assert_eq!(ending(Some(1_006)).code, "other");
        assert_eq!(ending(None).code, "none");
    }

    #[test]
    fn a_tunnel_is_open_with_one_backend_at_a_time_wherever_it_goes() {
        let counts = Counts::default().of("test/", "main");
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
        counts.ended("b", ending(None), Duration::ZERO);
        assert_eq!(open(), [0, 0]);
    }

    #[test]
    fn what_is_counted_of_a_route_outlives_a_reload_as_long_as_it_is_of_use() {
        let counts = Counts::default();
        let before = counts.of("test/", "main");
        before.failed("timed_out");
        counts.forget_unused();
        assert_eq!(counts.of("test/", "main").totals().failures["timed_out"], 1);
        drop(before);
        counts.forget_unused();
        assert!(counts.of("test/", "main").totals().failures.is_empty());
    }

    #[test]
    fn requests_count_by_the_class_of_their_status() {
        let counts = Counts::default().nowhere();
        for status in [200, 204, 302, 404, 502, 599] {
            let status = StatusCode::from_u16(status).ok();
            counts.answered(status, Duration::from_millis(1));
        }
        counts.answered(None, Duration::ZERO);
        assert_eq!(counts.totals().requests, [0, 2, 1, 1, 2, 1]);
    }
}
