use std::time::Duration;

use longwire::websocket::{
    CloseCode, Opcode, Role,
    frame::{self, FrameHeader, apply_mask},
};
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, Join, Sink, join, sink},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

/// A connection on which the test says every byte itself: a client's or a backend's.
pub(crate) struct Raw<S = TcpStream> {
    pub(crate) socket: S,
    /// Read, but not asked for yet.
    buffer: Vec<u8>,
}

/// A frame as it was read, unmasked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) header: FrameHeader,
    pub(crate) payload: Vec<u8>,
}

/// The key that every handshake of a raw client uses, and the answer that fits it.
pub(crate) const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
pub(crate) const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The plainest handshake, with headers changed, added, or, where the value is empty, left out.
pub(crate) fn handshake(path: &str, changes: &[(&str, &str)]) -> String {
    let plainest = [
        ("Host", "test"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    head(&format!("GET {path} HTTP/1.1"), &plainest, changes)
}

/// The plainest 101, changed in the same way.
pub(crate) fn switching(changes: &[(&str, &str)]) -> String {
    let plainest = [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", ACCEPT),
    ];
    head("HTTP/1.1 101 Switching Protocols", &plainest, changes)
}

fn head(first: &str, plainest: &[(&str, &str)], changes: &[(&str, &str)]) -> String {
    let is_changed = |name: &str| {
        changes
            .iter()
            .any(|(changed, _)| changed.eq_ignore_ascii_case(name))
    };
    let kept = plainest.iter().filter(|(name, _)| !is_changed(name));
    let lines = kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()));
    let lines: String = lines
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    format!("{first}\r\n{lines}\r\n")
}

