//! Pools and their backends: states, checks, failures, and what was done about them.

use std::{fmt, sync::Arc};

use tokio::time::Instant;

use super::family::{Families, Family};
use crate::{
    pool::{Pool, backend::Backend, standing::State},
    server::Control,
};

const STATES: [State; 5] = [
    State::Ready,
    State::Draining,
    State::Ejected,
    State::Down,
    State::Maintenance,
];

pub(super) fn write(families: &mut Families<'_>, control: &Control) -> fmt::Result {
    let pools = control.pools();
    write_states(families, &pools)?;
    write_checks(families, &pools)?;
    write_failures(families, &pools)?;
    write_drains(families, control, &pools)?;
    write_selection(families, &pools)
}

fn write_states(families: &mut Families<'_>, pools: &[Arc<Pool>]) -> fmt::Result {
    let now = Instant::now();
    let family = Family::new("backend_state", "1 for the state that a backend is in");
    let names = STATES.map(|state| (state, state.to_string()));
    let states = backends(pools).flat_map(|(pool, backend)| {
        let own = backend.state(now);
        names.iter().map(move |(state, name)| {
            let labels = [
                ("pool", pool.name()),
                ("backend", backend.name()),
                ("state", name.as_str()),
            ];
            (labels, f64::from(u8::from(own == *state)))
        })
    });
    families.gauges(&family, states)?;
    let family = Family::new(
        "backend_share",
        "The part of its share of new clients that a backend gets, from 0 to 1",
    );
    families.gauges(&family, each(pools, |_, backend| backend.share(now)))?;
    let family = Family::new(
        "backend_max_tunnels",
        "Tunnels that a backend may have, handshakes under way included",
    );
    let most = |backend: &Backend| {
        let most = backend.max_tunnels();
        most.map_or(f64::INFINITY, |most| most as f64)
    };
    families.gauges(&family, each(pools, |_, backend| most(backend)))?;
    let family = Family::new("backend_requests", "Plain requests under way to a backend");
    families.gauges(&family, each(pools, |_, backend| backend.requests() as f64))?;
    let family = Family::new(
        "backend_max_requests",
        "Plain requests that a backend may have under way",
    );
    let most = |backend: &Backend| {
        let most = backend.max_requests();
        most.map_or(f64::INFINITY, |most| most as f64)
    };
    families.gauges(&family, each(pools, |_, backend| most(backend)))
}

fn write_checks(families: &mut Families<'_>, pools: &[Arc<Pool>]) -> fmt::Result {
    let checks: Vec<_> = backends(pools)
        .filter_map(|(pool, backend)| Some((pool, backend, backend.checks()?)))
        .collect();
    let family = Family::new(
        "backend_checks",
        "Health checks, by whether the backend has passed them",
    );
    let results = checks.iter().flat_map(|(pool, backend, checks)| {
        let results = [("passed", checks.passed), ("failed", checks.failed)];
        results.map(|(result, count)| {
            let labels = [
                ("pool", pool.name()),
                ("backend", backend.name()),
                ("result", result),
            ];
            (labels, count)
        })
    });
    families.counters(&family, results)?;
    let family = Family::new(
        "backend_downs",
        "Times that its checks have found a backend down",
    );
    let downs = each(pools, |_, backend| backend.failures().downs);
    families.counters(&family, downs)
}

fn write_failures(families: &mut Families<'_>, pools: &[Arc<Pool>]) -> fmt::Result {
    let family = Family::new(
        "backend_failures",
        "What traffic has met on a backend: no connection, a bad handshake, a tunnel lost",
    );
    let failures = backends(pools).flat_map(|(pool, backend)| {
        let failures = backend.failures();
        let all = [
            ("unreachable", failures.unreachable),
            ("bad_handshake", failures.bad_handshakes),
            ("lost", failures.lost),
        ];
        all.map(|(reason, count)| {
            let labels = [
                ("pool", pool.name()),
                ("backend", backend.name()),
                ("reason", reason),
            ];
            (labels, count)
        })
    });
    families.counters(&family, failures)?;
    let family = Family::new(
        "backend_ejections",
        "Times that traffic has had a backend left out",
    );
    families.counters(&family, each(pools, |_, backend| backend.ejections()))
}

