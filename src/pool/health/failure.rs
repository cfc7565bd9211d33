//! Why a check has failed.

use std::{io, time::Duration};

use http::StatusCode;

use crate::{
    config::Statuses,
    pool::connect::{ConnectError, is_ours},
    quote::Quoted,
    websocket::{CloseCode, handshake::BadAnswer},
};

/// Why a check has failed: a sentence about the backend.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The system, or its TLS, says no.
    #[error("cannot be connected to: {}", Quoted::sentence(.0))]
    Unreachable(io::Error),
    /// It took too long with something.
    #[error("timed out after {after:?}, waiting for {awaited}")]
    TimedOut {
        after: Duration,
        awaited: &'static str,
    },
    /// What it says is no HTTP, or it hung up.
    #[error("gave no answer: {}", Quoted::sentence(.0))]
    NoAnswer(#[from] hyper::Error),
    /// It does not do well.
    #[error("answered {} instead of {expected}", .found.as_u16())]
    Status {
        found: StatusCode,
        expected: Statuses,
    },
    /// Its answer is another one.
    #[error("answered without the expected text in the first {read} bytes")]
    Body { read: usize },
    /// It grants something else than what was asked for.
    #[error("sent a 101 that opens no WebSocket: {0}")]
    Refused(#[from] BadAnswer),
    /// It grants a WebSocket for something else.
    #[error("did not grant the subprotocol `{0}`")]
    Subprotocol(String),
    /// It does not speak the protocol.
    #[error("sent a frame that no client would take, instead of {0}")]
    BadFrame(&'static str),
    /// It has closed the WebSocket.
    #[error("closed the WebSocket{}, instead of {awaited}", in_words(*.code))]
    Closed {
        code: Option<CloseCode>,
        awaited: &'static str,
    },
    /// The connection under the WebSocket has ended.
    #[error("hung up without a Close, instead of {0}")]
    HungUp(&'static str),
    /// The connection under the WebSocket has broken.
    #[error("broke the WebSocket: {}", Quoted::sentence(.0))]
    Broken(#[from] io::Error),
}

impl Failure {
    /// Whether it says nothing of the backend, but that we have run out of something.
    pub(super) fn is_ours(&self) -> bool {
        match self {
            Self::Unreachable(error) | Self::Broken(error) => is_ours(error),
            _ => false,
        }
    }
}

fn in_words(code: Option<CloseCode>) -> String {
    code.map_or_else(String::new, |code| format!(" with {code}"))
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Failed { source, .. } => Self::Unreachable(source),
            ConnectError::TimedOut { deadline, .. } => Self::TimedOut {
                after: deadline,
                awaited: "a connection",
            },
        }
    }
}
