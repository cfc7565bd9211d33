//! One of the two at the ends of a tunnel, and the frames that it says and hears.

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::rig::patiently;
use crate::websocket::{
    CloseCode, Opcode, Role,
    frame::{self, FrameHeader, apply_mask},
};

/// One of the two at the ends of a tunnel.
pub(super) struct Peer<S = DuplexStream> {
    role: Role,
    pub(super) socket: S,
    unread: Vec<u8>,
}

/// A frame as a peer received it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) opcode: Opcode,
    /// Unmasked.
    pub(super) payload: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Peer<S> {
    pub(super) fn new(role: Role, socket: S) -> Self {
        Self {
            role,
            socket,
            unread: Vec::new(),
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) {
        patiently(self.socket.write_all(bytes)).await.unwrap();
    }

    pub(super) async fn say(&mut self, text: &str) {
        let message = self.message(text.as_bytes());
        self.send(&message).await;
    }

    pub(super) async fn pong(&mut self, payload: &[u8]) {
        self.send(&frame::pong(payload, self.role)).await;
    }

    pub(super) async fn close(&mut self, code: u16) {
        self.send(&frame::close(CloseCode(code), "", self.role))
            .await;
    }

    /// A text message of one frame, as this peer sends it.
    pub(super) fn message(&self, payload: &[u8]) -> Vec<u8> {
        let key = (self.role == Role::Client).then_some([1, 2, 3, 4]);
        encode(0x81, payload, Spelling::Shortest, key)
    }

    /// Ends what it sends; it can still receive.
    pub(super) async fn stop_sending(&mut self) {
        patiently(self.socket.shutdown()).await.unwrap();
    }

    /// The next frame, or `None` at the end of the stream.
    pub(super) async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(len) = whole_frame(&self.unread) {
                let bytes: Vec<u8> = self.unread.drain(..len).collect();
                return Some(self.read(&bytes));
            }
            let read = patiently(self.socket.read_buf(&mut self.unread)).await;
            if read.unwrap() == 0 {
                assert_eq!(self.unread, b"", "the stream ends inside a frame");
                return None;
            }
        }
    }

    fn read(&self, bytes: &[u8]) -> Frame {
        let header = FrameHeader::parse(bytes).unwrap();
        let to_backend = self.role == Role::Server;
        assert_eq!(header.mask.is_some(), to_backend, "{header:?}");
        let mut payload = bytes[header.header_len..].to_vec();
        apply_mask(&mut payload, header.mask.unwrap_or_default());
        Frame {
            opcode: header.opcode,
            payload,
        }
    }

    pub(super) async fn hears_text(&mut self) -> String {
        let payload = self.hears(Opcode::Text).await;
        String::from_utf8(payload).unwrap()
    }

    /// The token of a ping.
    pub(super) async fn hears_ping(&mut self) -> Vec<u8> {
        self.hears(Opcode::Ping).await
    }

    /// The code and the reason of a Close.
    pub(super) async fn hears_close(&mut self) -> (u16, String) {
        let frame = self.next().await;
        frame.and_then(|f| f.close()).expect("a Close with a code")
    }

    async fn hears(&mut self, opcode: Opcode) -> Vec<u8> {
        let frame = self.next().await.expect("a frame, not the end");
        assert_eq!(frame.opcode, opcode, "{frame:?}");
        frame.payload
    }

    /// All bytes that still come, up to the end of the stream.
    pub(super) async fn hears_to_the_end(&mut self) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.unread);
        patiently(self.socket.read_to_end(&mut bytes))
            .await
            .unwrap();
        bytes
    }

    /// Waits for `len` bytes without taking note of them yet.
    pub(super) async fn hears_the_beginning(&mut self, len: usize) {
        while self.unread.len() < len {
            let read = patiently(self.socket.read_buf(&mut self.unread)).await;
            assert_ne!(read.unwrap(), 0, "the stream ended too early");
        }
    }

    /// What was received, and not taken note of yet.
    pub(super) fn unread(self) -> Vec<u8> {
        self.unread
    }

    /// Answers pings and a Close as RFC 6455 asks for, and tells what else it heard.
    pub(super) async fn oblige(mut self) -> Vec<Frame> {
        let mut heard = Vec::new();
        while let Some(frame) = self.next_whenever().await {
            match frame.opcode {
                Opcode::Ping => self.pong(&frame.payload).await,
                Opcode::Close => {
                    self.send(&frame::close(CloseCode::NORMAL, "", self.role))
                        .await;
                    heard.push(frame);
                    break;
                }
                _ => heard.push(frame),
            }
        }
        heard
    }

    /// As [`next`](Self::next), without losing patience.
    async fn next_whenever(&mut self) -> Option<Frame> {
        while whole_frame(&self.unread).is_none() {
            if self.socket.read_buf(&mut self.unread).await.unwrap() == 0 {
                break;
            }
        }
        self.next().await
    }
}

impl Frame {
    /// Code and reason, if it is a Close with these.
    pub(super) fn close(&self) -> Option<(u16, String)> {
        let (code, reason) = self.payload.split_first_chunk()?;
        let reason = String::from_utf8(reason.to_vec()).ok()?;
        (self.opcode == Opcode::Close).then_some((u16::from_be_bytes(*code), reason))
    }
}

/// How a length is written in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelling {
    Shortest,
    TwoBytes,
    EightBytes,
}

/// A frame whose first byte is given.
pub(super) fn encode(
    first: u8,
    payload: &[u8],
    spelling: Spelling,
    key: Option<[u8; 4]>,
) -> Vec<u8> {
    let masked = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match (spelling, payload.len()) {
        (Spelling::Shortest, len @ ..126) => frame.push(masked | len as u8),
        (Spelling::Shortest | Spelling::TwoBytes, len @ ..65_536) => {
            frame.push(masked | 126);
            frame.extend((len as u16).to_be_bytes());
        }
        (_, len) => {
            frame.push(masked | 127);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(key.iter().flatten());
    let start = frame.len();
    frame.extend(payload);
    apply_mask(&mut frame[start..], key.unwrap_or_default());
    frame
}

/// The length of the frame at the start of `bytes`, if all of it is there.
pub(super) fn whole_frame(bytes: &[u8]) -> Option<usize> {
    let header = FrameHeader::parse(bytes)?;
    let len = header.frame_len();
    (len <= bytes.len() as u64).then_some(len as usize)
}
