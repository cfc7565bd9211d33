//! A new configuration takes effect on a server that runs: what it needs is
//! [prepared](super::prepared), and nothing can fail any more.

use std::{collections::HashMap, mem, sync::Arc};

use super::{
    Server, StartError,
    announcements::announce_routes,
    care::Charge,
    changes::{Changes, Count},
    prepared::{Entry, Prepared, Version},
};
use crate::{
    config::{self, Config},
    metrics::{Count as _, Counter},
    pool::Pool,
    tunnel::registry::RouteId,
};

/// Why a new configuration does not take effect.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It needs something that is not to be had.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Another process is about to take over, and knows nothing of it.
    #[error("another process is taking over")]
    Succession,
    /// There is nothing that could change: the server stops, or does not run.
    #[error("the proxy does not run, or stops")]
    NotRunning,
}

/// How often there was another configuration.
#[derive(Debug, Default)]
pub(super) struct Reloads {
    done: Counter,
    refused: Counter,
}

/// How often there was another configuration since the process has started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReloadTotals {
    /// It has taken effect.
    pub done: u64,
    /// It has not: it was wrong, or could not.
    pub refused: u64,
}

impl Reloads {
    pub(super) fn count(&self, is_done: bool) {
        let count = if is_done { &self.done } else { &self.refused };
        count.add(1);
    }

    pub(super) fn totals(&self) -> ReloadTotals {
        ReloadTotals {
            done: self.done.value(),
            refused: self.refused.value(),
        }
    }
}

impl Server {
    /// Has what was prepared take effect.
    pub(super) fn apply(&mut self, prepared: Prepared) -> Changes {
        let Prepared {
            mut config,
            pools,
            doors,
        } = prepared;
        let changes = Changes {
            routes: self.change_routes(&config),
            left: left_to_another_process(&self.config, &config),
            pools: self.change_pools(pools, &config),
            listeners: self.change_doors(doors, &config),
        };
        announce_routes(&config);
        config.server.workers = self.config.server.workers;
        config.log.format = self.config.log.format;
        self.shared.source.store(Arc::clone(&config.source));
        self.config = config;
        changes
    }

    /// Takes note of the routes that are not in `config` any more. They are remembered as long as
    /// anybody has to do with them.
    fn change_routes(&mut self, config: &Config) -> Count {
        let before = destinations(&self.config);
        let after = destinations(config);
        let added = after.keys().filter(|id| !before.contains_key(id));
        let changed = after.iter().filter(|(id, route)| {
            let before = before.get(id);
            before.is_some_and(|before| before != *route)
        });
        let count = Count {
            added: added.count(),
            changed: changed.count(),
            removed: before.keys().filter(|id| !after.contains_key(id)).count(),
            ..Count::of(after.len())
        };
        let removed = before.into_iter().filter(|(id, _)| !after.contains_key(id));
        let removed = removed.map(|(id, (pool, _))| (id, pool.to_owned()));
        let removed: Vec<_> = removed.collect();
        let registry = &self.shared.registry;
        self.removed_routes
            .retain(|(route, _)| !after.contains_key(route) && registry.knows(*route));
        self.removed_routes.extend(removed);
        count
    }

    fn change_pools(&mut self, versions: Vec<Version>, config: &Config) -> Count {
        let mut count = Count::of(versions.len());
        let pools: Vec<_> = versions
            .iter()
            .map(|version| Arc::clone(version.pool()))
            .collect();
        self.shared.proxy.reload(config, &pools);
        let before = self.shared.pools.swap(Arc::new(pools));
        for version in versions {
            match version {
                Version::Same(_) => {}
                Version::Other { pool, before } => {
                    count.changed += 1;
                    pool.takes_over(&before);
                }
                Version::Back { pool, before } => {
                    count.added += 1;
                    pool.takes_over(&before);
                }
                Version::New(_) => count.added += 1,
            }
        }
        count.removed = self.dissolve_removed(&before);
        self.look_after_pools(config.reload.removed);
        self.care.report_tunnels(&config.log);
        count
    }

    /// Dissolves those of the pools `before` that are not there any more, and says how many these
    /// are. Dissolved ones are remembered as long as somebody uses their backends.
    fn dissolve_removed(&mut self, before: &[Arc<Pool>]) -> usize {
        let pools = self.shared.pools.load();
        let is_gone = |pool: &Arc<Pool>| pools.iter().all(|now| now.name() != pool.name());
        let is_used = |pool: &Arc<Pool>| pool.former().next().is_some();
        self.dissolved.retain(|pool| is_gone(pool) && is_used(pool));
        let gone: Vec<_> = before.iter().filter(|pool| is_gone(pool)).collect();
        gone.iter().for_each(|pool| pool.close_idle());
        let dissolved = gone.iter().map(|pool| Arc::new(Pool::dissolved(pool)));
        self.dissolved.extend(dissolved);
        gone.len()
    }

    /// Looks after the pools that there are now, and what is left of others.
    pub(super) fn look_after_pools(&mut self, removed: config::Removed) {
        let pools = self.shared.pools.load();
        let all = pools.iter().chain(&self.dissolved);
        let charges = all.map(|pool| {
            let routes = self.removed_routes.iter();
            let own = routes.filter(|(_, of)| *of == pool.name());
            Charge {
                pool: Arc::clone(pool),
                removed,
                removed_routes: own.map(|(route, _)| *route).collect(),
            }
        });
        self.care.look_after(charges.collect());
    }

    fn change_doors(&mut self, entries: Vec<Entry>, config: &Config) -> Count {
        let mut count = Count::of(entries.len());
        self.shared.total.set(config.limits.connections);
        self.shared.clients.set(
            config.limits.connections_per_client,
            &config.server.trusted_proxies.networks,
        );
        let mut before: Vec<_> = mem::take(&mut self.doors).into_iter().map(Some).collect();
        for (entry, listener) in entries.into_iter().zip(&config.listeners) {
            let door = match entry {
                Entry::Known(index, tls) => {
                    let mut door = before[index].take().expect("each is known once");
                    count.changed += usize::from(door.change(listener, self.welcome(tls, config)));
                    door
                }
                Entry::New(mut door) => {
                    count.added += 1;
                    door.announce();
                    door.open();
                    door
                }
            };
            self.doors.push(door);
        }
        for door in before.into_iter().flatten() {
            count.removed += 1;
            door.say_closed();
            self.closing.spawn(door.close());
        }
        self.show_doors();
        count
    }
}

/// The routes of a configuration, each with the name of its pool, whatever the order of either.
fn destinations(config: &Config) -> HashMap<RouteId, (&str, config::Route)> {
    let routes = config.routes.iter().map(|route| {
        let pool = &*config.pools[route.pool].name;
        let anywhere = config::Route {
            pool: 0,
            ..route.clone()
        };
        (RouteId::of(&route.to_string()), (pool, anywhere))
    });
    routes.collect()
}

/// The keys of `after` whose values are not those of `before`, and are fixed for a process's life.
fn left_to_another_process(before: &Config, after: &Config) -> Vec<&'static str> {
    let differs = [
        (
            "server.workers",
            before.server.workers != after.server.workers,
        ),
        ("log.format", before.log.format != after.log.format),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    differs.map(|(key, _)| key).collect()
}
