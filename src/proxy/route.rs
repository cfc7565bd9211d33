//! Host + path → route.

use std::{cmp::Reverse, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::{
    counts::{Counts, RouteCounts},
    reply::Rejection,
};
use crate::{
    clients::Tally,
    config::{self, HostPattern, OnBackendLoss, Protocols, Refusal, Timeouts},
    path::{self, Meaning},
    pool::Pool,
    tunnel::{
        Policy,
        registry::{Registry, RouteId},
    },
};

const TWO_ROUTES: &str = "a path that can be read in more than one way";

/// The pools that there are now, of which a reload makes others.
pub(super) type Pools = Arc<ArcSwap<Vec<Arc<Pool>>>>;

/// Every route, the most specific first.
#[derive(Debug)]
pub(super) struct Routes {
    routes: Vec<Arc<Route>>,
}

/// What a request that matches it gets.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) label: Arc<Label>,
    pub(super) pool: Arc<Pool>,
    pub(super) set_host: Option<HeaderValue>,
    pub(super) policy: Arc<Policy>,
    /// The protocols besides WebSocket that connections may switch to.
    pub(super) upgrades: Protocols,
    /// The policy of tunnels that speak one of them.
    pub(super) opaque_policy: Arc<Policy>,
    pub(super) timeouts: Timeouts,
    pub(super) refusal: Refusal,
    /// The most bytes of a request's body; `None` is no limit.
    pub(super) request_body: Option<u64>,
    pub(super) on_backend_loss: OnBackendLoss,
    host: HostPattern,
    /// In normal form.
    path: String,
}

/// What a tunnel keeps of the route that it came by: little, since it may live longer.
#[derive(Debug)]
pub(super) struct Label {
    /// The route's host and path, as they are logged.
    pub(super) route: Arc<str>,
    pub(super) id: RouteId,
    pub(super) counts: Arc<RouteCounts>,
    /// What counts the tunnels of each client.
    pub(super) of_clients: Arc<Tally>,
    /// The pool that it led to.
    pub(super) pool: Named,
}

/// A pool by its name: a tunnel, which may outlive many versions of it, keeps none of them.
#[derive(Debug, Clone)]
pub(super) struct Named {
    name: String,
    pools: Pools,
}

impl Routes {
    /// The routes of `config` to its `pools`, of which there are others in `now` after a reload.
    pub(super) fn new(
        config: &config::Config,
        pools: &[Arc<Pool>],
        now: &Pools,
        registry: &Registry,
        counts: &Counts,
    ) -> Self {
        let route = |route: &config::Route| {
            let name = registry.route(&route.to_string());
            Arc::new(Route {
                label: Arc::new(Label::new(name, &pools[route.pool], now, counts)),
                pool: Arc::clone(&pools[route.pool]),
                set_host: route.set_host.clone(),
                policy: Arc::new(Policy::new(route)),
                timeouts: route.timeouts,
                upgrades: route.upgrades.clone(),
                opaque_policy: Arc::new(Policy::new(route).without_pings()),
                refusal: route.refusal,
                request_body: route.request_body.unwrap_or(config.limits.request_body),
                on_backend_loss: route.on_backend_loss,
                host: route.host.clone(),
                path: route.path.clone(),
            })
        };
        let mut routes: Vec<_> = config.routes.iter().map(route).collect();
        routes.sort_by_key(|route| Reverse((specificity(&route.host), route.path.len())));
        Self { routes }
    }

    /// The route of a request: the most specific host counts first, then the longest path.
    ///
    /// # Errors
    /// If there is none, or if servers may read the path in different ways that do not all lead to
    /// the same route: what a route demands could be gone around.
    pub(super) fn find(&self, host: &str, path: &str) -> Result<&Arc<Route>, Rejection> {
        let found = match path::meaning(path) {
            Meaning::Certain(path) => self.at(host, &path),
            Meaning::Several(readings) => {
                let mut found = readings.iter().map(|path| self.at(host, path));
                let first = found.next().flatten();
                if !found.all(|other| is_same(first, other)) {
                    return Err(Rejection::BadRequest(TWO_ROUTES));
                }
                first
            }
            Meaning::Unknown(why) => Some(self.only(host).ok_or(Rejection::BadPath(why))?),
        };
        found.ok_or(Rejection::NoRoute)
    }

    /// The route of a path in its normal form.
    fn at(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        let mut routes = self.routes_of(host);
        routes.find(|route| is_below(path, &route.path))
    }

    /// The route of a host that has no other, whatever the path is.
    fn only(&self, host: &str) -> Option<&Arc<Route>> {
        self.routes_of(host)
            .next()
            .filter(|route| route.path == "/")
    }

    /// The routes that are for this host, in the order in which they are tried.
    fn routes_of(&self, host: &str) -> impl Iterator<Item = &Arc<Route>> {
        let routes = self.routes.iter();
        routes.filter(move |route| matches_host(&route.host, host))
    }

    /// The label of a route of that name to `pool`, shared with it if there is one.
    pub(super) fn label(
        &self,
        route: Arc<str>,
        pool: &Pool,
        now: &Pools,
        counts: &Counts,
    ) -> Arc<Label> {
        let mut labels = self.routes.iter().map(|route| &route.label);
        let known = labels.find(|label| label.route == route && label.pool.name() == pool.name());
        known.map_or_else(
            || Arc::new(Label::new(route, pool, now, counts)),
            Arc::clone,
        )
    }

