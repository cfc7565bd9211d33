//! One client: its handshake, and the ways in which it can be busy.

use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::sleep_until,
};

use crate::{
    frames::{Framed, Message},
    tally::Tally,
    target::{Io, Target},
};

const HANDSHAKE: &[u8] = b"GET /bench HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\n\
    connection: Upgrade\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    sec-websocket-version: 13\r\n\r\n";

const GET: &[u8] = b"GET /bench HTTP/1.1\r\nhost: localhost\r\naccept: */*\r\n\r\n";

/// A client whose WebSocket is open.
pub struct Client {
    frames: Framed<Box<dyn Io>>,
    pub is_resumed: bool,
}

impl Client {
    pub async fn connect(target: &Target) -> io::Result<Self> {
        let connected = target.connect().await?;
        match upgrade(connected.io).await? {
            Answer::Open(frames) => Ok(Self {
                frames,
                is_resumed: connected.is_resumed,
            }),
            Answer::Refused(head) => {
                let status = head.status;
                Err(io::Error::other(format!("a handshake got {status}")))
            }
        }
    }

    /// Waits for its message to come back.
    pub async fn echo(&mut self, message: &Message) -> io::Result<()> {
        self.frames.send(message.frame()).await?;
        match self.frames.next().await? {
            Some(echo) if echo == message.payload() => Ok(()),
            Some(_) => Err(io::Error::other("something else came back than was sent")),
            None => Err(io::Error::other("closed instead of an echo")),
        }
    }

    /// One message after the other.
    pub async fn echo_until(
        &mut self,
        end: Instant,
        message: &Message,
        tally: &Tally,
    ) -> io::Result<()> {
        while Instant::now() < end {
            let began = Instant::now();
            self.echo(message).await?;
            tally.add(1, began.elapsed());
        }
        Ok(())
    }

    /// A message whenever one is due. One that is held up by that before it is as late as it is.
    pub async fn echo_at(
        &mut self,
        times: impl Iterator<Item = Instant>,
        message: &Message,
        tally: &Tally,
    ) -> io::Result<()> {
        for due in times {
            let mut began = due;
            if Instant::now() < due {
                sleep_until(due.into()).await;
                // Timers are a millisecond coarse, which is not the proxy's fault.
                began = Instant::now();
            }
            self.echo(message).await?;
            tally.add(1, began.elapsed());
        }
        Ok(())
    }

    /// Takes messages of this size, some megabytes at a time. Counts bytes.
    pub async fn take_until(&mut self, end: Instant, size: usize, tally: &Tally) -> io::Result<()> {
        let count = ((8 << 20) / size).max(1);
        let order = Message::order(size, count);
        while Instant::now() < end {
            let mut began = Instant::now();
            self.frames.send(order.frame()).await?;
            for _ in 0..count {
                self.frames.skip(size).await?;
                tally.add(size as u64, began.elapsed());
                began = Instant::now();
            }
        }
        Ok(())
    }

    /// Answers pings for as long as nothing else is to be done.
    pub async fn idle(&mut self) -> io::Error {
        match self.frames.next().await {
            Ok(_) => io::Error::other("an idle client got something"),
            Err(error) => error,
        }
    }

    /// Says Close, and waits for the answer.
    pub async fn close(mut self) -> io::Result<()> {
        self.frames.send(Message::close().frame()).await?;
        while self.frames.next().await?.is_some() {}
        Ok(())
    }
}

/// What a handshake was answered with.
pub enum Answer {
    Open(Framed<Box<dyn Io>>),
    Refused(Head),
}

/// Connects and asks for a WebSocket.
pub async fn handshake(target: &Target) -> io::Result<Answer> {
    upgrade(target.connect().await?.io).await
}

async fn upgrade(mut io: Box<dyn Io>) -> io::Result<Answer> {
    io.write_all(HANDSHAKE).await?;
    io.flush().await?;
    let mut inbox = BytesMut::with_capacity(1024);
    let head = head(&mut io, &mut inbox).await?;
    Ok(match head.status {
        101 => Answer::Open(Framed::new(io, inbox, true)),
        _ => Answer::Refused(head),
    })
}

/// Plain requests over one connection, one after the other.
pub async fn get_until(target: Rc<Target>, end: Instant, tally: Rc<Tally>) -> io::Result<()> {
    let mut io = target.connect().await?.io;
    let mut inbox = BytesMut::with_capacity(1024);
    while Instant::now() < end {
        let began = Instant::now();
        io.write_all(GET).await?;
        io.flush().await?;
        let head = head(&mut io, &mut inbox).await?;
        if head.status != 200 {
            return Err(io::Error::other(format!("a GET got {}", head.status)));
        }
        while inbox.len() < head.content_length {
            read(&mut io, &mut inbox).await?;
        }
        inbox.advance(head.content_length);
        tally.add(1, began.elapsed());
    }
    Ok(())
}

/// The head of a response.
pub struct Head {
    pub status: u16,
    content_length: usize,
    /// How long the client is asked to stay away.
    pub retry_after: Option<Duration>,
}

/// Reads the head of a response, which leaves what follows it in `inbox`.
async fn head(io: &mut Box<dyn Io>, inbox: &mut BytesMut) -> io::Result<Head> {
    loop {
        if let Some((length, head)) = parse(inbox)? {
            inbox.advance(length);
            return Ok(head);
        }
        read(io, inbox).await?;
    }
}

fn parse(bytes: &[u8]) -> io::Result<Option<(usize, Head)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut response = httparse::Response::new(&mut headers);
    let status = response.parse(bytes).map_err(io::Error::other)?;
    let httparse::Status::Complete(length) = status else {
        return Ok(None);
    };
    let number = |name| {
        let mut headers = response.headers.iter();
        let header = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()?.parse().ok()
    };
    let head = Head {
        status: response.code.unwrap_or_default(),
        content_length: number("content-length").map_or(0, |length: u32| length as usize),
        retry_after: number("retry-after").map(|seconds| Duration::from_secs(seconds.into())),
    };
    Ok(Some((length, head)))
}

async fn read(io: &mut Box<dyn Io>, inbox: &mut BytesMut) -> io::Result<()> {
    match io.read_buf(inbox).await? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}
