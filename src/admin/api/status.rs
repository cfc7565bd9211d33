//! The process as a whole.

use serde::{Deserialize, Serialize};

use crate::server::Readiness;

/// `GET /api/v1/status`: the process as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// The version of longwire.
    pub version: String,
    /// The number of the process.
    pub pid: u32,
    /// When it has started.
    pub started_at: f64,
    /// How long ago that was.
    pub uptime_seconds: f64,
    /// Whether it wants clients.
    pub readiness: Readiness,
    /// What it runs under.
    pub configuration: Configuration,
    /// What is logged.
    pub log_level: String,
    /// Threads that connections live on.
    pub workers: usize,
    /// Client connections now: tunnels, and those that speak HTTP.
    pub connections: usize,
    /// Its tunnels.
    pub tunnels: Tunnels,
    /// What the last ten seconds were like.
    pub rates: Rates,
    /// How long pings of the last minute took.
    pub round_trips: RoundTrips,
    /// How tunnels have ended so far, the most frequent first.
    pub ends: Vec<Ends>,
}

/// What a process runs under.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Configuration {
    /// The file, if there is one.
    pub file: Option<String>,
    /// When the one in force was read.
    pub loaded_at: f64,
    /// How often another one has taken effect.
    pub reloads: u64,
    /// How often one was refused.
    pub refused_reloads: u64,
}

/// How many tunnels there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tunnels {
    /// Open now.
    pub open: usize,
    /// Of these, told to close.
    pub closing: usize,
    /// Opened since the process has started.
    pub opened: u64,
    /// Ended since then.
    pub ended: u64,
}

/// What happens in a second, on an average.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Rates {
    /// Tunnels opened.
    pub opened: f64,
    /// Tunnels ended.
    pub ended: f64,
    /// Messages from clients.
    pub client_messages: f64,
    /// Messages from backends.
    pub backend_messages: f64,
    /// Bytes from clients.
    pub client_bytes: f64,
    /// Bytes from backends.
    pub backend_bytes: f64,
    /// Plain requests answered.
    pub requests: f64,
}

/// How long a ping of ours takes to be answered, for each leg; `None` if there was none.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RoundTrips {
    /// Between us and clients.
    pub client: Option<Percentiles>,
    /// Between us and backends.
    pub backend: Option<Percentiles>,
}

/// What so many percent stay below, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// What nine of ten stay below.
    pub p90: f64,
    /// What ninety-nine of a hundred stay below.
    pub p99: f64,
}

/// Tunnels that have ended in the same way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ends {
    /// Who ended them: `client`, `backend` or `proxy`.
    pub by: String,
    /// Why.
    pub cause: String,
    /// The code of the first Close: as in the metrics, not every number has its own entry.
    pub code: String,
    /// How many.
    pub count: u64,
}
