//! Pools and their backends.

use std::time::Duration;

use tokio::time::Instant;

use super::{rounded, unix};
use crate::{
    admin::api::{Backend, Checks, Draining, Ejected, Pool, Queue, Rebalancing},
    config::DrainPace,
    pool::{self, backend},
    server::Control,
};

/// The pools as they are now; `trend` tells of a pool and a backend how many tunnels it had.
pub(in crate::admin) fn pools(
    control: &Control,
    trend: impl Fn(&str, &str) -> Vec<u32>,
) -> Vec<Pool> {
    let pools = control.pools();
    pools
        .iter()
        .map(|pool| self::pool(control, pool, &trend))
        .collect()
}

fn pool(control: &Control, pool: &pool::Pool, trend: impl Fn(&str, &str) -> Vec<u32>) -> Pool {
    let queue = pool.queue();
    let backends: Vec<_> = pool
        .backends()
        .iter()
        .map(|backend| Backend {
            trend: trend(pool.name(), backend.name()),
            ..self::backend(control, pool, backend)
        })
        .collect();
    Pool {
        name: pool.name().to_owned(),
        balance: pool.balance().to_string(),
        affinity: pool.affinity().to_string(),
        tunnels: backends.iter().map(|backend| backend.tunnels).sum(),
        requests: backends.iter().map(|backend| backend.requests).sum(),
        queue: Queue {
            waiting: queue.waiting,
            most: queue.most,
        },
        rebalance: rebalancing(pool),
        backends,
    }
}

fn backend(control: &Control, pool: &pool::Pool, backend: &backend::Backend) -> Backend {
    let now = Instant::now();
    let counts = control.proxy().counts();
    Backend {
        name: backend.name().to_owned(),
        state: backend.state(now).to_string(),
        intent: backend.intent().to_string(),
        weight: backend.weight().get(),
        share: backend.share(now),
        tunnels: backend.tunnels(),
        max_tunnels: backend.max_tunnels(),
        requests: backend.requests(),
        max_requests: backend.max_requests(),
        opened: counts.opened(pool.name(), backend.name()),
        checks: backend.checks().map(|checks| Checks {
            passed: checks.passed,
            failed: checks.failed,
            last_at: checks.last_at.map(unix),
            last_failure: checks.last_failure,
        }),
        ejected: backend.ejected(now).map(|ejected| Ejected {
            seconds_left: rounded(ejected.left),
            reason: ejected.reason,
        }),
        drain: draining(pool, backend, now),
        trend: Vec::new(),
    }
}

fn rebalancing(pool: &pool::Pool) -> Rebalancing {
    Rebalancing {
        is_configured: pool.rebalance().is_some(),
        is_running: pool.is_rebalanced(),
        is_paused: pool.is_rebalance_paused(),
    }
}

fn draining(pool: &pool::Pool, backend: &backend::Backend, now: Instant) -> Option<Draining> {
    let told = pool.drain_of(backend).map(|stand| Draining {
        total: stand.total,
        untold: stand.untold,
        left: stand.left,
        seconds_left: rounded(stand.time_left(now)),
    });
    told.or_else(|| pool.drains(backend).then(|| about_to_drain(pool, backend)))
}

/// How far a drain is that begins in a moment.
fn about_to_drain(pool: &pool::Pool, backend: &backend::Backend) -> Draining {
    let tunnels = backend.tunnels();
    let takes = match pool.drain().pace {
        _ if tunnels == 0 => Duration::ZERO,
        DrainPace::Over(window) => window,
        DrainPace::Rate(rate) => {
            Duration::from_secs(1).mul_f64(tunnels as f64 / f64::from(rate.get()))
        }
    };
    Draining {
        total: tunnels,
        untold: tunnels,
        left: tunnels,
        seconds_left: rounded(takes),
    }
}
