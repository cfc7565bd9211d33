//! Any frames both ways, and a backend that dies at any byte: what the client sees is whole
//! messages, or a proper end; and no byte of it goes to two backends.

use std::time::Duration;

use proptest::prelude::*;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream},
    time::timeout,
};

use super::{
    lifeline::{Mortal, rescued},
    rig::{CLOSE, QUIET, bare, pass, settle},
    streams::{Stream, stream},
};
use crate::websocket::{Opcode, Role, frame::FrameHeader};

/// A backend's death.
#[derive(Debug, Clone, Copy)]
struct Death {
    /// What it has sent and received before, in 256ths of all that there is.
    sent: usize,
    received: usize,
    /// Whether what it has sent and received is cut down to whole messages, of which the client
    /// sends one at a time.
    between_messages: bool,
    /// How much its socket holds.
    buffer: usize,
    /// How many bytes are sent at a time.
    step: usize,
}

/// What everybody has received in the end.
#[derive(Debug)]
struct Received {
    client: Vec<u8>,
    first: Vec<u8>,
    second: Vec<u8>,
    /// All that the first backend has sent.
    sent_by_first: Vec<u8>,
    /// Whether another has taken its place.
    is_moved: bool,
}

fn death() -> impl Strategy<Value = Death> {
    let shares = (0usize..=256, 0usize..=256, any::<bool>());
    let sizes = (1usize..2000, 1usize..200);
    (shares, sizes).prop_map(
        |((sent, received, between_messages), (buffer, step))| Death {
            sent,
            received,
            between_messages,
            buffer,
            step,
        },
    )
}

impl Death {
    /// What of `bytes` passes before it.
    fn part(self, bytes: &[u8], share: usize) -> &[u8] {
        let most = bytes.len() * share / 256;
        let boundary = boundaries(bytes).into_iter().rfind(|at| *at <= most);
        &bytes[..boundary.filter(|_| self.between_messages).unwrap_or(most)]
    }

    /// What the client sends, in the pieces that it sends.
    fn pieces(self, bytes: &[u8]) -> Vec<&[u8]> {
        if !self.between_messages {
            return bytes.chunks(self.step).collect();
        }
        let boundaries = boundaries(bytes);
        let messages = boundaries.windows(2).map(|ends| &bytes[ends[0]..ends[1]]);
        messages.collect()
    }
}

/// The frames of a stream before its Close, as bytes.
fn without_close(stream: &Stream) -> Vec<u8> {
    let is_close = |frame: &&Vec<u8>| Opcode::from_bits(frame[0]) == Opcode::Close;
    let frames = stream.frames.iter().filter(|frame| !is_close(frame));
    frames.flatten().copied().collect()
}

/// Where in `bytes`, which are whole frames, no frame and no message is under way.
fn boundaries(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut is_open, mut boundaries) = (0, false, vec![0]);
    while let Some(header) = FrameHeader::parse(&bytes[at..]) {
        at += header.frame_len() as usize;
        if !header.opcode.is_control() {
            is_open = !header.fin;
        }
        if !is_open {
            boundaries.push(at);
        }
    }
    boundaries
}

/// Sends one piece after the other, as long as they are taken.
async fn send_slowly(socket: &mut (impl AsyncWrite + Unpin), pieces: Vec<&[u8]>) {
    for piece in pieces {
        if socket.write_all(piece).await.is_err() {
            return;
        }
        settle().await;
    }
}

/// Receives `most` bytes, or as many as come.
async fn receive(socket: &mut (impl AsyncRead + Unpin), most: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(Duration::from_secs(2), async {
        while bytes.len() < most {
            let mut byte = [0];
            if socket.read(&mut byte).await.unwrap_or(0) == 0 {
                return;
            }
            bytes.push(byte[0]);
        }
    })
    .await;
    bytes
}

/// Sends `bytes` and receives `most` of what a client sends, before it is gone; gives what it
/// received.
async fn die(socket: DuplexStream, bytes: &[u8], most: usize, step: usize) -> Vec<u8> {
    let (mut reading, mut writing) = tokio::io::split(socket);
    let sending = send_slowly(&mut writing, bytes.chunks(step).collect());
    let ((), received) = tokio::join!(sending, receive(&mut reading, most));
    received
}

/// The first backend plays its part and dies, the second sends all that it has.
async fn play(from_client: &[u8], from_backends: [&[u8]; 2], death: Death) -> Received {
    let [from_first, from_second] = from_backends;
    let (client, client_socket) = tokio::io::duplex(100_000);
    let (first, mortal) = Mortal::pair(death.buffer);
    let (second, spare) = Mortal::pair(100_000);
    let (tunnel, lifeline) = rescued(client_socket, mortal, QUIET, 1024);
    lifeline.find_this(bare(spare));
    lifeline.fail();
    let [mut client, first, mut second] = [client, first.socket, second.socket];

    let sent_by_first = death.part(from_first, death.sent);
    let received = death.part(from_client, death.received).len();
    let dying = die(first, sent_by_first, received, death.step);
    let talking = send_slowly(&mut client, death.pieces(from_client));
    let following = send_slowly(&mut second, from_second.chunks(death.step).collect());
    let (first, (), ()) = tokio::join!(dying, talking, following);
    let second_received = receive(&mut second, usize::MAX).await;
    drop(second);
    let client_received = receive(&mut client, usize::MAX).await;
    drop(client);
    pass(2 * CLOSE).await;
    tunnel.ended().await;
    Received {
        client: client_received,
        first,
        second: second_received,
        sent_by_first: sent_by_first.to_vec(),
        is_moved: lifeline.searches() > 0,
    }
}

/// A farewell of ours at the end of what a client received, or nothing.
fn is_farewell_or_nothing(bytes: &[u8]) -> bool {
    bytes.is_empty() || (bytes[0] == 0x88 && bytes.len() == 2 + usize::from(bytes[1]))
}

proptest! {
    #[test]
    fn a_client_sees_whole_messages_or_a_proper_end_and_no_byte_goes_to_two_backends(
        from_client in stream(Role::Client),
        from_first in stream(Role::Server),
        from_second in stream(Role::Server),
        death in death(),
    ) {
        let [from_client, from_first, from_second] =
            [from_client, from_first, from_second].map(|stream| without_close(&stream));
        let received = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(play(&from_client, [&from_first, &from_second], death));

        let Received { client, first, second, sent_by_first, is_moved } = received;
        prop_assert!(from_client.starts_with(&first), "unchanged and in order");
        prop_assert!(client.starts_with(&sent_by_first), "all that was sent comes");
        let mut rest = &client[sent_by_first.len()..];
        if is_moved {
            prop_assert!(boundaries(&from_first).contains(&sent_by_first.len()));
            prop_assert!(rest.starts_with(&from_second), "{rest:?}");
            rest = &rest[from_second.len()..];
            prop_assert!(from_client.ends_with(&second), "{second:?}");
            let begin = from_client.len() - second.len();
            prop_assert!(begin >= first.len(), "no byte goes to both");
            prop_assert!(boundaries(&from_client).contains(&begin));
        } else {
            prop_assert_eq!(second, b"");
        }
        prop_assert!(is_farewell_or_nothing(rest), "{rest:?}");
    }
}
