//! What goes by in one direction: where frames end, what counts, and what is ours.

use crate::websocket::{
    CloseCode, Opcode,
    frame::FrameHeader,
    scanner::{Scanned, Scanner, Token, Until, Verdict},
};

/// What a pump sees in the stream of its source.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) scanner: Scanner,
    traffic: Traffic,
    /// Whether the frame begun is the last of its message.
    ends_message: bool,
    /// What our pings to the source carry, once there was one.
    token: Option<Token>,
    /// The source's Close, with its code if it has one.
    close: Option<Option<CloseCode>>,
}

/// What has passed in one direction, without frames of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Bytes.
    pub bytes: u64,
    /// Messages that were passed to their end.
    pub messages: u64,
}

impl Watch {
    /// Follows the frames in `chunk`, and says what of it has passed, if it is passed on.
    pub(super) fn scan(&mut self, chunk: &mut [u8], until: Until) -> (Scanned, Traffic) {
        let mut messages = 0;
        let mut ends_message = self.ends_message;
        let (token, close) = (self.token, &mut self.close);
        let scanned = self.scanner.scan(chunk, until, |header, payload| {
            // The next frame begins where the one before it has come to its end.
            messages += u64::from(ends_message);
            ends_message = header.ends_message();
            judge(header, payload, token, close)
        });
        if !self.scanner.is_inside_frame() {
            messages += u64::from(std::mem::take(&mut ends_message));
        }
        self.ends_message = ends_message;
        let bytes = scanned.released as u64;
        (scanned, Traffic { bytes, messages })
    }

    /// Counts what has been passed on.
    pub(super) fn count(&mut self, passed: Traffic) {
        self.traffic.bytes += passed.bytes;
        self.traffic.messages += passed.messages;
    }

    /// What has been passed on so far.
    pub(super) fn traffic(&self) -> Traffic {
        self.traffic
    }

    /// The token that pings to the source carry; pongs that bring it back are taken out.
    pub(super) fn token(&mut self) -> Token {
        *self.token.get_or_insert_with(rand::random)
    }

    /// The source's Close, if it has sent one, with its code if that has one.
    pub(super) fn close(&self) -> Option<Option<CloseCode>> {
        self.close
    }
}

fn judge(
    header: &FrameHeader,
    payload: &[u8],
    token: Option<Token>,
    close: &mut Option<Option<CloseCode>>,
) -> Verdict {
    match header.opcode {
        Opcode::Pong if token.is_some_and(|token| payload == token) => return Verdict::Take,
        Opcode::Close if close.is_none() => {
            let code = payload.try_into().ok().map(u16::from_be_bytes);
            *close = Some(code.map(CloseCode));
        }
        _ => {}
    }
    Verdict::Pass
}
