//! What sections say about each other.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
    time::Duration,
};

use toml::Spanned;

use super::{
    diagnostics::{Problem, Span, did_you_mean, nearest, quoted},
    listener,
    loops::leads_to,
    pool,
    reading::{Reading, Reported, all},
    route,
    section::{Section, Setting},
    timeouts,
};

/// The sections as written, before it is known whether they go together.
pub(super) struct Drafts {
    pub(super) listeners: List<listener::Draft>,
    pub(super) routes: List<route::Draft>,
    pub(super) pools: List<pool::Draft>,
    pub(super) timeouts: Result<timeouts::Draft, Reported>,
}

/// What could be read of a list.
pub(super) struct List<D> {
    pub(super) drafts: Vec<D>,
    /// Whether nothing of it is missing from `drafts`.
    pub(super) is_whole: Result<(), Reported>,
}

impl<D> List<D> {
    pub(super) fn of(read: Result<Vec<Result<D, Reported>>, Reported>) -> Self {
        let mut list = Self {
            drafts: Vec::new(),
            is_whole: read.as_ref().map(|_| ()).map_err(|reported| *reported),
        };
        for element in read.into_iter().flatten() {
            match element {
                Ok(draft) => list.drafts.push(draft),
                Err(reported) => list.is_whole = Err(reported),
            }
        }
        list
    }

    /// What `settle` makes of every draft, if there is nothing wrong with any.
    pub(super) fn all<T>(
        self,
        settle: impl Fn(D) -> Result<T, Reported>,
    ) -> Result<Vec<T>, Reported> {
        self.is_whole?;
        all(self.drafts.into_iter().map(settle))
    }
}

impl Drafts {
    /// Notes what does not go together, and finds each route's pool.
    pub(super) fn check(&self, root: &Section<'_>) -> Vec<Result<usize, Reported>> {
        let reading = root.reading;
        self.listeners_are_apart(reading);
        self.backends_are_elsewhere(reading);
        self.routes_are_apart(reading);
        self.keepalives_come_before_idleness(reading);
        self.lines_are_shorter_than_handshakes(reading);
        let destinations = self.destinations(root);
        self.pools_are_used(root, &destinations);
        destinations
    }

    fn listeners_are_apart(&self, reading: &Reading<'_>) {
        let addresses = self
            .listeners
            .drafts
            .iter()
            .flat_map(|draft| &draft.address)
            .filter(|address| address.get_ref().port() != 0)
            .map(|address| (*address.get_ref(), address.span()));
        for (address, first, again) in repeated(addresses) {
            let message = format!("`{address}` is listened on twice");
            let problem = Problem::at(again, message).beside(first, "first used here");
            reading.report(problem);
        }
    }

    /// A request to a backend that is one of our own listeners would come back for ever.
    fn backends_are_elsewhere(&self, reading: &Reading<'_>) {
        for backend in self.pools.drafts.iter().flat_map(|pool| &pool.members) {
            let mut listeners = self
                .listeners
                .drafts
                .iter()
                .flat_map(|draft| &draft.address);
            let own = listeners.find(|own| leads_to(backend.get_ref(), *own.get_ref()));
            if let Some(own) = own {
                let message = format!("the backend `{}` is this proxy itself", backend.get_ref());
                let problem = Problem::at(backend.span(), message)
                    .beside(own.span(), "it listens here")
                    .helping("what is sent there would come back again and again");
                reading.report(problem);
            }
        }
    }

    fn routes_are_apart(&self, reading: &Reading<'_>) {
        let matches = self
            .routes
            .drafts
            .iter()
            .filter(|route| !route.host.is_faulty && !route.path.is_faulty)
            .map(|route| ((&*route.host, &*route.path), place_of(route)));
        for (_, first, again) in repeated(matches) {
            let problem = Problem::at(again, "another route has the same host and path")
                .beside(first, "this one")
                .helping("a request goes to one route: give one of them another host or path");
            reading.report(problem);
        }
    }

    /// A tunnel that is idle for less than a ping's interval would be closed before it is pinged.
    fn keepalives_come_before_idleness(&self, reading: &Reading<'_>) {
        let mut told = HashSet::new();
        for route in &self.routes.drafts {
            let idle = &route.timeouts.tunnel_idle;
            let (Some(limit), Some(place), false) = (**idle, &idle.place, idle.is_faulty) else {
                continue;
            };
            let interval = &route.keepalive.interval;
            let is_late = interval.is_some_and(|interval| interval >= limit);
            let places = (place.clone(), interval.place.clone());
            if is_late && !interval.is_faulty && told.insert(places) {
                reading.report(never_pinged(place.clone(), interval));
            }
        }
    }

