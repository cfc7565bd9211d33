//! What is counted of requests and of tunnels, by the route that they came by.

mod ending;
mod route;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard},
};

use crate::clients::Tally;

pub use self::{
    ending::Ending,
    route::{CLASSES, OUTCOMES, RouteCounts, RouteTotals, ServiceCounts},
};

/// What is counted of all requests.
#[derive(Debug, Default)]
pub struct Counts {
    known: Mutex<Known>,
    /// The tunnels of each client, handshakes under way included.
    pub(super) of_clients: Arc<Tally>,
}

#[derive(Debug, Default)]
struct Known {
    /// In the order in which they were first asked for.
    routes: Vec<Arc<RouteCounts>>,
    former: Former,
}

/// What was counted of routes that are forgotten.
#[derive(Debug, Default)]
struct Former {
    sums: Sums,
    ends: BTreeMap<Ending, u64>,
    /// The tunnels that backends have got, by their pools and names.
    opened: HashMap<(String, String), u64>,
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

impl Counts {
    /// What is counted of a route to a pool, from now on or since it was first asked for.
    #[must_use]
    pub fn of(&self, route: &str, pool: &str) -> Arc<RouteCounts> {
        let routes = &mut self.known().routes;
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
        self.known().routes.clone()
    }

    /// What was counted of all routes together, those included that are forgotten.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let known = self.known();
        let mut sums = known.former.sums;
        for route in &known.routes {
            route.add_to(&mut sums);
        }
        sums
    }

    /// How tunnels have ended so far, the most frequent first.
    #[must_use]
    pub fn ends(&self) -> Vec<(Ending, u64)> {
        let known = self.known();
        let mut all = known.former.ends.clone();
        for route in &known.routes {
            route.add_ends_to(&mut all);
        }
        let mut all: Vec<_> = all.into_iter().collect();
        all.sort_by_key(|(_, count)| Reverse(*count));
        all
    }

    /// How many tunnels a backend of a pool has got so far.
    #[must_use]
    pub fn opened(&self, pool: &str, backend: &str) -> u64 {
        let known = self.known();
        let routes = known.routes.iter().filter(|route| route.pool == pool);
        let now = routes.map(|route| route.opened_by(backend));
        let key = (pool.to_owned(), backend.to_owned());
        let before = known.former.opened.get(&key).copied();
        now.sum::<u64>() + before.unwrap_or(0)
    }

    /// Forgets routes that are not configured any more, and whose last tunnel has ended. What was
    /// counted of them stays in what was counted of all.
    pub(super) fn forget_unused(&self) {
        let Known { routes, former } = &mut *self.known();
        let is_unused = |counts: &mut Arc<RouteCounts>| {
            Arc::strong_count(counts) == 1 && !counts.route.is_empty()
        };
        for route in routes.extract_if(.., is_unused) {
            former.take(&route);
        }
        let is_of_use = |pool: &str| routes.iter().any(|route| route.pool == pool);
        former.opened.retain(|(pool, _), _| is_of_use(pool));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().expect("no holder panics")
    }
}

impl Former {
    fn take(&mut self, route: &RouteCounts) {
        route.add_to(&mut self.sums);
        route.add_ends_to(&mut self.ends);
        for (backend, opened) in route.opened_by_each() {
            let key = (route.pool.clone(), backend);
            *self.opened.entry(key).or_default() += opened;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::tunnel::{Cause, Party, TunnelEnd};

    fn ending() -> Ending {
        Ending::of(TunnelEnd {
            by: Party::Client,
            cause: Cause::Eof,
            code: None,
        })
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
    fn sums_hold_what_was_counted_of_routes_that_are_forgotten() {
        let counts = Counts::default();
        let _kept = counts.of("kept/", "main");
        for route in ["kept/", "removed/"] {
            let route = counts.of(route, "main");
            route.opened("backend", Duration::ZERO);
            route.ended("backend", ending(), Duration::ZERO);
            route.answered(None, Duration::ZERO);
        }
        let told = || {
            (
                counts.sums(),
                counts.ends(),
                counts.opened("main", "backend"),
            )
        };
        let before = told();
        assert_eq!((before.0.opened, before.0.requests, before.2), (2, 2, 2));
        counts.forget_unused();
        assert_eq!(counts.all().len(), 1);
        assert_eq!(told(), before);
    }

    #[test]
    fn a_pool_that_is_removed_leaves_no_backends_behind() {
        let counts = Counts::default();
        counts.of("test/", "main").opened("backend", Duration::ZERO);
        counts.forget_unused();
        assert!(counts.known().former.opened.is_empty());
        assert_eq!(counts.sums().opened, 1);
    }
}
