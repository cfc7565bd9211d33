//! RFC 6455 as pure functions: no sockets, no clock.

pub mod frame;
pub mod handshake;
pub mod scanner;

use std::fmt;

/// What a frame is (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of a message.
    Continuation,
    /// The first or only fragment of a text message.
    Text,
    /// The first or only fragment of a binary message.
    Binary,
    /// The last frame that its sender sends.
    Close,
    /// A question that asks for a pong.
    Ping,
    /// The answer to a ping, or a sign of life that nobody asked for.
    Pong,
    /// One of the ten that no RFC has given a meaning yet.
    Reserved(u8),
}

impl Opcode {
    /// The opcode in the low four bits of `bits`.
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits & 0x0f {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            other => Self::Reserved(other),
        }
    }

    /// Its four bits on the wire.
    #[must_use]
    pub fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
            Self::Reserved(bits) => bits,
        }
    }

    /// Whether it is about the connection rather than part of a message: such frames may stand
    /// between the fragments of a message (RFC 6455, section 5.5).
    #[must_use]
    pub fn is_control(self) -> bool {
        self.bits() & 0x8 != 0
    }
}

/// Why an endpoint closed (RFC 6455, section 7.4, and the registry that it founded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// The endpoint, or a peer behind it, goes away.
    pub const GOING_AWAY: Self = Self(1001);
    /// Something that nobody foresaw went wrong on our side.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts; come back in a moment.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// Too many are here; come back later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// The backend behind a proxy failed: the 502 of WebSockets.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// Whether an endpoint may send it: some stand for what has no Close, and some for nothing yet
    /// (RFC 6455, section 7.4, and the registry of close codes).
    #[must_use]
    pub fn may_be_sent(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Which part an endpoint plays: it decides who masks (RFC 6455, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It asked for the connection, and masks what it sends.
    Client,
    /// It was asked, and does not.
    Server,
}
