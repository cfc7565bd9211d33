//! Every byte of the application passes unchanged; our frames stand between its frames only; the
//! answers to our pings go no further.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tokio::io::{AsyncWriteExt, duplex};

use super::{
    odd_sockets::Counted,
    peer::Peer,
    rig::{BUFFER, PINGING, QUIET, Running, bare, open, pass, settle, traffic},
    streams::{buffers, bytes_pass_unchanged, frames_pass_unchanged, odd_byte, step, stream},
};
use crate::{
    tunnel::End,
    websocket::{Opcode, Role, frame},
};

#[tokio::test(start_paused = true)]
async fn a_message_is_read_once_and_written_once() {
    let [(client, client_socket), (backend, backend_socket)] = [BUFFER; 2].map(duplex);
    let (client_socket, client_calls) = Counted::new(client_socket);
    let (backend_socket, backend_calls) = Counted::new(backend_socket);
    let mut client = Peer::new(Role::Client, client);
    let mut backend = Peer::new(Role::Server, backend);
    let _tunnel = Running::between(bare(client_socket), bare(backend_socket), QUIET);

    for text in ["ping", &"x".repeat(1_024)] {
        client.say(text).await;
        assert_eq!(backend.hears_text().await, text);
        backend.say(text).await;
        assert_eq!(client.hears_text().await, text);
        assert_eq!(client_calls.take(), (1, 1));
        assert_eq!(backend_calls.take(), (1, 1));
    }
}

proptest! {
    #[test]
    fn frames_pass_unchanged_in_any_chunks_whatever_pings_we_add(
        from_client in stream(Role::Client),
        from_backend in stream(Role::Server),
        buffers in buffers(),
        script in vec(step(), 0..60),
    ) {
        frames_pass_unchanged([from_client, from_backend], buffers, &script)?;
    }

    #[test]
    fn bytes_that_are_no_frames_pass_unchanged_too(
        from_client in vec(vec(odd_byte(), 0..100), 0..10),
        from_backend in vec(vec(odd_byte(), 0..100), 0..10),
        buffers in buffers(),
        script in vec(step(), 0..60),
    ) {
        bytes_pass_unchanged([from_client, from_backend], buffers, &script)?;
    }
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_our_ping_goes_no_further_at_any_split() {
    for split in 0..=14 {
        let (mut client, mut backend, _tunnel) = open(PINGING);
        let token = client.hears_ping().await;
        backend.hears_ping().await;

        let stream = [
            client.message(b"before"),
            frame::pong(&token, Role::Client).to_vec(),
            frame::pong(b"notours!", Role::Client).to_vec(),
            client.message(b"after"),
        ]
        .concat();
        let (one, other) = stream.split_at(client.message(b"before").len() + split);
        client.send(one).await;
        settle().await;
        client.send(other).await;

        assert_eq!(backend.hears_text().await, "before");
        let next = backend.next().await.unwrap();
        assert_eq!(
            (next.opcode, &next.payload[..]),
            (Opcode::Pong, &b"notours!"[..])
        );
        assert_eq!(backend.hears_text().await, "after");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pong_with_the_token_of_the_other_side_passes() {
    let (mut client, mut backend, _tunnel) = open(PINGING);
    client.hears_ping().await;
    let token = backend.hears_ping().await;

    client.pong(&token).await;

    let passed = backend.next().await.unwrap();
    assert_eq!((passed.opcode, passed.payload), (Opcode::Pong, token));
}

#[tokio::test(start_paused = true)]
async fn pings_go_in_between_the_fragments_of_a_message() {
    let (mut client, mut backend, _tunnel) = open(PINGING);

    backend.send(b"\x01\x03Hel").await;
    pass(25).await;
    backend.hears_ping().await;
    backend.send(b"\x80\x02lo").await;

    assert_eq!(client.hears_text().await, "Hel");
    client.hears_ping().await;
    let last = client.next().await.unwrap();
    assert_eq!(
        (last.opcode, &last.payload[..]),
        (Opcode::Continuation, &b"lo"[..])
    );
}

#[tokio::test(start_paused = true)]
async fn what_was_glued_to_the_handshake_comes_first_and_counts() {
    let (mut client, client_socket) = duplex(64);
    let (mut backend, backend_socket) = duplex(64);
    let glued = |bytes: &'static [u8]| Bytes::from_static(bytes);
    client.write_all(b"st\x81\x01c").await.unwrap();
    backend.write_all(b"\x02ab").await.unwrap();
    let tunnel = Running::between(
        End {
            socket: client_socket,
            glued: glued(b"\x81\x05fir"),
        },
        End {
            socket: backend_socket,
            glued: glued(b"\x81\x00\x81"),
        },
        QUIET,
    );

    settle().await;
    client.shutdown().await.unwrap();
    backend.shutdown().await.unwrap();

    let mut to_backend = Peer::new(Role::Server, backend);
    let mut to_client = Peer::new(Role::Client, client);
    assert!(
        to_backend
            .hears_to_the_end()
            .await
            .starts_with(b"\x81\x05first\x81\x01c")
    );
    assert!(
        to_client
            .hears_to_the_end()
            .await
            .starts_with(b"\x81\x00\x81\x02ab")
    );
    let ended = tunnel.ended().await;
    assert_eq!(ended.from_client, traffic(10, 2));
    assert_eq!(ended.from_backend, traffic(6, 2));
}

#[tokio::test(start_paused = true)]
async fn fragments_count_as_one_message_and_control_frames_as_none() {
    let (mut client, mut backend, tunnel) = open(PINGING);
    let token = client.hears_ping().await;
    client.pong(&token).await;
    let token = backend.hears_ping().await;
    backend.pong(&token).await;

    backend
        .send(b"\x01\x01a\x89\x00\x00\x01b\x8a\x00\x80\x01c")
        .await;
    backend.send(b"\x82\x00").await;
    backend.close(1000).await;
    drop(backend);

    let heard = client.hears_to_the_end().await;
    let ended = tunnel.ended().await;
    assert_eq!(ended.from_backend, traffic(heard.len(), 2));
    assert_eq!(
        ended.from_client,
        traffic(0, 0),
        "our pong is nobody's traffic"
    );
}

#[tokio::test(start_paused = true)]
async fn a_message_that_broke_off_does_not_count() {
    let (mut client, mut backend, tunnel) = open(QUIET);

    client.say("whole").await;
    client.send(b"\x81\xff\0\0\0\0\0\0\0\x09keyshalf").await;
    drop(client);

    let heard = backend.hears_to_the_end().await;
    assert_eq!(tunnel.ended().await.from_client, traffic(heard.len(), 1));
}
