//! Watches a pool for backends that are to lose their tunnels, and has them closed.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::warn;

use super::{care::Charge, orders};
use crate::{
    config::{self, DrainCode, Removed},
    pool::standing::State,
    tunnel::{
        drain::{Drain, Progress, Whose},
        registry::{CloseOrder, Registry},
    },
};

/// Drains backends of a pool whenever that is wanted. It sleeps while it is not.
pub(super) async fn draining(mut charge: watch::Receiver<Charge>, registry: Arc<Registry>) {
    let mut changes = charge.borrow().pool.changes();
    while charge.has_changed().is_ok() {
        changes.mark_unchanged();
        charge.mark_unchanged();
        if all_orders(&charge).is_empty() {
            tokio::select! {
                _ = changes.changed() => {}
                _ = charge.changed() => {}
            }
        } else {
            drain(&mut charge, &registry, &mut changes).await;
        }
    }
}

/// Drains until no backend is to lose its tunnels any more.
async fn drain(
    charge: &mut watch::Receiver<Charge>,
    registry: &Registry,
    changes: &mut watch::Receiver<()>,
) {
    // The pool itself is not kept: it may have become another meanwhile.
    let config::Drain { pace, deadline, .. } = *charge.borrow().pool.drain();
    let mut drain = Drain::new(pace.into(), deadline, Instant::now());
    loop {
        changes.mark_unchanged();
        charge.mark_unchanged();
        let orders = all_orders(charge);
        if orders.is_empty() {
            return;
        }
        let now = Instant::now();
        drain.set(orders, now);
        let Progress { cut, next } = drain.proceed(registry, now);
        if cut > 0 {
            warn!(
                pool = charge.borrow().pool.name(),
                tunnels = cut,
                "a drain has taken too long: the rest is cut"
            );
        }
        tokio::select! {
            _ = changes.changed() => {}
            changed = charge.changed() => if changed.is_err() {
                return;
            },
            () = sleep_until(next) => {}
        }
    }
}

/// What the tunnels of those backends are told that are to lose them.
fn all_orders(charge: &watch::Receiver<Charge>) -> Vec<(Whose, &'static CloseOrder)> {
    let Charge {
        pool,
        removed,
        removed_routes,
    } = &*charge.borrow();
    let now = Instant::now();
    let code = pool.drain().code;
    let draining = pool.backends().iter().filter(|member| pool.drains(member));
    let draining = draining.map(|member| {
        let whose = Whose::Backend(member.id());
        (whose, order(member.state(now), code))
    });
    let removed = match removed {
        Removed::Keep => None,
        Removed::Drain => {
            let backends = pool.former().map(Whose::Backend);
            let routes = removed_routes.iter().copied().map(Whose::Route);
            Some(
                backends
                    .chain(routes)
                    .map(|whose| (whose, orders::removed(code))),
            )
        }
    };
    draining.chain(removed.into_iter().flatten()).collect()
}

fn order(state: State, code: DrainCode) -> &'static CloseOrder {
    match state {
        State::Down => orders::down(code),
        _ => orders::draining(code),
    }
}
