//! A tunnel as it is written down.
//!
//! Who writes and who reads may be of different versions: what is unknown is passed over, and what
//! comes to be added must have a default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Base64;
use crate::{
    tunnel::Traffic,
    websocket::scanner::{Held, Token},
};

/// What a tunnel is, but for its sockets, its policy and its place.
///
/// Times are told from the moment at which it was written: each worker has a clock of its own, so
/// the reader reckons them [anew](super::super::clock).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Client to backend.
    pub(in crate::tunnel) upward: Flow,
    /// Backend to client.
    pub(in crate::tunnel) downward: Flow,
    pub(in crate::tunnel) client: Life,
    pub(in crate::tunnel) backend: Life,
    /// When it will be as old as it may become, if there is such a limit.
    #[serde(default)]
    pub(in crate::tunnel) expires_in: Option<Duration>,
    /// When something last passed.
    pub(in crate::tunnel) moved_ago: Duration,
    /// When it last changed its backend, the oldest change first.
    #[serde(default)]
    pub(in crate::tunnel) changes_ago: Vec<Duration>,
}

/// One direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::tunnel) struct Flow {
    pub(in crate::tunnel) sight: Sight,
    /// What its destination has not taken yet.
    #[serde(default)]
    pub(in crate::tunnel) unsent: Base64<Vec<u8>>,
    /// How long it has taken nothing.
    #[serde(default)]
    pub(in crate::tunnel) blocked_for: Option<Duration>,
    /// That of ours to the destination.
    #[serde(default)]
    pub(in crate::tunnel) ping: Ping,
}

/// What was seen of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::tunnel) struct Sight {
    /// Bytes of the frame begun that are still to come.
    pub(in crate::tunnel) remaining: u64,
    /// What is held back of the next one.
    #[serde(default)]
    pub(in crate::tunnel) held: Base64<Held>,
    pub(in crate::tunnel) bytes: u64,
    pub(in crate::tunnel) messages: u64,
    pub(in crate::tunnel) ends_message: bool,
    pub(in crate::tunnel) has_open_message: bool,
    #[serde(default)]
    pub(in crate::tunnel) is_text: bool,
    /// The payload of the message so far, in bytes.
    #[serde(default)]
    pub(in crate::tunnel) message_len: u64,
    #[serde(default)]
    pub(in crate::tunnel) was_long: bool,
    /// Whether the stream is not made of frames.
    #[serde(default)]
    pub(in crate::tunnel) is_opaque: bool,
    /// What our pings to the source carry.
    #[serde(default)]
    pub(in crate::tunnel) token: Option<Base64<Token>>,
}

impl Sight {
    pub(in crate::tunnel) fn passed(&self) -> Traffic {
        Traffic {
            bytes: self.bytes,
            messages: self.messages,
        }
    }
}

/// A ping of ours on its way.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::tunnel) enum Ping {
    #[default]
    None,
    /// It waits for a boundary.
    Wanted(Base64<Token>),
    /// It is in what is unsent.
    Pending,
}

/// What is known of a peer's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::tunnel) struct Life {
    pub(in crate::tunnel) heard_ago: Duration,
    #[serde(default)]
    pub(in crate::tunnel) pinged_ago: Option<Duration>,
}
