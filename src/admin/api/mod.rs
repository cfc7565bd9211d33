//! What the operator's door says and takes, as JSON. `docs/admin.md` describes it to those who call
//! it.
//!
//! Times are seconds since 1970, durations are seconds, and so is everything that is called
//! `_seconds`; rates are per second.

mod history;
mod journal;
mod pools;
mod status;
mod tunnels;

use serde::{Deserialize, Serialize};

pub use self::{
    history::{History, Sample},
    journal::Entry,
    pools::{Backend, Checks, Draining, Ejected, Pool, Pools, Queue, Rebalancing},
    status::{Configuration, Ends, Percentiles, Rates, RoundTrips, Status, Tunnels},
    tunnels::{CloseOne, CloseSome, Closing, Page, Query, Sort, Tunnel},
};

/// `GET /api/v1/config`: the configuration in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigText {
    /// The file that it was read from, if there is one.
    pub file: Option<String>,
    /// The file as it was then. Each byte of a secret is an asterisk.
    pub text: String,
}

/// `GET` and `PUT /api/v1/log`: what is logged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLevel {
    /// As `log.level`: `info`, or `warn,longwire::pool=debug`.
    pub level: String,
}

/// `POST /api/v1/pools/{pool}/rebalance`: whether tunnels are moved over from now on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rebalance {
    /// Whether they are.
    pub running: bool,
}

/// What has come of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// In words.
    pub done: String,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// In words, over as many lines as it takes.
    pub error: String,
}

/// One event of `GET /api/v1/events`, once a second.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Now {
    /// The process.
    pub status: Status,
    /// Its pools.
    pub pools: Vec<Pool>,
    /// What the last second was like.
    pub sample: Sample,
}
