//! Watches a pool for members that are to lose their tunnels, and has them closed.

use std::sync::Arc;

use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tracing::warn;

use crate::{
    config::DrainCode,
    pool::{Pool, backend::BackendId, standing::State},
    tunnel::{
        Cause,
        drain::{Drain, Progress},
        registry::{CloseOrder, Registry},
    },
    websocket::CloseCode,
};

/// Drains the members of a pool whenever that is wanted. It sleeps while it is not.
pub(super) async fn draining(pool: Arc<Pool>, registry: Arc<Registry>) {
    let mut changes = pool.changes();
    loop {
        changes.mark_unchanged();
        if !orders(&pool).is_empty() {
            drain(&pool, &registry, &mut changes).await;
        } else if changes.changed().await.is_err() {
            return;
        }
    }
}

/// Drains until no member is to lose its tunnels any more.
async fn drain(pool: &Pool, registry: &Registry, changes: &mut watch::Receiver<()>) {
    let mut drain = Drain::new(*pool.drain(), Instant::now());
    loop {
        changes.mark_unchanged();
        let orders = orders(pool);
        if orders.is_empty() {
            return;
        }
        let now = Instant::now();
        drain.set(orders, now);
        let Progress { cut, next } = drain.proceed(registry, now);
        if cut > 0 {
            warn!(
                pool = pool.name(),
                tunnels = cut,
                "a drain has taken too long: the rest is cut"
            );
        }
        tokio::select! {
            _ = changes.changed() => {}
            () = sleep_until(next) => {}
        }
    }
}

/// What the tunnels of those members are told that are to lose them.
fn orders(pool: &Pool) -> Vec<(BackendId, &'static CloseOrder)> {
    let now = Instant::now();
    let draining = pool.backends().iter().filter(|member| pool.drains(member));
    let code = pool.drain().code;
    draining
        .map(|member| (member.id(), order(member.state(now), code)))
        .collect()
}

fn order(state: State, code: DrainCode) -> &'static CloseOrder {
    const fn draining(code: CloseCode) -> CloseOrder {
        CloseOrder {
            cause: Cause::Draining,
            code,
            reason: "backend is draining",
        }
    }
    const fn down(code: CloseCode) -> CloseOrder {
        CloseOrder {
            cause: Cause::Down,
            code,
            reason: "backend is down",
        }
    }
    match (state, code) {
        (State::Down, DrainCode::GoingAway) => const { &down(CloseCode::GOING_AWAY) },
        (State::Down, DrainCode::ServiceRestart) => const { &down(CloseCode::SERVICE_RESTART) },
        (_, DrainCode::GoingAway) => const { &draining(CloseCode::GOING_AWAY) },
        (_, DrainCode::ServiceRestart) => const { &draining(CloseCode::SERVICE_RESTART) },
    }
}
