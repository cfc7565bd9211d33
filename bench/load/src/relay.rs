//! A blind relay: two reads and two writes a round trip, and nothing else. What a proxy costs above
//! this, it costs for what it does; what it costs below, no proxy in user space can save.

use std::{
    fs,
    io::{self, Read, Write},
    net::SocketAddr,
    path::Path,
    sync::Arc,
};

use anyhow::Context;
use mio::{
    Events, Interest, Poll, Token,
    net::{TcpListener, TcpStream},
};
use rustls::{
    ServerConfig, ServerConnection, Stream,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use crate::target;

const LISTENER: Token = Token(usize::MAX);

/// A socket that is not read again before there is something: a short read has emptied it.
struct Socket {
    stream: TcpStream,
    is_readable: bool,
    /// The peer has sent its last byte, so no event will tell of the end behind a short read.
    is_at_end: bool,
}

/// One side of a pair.
struct Side {
    socket: Socket,
    /// In a box, so that a plain pair is small.
    tls: Option<Box<ServerConnection>>,
    /// What it has not taken yet.
    waiting: Vec<u8>,
}

/// Whether a pair goes on.
#[derive(PartialEq, Eq)]
enum State {
    Open,
    Ended,
}

pub fn run(listen: SocketAddr, backend: SocketAddr, pem: Option<&Path>) -> anyhow::Result<()> {
    let tls = pem.map(config).transpose()?;
    let mut listener = TcpListener::from_std(target::listen(listen)?);
    let mut poll = Poll::new()?;
    let interest = Interest::READABLE;
    poll.registry()
        .register(&mut listener, LISTENER, interest)?;
    let mut events = Events::with_capacity(1024);
    let mut pairs: Vec<Option<[Side; 2]>> = Vec::new();
    let mut free = Vec::new();
    let mut scratch = vec![0; 64 * 1024];
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            polled => polled?,
        }
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    let slot = free.pop().unwrap_or_else(|| {
                        pairs.push(None);
                        pairs.len() - 1
                    });
                    pairs[slot] = Some(begin(client, backend, tls.as_ref(), slot, &poll)?);
                }
                continue;
            }
            let Token(number) = event.token();
            let slot = number / 2;
            let Some(pair) = &mut pairs[slot] else {
                continue;
            };
            let socket = &mut pair[number % 2].socket;
            socket.is_readable |= event.is_readable();
            socket.is_at_end |= event.is_read_closed();
            if turn(pair, &mut scratch).unwrap_or(State::Ended) == State::Ended {
                pairs[slot] = None;
                free.push(slot);
            }
        }
    }
}

fn config(pem: &Path) -> anyhow::Result<Arc<ServerConfig>> {
    let pem = fs::read(pem).with_context(|| pem.display().to_string())?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&pem)?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.ticketer = aws_lc_rs::Ticketer::new()?;
    Ok(Arc::new(config))
}

fn begin(
    client: TcpStream,
    backend: SocketAddr,
    tls: Option<&Arc<ServerConfig>>,
    slot: usize,
    poll: &Poll,
) -> anyhow::Result<[Side; 2]> {
    let tls = tls.map(|config| ServerConnection::new(Arc::clone(config)));
    let mut pair = [
        Side::new(client, tls.transpose()?.map(Box::new)),
        Side::new(TcpStream::connect(backend)?, None),
    ];
    for (number, side) in pair.iter_mut().enumerate() {
        let stream = &mut side.socket.stream;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        poll.registry()
            .register(stream, Token(2 * slot + number), interest)?;
    }
    Ok(pair)
}

/// Moves bytes both ways as far as they go.
fn turn([client, backend]: &mut [Side; 2], scratch: &mut [u8]) -> io::Result<State> {
    if pass(client, backend, scratch)? == State::Ended {
        return Ok(State::Ended);
    }
    pass(backend, client, scratch)
}

fn pass(from: &mut Side, to: &mut Side, scratch: &mut [u8]) -> io::Result<State> {
    loop {
        if !to.takes_what_waits()? {
            return Ok(State::Open);
        }
        match from.read(scratch) {
            Ok(0) => return Ok(State::Ended),
            Ok(read) => {
                let rest = to.write(&scratch[..read])?;
                to.waiting.extend_from_slice(rest);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(State::Open),
            Err(error) => return Err(error),
        }
    }
}

impl Side {
    fn new(stream: TcpStream, tls: Option<Box<ServerConnection>>) -> Self {
        let socket = Socket {
            stream,
            is_readable: false,
            is_at_end: false,
        };
        Self {
            socket,
            tls,
            waiting: Vec::new(),
        }
    }

    fn read(&mut self, scratch: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => Stream::new(tls.as_mut(), &mut self.socket).read(scratch),
            None => self.socket.read(scratch),
        }
    }

    /// Writes, and gives back what was not taken.
    fn write<'a>(&mut self, mut bytes: &'a [u8]) -> io::Result<&'a [u8]> {
        while !bytes.is_empty() {
            let written = match &mut self.tls {
                Some(tls) => Stream::new(tls.as_mut(), &mut self.socket).write(bytes),
                None => self.socket.write(bytes),
            };
            match written {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(bytes)
    }

    /// Whether nothing waits any more.
    fn takes_what_waits(&mut self) -> io::Result<bool> {
        if !self.waiting.is_empty() {
            let waiting = std::mem::take(&mut self.waiting);
            self.waiting = self.write(&waiting)?.to_vec();
        }
        let Some(tls) = &mut self.tls else {
            return Ok(self.waiting.is_empty());
        };
        match Stream::new(tls.as_mut(), &mut self.socket).flush() {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            flushed => flushed.map(|()| self.waiting.is_empty()),
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if !self.is_readable {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let read = self.stream.read(buffer);
        let may_have_more = |read| read == buffer.len() || self.is_at_end;
        self.is_readable = read.as_ref().is_ok_and(|read| may_have_more(*read));
        read
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
