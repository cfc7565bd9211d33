//! Pools and their backends.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/pools`: the pools, in the configuration's order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pools {
    /// Each of them.
    pub pools: Vec<Pool>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How new clients get a backend.
    pub balance: String,
    /// How returning clients get the same backend.
    pub affinity: String,
    /// Tunnels of its members, handshakes under way included.
    pub tunnels: usize,
    /// Plain requests under way to its members.
    pub requests: usize,
    /// Handshakes that wait to be let in.
    pub queue: Queue,
    /// Whether tunnels are moved over to members that have few.
    pub rebalance: Rebalancing,
    /// Its members, in the configuration's order.
    pub backends: Vec<Backend>,
}

/// Who waits to be let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// How many wait.
    pub waiting: usize,
    /// How many may; `None` if nobody has to.
    pub most: Option<usize>,
}

/// Whether tunnels are moved over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalancing {
    /// Whether the configuration wants it.
    pub is_configured: bool,
    /// Whether it goes on.
    pub is_running: bool,
    /// Whether it pauses meanwhile, since too few of the clients that were told come back.
    #[serde(default)]
    pub is_paused: bool,
}

/// A member of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backend {
    /// Its address, which is its name too.
    pub name: String,
    /// What it is good for: `ready`, `draining`, `ejected`, `down` or `maintenance`.
    pub state: String,
    /// What the operator wants of it: `ready`, `draining` or `maintenance`.
    pub intent: String,
    /// Its share of new clients beside its siblings'.
    pub weight: u32,
    /// The part of that share that it gets, from 0 to 1: less than 1 while it comes back.
    pub share: f64,
    /// Its tunnels, handshakes under way included.
    pub tunnels: usize,
    /// As many as it takes; `None` is no limit.
    pub max_tunnels: Option<usize>,
    /// Plain requests under way.
    pub requests: usize,
    /// As many as it takes; `None` is no limit.
    #[serde(default)]
    pub max_requests: Option<usize>,
    /// Tunnels that it got since the process has started.
    pub opened: u64,
    /// What its checks say, if it is checked.
    pub checks: Option<Checks>,
    /// Until when it is left out and why, if it is ejected.
    pub ejected: Option<Ejected>,
    /// How far it is, if it is about to lose its tunnels.
    pub drain: Option<Draining>,
    /// Its tunnels in the last hour, once a minute, the oldest first.
    pub trend: Vec<u32>,
}

/// What the checks of a backend say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Checks {
    /// Checks that it has passed.
    pub passed: u64,
    /// Checks that it has failed.
    pub failed: u64,
    /// When it was checked last; `None` if it was not yet.
    pub last_at: Option<f64>,
    /// What was wrong at the last check that it has failed.
    pub last_failure: Option<String>,
}

/// That a backend is left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ejected {
    /// For how long.
    pub seconds_left: f64,
    /// What had failed.
    pub reason: String,
}

/// That a backend is losing its tunnels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Draining {
    /// Tunnels that it had when that began, and those it has got since.
    pub total: usize,
    /// Tunnels that have not been told to close yet.
    pub untold: usize,
    /// Tunnels that have not ended yet.
    pub left: usize,
    /// How long it takes until all have been told.
    pub seconds_left: f64,
}
