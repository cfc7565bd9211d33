//! Admission: handshakes that come in a crowd wait in a line, and those for whom the line is too
//! long are told to come back later.
//!
//! Long connections make every failure a crowd: whatever ends them ends all at once, and then all
//! their clients are at the door again.

mod bucket;
mod clients;
mod counts;
mod entrance;
mod gate;
mod refusals;

use std::fmt;

pub use self::{
    clients::Clients,
    counts::{Counts, Queue},
    entrance::Entrance,
    gate::{Gate, Pass, Refused},
};

/// What a gate stands in front of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// All that one client address asks for.
    Client,
    /// The whole proxy.
    Proxy,
    /// A pool.
    Pool,
    /// A backend.
    Backend,
}

/// What a gate lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// WebSocket handshakes.
    Handshakes,
    /// Plain requests.
    Requests,
}

/// A handshake or a plain request is not let in: too many have come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many {kind} for this {scope}")]
pub struct Crowded {
    /// What has come.
    pub kind: Kind,
    /// What is crowded.
    pub scope: Scope,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Handshakes => "handshakes",
            Self::Requests => "requests",
        })
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Pool => "pool",
            Self::Backend => "backend",
        })
    }
}
