//! What passes between a process and the one that takes over from it.
//!
//! A [`Program`] is started again by the process that runs it, and gets a [`Channel`] to it, the
//! [`predecessor()`]. A channel is a Unix stream socket that carries frames. A frame is a value
//! written as JSON, and any number of open files that come with it. What the values mean is not
//! decided here.

mod incoming;
mod outgoing;
mod predecessor;
mod program;
mod receiver;
mod sender;
mod successor;
#[cfg(test)]
mod tests;

use std::io;

use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;

pub use self::{
    predecessor::{PredecessorError, predecessor},
    program::{Program, StartError},
    receiver::{Received, Receiver},
    sender::Sender,
    successor::{Fate, Successor},
};

/// The version of what the two processes say to each other. A message of a new kind, or another
/// meaning of an old one, asks for a new number; a new field that may be missing does not.
pub const PROTOCOL: u32 = 1;

/// The longest frame in bytes. What a tunnel has not sent yet may be in it.
pub const MAX_FRAME: usize = 64 << 20;

/// The most descriptors that go with a frame.
pub const MAX_DESCRIPTORS: usize = 2000;

/// As many descriptors go with one message of the system.
const BATCH: usize = 253;

/// In front of each frame: the length of its JSON, and how many descriptors come with it, both as
/// four bytes with the highest first.
const HEADER: usize = 8;

/// A connection to the other process, on which nothing has been said yet.
#[derive(Debug)]
pub struct Channel {
    socket: UnixStream,
}

/// The first frame that each side sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Which protocol it speaks.
    pub protocol: u32,
    /// The version of longwire that it is.
    pub version: String,
    /// Whether it takes what clients are remembered by in parts.
    #[serde(default)]
    pub takes_parts: bool,
}

/// Why a frame could not be sent or received.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value cannot be written as JSON. Nothing was sent of it.
    #[error("a frame cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
    /// A frame is longer than the channel carries. Nothing was sent of it.
    #[error("a frame of {0} bytes is longer than the {MAX_FRAME} that are allowed")]
    TooLong(usize),
    /// More descriptors than go with a frame. Nothing was sent of it.
    #[error("{0} descriptors with a frame are more than the {MAX_DESCRIPTORS} that are allowed")]
    TooMany(usize),
    /// The other process announces a frame that is beyond the limits.
    #[error(
        "the other process announces a frame of {length} bytes with {descriptors} descriptors: at \
         most {MAX_FRAME} with {MAX_DESCRIPTORS} are allowed"
    )]
    Oversized {
        /// Its length in bytes.
        length: usize,
        /// How many descriptors come with it.
        descriptors: usize,
    },
    /// An earlier frame was given up when half of it had been sent, so none can follow it.
    #[error("an earlier frame was sent by half")]
    SentByHalf,
    /// What came is not what was expected. The next frame can be received all the same.
    #[error("a frame is not what was expected")]
    Unexpected(#[source] serde_json::Error),
    /// The other process has ended the channel within a frame.
    #[error("the other process has left in the middle of a frame")]
    CutShort,
    /// The other process has ended the channel before it said who it is.
    #[error("the other process has left without a word")]
    LeftSilently,
    /// The other process speaks another protocol.
    #[error(
        "the other process, longwire {theirs}, speaks protocol {protocol} of handing over, this \
         one {PROTOCOL}",
        theirs = .0.version, protocol = .0.protocol
    )]
    Protocol(Hello),
    /// The system says so.
    #[error("the channel to the other process is broken")]
    Io(#[from] io::Error),
}

impl Channel {
    /// Says who we are and hears who the other one is. Both sides are to do it first.
    ///
    /// # Errors
    /// If the other one speaks another protocol, and whatever sending and receiving may meet.
    pub async fn greet(self) -> Result<(Sender, Receiver, Hello), Error> {
        let (mut sender, mut receiver) = self.halves();
        // It fits into the socket, so neither waits for the other.
        sender.send(&Hello::own(), &[]).await?;
        let received = receiver.receive::<Hello>().await?;
        let hello = received.ok_or(Error::LeftSilently)?.value;
        if hello.protocol != PROTOCOL {
            return Err(Error::Protocol(hello));
        }
        Ok((sender, receiver, hello))
    }

    pub(crate) fn halves(self) -> (Sender, Receiver) {
        let (reading, writing) = self.socket.into_split();
        (Sender::new(writing), Receiver::new(reading))
    }
}

impl From<UnixStream> for Channel {
    fn from(socket: UnixStream) -> Self {
        Self { socket }
    }
}

impl Hello {
    fn own() -> Self {
        Self {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            takes_parts: true,
        }
    }
}

impl Error {
    /// Whether the frame alone is at fault: nothing of it was sent, and others can be.
    #[must_use]
    pub fn is_unsendable(&self) -> bool {
        matches!(
            self,
            Self::Unwritable(_) | Self::TooLong(_) | Self::TooMany(_)
        )
    }
}
