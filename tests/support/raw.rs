use longwire::websocket::{
    CloseCode, Opcode, Role,
    frame::{self, FrameHeader, apply_mask},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
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

    /// A head up to its empty line, which is included.
    pub(crate) async fn head(&mut self) -> String {
        loop {
            if let Some(end) = self.buffer.windows(4).position(|w| w == b"\r\n\r\n") {
                let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            assert!(self.read_more().await, "the end after {:?}", self.buffer);
        }
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
        let mut message = self.head().await;
        let length = header(&message, "content-length").map_or(0, |value| value.parse().unwrap());
        message += std::str::from_utf8(&self.bytes(length).await).unwrap();
        message
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
        self.send(format!(
            "GET {path} HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {KEY}\r\nSec-WebSocket-Version: 13\r\n\r\n"
        ))
        .await;
    }

    /// Asks for a WebSocket and is granted it.
    pub(crate) async fn open_websocket(&mut self) {
        self.ask_for_websocket("/").await;
        let answer = self.head().await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    }

    /// Grants, as a backend, the WebSocket that a raw client asked for; gives the request's head.
    pub(crate) async fn grant_websocket(&mut self) -> String {
        let head = self.head().await;
        self.send(format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        ))
        .await;
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
