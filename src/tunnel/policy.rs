//! How long a tunnel's peers may do nothing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::clock::Tick;
use crate::config;

/// The deadlines of a tunnel. They go along when it moves to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// By how much of that, in percent, its own lifetime may be shorter.
    pub lifetime_jitter: u32,
}

impl Policy {
    /// The policy of a route's tunnels.
    #[must_use]
    pub fn new(route: &config::Route) -> Self {
        let timeouts = &route.timeouts;
        Self {
            keepalive: route.keepalive,
            stall: timeouts.stall,
            close: timeouts.close,
            idle: timeouts.tunnel_idle,
            lifetime: timeouts.tunnel_lifetime,
            lifetime_jitter: timeouts.tunnel_lifetime_jitter,
        }
    }

    /// The same for tunnels whose peers speak another protocol, and would not know a ping.
    #[must_use]
    pub fn without_pings(mut self) -> Self {
        self.keepalive.interval = None;
        self
    }

    /// When a tunnel has to end that opens at `opened`: `drawn`, from 0 to 1, says how much of the
    /// jitter its lifetime is shorter.
    pub(super) fn expiry(&self, opened: Tick, drawn: f64) -> Tick {
        self.lifetime.map_or(Tick::NEVER, |lifetime| {
            let shorter = f64::from(self.lifetime_jitter) / 100.0 * drawn;
            opened.after(lifetime.mul_f64(1.0 - shorter))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(lifetime: Option<Duration>, lifetime_jitter: u32) -> Policy {
        Policy {
            keepalive: config::Keepalive::default(),
            stall: Duration::ZERO,
            close: Duration::ZERO,
            idle: None,
            lifetime,
            lifetime_jitter,
        }
    }

    #[test]
    fn a_lifetime_is_shorter_by_the_jitter_at_most() {
        let opened = Tick::default().after(Duration::from_secs(1_000));
        let after = |seconds| opened.after(Duration::from_secs(seconds));
        let hour = Some(Duration::from_secs(3_600));
        let expiry = |jitter, drawn| policy(hour, jitter).expiry(opened, drawn);
        assert_eq!(expiry(10, 0.0), after(3_600));
        assert_eq!(expiry(10, 0.5), after(3_420));
        assert_eq!(expiry(10, 1.0), after(3_240));
        assert_eq!(expiry(50, 1.0), after(1_800));
        assert_eq!(expiry(0, 1.0), after(3_600));
        assert_eq!(policy(None, 10).expiry(opened, 0.5), Tick::NEVER);
    }
}
