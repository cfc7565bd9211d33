//! Looks after a pool whose tunnels are to be rebalanced.

use std::sync::Arc;

use tokio::time::{Instant, sleep_until};

use crate::{
    config,
    pool::Pool,
    tunnel::{rebalance::Rebalance, registry::Registry},
};

/// Rebalances a pool for as long as it runs.
pub(super) async fn rebalancing(
    pool: Arc<Pool>,
    registry: Arc<Registry>,
    config: config::Rebalance,
) {
    let mut rebalance = Rebalance::new(config, Instant::now());
    loop {
        let next = rebalance.proceed(&pool, &registry, Instant::now());
        sleep_until(next).await;
    }
}
