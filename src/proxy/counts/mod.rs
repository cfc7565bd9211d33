//! What is counted of requests and of tunnels, by the route that they came by.

mod ending;
mod route;

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

pub use self::{
    ending::Ending,
    route::{CLASSES, OUTCOMES, RouteCounts, RouteTotals, ServiceCounts},
};

/// What is counted of all requests.
#[derive(Debug, Default)]
pub struct Counts {
    routes: Mutex<Vec<Arc<RouteCounts>>>,
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
            route.add_ends_to(&mut all);
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
        routes.map(|route| route.opened_by(backend)).sum()
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
