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
        if all_orders(&charge.borrow(), &registry).is_empty() {
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
        let orders = all_orders(&charge.borrow(), registry);
        if orders.is_empty() {
            charge.borrow().pool.show_drains(Vec::new());
            return;
        }
        let now = Instant::now();
        drain.set(orders, now);
        let Progress { cut, next } = drain.proceed(registry, now);
        charge.borrow().pool.show_drains(drain.stands());
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
fn all_orders(charge: &Charge, registry: &Registry) -> Vec<(Whose, &'static CloseOrder)> {
    let Charge {
        pool,
        removed,
        removed_routes,
    } = charge;
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
            let routes = removed_routes.iter().copied();
            let routes = routes.filter(|route| registry.knows(*route));
            let all = backends.chain(routes.map(Whose::Route));
            Some(all.map(|whose| (whose, orders::removed(code))))
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

#[cfg(test)]
mod tests {
    use std::{
        path::Path,
        pin::pin,
        sync::atomic::{AtomicBool, Ordering::Relaxed},
        task::{Context, Wake, Waker},
        time::Duration,
    };

    use tokio::time::advance;

    use super::*;
    use crate::{config::Config, pool::Pool, tunnel::registry::RouteId};

    /// Whether a task has been woken.
    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Relaxed);
        }
    }

    /// The charge of a pool that has lost that route.
    fn without(route: &str) -> Charge {
        let text = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
                    [pool.a]\nbackends = [\"127.0.0.1:1\"]";
        let config = Config::parse(text, "test", Path::new("")).unwrap();
        let pool = Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap();
        Charge {
            pool: Arc::new(pool),
            removed: Removed::Drain,
            removed_routes: vec![RouteId::of(route)],
        }
    }

    #[tokio::test(start_paused = true)]
    async fn tunnels_of_a_removed_route_are_looked_for_until_nobody_has_to_do_with_it() {
        let registry = Arc::new(Registry::new(1));
        let name = registry.route("*/gone");
        let (_charge, charged) = watch::channel(without("*/gone"));
        let mut draining = pin!(draining(charged, Arc::clone(&registry)));
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(Arc::clone(&woken));
        let mut looks = async || {
            let mut looks = 0;
            for _ in 0..10 {
                let cx = &mut Context::from_waker(&waker);
                assert!(draining.as_mut().poll(cx).is_pending());
                advance(Duration::from_secs(1)).await;
                looks += usize::from(woken.0.swap(false, Relaxed));
            }
            looks
        };
        assert_eq!(looks().await, 10, "a tunnel may open yet");
        drop(name);
        assert_eq!(looks().await, 0);
    }
}
