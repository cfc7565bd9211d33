//! When to ping a peer, and when to give it up.

use super::{
    clock::{Clock, Tick},
    moving::Life,
};
use crate::config;

/// What is known of one peer's life. When it is pinged and given up, its tunnel's policy says.
#[derive(Debug)]
pub struct Keepalive {
    heard: Tick,
    pinged: Option<Tick>,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Nothing yet.
    Nothing,
    /// A ping is to be sent.
    Ping,
    /// The peer has not answered: it is dead.
    Dead,
}

impl Keepalive {
    /// A peer that was heard at `now`.
    #[must_use]
    pub fn new(now: Tick) -> Self {
        Self {
            heard: now,
            pinged: None,
        }
    }

    /// What another has [written down](Self::write_down), on this clock.
    pub(super) fn resume(life: &Life, clock: &Clock) -> Self {
        Self {
            heard: clock.back(life.heard_ago),
            pinged: life.pinged_ago.map(|ago| clock.back(ago)),
        }
    }

    pub(super) fn write_down(&self, clock: &Clock) -> Life {
        Life {
            heard_ago: clock.since(self.heard),
            pinged_ago: self.pinged.map(|pinged| clock.since(pinged)),
        }
    }

    /// Bytes came from the peer: it lives.
    pub fn heard(&mut self, now: Tick) {
        self.heard = now;
        self.pinged = None;
    }

    /// A ping of ours was sent: the peer's time to answer begins.
    pub fn pinged(&mut self, now: Tick) {
        self.pinged = Some(now);
    }

    /// What is due at `now`. A ping stays due until it was [sent](Self::pinged).
    #[must_use]
    pub fn due(&self, config: &config::Keepalive, now: Tick) -> Due {
        match self.pinged {
            _ if now < self.next(config) => Due::Nothing,
            Some(_) => Due::Dead,
            None => Due::Ping,
        }
    }

    /// When something is due next.
    #[must_use]
    pub fn next(&self, config: &config::Keepalive) -> Tick {
        match (self.pinged, config.interval) {
            (Some(pinged), _) => pinged.after(config.timeout),
            (None, Some(interval)) => self.heard.after(interval),
            (None, None) => Tick::NEVER,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const CONFIG: config::Keepalive = config::Keepalive {
        interval: Some(Duration::from_secs(20)),
        timeout: Duration::from_secs(10),
    };

    fn second(n: u64) -> Tick {
        // The second that `after` adds is taken off again.
        Tick::default().after(Duration::from_secs(n - 1))
    }

    #[test]
    fn a_peer_that_talks_is_never_pinged() {
        let mut peer = Keepalive::new(second(1));
        for now in (10..500).step_by(10).map(second) {
            peer.heard(now);
            assert_eq!(peer.due(&CONFIG, now), Due::Nothing);
        }
    }

    #[test]
    fn an_idle_peer_is_pinged_after_the_interval() {
        let peer = Keepalive::new(second(1));
        assert_eq!(peer.due(&CONFIG, second(21)), Due::Nothing);
        assert_eq!(peer.due(&CONFIG, second(22)), Due::Ping);
    }

    #[test]
    fn a_pinged_peer_is_dead_after_the_timeout_and_not_before() {
        let mut peer = Keepalive::new(second(1));
        peer.pinged(second(22));
        assert_eq!(peer.due(&CONFIG, second(32)), Due::Nothing);
        assert_eq!(peer.due(&CONFIG, second(33)), Due::Dead);
    }

    #[test]
    fn a_ping_that_could_not_be_sent_accuses_nobody() {
        let peer = Keepalive::new(second(1));
        assert_eq!(peer.due(&CONFIG, second(22)), Due::Ping);
        assert_eq!(peer.due(&CONFIG, second(300)), Due::Ping);
    }

    #[test]
    fn any_byte_counts_as_life() {
        let mut peer = Keepalive::new(second(1));
        peer.pinged(second(22));
        peer.heard(second(30));
        assert_eq!(peer.due(&CONFIG, second(40)), Due::Nothing);
        assert_eq!(peer.due(&CONFIG, second(51)), Due::Ping);
    }

    #[test]
    fn without_an_interval_nobody_is_pinged() {
        let off = config::Keepalive {
            interval: None,
            ..CONFIG
        };
        let peer = Keepalive::new(second(1));
        assert_eq!(peer.due(&off, second(1_000_000)), Due::Nothing);
    }
}