    /// A handshake that waits for its backend until its own deadline can only fail.
    fn lines_are_shorter_than_handshakes(&self, reading: &Reading<'_>) {
        let Ok(timeouts) = &self.timeouts else {
            return;
        };
        for pool in &self.pools.drafts {
            let routes = self.routes.drafts.iter();
            let to_it =
                routes.filter(|route| matches!(&route.pool, Ok(to) if *to.get_ref() == pool.name));
            let longest = to_it.map(|route| *route.timeouts.handshake).max();
            let whole = longest.unwrap_or(*timeouts.handshake);
            let timeouts = pool.backend_queue_timeout.iter();
            for timeout in timeouts.filter(|timeout| *timeout.get_ref() >= whole) {
                let message = "`queue_timeout` is not shorter than `timeouts.handshake`";
                let problem = Problem::at(timeout.span(), message)
                    .expecting(format!("expected less than {whole:?}"))
                    .helping("a handshake's time runs while it waits for its backend");
                reading.report(problem);
            }
        }
    }

    /// For each route, the index of its pool.
    fn destinations(&self, root: &Section<'_>) -> Vec<Result<usize, Reported>> {
        let routes = self.routes.drafts.iter();
        routes
            .map(|route| match &route.pool {
                Ok(name) => self.destination(root, name),
                Err(reported) => Err(*reported),
            })
            .collect()
    }

    fn destination(&self, root: &Section<'_>, name: &Spanned<String>) -> Result<usize, Reported> {
        let pools = &self.pools.drafts;
        if let Some(index) = pools.iter().position(|pool| pool.name == **name.get_ref()) {
            return Ok(index);
        }
        // The pool may be one that could not be read.
        self.pools.is_whole?;
        let problem = Problem::at(
            name.span(),
            format!("there is no pool `{}`", name.get_ref().escape_debug()),
        )
        .expecting(did_you_mean(name.get_ref(), self.names(), || {
            format!("expected one of {}", quoted(&self.names()))
        }));
        Err(root.report_absence_beside("pool", problem))
    }

    fn pools_are_used(&self, root: &Section<'_>, destinations: &[Result<usize, Reported>]) {
        // A route that could not be read may have been to any of them.
        let knows_all = self.routes.is_whole.is_ok()
            && self.routes.drafts.iter().all(|route| route.pool.is_ok());
        if !knows_all {
            return;
        }
        let used: HashSet<_> = destinations.iter().flatten().collect();
        let names = self.names();
        let meant: HashSet<_> = self
            .routes
            .drafts
            .iter()
            .flat_map(|route| &route.pool)
            .filter_map(|name| nearest(name.get_ref(), names.iter().copied()))
            .collect();
        for (index, pool) in self.pools.drafts.iter().enumerate() {
            if !used.contains(&index) && !meant.contains(&*pool.name) {
                let message = format!("no route uses the pool `{}`", pool.name.escape_debug());
                let problem = Problem::at(pool.place.clone(), message).helping(
                    "give it a route, or leave it out: nobody would notice that it is not used",
                );
                root.report_absence_beside("route", problem);
            }
        }
    }

    fn names(&self) -> Vec<&str> {
        let pools = self.pools.drafts.iter();
        pools.map(|pool| &*pool.name).collect()
    }
}

/// Where a route says what it is for.
fn place_of(route: &route::Draft) -> Span {
    let written = route.path.place.as_ref().or(route.host.place.as_ref());
    written.unwrap_or(&route.place).clone()
}

fn never_pinged(idle: Span, interval: &Setting<Option<Duration>>) -> Problem {
    let problem = Problem::at(
        idle,
        "`tunnel_idle` is not longer than a keepalive's `interval`",
    )
    .helping(
        "an idle tunnel would be closed before it is ever pinged; \
             a longer `tunnel_idle` or a shorter `interval` lets pings keep it",
    );
    match &interval.place {
        Some(place) => problem.beside(place.clone(), "`interval` is here"),
        None => problem.expecting("`interval` has its default"),
    }
}

/// The second and later uses of a key: the key, its first place and this one.
fn repeated<K: Copy + Eq + Hash>(uses: impl Iterator<Item = (K, Span)>) -> Vec<(K, Span, Span)> {
    let mut first: HashMap<K, Span> = HashMap::new();
    let mut repeated = Vec::new();
    for (key, place) in uses {
        match first.get(&key) {
            Some(earlier) => repeated.push((key, earlier.clone(), place)),
            None => {
                first.insert(key, place);
            }
        }
    }
    repeated
}
