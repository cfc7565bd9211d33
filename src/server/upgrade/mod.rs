//! How a process takes over from another: who says what, and when.
//!
//! ```text
//!  old: Giving                                    new: Taking
//!   │── the listening sockets, what pools know ──▶ │  builds its server
//!   │◀───────────── ready, or what has failed ──── │  accepts
//!  accepts no more                                 │
//!   │── a tunnel: its dossier, both sockets ─────▶ │  adopts it
//!   │◀──────────────── taken, or why it is not ─── │  lets it go on
//!   │── done ────────────────────────────────────▶ │
//! ```
//!
//! A tunnel belongs to one process at any time: to the old one until it has been told "taken", and
//! the new one touches neither socket before it has said so. Whether that was said in time the
//! system decides, when the old one [closes](crate::handover::Receiver::close) its end.

mod giving;
mod pending;
mod taking;
#[cfg(test)]
mod tests;

use std::{io, os::fd::OwnedFd};

use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(super) use self::pending::UNANSWERED;
pub use self::{
    giving::{Bequest, Given, Giving, NotReady},
    pending::{Answer, Offer},
    taking::{Arriving, Estate, Taking},
};
use crate::handover;

/// A tunnel on its way to another process.
#[derive(Debug)]
pub struct Parcel<D> {
    /// The socket to the client.
    pub client: OwnedFd,
    /// The socket to the backend.
    pub backend: OwnedFd,
    /// What else the other process has to know of it.
    pub dossier: D,
}

/// Why the two processes do not understand each other any more.
#[derive(Debug, thiserror::Error)]
pub enum Broken {
    /// The channel is broken.
    #[error(transparent)]
    Channel(#[from] handover::Error),
    /// The other process has ended the channel before all was said.
    #[error("the other process has left")]
    Left,
    /// The other process has answered nothing for too long.
    #[error("the other process does not answer")]
    Silent,
    /// The other process says what makes no sense now.
    #[error("the other process says {0} when nobody expects it")]
    Confused(&'static str),
    /// Some of the listening sockets have not arrived.
    #[error("{0} listening sockets are lost: this process has too many open files")]
    Incomplete(usize),
    /// One of the listening sockets is none.
    #[error("a listening socket cannot be taken over")]
    Socket(#[source] io::Error),
}

/// What the old process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromOld<D> {
    /// Listening sockets, which come with it. Said as often as it takes.
    Sockets {},
    /// A part of what pools remember of their clients. Said as often as it takes, to those alone who
    /// [take parts](crate::handover::Hello::takes_parts).
    Clients(Value),
    /// What pools remember. With it the new one has everything that it needs to get ready.
    Memory(Value),
    /// A tunnel, whose sockets come with it: the client's, then the backend's.
    Tunnel { id: u64, dossier: D },
    /// There are no more tunnels.
    Done {},
}

/// What the new process says.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FromNew {
    /// It serves.
    Ready {},
    /// It cannot serve.
    Failed { reason: String },
    /// From here on the tunnel is its own.
    Taken { id: u64 },
    /// The tunnel is not to its liking.
    Refused { id: u64, reason: String },
}

impl<D> FromOld<D> {
    fn name(&self) -> &'static str {
        match self {
            Self::Sockets {} => "sockets",
            Self::Clients(_) => "clients",
            Self::Memory(_) => "memory",
            Self::Tunnel { .. } => "tunnel",
            Self::Done {} => "done",
        }
    }
}

impl FromNew {
    fn name(&self) -> &'static str {
        match self {
            Self::Ready {} => "ready",
            Self::Failed { .. } => "failed",
            Self::Taken { .. } => "taken",
            Self::Refused { .. } => "refused",
        }
    }
}
