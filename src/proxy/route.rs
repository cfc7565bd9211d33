//! Host + path → route.

use std::{cmp::Reverse, sync::Arc};

use arc_swap::ArcSwap;
use http::HeaderValue;

use super::counts::{Counts, RouteCounts};
use crate::{
    config::{self, HostPattern, OnBackendLoss, Refusal},
    pool::Pool,
    tunnel::{
        Policy,
        registry::{Registry, RouteId},
    },
};

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
    pub(super) refusal: Refusal,
    pub(super) on_backend_loss: OnBackendLoss,
    host: HostPattern,
    path: String,
}

/// What a tunnel keeps of the route that it came by: little, since it may live longer.
#[derive(Debug)]
pub(super) struct Label {
    /// The route's host and path, as they are logged.
    pub(super) route: Arc<str>,
    pub(super) id: RouteId,
    pub(super) counts: Arc<RouteCounts>,
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
                policy: Arc::new(Policy::new(route, &config.timeouts)),
                refusal: route.refusal,
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
    pub(super) fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        self.routes
            .iter()
            .find(|route| matches_host(&route.host, host) && is_below(path, &route.path))
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

    fn found(host: &str, path: &str) -> String {
        let text = r#"
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
        let config = Config::parse(text, "test", Path::new("")).unwrap();
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap();
        let routes = Routes::new(
            &config,
            &[Arc::new(pool)],
            &Pools::default(),
            &Registry::new(1),
            &Counts::default(),
        );
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
}