    /// That policy, shared with the routes that have the same.
    pub(super) fn policy(&self, policy: &Policy) -> Arc<Policy> {
        let mut policies = self.routes.iter().map(|route| &route.policy);
        let known = policies.find(|known| ***known == *policy);
        known.map_or_else(|| Arc::new(*policy), Arc::clone)
    }
}

impl Label {
    fn new(route: Arc<str>, pool: &Pool, now: &Pools, counts: &Counts) -> Self {
        Self {
            id: RouteId::of(&route),
            counts: counts.of(&route, pool.name()),
            of_clients: Arc::clone(&counts.of_clients),
            route,
            pool: Named {
                name: pool.name().to_owned(),
                pools: Arc::clone(now),
            },
        }
    }
}

impl Named {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The pool as it is now, if it still is.
    pub(super) fn now(&self) -> Option<Arc<Pool>> {
        let pools = self.pools.load();
        pools.iter().find(|pool| pool.name() == self.name).cloned()
    }
}

/// An exact host before a wildcard, a longer wildcard before a shorter, any host last.
fn specificity(host: &HostPattern) -> (u8, usize) {
    match host {
        HostPattern::Any => (0, 0),
        HostPattern::Wildcard(parent) => (1, parent.len()),
        HostPattern::Exact(_) => (2, 0),
    }
}

fn matches_host(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(name) => host.eq_ignore_ascii_case(name),
        HostPattern::Wildcard(parent) => host
            .split_at_checked(host.len().saturating_sub(parent.len()))
            .is_some_and(|(label, end)| {
                end.eq_ignore_ascii_case(parent) && label.len() > 1 && label.ends_with('.')
            }),
    }
}

fn is_same(one: Option<&Arc<Route>>, other: Option<&Arc<Route>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// Whether `path` is `prefix` or lies below it: `/ws` is below `/ws`, and `/ws/1`, not `/wsx`.
fn is_below(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| prefix.ends_with('/') || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Config;

    const TEXT: &str = r#"
            [[listener]]
            address = "127.0.0.1:0"
            [[route]]
            pool = "a"
            [[route]]
            path = "/ws"
            pool = "a"
            [[route]]
            path = "/ws/deep/"
            pool = "a"
            [[route]]
            host = "*.example.com"
            pool = "a"
            [[route]]
            host = "*.eu.example.com"
            pool = "a"
            [[route]]
            host = "chat.example.com"
            path = "/ws"
            pool = "a"
            [pool.a]
            backends = ["127.0.0.1:1"]
        "#;

    fn routes(text: &str) -> Routes {
        let config = Config::parse(text, "test", Path::new("")).unwrap();
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap();
        Routes::new(
            &config,
            &[Arc::new(pool)],
            &Pools::default(),
            &Registry::new(1),
            &Counts::default(),
        )
    }

    fn found(host: &str, path: &str) -> String {
        let routes = routes(TEXT);
        routes.find(host, path).unwrap().label.route.to_string()
    }

    #[test]
    fn the_most_specific_host_comes_first_then_the_longest_path() {
        assert_eq!(found("other.test", "/"), "*/");
        assert_eq!(found("other.test", "/ws"), "*/ws");
        assert_eq!(found("other.test", "/ws/deep/er"), "*/ws/deep/");
        assert_eq!(found("a.example.com", "/ws"), "*.example.com/");
        assert_eq!(found("a.b.example.com", "/"), "*.example.com/");
        assert_eq!(found("a.eu.example.com", "/"), "*.eu.example.com/");
        assert_eq!(found("Chat.Example.com", "/ws/1"), "chat.example.com/ws");
        assert_eq!(found("chat.example.com", "/"), "*.example.com/");
    }

    #[test]
    fn a_path_matches_at_segments_and_a_wildcard_not_its_parent() {
        assert_eq!(found("other.test", "/wsx"), "*/");
        assert_eq!(found("other.test", "/ws/deep"), "*/ws");
        assert_eq!(found("example.com", "/"), "*/");
        assert_eq!(found("badexample.com", "/"), "*/");
    }

    #[test]
    fn every_spelling_of_a_path_finds_the_same_route() {
        for path in [
            "/ws",
            "//ws",
            "/%77s",
            "/x/../ws/",
            "/./ws/1",
            "/x/%2e%2e/w%73",
        ] {
            assert_eq!(found("other.test", path), "*/ws", "{path}");
        }
    }

    #[test]
    fn a_path_that_may_lead_to_two_routes_is_refused() {
        let routes = routes(TEXT);
        let status = |host, path| routes.find(host, path).map_err(|r| r.status().as_u16());
        for path in [
            "/%2fws",
            "/ws%2f1",
            "/x\\..\\ws",
            "/x%5c..%5cws",
            "/x/..;/ws",
            "/ws;v=1",
            "/%2577s",
            "/../ws",
            "/x/%252e%252e/ws",
            "/ws%00",
            "/ws%0a",
            "/%ws",
            "/%c0%afws",
        ] {
            assert_eq!(status("other.test", path).unwrap_err(), 400, "{path}");
        }
        for path in ["/x%2fy", "/x;v=1/y", "/a%2fws", "/ws/a%2fb", "/%2541"] {
            assert!(status("other.test", path).is_ok(), "{path}");
        }
    }

    #[test]
    fn a_host_with_one_route_passes_every_path() {
        let routes = routes(TEXT);
        for path in ["/../ws", "/%2fws", "/%00", "/%", "/a;b%2f"] {
            let found = routes.find("a.eu.example.com", path).unwrap();
            assert_eq!(&*found.label.route, "*.eu.example.com/", "{path}");
        }
    }
}
