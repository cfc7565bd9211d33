//! Looks after the pools: has their backends checked, drained and rebalanced, and forgets who has
//! not come back.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use tokio::{sync::watch, task::JoinSet, time::interval};

use super::{draining::draining, rebalancing::rebalancing, reports::reporting};
use crate::{
    config::{self, Removed},
    pool::Pool,
    proxy::Proxy,
    supervision::{Task, supervised},
    tunnel::registry::{Registry, RouteId},
};

/// What is looked after, until dropped.
#[derive(Debug)]
pub(super) struct Care {
    registry: Arc<Registry>,
    wards: HashMap<String, Ward>,
    /// How often tunnels are reported, and who does that.
    reports: (Option<Duration>, JoinSet<()>),
    _forgetting: JoinSet<()>,
}

/// A pool that is looked after.
#[derive(Debug)]
struct Ward {
    charge: watch::Sender<Charge>,
    /// What begins anew with each version of the pool.
    tasks: JoinSet<()>,
    _draining: JoinSet<()>,
}

/// The version of a pool that is looked after now.
#[derive(Debug, Clone)]
pub(super) struct Charge {
    pub(super) pool: Arc<Pool>,
    /// What becomes of the tunnels of backends that are not in it any more, and of those that came
    /// by routes that are not there any more.
    pub(super) removed: Removed,
    pub(super) removed_routes: Vec<RouteId>,
}

impl Care {
    /// Begins to look after the pools of `proxy` that stand in `pools`, whatever these are.
    pub(super) fn begin(
        proxy: &Arc<Proxy>,
        pools: &Arc<ArcSwap<Vec<Arc<Pool>>>>,
        registry: &Arc<Registry>,
    ) -> Self {
        let mut forgetting = JoinSet::new();
        let (proxy, pools) = (Arc::clone(proxy), Arc::clone(pools));
        forgetting.spawn(supervised(Task::Forgetting, move || {
            forget_expired(Arc::clone(&proxy), Arc::clone(&pools))
        }));
        Self {
            registry: Arc::clone(registry),
            wards: HashMap::new(),
            reports: Default::default(),
            _forgetting: forgetting,
        }
    }

    /// Has open tunnels reported as configured from now on.
    pub(super) fn report_tunnels(&mut self, config: &config::Log) {
        let every = config.tunnel_interval.filter(|_| config.access);
        if every == self.reports.0 {
            return;
        }
        let mut reports = JoinSet::new();
        if let Some(every) = every {
            let registry = Arc::clone(&self.registry);
            let report = move || reporting(Arc::clone(&registry), every);
            reports.spawn(supervised(Task::Reports, report));
        }
        self.reports = (every, reports);
    }

    /// Looks after exactly these from now on. What is under way for a pool that is the same goes on,
    /// and so does a drain in one that has changed.
    pub(super) fn look_after(&mut self, charges: Vec<Charge>) {
        let mut before = std::mem::take(&mut self.wards);
        for charge in charges {
            let name = charge.pool.name().to_owned();
            let ward = match before.remove(&name) {
                Some(mut ward) => {
                    ward.change(charge, &self.registry);
                    ward
                }
                None => Ward::begin(charge, &self.registry),
            };
            self.wards.insert(name, ward);
        }
    }
}

impl Ward {
    fn begin(charge: Charge, registry: &Arc<Registry>) -> Self {
        let tasks = tasks(&charge.pool, registry);
        let (sender, receiver) = watch::channel(charge);
        let mut drains = JoinSet::new();
        let registry = Arc::clone(registry);
        drains.spawn(supervised(Task::Drains, move || {
            draining(receiver.clone(), Arc::clone(&registry))
        }));
        Self {
            charge: sender,
            tasks,
            _draining: drains,
        }
    }

    fn change(&mut self, charge: Charge, registry: &Arc<Registry>) {
        if !Arc::ptr_eq(&self.charge.borrow().pool, &charge.pool) {
            self.tasks = tasks(&charge.pool, registry);
        }
        self.charge.send_replace(charge);
    }
}

/// The checks and the rebalancing of a pool.
fn tasks(pool: &Arc<Pool>, registry: &Arc<Registry>) -> JoinSet<()> {
    let mut tasks: JoinSet<()> = pool.checks().collect();
    let (pool, registry) = (Arc::clone(pool), Arc::clone(registry));
    tasks.spawn(supervised(Task::Rebalance, move || {
        rebalancing(Arc::clone(&pool), Arc::clone(&registry))
    }));
    tasks
}

async fn forget_expired(proxy: Arc<Proxy>, pools: Arc<ArcSwap<Vec<Arc<Pool>>>>) {
    let mut ticks = interval(Pool::FORGET_EVERY);
    loop {
        ticks.tick().await;
        proxy.forget_expired();
        for pool in &**pools.load() {
            pool.forget_expired();
        }
    }
}
