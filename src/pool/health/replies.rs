//! What a backend says on its WebSocket, until all that is awaited has come.

use bytes::{Buf, Bytes, BytesMut};

use crate::{
    pool::health::failure::Failure,
    websocket::{
        CloseCode, Opcode, Role,
        frame::{self, ControlFrame, FrameHeader, MAX_CONTROL_PAYLOAD},
        scanner::Token,
    },
};

/// What is still awaited of a backend.
#[derive(Debug)]
pub(super) struct Replies<'a> {
    pong: Option<Token>,
    answer: Option<&'a str>,
    /// The text message under way, as long as it may be the answer.
    text: Option<Vec<u8>>,
    frames: Frames,
}

/// Takes frames apart that come in any pieces.
#[derive(Debug)]
struct Frames {
    bytes: BytesMut,
    /// The longest payload that is kept.
    longest: usize,
    /// Bytes to come of a frame whose payload is not kept.
    skipping: u64,
}

/// A frame of the backend's. A payload that is too long to be of interest is left out.
#[derive(Debug)]
struct Frame {
    header: FrameHeader,
    payload: Option<Bytes>,
}

/// A frame has come that no client would take.
struct Unsound;

impl<'a> Replies<'a> {
    /// The pong to a ping with this token, and this text message.
    pub(super) fn awaiting(pong: Option<Token>, answer: Option<&'a str>) -> Self {
        let longest = answer.map_or(0, str::len).max(MAX_CONTROL_PAYLOAD);
        Self {
            pong,
            answer,
            text: None,
            frames: Frames {
                bytes: BytesMut::new(),
                longest,
                skipping: 0,
            },
        }
    }

    /// What the backend still has to send; `None` once it has sent everything.
    pub(super) fn awaited(&self) -> Option<&'static str> {
        match (self.pong, self.answer) {
            (Some(_), _) => Some("a pong"),
            (None, Some(_)) => Some("the text message that it is to send"),
            (None, None) => None,
        }
    }

    /// Takes what the backend has sent, and gives the pongs that it asks for.
    pub(super) fn hear(&mut self, bytes: &[u8]) -> Result<Vec<ControlFrame>, Failure> {
        self.frames.bytes.extend_from_slice(bytes);
        let mut pongs = Vec::new();
        while let Some(awaited) = self.awaited() {
            let next = self.frames.next();
            let Some(frame) = next.map_err(|Unsound| Failure::BadFrame(awaited))? else {
                break;
            };
            let payload = frame.payload.as_deref();
            match frame.header.opcode {
                Opcode::Ping => pongs.extend(payload.map(|p| frame::pong(p, Role::Client))),
                Opcode::Pong if payload == self.pong.as_ref().map(Token::as_slice) => {
                    self.pong = None;
                }
                Opcode::Pong => {}
                Opcode::Close => {
                    let code = payload.and_then(|p| p.first_chunk());
                    let code = code.map(|code| CloseCode(u16::from_be_bytes(*code)));
                    return Err(Failure::Closed { code, awaited });
                }
                _ => self.hear_message(&frame),
            }
        }
        Ok(pongs)
    }

    fn hear_message(&mut self, frame: &Frame) {
        let begun = match frame.header.opcode {
            Opcode::Text => Some(Vec::new()),
            Opcode::Continuation => self.text.take(),
            _ => None,
        };
        let text = begun.zip(frame.payload.as_deref()).map(|(mut text, more)| {
            text.extend_from_slice(more);
            text
        });
        let longest = self.frames.longest;
        self.text = text.filter(|text| text.len() <= longest);
        if frame.header.fin {
            let text = self.text.take();
            self.answer = self
                .answer
                .filter(|a| text.as_deref() != Some(a.as_bytes()));
        }
    }
}

impl Frames {
    fn next(&mut self) -> Result<Option<Frame>, Unsound> {
        self.skip();
        let Some(header) = FrameHeader::parse(&self.bytes) else {
            return Ok(None);
        };
        if !is_sound(&header) {
            return Err(Unsound);
        }
        if header.payload_len > self.longest as u64 {
            self.skipping = header.frame_len();
            self.skip();
            return Ok(Some(Frame {
                header,
                payload: None,
            }));
        }
        // As long as the longest at most, which is the length of something in memory.
        let end = header.header_len + header.payload_len as usize;
        if self.bytes.len() < end {
            return Ok(None);
        }
        let payload = self.bytes.split_to(end).split_off(header.header_len);
        Ok(Some(Frame {
            header,
            payload: Some(payload.freeze()),
        }))
    }

    /// Leaves out what has come of a payload that is not kept.
    fn skip(&mut self) {
        let available = self.bytes.len();
        let skipped = usize::try_from(self.skipping).map_or(available, |s| s.min(available));
        self.bytes.advance(skipped);
        self.skipping -= skipped as u64;
    }
}