fn write_drains(
    families: &mut Families<'_>,
    control: &Control,
    pools: &[Arc<Pool>],
) -> fmt::Result {
    let totals = |count: fn(&crate::pool::Totals) -> u64| {
        let of = move |pool: &Arc<Pool>| count(&pool.totals());
        pools
            .iter()
            .map(move |pool| ([("pool", pool.name())], of(pool)))
    };
    let family = Family::new("drains", "Times that a backend began to lose its tunnels");
    families.counters(&family, totals(|totals| totals.drains))?;
    let family = Family::new(
        "drain_tunnels_left",
        "Tunnels that a backend has yet to lose",
    );
    let left = backends(pools).filter_map(|(pool, backend)| {
        let stand = pool.drain_of(backend)?;
        let labels = [("pool", pool.name()), ("backend", backend.name())];
        Some((labels, stand.left as f64))
    });
    families.gauges(&family, left)?;
    let family = Family::new(
        "tunnels_rebalanced",
        "Tunnels that were told to close, since their backends had too many",
    );
    families.counters(&family, totals(|totals| totals.rebalanced))?;
    let family = Family::new(
        "rebalance_paused",
        "1 while a rebalance pauses, since too few of the clients that were told come back",
    );
    let paused = pools.iter().map(|pool| {
        let is_paused = f64::from(u8::from(pool.is_rebalance_paused()));
        ([("pool", pool.name())], is_paused)
    });
    families.gauges(&family, paused)?;
    let family = Family::new("tunnels_closing", "Open tunnels that were told to close");
    families.gauge(&family, control.registry().closing() as f64)?;
    let told = control.registry().told();
    let family = Family::new(
        "tunnels_told",
        "Tunnels that we have told to close, by what for",
    );
    let causes = told.told.map(|(cause, count)| ([("cause", cause)], count));
    families.counters(&family, causes)?;
    let family = Family::new(
        "tunnels_cut",
        "Tunnels that were cut at a deadline, since they had not closed until then",
    );
    families.counter(&family, told.cut as f64)
}

fn write_selection(families: &mut Families<'_>, pools: &[Arc<Pool>]) -> fmt::Result {
    let totals: Vec<_> = pools
        .iter()
        .map(|pool| (pool.name(), pool.totals()))
        .collect();
    let family = Family::new(
        "retries",
        "Handshakes that failed on one backend and could go to another, by whether they did",
    );
    let retries = totals.iter().flat_map(|(pool, totals)| {
        let all = [
            ("tried", totals.retries),
            ("refused", totals.refused_retries),
        ];
        all.map(|(result, count)| ([("pool", *pool), ("result", result)], count))
    });
    families.counters(&family, retries)?;
    let family = Family::new(
        "selections_failed",
        "Requests for which a pool had no backend: none was ready, or none had room",
    );
    let failed = totals.iter().flat_map(|(pool, totals)| {
        let all = [
            ("none_ready", totals.none_ready),
            ("no_room", totals.no_room),
        ];
        all.map(|(reason, count)| ([("pool", *pool), ("reason", reason)], count))
    });
    families.counters(&family, failed)
}

fn backends(pools: &[Arc<Pool>]) -> impl Iterator<Item = (&Pool, &Backend)> {
    let members = |pool| {
        Pool::backends(pool)
            .iter()
            .map(move |backend| (pool, &**backend))
    };
    pools.iter().flat_map(move |pool| members(&**pool))
}

/// A number of each backend.
fn each<V>(
    pools: &[Arc<Pool>],
    value: impl Fn(&Pool, &Backend) -> V,
) -> impl Iterator<Item = ([(&'static str, &str); 2], V)> {
    backends(pools).map(move |(pool, backend)| {
        let labels = [("pool", pool.name()), ("backend", backend.name())];
        (labels, value(pool, backend))
    })
}
