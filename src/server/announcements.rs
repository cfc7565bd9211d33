//! What the log is told of a configuration.

use tracing::{info, warn};

use crate::config::{self, Affinity, Config};

/// Says which requests go to which backends, and what is dangerous or may not be meant.
pub(super) fn announce_routes(config: &Config) {
    for route in &config.routes {
        let pool = &config.pools[route.pool];
        let backends: Vec<_> = pool
            .backends
            .iter()
            .map(|b| b.address.to_string())
            .collect();
        info!(
            balance = %pool.balance,
            affinity = %pool.affinity,
            "route {route} to pool {}: {}",
            pool.name,
            backends.join(", "),
        );
    }
    for warning in config.warnings() {
        warn!("{warning}");
    }
    for pool in &config.pools {
        if has_random_secret(pool) {
            warn!(
                pool = pool.name,
                "affinity cookies are signed with a random secret: they are worth nothing after a \
                 restart or on another proxy; set affinity.secret, secret_file or secret_env"
            );
        }
    }
}

fn has_random_secret(pool: &config::Pool) -> bool {
    matches!(&pool.affinity, Affinity::Cookie(cookie) if cookie.secret.is_random())
}
