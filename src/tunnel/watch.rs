//! What goes by in one direction: where frames end, what counts, and what is ours.

use super::moving::{Base64, Sight};
use crate::websocket::{
    CloseCode, Opcode,
    frame::FrameHeader,
    scanner::{Scanned, Scanner, Token, Until, Verdict},
};

/// The payload from which on a frame is long: it costs less to have it moved than to read and write
/// it.
pub(super) const LONG: u64 = 64 * 1024;

/// What a pump sees in the stream of its source.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) scanner: Scanner,
    traffic: Traffic,
    /// Whether the frame begun is the last of its message.
    ends_message: bool,
    /// Whether more fragments of a message follow the last frame of one.
    has_open_message: bool,
    /// Whether the last frame was long: then the next one may be too.
    was_long: bool,
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
    /// One that goes on where another [stood](Self::write_down).
    pub(super) fn resume(sight: &Sight) -> Self {
        Self {
            scanner: Scanner::resume(sight.remaining, sight.held.0.clone()),
            traffic: Traffic {
                bytes: sight.bytes,
                messages: sight.messages,
            },
            ends_message: sight.ends_message,
            has_open_message: sight.has_open_message,
            was_long: sight.was_long,
            token: sight.token.as_ref().map(|token| token.0),
            close: None,
        }
    }

    /// What it sees, as long as the source has not sent a Close.
    pub(super) fn write_down(&self) -> Sight {
        Sight {
            remaining: self.scanner.remaining(),
            held: Base64(self.scanner.held().iter().copied().collect()),
            bytes: self.traffic.bytes,
            messages: self.traffic.messages,
            ends_message: self.ends_message,
            has_open_message: self.has_open_message,
            was_long: self.was_long,
            token: self.token.map(Base64),
        }
    }

    /// Follows the frames in `chunk`, and says what of it has passed, if it is passed on.
    pub(super) fn scan(&mut self, chunk: &mut [u8], until: Until) -> (Scanned, Traffic) {
        let mut messages = 0;
        let mut ends_message = self.ends_message;
        let mut has_open_message = self.has_open_message;
        let mut was_long = self.was_long;
        let (token, close) = (self.token, &mut self.close);
        let scanned = self.scanner.scan(chunk, until, |header, payload| {
            // The next frame begins where the one before it has come to its end.
            messages += u64::from(ends_message);
            ends_message = header.ends_message();
            has_open_message = leaves_open(header, has_open_message);
            was_long = header.payload_len >= LONG;
            judge(header, payload, token, close)
        });
        if !self.scanner.is_inside_frame() {
            messages += u64::from(std::mem::take(&mut ends_message));
        }
        self.ends_message = ends_message;
        self.has_open_message = has_open_message;
        self.was_long = was_long;
        let bytes = scanned.released as u64;
        (scanned, Traffic { bytes, messages })
    }

    /// Whether the frame begun is long, or the next may be.
    pub(super) fn expects_long(&self) -> bool {
        self.was_long
    }

    /// Has all frames scanned until one is long again.
    pub(super) fn expect_short(&mut self) {
        self.was_long = false;
    }

    /// Whether the next byte of the source begins a frame.
    pub(super) fn is_between_frames(&self) -> bool {
        !self.scanner.is_inside_frame() && self.scanner.held().is_empty()
    }

    /// Whether what has passed ends between two messages. What is held back has not passed.
    pub(super) fn has_passed_whole_messages(&self) -> bool {
        !self.scanner.is_inside_frame() && !self.has_open_message
    }

    /// Begins a long frame whose header was seen, and has not passed.
    pub(super) fn begin(&mut self, header: &FrameHeader) {
        self.scanner.begin(header);
        self.ends_message = header.ends_message();
        self.has_open_message = leaves_open(header, self.has_open_message);
    }

    /// Counts bytes of the frame begun that have passed without a scan.
    pub(super) fn moved(&mut self, bytes: u64) {
        self.scanner.skip(bytes);
        let has_ended = !self.scanner.is_inside_frame();
        let messages = u64::from(has_ended && std::mem::take(&mut self.ends_message));
        self.count(Traffic { bytes, messages });
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

/// Whether a message is open behind a frame; control frames may stand between fragments.
fn leaves_open(header: &FrameHeader, was_open: bool) -> bool {
    if header.opcode.is_control() {
        was_open
    } else {
        !header.fin
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
