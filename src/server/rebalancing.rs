//! Looks after a pool whose tunnels are to be rebalanced.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::{
    pool::Pool,
    tunnel::{rebalance::Rebalance, registry::Registry},
};

/// Rebalances a pool whenever that is wanted. It sleeps while it is not.
pub(super) async fn rebalancing(pool: Arc<Pool>, registry: Arc<Registry>) {
    let mut wanted = pool.rebalancing();
    while wanted.wait_for(|wanted| *wanted).await.is_ok() {
        let mut rebalance = Rebalance::new(pool.rebalance_terms(), Instant::now());
        pool.show_rebalance_pause(false);
        while *wanted.borrow_and_update() {
            let next = rebalance.proceed(&pool, &registry, Instant::now());
            tokio::select! {
                // The pool holds the other end.
                _ = wanted.changed() => {}
                () = sleep_until(next) => {}
            }
        }
    }
}