/// A frame as `sender` sends it; `first` is its first byte.
pub(crate) fn frame(first: u8, payload: &[u8], sender: Role) -> Vec<u8> {
    let mask_bit = if sender == Role::Client { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        short @ ..126 => frame.push(mask_bit | short as u8),
        medium @ ..0x1_0000 => {
            frame.push(mask_bit | 126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(mask_bit | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    let mut payload = payload.to_vec();
    if sender == Role::Client {
        let key = [0x37, 0xfa, 0x21, 0x3d];
        frame.extend(key);
        apply_mask(&mut payload, key);
    }
    frame.extend(payload);
    frame
}

impl Raw {
    /// Ends the connection with a reset.
    pub(crate) fn reset(self) {
        let socket = SockRef::from(&self.socket);
        socket.set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// What is heard on it, and what says the bytes.
    pub(crate) fn into_halves(self) -> (Raw<Join<OwnedReadHalf, Sink>>, OwnedWriteHalf) {
        let (reading, writing) = self.socket.into_split();
        let heard = Raw {
            socket: join(reading, sink()),
            buffer: self.buffer,
        };
        (heard, writing)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Raw<S> {
    pub(crate) fn new(socket: S) -> Self {
        Self {
            socket,
            buffer: Vec::new(),
        }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.socket.write_all(bytes.as_ref()).await.unwrap();
    }

    /// The same to a peer that may be gone; whether it is still there.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.socket.write_all(bytes.as_ref()).await.is_ok()
    }

    /// A head up to its empty line, which is included.
    pub(crate) async fn head(&mut self) -> String {
        let head = self.next_head().await;
        head.unwrap_or_else(|| panic!("the end after {:?}", self.buffer))
    }

    /// The same; `None` if the end comes first.
    pub(crate) async fn next_head(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return Some(String::from_utf8(head).unwrap());
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// A response's head and the body that it announces.
    pub(crate) async fn response(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
        let body = self.bytes(length).await;
        (head, String::from_utf8(body).unwrap())
    }

    /// Whether nothing comes while everybody else does what there is to do. Only to be asked under
    /// a paused clock.
    pub(crate) async fn is_silent(&mut self) -> bool {
        let more = timeout(Duration::from_millis(100), self.read_more()).await;
        self.buffer.is_empty() && more.is_err()
    }

    /// The next `count` bytes.
    pub(crate) async fn bytes(&mut self, count: usize) -> Vec<u8> {
        while self.buffer.len() < count {
            assert!(self.read_more().await, "the end after {:?}", self.buffer);
        }
        self.buffer.drain(..count).collect()
    }

    /// A head and the body that its `Content-Length` announces, as one text.
    pub(crate) async fn message(&mut self) -> String {
        let (head, body) = self.response().await;
        head + &body
    }

    /// A chunk of a chunked body; the last one is empty, and trailers may follow it.
    pub(crate) async fn chunk(&mut self) -> String {
        let size = self.line().await;
        let size = usize::from_str_radix(&size, 16).unwrap();
        let chunk = self.bytes(size).await;
        if size > 0 {
            assert_eq!(self.line().await, "");
        }
        String::from_utf8(chunk).unwrap()
    }

    /// A line without its end.
    pub(crate) async fn line(&mut self) -> String {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(self.bytes(1).await);
        }
        line.truncate(line.len() - 2);
        String::from_utf8(line).unwrap()
    }

    /// Answers, as a backend, the request that has been read.
    pub(crate) async fn answer(&mut self, body: &str) {
        let length = body.len();
        self.send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
        ))
        .await;
    }

    /// Everything up to the end, whether that is orderly or not.
    pub(crate) async fn rest(&mut self) -> Vec<u8> {
        while self.read_more().await {}
        std::mem::take(&mut self.buffer)
    }

    /// The next frame; `None` if the end comes first, in or before it.
    pub(crate) async fn frame(&mut self) -> Option<Frame> {
        loop {
            if let Some(header) = FrameHeader::parse(&self.buffer) {
                let end = header.header_len + usize::try_from(header.payload_len).unwrap();
                if let Some(payload) = self.buffer.get(header.header_len..end) {
                    let mut payload = payload.to_vec();
                    if let Some(key) = header.mask {
                        apply_mask(&mut payload, key);
                    }
                    self.buffer.drain(..end);
                    return Some(Frame { header, payload });
                }
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    /// Asks for a WebSocket at `path` in the plainest way, and leaves the answer unread.
    pub(crate) async fn ask_for_websocket(&mut self, path: &str) {
        self.send(handshake(path, &[])).await;
    }

    /// Asks for a WebSocket at `path` and is granted it.
    pub(crate) async fn open_websocket_at(&mut self, path: &str) {
        self.ask_for_websocket(path).await;
        let answer = self.head().await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }

    /// Asks for a WebSocket and is granted it.
    pub(crate) async fn open_websocket(&mut self) {
        self.open_websocket_at("/").await;
    }

    /// Grants, as a backend, the WebSocket that a raw client asked for; gives the request's head.
    pub(crate) async fn grant_websocket(&mut self) -> String {
        let head = self.head().await;
        self.send(switching(&[])).await;
        head
    }

    /// Whether there was more to read.
    async fn read_more(&mut self) -> bool {
        let read = self.socket.read_buf(&mut self.buffer).await;
        read.is_ok_and(|count| count > 0)
    }
}

/// The value of a header in a head, if it is there once.
pub(crate) fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    let mut values = headers(head, name).into_iter();
    values.next().filter(|_| values.next().is_none())
}

/// The values of a header in a head.
pub(crate) fn headers<'h>(head: &'h str, name: &str) -> Vec<&'h str> {
    let lines = head.lines().skip(1).take_while(|line| !line.is_empty());
    let fields = lines.filter_map(|line| line.split_once(':'));
    fields
        .filter(|(named, _)| named.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
        .collect()
}

impl Frame {
    /// The code and the reason, if it is a Close that has them.
    pub(crate) fn close(&self) -> Option<(CloseCode, &str)> {
        let (code, reason) = self.payload.split_first_chunk()?;
        let is_close = self.header.opcode == Opcode::Close;
        is_close.then(|| {
            let code = CloseCode(u16::from_be_bytes(*code));
            (code, std::str::from_utf8(reason).unwrap())
        })
    }

    pub(crate) fn is_ping(&self) -> bool {
        self.header.opcode == Opcode::Ping
    }

    /// The pong that answers this ping, as `sender` sends it.
    pub(crate) fn pong(&self, sender: Role) -> frame::ControlFrame {
        frame::pong(&self.payload, sender)
    }
}
