//! WebSocket frames over a stream, without a look at their payload more than is needed.

use std::{
    io::{self, Cursor},
    rc::Rc,
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Control, Data, OpCode},
};

/// A stream that frames go over.
pub struct Framed<S> {
    io: S,
    inbox: BytesMut,
    /// Whom we play: the frames of clients are masked.
    is_client: bool,
}

/// The code of a Close; 1005 stands for none.
pub struct Closed(pub u16);

impl Closed {
    fn with(payload: &[u8]) -> Self {
        let code = payload.first_chunk().copied().map(u16::from_be_bytes);
        Self(code.unwrap_or(1005))
    }
}

/// What the inbox begins with.
struct Header {
    opcode: OpCode,
    /// Of the header itself, and of what follows it.
    length: usize,
    payload: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Framed<S> {
    /// Frames over `io`, of which `inbox` has been read already.
    pub fn new(io: S, inbox: BytesMut, is_client: bool) -> Self {
        Self {
            io,
            inbox,
            is_client,
        }
    }

    /// The stream, and what of it has been read already.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.io, self.inbox)
    }

    /// Sends bytes as they are.
    pub async fn send(&mut self, frame: &[u8]) -> io::Result<()> {
        self.io.write_all(frame).await?;
        self.io.flush().await
    }

    /// The payload of the next message. `None` after a Close.
    ///
    /// Nothing is lost if nobody waits for it any more: what has been read stays.
    pub async fn next(&mut self) -> io::Result<Option<Bytes>> {
        let Ok(header) = self.message().await? else {
            return Ok(None);
        };
        let payload = self.payload(&header).await?;
        if self.inbox.is_empty() {
            // What a large message needed is given back.
            self.inbox = BytesMut::new();
        }
        Ok(Some(payload))
    }

    /// The payload of the next message, or the Close that came instead.
    pub async fn next_or_close(&mut self) -> io::Result<Result<Bytes, Closed>> {
        match self.message().await? {
            Ok(header) => Ok(Ok(self.payload(&header).await?)),
            Err(closed) => Ok(Err(closed)),
        }
    }

    /// Reads a message of this size and throws it away.
    pub async fn skip(&mut self, size: usize) -> io::Result<()> {
        let header = self.message().await?;
        let Some(header) = header.ok().filter(|header| header.payload == size) else {
            return Err(io::Error::other("not the message that was asked for"));
        };
        let mut rest = header.end();
        loop {
            let here = rest.min(self.inbox.len());
            self.inbox.advance(here);
            rest -= here;
            if rest == 0 {
                return Ok(());
            }
            self.read(256 * 1024).await?;
        }
    }

    /// A frame with this payload as we send it.
    pub fn frame(&self, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        frame(opcode, payload, self.is_client)
    }

    /// The header of the next message, which stays in the inbox, or the Close that came instead.
    /// Pings are answered on the way.
    async fn message(&mut self) -> io::Result<Result<Header, Closed>> {
        loop {
            let header = self.header().await?;
            let OpCode::Control(control) = header.opcode else {
                return Ok(Ok(header));
            };
            let payload = self.payload(&header).await?;
            match control {
                Control::Ping => {
                    let pong = self.frame(OpCode::Control(Control::Pong), &payload);
                    self.send(&pong).await?;
                }
                Control::Pong => {}
                _ => return Ok(Err(Closed::with(&payload))),
            }
        }
    }

    /// Takes a frame out of the inbox once all of it is there. What it carries.
    async fn payload(&mut self, header: &Header) -> io::Result<Bytes> {
        while self.inbox.len() < header.end() {
            self.read(header.end() - self.inbox.len()).await?;
        }
        self.inbox.advance(header.length);
        Ok(self.inbox.split_to(header.payload).freeze())
    }

    /// The header at the front of the inbox, which stays there.
    async fn header(&mut self) -> io::Result<Header> {
        loop {
            let mut cursor = Cursor::new(&self.inbox[..]);
            let parsed = FrameHeader::parse(&mut cursor).map_err(io::Error::other)?;
            if let Some((header, payload)) = parsed {
                return Ok(Header {
                    opcode: header.opcode,
                    length: usize::try_from(cursor.position()).map_err(io::Error::other)?,
                    payload: usize::try_from(payload).map_err(io::Error::other)?,
                });
            }
            self.read(4096).await?;
        }
    }

    async fn read(&mut self, room: usize) -> io::Result<()> {
        self.inbox.reserve(room.max(4096));
        match self.io.read_buf(&mut self.inbox).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Header {
    /// Where its frame ends.
    fn end(&self) -> usize {
        self.length + self.payload
    }
}

/// A message as a client sends it: the same again and again.
#[derive(Clone)]
pub struct Message {
    frame: Rc<[u8]>,
    payload: usize,
}

impl Message {
    /// One of so many bytes.
    pub fn of(size: usize) -> Self {
        Self::new(OpCode::Data(Data::Binary), &vec![b'x'; size])
    }

    /// What asks the backend for so many messages of so many bytes.
    pub fn order(size: usize, count: usize) -> Self {
        let order = format!("push {size} {count}");
        Self::new(OpCode::Data(Data::Text), order.as_bytes())
    }

    /// A Close with the code 1000.
    pub fn close() -> Self {
        let code = 1000_u16.to_be_bytes();
        Self::new(OpCode::Control(Control::Close), &code)
    }

    pub fn frame(&self) -> &[u8] {
        &self.frame
    }

    pub fn payload(&self) -> &[u8] {
        &self.frame[self.frame.len() - self.payload..]
    }

    fn new(opcode: OpCode, payload: &[u8]) -> Self {
        Self {
            frame: frame(opcode, payload, true).into(),
            payload: payload.len(),
        }
    }
}

fn frame(opcode: OpCode, payload: &[u8], is_client: bool) -> Vec<u8> {
    let header = FrameHeader {
        opcode,
        // With a key of zeros a payload is masked already.
        mask: is_client.then_some([0; 4]),
        ..FrameHeader::default()
    };
    let mut frame = Vec::with_capacity(payload.len() + 14);
    header
        .format(payload.len() as u64, &mut frame)
        .expect("a vector takes everything");
    frame.extend_from_slice(payload);
    frame
}
