//! How a tunnel ended: a value, not an error.

use std::{fmt, time::Duration};

use super::Traffic;
use crate::websocket::CloseCode;

/// Who ended a tunnel, why, and with which code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TunnelEnd {
    /// Who ended it.
    pub by: Party,
    /// Why.
    pub cause: Cause,
    /// The code of the first Close, if there was one with a code.
    pub code: Option<CloseCode>,
}

/// Those who can end a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Party {
    /// The client.
    Client,
    /// The backend.
    Backend,
    /// longwire itself.
    Proxy,
}

/// Why a tunnel ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The party sent a Close.
    Close,
    /// The party ended its stream without a Close.
    Eof,
    /// The party's connection broke.
    Reset,
    /// The party did not answer a ping.
    Dead,
    /// The party took nothing of what was sent to it.
    Stalled,
    /// Nothing passed for too long.
    Idle,
    /// The tunnel was as old as it may become.
    Lifetime,
    /// Its backend is to lose its tunnels.
    Draining,
    /// Its backend, its pool or its route is not configured any more.
    Removed,
    /// Its backend does not work, as the checks say.
    Down,
    /// Its backend has too many tunnels.
    Rebalance,
    /// An operator has closed it.
    Closed,
    /// The proxy stops.
    Shutdown,
}

/// What is known of a tunnel after its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Who ended it and why.
    pub end: TunnelEnd,
    /// Whether it was not a WebSocket's.
    pub is_opaque: bool,
    /// What passed from the client to the backend.
    pub from_client: Traffic,
    /// What passed from the backend to the client.
    pub from_backend: Traffic,
    /// How long its peers took to end it, in whole seconds from what ended it on.
    pub lingered: Duration,
}

impl Ended {
    /// Whether the backend has gone without a Close. Where there are none, the end of its stream is
    /// how it ends what it has to say.
    #[must_use]
    pub fn is_loss_of_backend(&self) -> bool {
        let is_lost = match self.end.cause {
            Cause::Eof => !self.is_opaque,
            Cause::Reset | Cause::Dead => true,
            _ => false,
        };
        self.end.by == Party::Backend && is_lost
    }
}

impl Party {
    /// As it is called in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Backend => "backend",
            Self::Proxy => "proxy",
        }
    }
}

impl Cause {
    /// As it is called in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Close => "close",
            Self::Eof => "eof",
            Self::Reset => "reset",
            Self::Dead => "dead",
            Self::Stalled => "stalled",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Draining => "drain",
            Self::Removed => "removed",
            Self::Down => "down",
            Self::Rebalance => "rebalance",
            Self::Closed => "closed",
            Self::Shutdown => "shutdown",
        }
    }
}

impl fmt::Display for Party {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