/// Whether a client may take a frame that has agreed to no extension (RFC 6455, section 5).
fn is_sound(header: &FrameHeader) -> bool {
    let is_short = header.fin && header.payload_len <= MAX_CONTROL_PAYLOAD as u64;
    header.mask.is_none()
        && header.rsv == 0
        && !matches!(header.opcode, Opcode::Reserved(_))
        && (is_short || !header.opcode.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: Token = *b"ourtoken";

    /// What is awaited still, of our pong and of `welcome`, once `chunks` have come.
    fn awaited_after(chunks: &[&[u8]]) -> Result<Option<&'static str>, String> {
        let mut replies = Replies::awaiting(Some(TOKEN), Some("welcome"));
        for chunk in chunks {
            replies.hear(chunk).map_err(|failure| failure.to_string())?;
        }
        Ok(replies.awaited())
    }

    fn pong() -> ControlFrame {
        frame::pong(&TOKEN, Role::Server)
    }

    fn text(text: &str) -> Vec<u8> {
        frame::text(text, Role::Server)
    }

    #[test]
    fn replies_are_heard_at_every_split_in_any_order_and_among_others() {
        let fragments = b"\x01\x03wel\x89\x00\x80\x04come";
        let long = text(&"welcome".repeat(100_000));
        let not_ours = frame::pong(b"another!", Role::Server);
        let binary = b"\x82\x07welcome";
        for stream in [
            [&pong()[..], &text("welcome")].concat(),
            [&text("welcome")[..], &pong()].concat(),
            [&fragments[..], &not_ours, &pong()].concat(),
            [&text("hello")[..], binary, &pong(), fragments].concat(),
            [&text("")[..], b"\x89\x02hi", &pong(), &text("welcome")].concat(),
        ] {
            for split in 0..stream.len() {
                let (one, two) = stream.split_at(split);
                assert_eq!(awaited_after(&[one, two]), Ok(None), "split at {split}");
                assert!(awaited_after(&[one]).unwrap().is_some(), "cut at {split}");
            }
            let bytes: Vec<&[u8]> = stream.chunks(1).collect();
            assert_eq!(awaited_after(&bytes), Ok(None));
            // What is too long to be the answer is passed over, and not kept.
            let chunks: Vec<&[u8]> = long.chunks(4096).chain([&stream[..]]).collect();
            assert_eq!(awaited_after(&chunks), Ok(None));
        }
    }

    #[test]
    fn what_resembles_the_answer_is_none() {
        for stream in [
            &text("welcom")[..],
            &text("welcome!"),
            &text("Welcome"),
            b"\x82\x07welcome",
            b"\x02\x03wel\x80\x04come",
            b"\x01\x03wel\x80\x05come!",
            b"\x01\x07welcome",
            b"\x80\x07welcome",
        ] {
            let awaited = awaited_after(&[stream, &pong()]);
            assert_eq!(awaited, Ok(Some("the text message that it is to send")));
        }
    }

    #[test]
    fn no_more_is_kept_than_could_be_awaited() {
        let mut replies = Replies::awaiting(Some(TOKEN), None);
        replies.hear(b"\x01\x00").unwrap();
        for _ in 0..1000 {
            replies.hear(b"\x00\x7d").unwrap();
            replies.hear(&[b'x'; 125]).unwrap();
        }
        assert!(replies.frames.bytes.capacity() < 1000 && replies.text.is_none());
        // A frame of a TiB.
        replies.hear(b"\x82\x7f\0\0\x01\0\0\0\0\0").unwrap();
        for _ in 0..1000 {
            replies.hear(&[b'x'; 4096]).unwrap();
        }
        assert!(replies.frames.bytes.is_empty());
        assert!(replies.frames.bytes.capacity() < 10_000);
    }

    #[test]
    fn pings_are_answered() {
        let mut replies = Replies::awaiting(None, Some("welcome"));
        let pongs = replies.hear(b"\x89\x03one\x89\x03two").unwrap();
        let payloads = pongs.iter().map(|pong| {
            let header = FrameHeader::parse(pong).unwrap();
            let mut payload = pong[header.header_len..].to_vec();
            frame::apply_mask(&mut payload, header.mask.unwrap());
            payload
        });
        assert_eq!(payloads.collect::<Vec<_>>(), [b"one", b"two"]);
    }

    #[test]
    fn a_close_instead_of_a_reply_is_a_failure_with_its_code() {
        for (stream, words) in [
            (
                &b"\x88\x02\x03\xf3"[..],
                "closed the WebSocket with 1011, instead of a pong",
            ),
            (b"\x88\x00", "closed the WebSocket, instead of a pong"),
        ] {
            assert_eq!(awaited_after(&[stream]).unwrap_err(), words);
        }
        let after = [&pong()[..], &text("welcome"), b"\x88\x00"].concat();
        assert_eq!(awaited_after(&[&after]), Ok(None));
    }

    #[test]
    fn frames_that_no_client_would_take_are_failures() {
        for stream in [
            &b"\xc1\x01x"[..],
            b"\x83\x00",
            b"\x09\x00",
            b"\x89\x7e\x00\x7e",
            b"\x81\x81\0\0\0\0x",
            b"HTTP/1.1 200 OK\r\n",
        ] {
            let failure = awaited_after(&[stream]).unwrap_err();
            assert!(failure.contains("no client would take"), "{failure}");
        }
    }
}
