//! What the last hour was like.

use serde::{Deserialize, Serialize};

/// `GET /api/v1/history?span=300` (the last five minutes, each second) or `span=3600` (the last
/// hour, ten seconds at a time): a column for each field of a [`Sample`], the oldest first.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct History {
    /// How far the samples are apart.
    pub interval_seconds: u32,
    /// When each was taken.
    pub at: Vec<f64>,
    /// See [`Sample`].
    pub tunnels: Vec<f64>,
    /// See [`Sample`].
    pub opened: Vec<f64>,
    /// See [`Sample`].
    pub ended: Vec<f64>,
    /// See [`Sample`].
    pub client_messages: Vec<f64>,
    /// See [`Sample`].
    pub backend_messages: Vec<f64>,
    /// See [`Sample`].
    pub client_bytes: Vec<f64>,
    /// See [`Sample`].
    pub backend_bytes: Vec<f64>,
    /// See [`Sample`].
    pub requests: Vec<f64>,
    /// See [`Sample`].
    pub client_p50: Vec<Option<f64>>,
    /// See [`Sample`].
    pub client_p99: Vec<Option<f64>>,
    /// See [`Sample`].
    pub backend_p50: Vec<Option<f64>>,
    /// See [`Sample`].
    pub backend_p99: Vec<Option<f64>>,
}

/// What a stretch of time was like. All but the tunnels are per second.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Sample {
    /// When it was taken.
    pub at: f64,
    /// Tunnels open then.
    pub tunnels: f64,
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
    /// The median of the clients' round trips, in seconds; `None` if no ping was answered.
    pub client_p50: Option<f64>,
    /// What 99 % of them stay below.
    pub client_p99: Option<f64>,
    /// The median of the backends' round trips.
    pub backend_p50: Option<f64>,
    /// What 99 % of them stay below.
    pub backend_p99: Option<f64>,
}
