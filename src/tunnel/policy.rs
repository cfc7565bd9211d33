//! How long a tunnel's peers may do nothing.

use std::time::Duration;

use crate::config;

/// The deadlines of a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// When idle peers are pinged and given up.
    pub keepalive: config::Keepalive,
    /// A peer that takes nothing for this long is cut.
    pub stall: Duration,
    /// From the first Close or end of a side until both sockets are cut.
    pub close: Duration,
    /// A tunnel in which nothing passes for this long is closed.
    pub idle: Option<Duration>,
    /// A tunnel that is this old is closed.
    pub lifetime: Option<Duration>,
}

impl Policy {
    /// The policy of a route's tunnels.
    #[must_use]
    pub fn new(route: &config::Route, timeouts: &config::Timeouts) -> Self {
        Self {
            keepalive: route.keepalive,
            stall: timeouts.stall,
            close: timeouts.close,
            idle: timeouts.tunnel_idle,
            lifetime: timeouts.tunnel_lifetime,
        }
    }
}
