//! The routes that tunnels come by.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, Weak},
};

use xxhash_rust::xxh3::xxh3_64;

/// What stands for a route: the same for one of the same name, whatever else is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RouteId(pub(super) u64);

/// The names of routes. Whoever has to do with a route keeps its name, and all keep the same one: so
/// it tells whether anybody still does.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<HashMap<RouteId, Weak<str>>>);

impl RouteId {
    /// The route that is called so.
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(xxh3_64(name.as_bytes()))
    }
}

impl Names {
    /// That name, shared with all who keep it.
    pub(super) fn share(&self, name: &str) -> Arc<str> {
        let id = RouteId::of(name);
        let mut names = self.names();
        if let Some(kept) = names.get(&id).and_then(Weak::upgrade) {
            return kept;
        }
        names.retain(|_, name| name.strong_count() > 0);
        let name = Arc::from(name);
        names.insert(id, Arc::downgrade(&name));
        name
    }

    /// Whether anybody keeps the name of that route.
    pub(super) fn is_kept(&self, route: RouteId) -> bool {
        let names = self.names();
        names
            .get(&route)
            .is_some_and(|name| name.strong_count() > 0)
    }

    fn names(&self) -> MutexGuard<'_, HashMap<RouteId, Weak<str>>> {
        self.0.lock().expect("no holder panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_kept_until_the_last_one_drops_it() {
        let names = Names::default();
        let is_kept = || names.is_kept(RouteId::of("*/ws"));
        let (first, last) = (names.share("*/ws"), names.share("*/ws"));
        drop(last);
        assert!(is_kept() && !names.is_kept(RouteId::of("*/")));
        drop(first);
        assert!(!is_kept());
        let _again = names.share("*/ws");
        assert!(is_kept());
    }

    #[test]
    fn names_that_nobody_keeps_take_no_place() {
        let names = Names::default();
        let _kept = names.share("*/kept");
        for number in 0..100 {
            names.share(&format!("*/{number}"));
        }
        assert!(names.names().len() <= 2);
    }
}
