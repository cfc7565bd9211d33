//! What goes by in one direction: where frames end, what counts, and what is ours.

use super::{
    counts::{Here, Traffic},
    moving::{Base64, Sight},
};
use crate::websocket::{
    CloseCode, Opcode,
    frame::FrameHeader,
    scanner::{Held, Scanned, Scanner, Token, Until, Verdict},
};

/// The payload from which on a frame is long: it costs less to have it moved than to read and write
/// it.
pub(super) const LONG: u64 = 64 * 1024;

/// What a pump sees in the stream of its source.
#[derive(Debug, Default)]
pub(super) struct Watch {
    pub(super) scanner: Scanner,
    /// Whether the frame begun is the last of its message.
    ends_message: bool,
    /// Whether more fragments of a message follow the last frame of one.
    has_open_message: bool,
    message: Message,
    /// Whether the bytes are no frames, but mean something to the peers alone.
    is_opaque: bool,
    /// Whether the last frame was long: then the next one may be too.
    was_long: bool,
    /// What our pings to the source carry, once there was one.
    token: Option<Token>,
    /// Whether the source has answered a ping of ours since this was last asked.
    has_answered: bool,
    /// The source's Close, with its code if it has one.
    close: Option<Option<CloseCode>>,
}

/// The message that passes.
#[derive(Debug, Clone, Copy, Default)]
struct Message {
    is_text: bool,
    /// The payload of its frames so far, in bytes.
    len: u64,
}

impl Watch {
    /// That of a stream that is not made of frames: it never stands between two.
    pub(super) fn opaque() -> Self {
        Self {
            scanner: Scanner::resume(u64::MAX, Held::new()),
            is_opaque: true,
            ..Self::default()
        }
    }

    /// One that goes on where another [stood](Self::write_down).
    pub(super) fn resume(sight: &Sight) -> Self {
        Self {
            scanner: Scanner::resume(sight.remaining, sight.held.0.clone()),
            ends_message: sight.ends_message,
            has_open_message: sight.has_open_message,
            message: Message {
                is_text: sight.is_text,
                len: sight.message_len,
            },
            is_opaque: sight.is_opaque,
            was_long: sight.was_long,
            token: sight.token.as_ref().map(|token| token.0),
            has_answered: false,
            close: None,
        }
    }

    /// What it sees, as long as the source has not sent a Close, and what has passed.
    pub(super) fn write_down(&self, passed: Traffic) -> Sight {
        Sight {
            remaining: self.scanner.remaining(),
            held: Base64(self.scanner.held().iter().copied().collect()),
            bytes: passed.bytes,
            messages: passed.messages,
            ends_message: self.ends_message,
            has_open_message: self.has_open_message,
            is_text: self.message.is_text,
            message_len: self.message.len,
            is_opaque: self.is_opaque,
            was_long: self.was_long,
            token: self.token.map(Base64),
        }
    }

    /// Follows the frames in `chunk`, and says what of it has passed, if it is passed on: then they
    /// are counted, too.
    pub(super) fn scan(
        &mut self,
        chunk: &mut [u8],
        until: Until,
        counts: Option<Here<'_>>,
    ) -> (Scanned, Traffic) {
        let mut messages = 0;
        let mut ends_message = self.ends_message;
        let mut has_open_message = self.has_open_message;
        let mut message = self.message;
        let mut was_long = self.was_long;
        let (token, has_answered, close) = (self.token, &mut self.has_answered, &mut self.close);
        let mut ended = |ends_message: bool, message: Message| {
            if ends_message {
                messages += 1;
                counts.inspect(|here| here.counts.message(message.is_text, message.len));
            }
        };
        let scanned = self.scanner.scan(chunk, until, |header, payload| {
            // The next frame begins where the one before it has come to its end.
            ended(ends_message, message);
            ends_message = header.ends_message();
            has_open_message = leaves_open(header, has_open_message);
            message.see(header);
            was_long = header.payload_len >= LONG;
            let verdict = judge(header, payload, token, close);
            match (verdict, counts) {
                (Verdict::Take, _) => *has_answered = true,
                (Verdict::Pass, Some(here)) => here.counts.frame(header.opcode),
                (Verdict::Pass, None) => {}
            }
            verdict
        });
        if !self.scanner.is_inside_frame() {
            ended(std::mem::take(&mut ends_message), message);
        }
        self.ends_message = ends_message;
        self.has_open_message = has_open_message;
        self.message = message;
        self.was_long = was_long;
        let bytes = scanned.released as u64;
        (scanned, Traffic { bytes, messages })
    }

    /// Whether the bytes are no frames.
    pub(super) fn is_opaque(&self) -> bool {
        self.is_opaque
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
    pub(super) fn begin(&mut self, header: &FrameHeader, here: Here<'_>) {
        self.scanner.begin(header);
        self.message.see(header);
        here.counts.frame(header.opcode);
        self.ends_message = header.ends_message();
        self.has_open_message = leaves_open(header, self.has_open_message);
    }

    /// Counts bytes of the frame begun that have passed without a scan.
    pub(super) fn moved(&mut self, bytes: u64, here: Here<'_>) {
        self.scanner.skip(bytes);
        let has_ended = !self.scanner.is_inside_frame();
        let messages = u64::from(has_ended && std::mem::take(&mut self.ends_message));
        if messages > 0 {
            here.counts.message(self.message.is_text, self.message.len);
        }
        here.count(Traffic { bytes, messages });
    }

    /// The token that pings to the source carry; pongs that bring it back are taken out.
    pub(super) fn token(&mut self) -> Token {
        *self.token.get_or_insert_with(rand::random)
    }

    /// Whether the source has answered a ping of ours since this was last asked.
    pub(super) fn has_answered(&mut self) -> bool {
        std::mem::take(&mut self.has_answered)
    }

    /// The source's Close, if it has sent one, with its code if that has one.
    pub(super) fn close(&self) -> Option<Option<CloseCode>> {
        self.close
    }
}

impl Message {
    /// A frame comes, and if it is one of a message, more of that.
    fn see(&mut self, header: &FrameHeader) {
        if header.opcode == Opcode::Continuation {
            self.len = self.len.saturating_add(header.payload_len);
        } else if !header.opcode.is_control() {
            self.is_text = header.opcode == Opcode::Text;
            self.len = header.payload_len;
        }
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
