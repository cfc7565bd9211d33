//! The backend: echoes messages, pushes them when asked to, and answers plain requests.

use std::{io, net::SocketAddr, time::Duration};

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::spawn_local,
    time::sleep,
};
use tungstenite::{
    handshake::derive_accept_key,
    protocol::frame::coding::{Control, Data, OpCode},
};

use crate::{frames::Framed, target};

/// To a plain request.
pub const ANSWER: &[u8] =
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\r\nok";

/// What a client asks for.
pub enum Request {
    Plain,
    /// A WebSocket, with this key.
    WebSocket(Vec<u8>),
}

/// Accepts for ever.
pub fn serve(address: SocketAddr) -> io::Result<()> {
    serve_each(address, converse)
}

/// Accepts for ever, and has each connection served so.
pub fn serve_each<F>(
    address: SocketAddr,
    converse: impl Fn(TcpStream) -> F + 'static,
) -> io::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let listener = TcpListener::from_std(target::listen(address)?)?;
    spawn_local(async move {
        loop {
            match listener.accept().await {
                // How a connection ends is the client's to judge.
                Ok((socket, _)) => drop(spawn_local(converse(socket))),
                Err(error) => {
                    eprintln!("the backend cannot accept: {error}");
                    sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn converse(mut socket: TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut inbox = BytesMut::with_capacity(1024);
    while let Some(request) = next_request(&mut socket, &mut inbox).await? {
        match request {
            Request::Plain => socket.write_all(ANSWER).await?,
            Request::WebSocket(key) => {
                socket.write_all(accepting(&key).as_bytes()).await?;
                return echo(Framed::new(socket, inbox, false)).await;
            }
        }
    }
    Ok(())
}

/// The next request, unless the client has left. What comes behind it stays in the inbox.
pub async fn next_request(
    socket: &mut TcpStream,
    inbox: &mut BytesMut,
) -> io::Result<Option<Request>> {
    loop {
        if let Some((length, request)) = request(inbox)? {
            inbox.advance(length);
            return Ok(Some(request));
        }
        if socket.read_buf(inbox).await? == 0 {
            return Ok(None);
        }
    }
}

/// The 101 for this key.
pub fn accepting(key: &[u8]) -> String {
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-accept: {}\r\n\r\n",
        derive_accept_key(key)
    )
}

/// A request and the length of its head, once that is whole.
fn request(bytes: &[u8]) -> io::Result<Option<(usize, Request)>> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut request = httparse::Request::new(&mut headers);
    let status = request.parse(bytes).map_err(io::Error::other)?;
    let key = request
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("sec-websocket-key"))
        .map(|header| Request::WebSocket(header.value.to_vec()));
    Ok(match status {
        httparse::Status::Complete(length) => Some((length, key.unwrap_or(Request::Plain))),
        httparse::Status::Partial => None,
    })
}

/// Sends every message back, until a Close.
pub async fn echo(mut frames: Framed<TcpStream>) -> io::Result<()> {
    while let Some(message) = frames.next().await? {
        if let Some((size, count)) = order(&message) {
            let pushed = frames.frame(OpCode::Data(Data::Binary), &vec![b'y'; size]);
            for _ in 0..count {
                frames.send(&pushed).await?;
            }
        } else {
            let echo = frames.frame(OpCode::Data(Data::Binary), &message);
            frames.send(&echo).await?;
        }
    }
    let close = frames.frame(OpCode::Control(Control::Close), &1000_u16.to_be_bytes());
    frames.send(&close).await
}

/// `push SIZE COUNT`: what a client asks for that wants messages without sending any.
fn order(message: &[u8]) -> Option<(usize, usize)> {
    let order = std::str::from_utf8(message).ok()?.strip_prefix("push ")?;
    let (size, count) = order.split_once(' ')?;
    Some((size.parse().ok()?, count.parse().ok()?))
}
