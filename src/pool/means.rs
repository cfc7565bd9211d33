//! What a pool goes by besides its own configuration, and by what means it reaches its backends.

use std::time::Duration;

use super::{AnswerLimits, connect::Connector, health::Health};
use crate::config;

/// What the rest of the configuration says that pools go by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) answers: AnswerLimits,
    /// How many idle connections a worker keeps to a backend, and for how long.
    pub(super) idle_connections: usize,
    pub(super) idle_timeout: Duration,
    pub(super) workers: usize,
}

/// How a pool reaches its backends, for its clients and for its checks.
#[derive(Debug)]
pub(super) struct Means {
    pub(super) connector: Connector,
    pub(super) health: Option<Health>,
}

impl Bounds {
    pub(super) fn new(
        timeouts: &config::Timeouts,
        limits: &config::Limits,
        workers: usize,
    ) -> Self {
        Self {
            answers: AnswerLimits::new(limits),
            idle_connections: limits.backend_idle,
            idle_timeout: timeouts.backend_idle,
            workers,
        }
    }
}

impl Means {
    /// # Errors
    /// If TLS cannot be set up.
    pub(super) fn new(config: &config::Pool) -> Result<Self, rustls::Error> {
        let tls = config.tls.as_ref();
        let health = config.health.as_ref();
        Ok(Self {
            connector: Connector::new(tls)?,
            health: health.map(|health| Health::new(health, tls)).transpose()?,
        })
    }

    /// Those of a pool that has no backends.
    pub(super) fn none() -> Self {
        Self {
            connector: Connector::without_tls(),
            health: None,
        }
    }
}
