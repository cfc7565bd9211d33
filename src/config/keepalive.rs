//! `[keepalive]`, and a route's own over it

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{
    field::Field,
    section::{Section, Setting},
    values::{or_off, seconds},
};

const INTERVAL: Duration = Duration::from_secs(20);
const TIMEOUT: Duration = Duration::from_secs(10);

/// `[keepalive]`: when a tunnel's idle peers are pinged and given up. Written down, it goes along
/// with a tunnel that moves to another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keepalive {
    /// A peer that has sent nothing for this long is pinged; `None` never pings.
    /// Default: 20 s. At least 1 s: tunnels are looked at once a second.
    pub interval: Option<Duration>,
    /// A pinged peer that sends nothing for this long is dead. Default: 10 s. At least 1 s.
    pub timeout: Duration,
}

impl Default for Keepalive {
    fn default() -> Self {
        Self {
            interval: Some(INTERVAL),
            timeout: TIMEOUT,
        }
    }
}

/// A keepalive as written: its interval is compared with the timeouts.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) interval: Setting<Option<Duration>>,
    timeout: Setting<Duration>,
}

impl Draft {
    /// What nobody wrote.
    pub(super) fn unwritten() -> Self {
        let Keepalive { interval, timeout } = Keepalive::default();
        Self {
            interval: Setting::unwritten(interval),
            timeout: Setting::unwritten(timeout),
        }
    }

    /// What `section` says, and where it says nothing, `base`.
    pub(super) fn read(section: &Section<'_>, base: &Self) -> Self {
        let interval = |field: &Field<'_>| or_off(field, seconds);
        Self {
            interval: section.setting_over("interval", interval, &base.interval),
            timeout: section.setting_over("timeout", seconds, &base.timeout),
        }
    }

    pub(super) fn keepalive(&self) -> Keepalive {
        Keepalive {
            interval: *self.interval,
            timeout: *self.timeout,
        }
    }
}
