//! A tunnel that moves to another process: neither of its peers notices anything.

use std::sync::Arc;

use bytes::Bytes;
use proptest::{collection::vec, prelude::*};
use tokio::{io::duplex, net::TcpStream};

use super::{
    lifeline::{Lifeline, Mortal, rescued},
    odd_sockets::Counted,
    peer::{Peer, Spelling, encode},
    rig::{BUFFER, QUIET, Running, SHUTDOWN, bare, close_all, settle, traffic},
    sockets::tcp_pair,
    streams::{
        bytes_pass_unchanged, frames_pass_unchanged, mostly_plain_buffers, odd_byte, step_or_move,
        stream,
    },
    wandering::Wandering,
};
use crate::{
    pool::backend::BackendId,
    tunnel::{Cause, End, Party, Tunnel, moving::Outcome, pipe, registry::Registry, watch::LONG},
    websocket::Role,
};

proptest! {
    #[test]
    fn frames_pass_unchanged_wherever_the_tunnel_moves(
        from_client in stream(Role::Client),
        from_backend in stream(Role::Server),
        buffers in mostly_plain_buffers(),
        script in vec(step_or_move(), 0..60),
    ) {
        frames_pass_unchanged([from_client, from_backend], buffers, &script)?;
    }

    #[test]
    fn bytes_that_are_no_frames_do_so_too(
        from_client in vec(vec(odd_byte(), 0..100), 0..10),
        from_backend in vec(vec(odd_byte(), 0..100), 0..10),
        buffers in mostly_plain_buffers(),
        script in vec(step_or_move(), 0..60),
    ) {
        bytes_pass_unchanged([from_client, from_backend], buffers, &script)?;
    }
}

/// A tunnel that can move, between two peers.
fn open() -> (Peer, Peer, Wandering) {
    let [(client, client_socket), (backend, backend_socket)] = [BUFFER; 2].map(duplex);
    let tunnel = Wandering::between(bare(client_socket), bare(backend_socket), QUIET);
    (
        Peer::new(Role::Client, client),
        Peer::new(Role::Server, backend),
        tunnel,
    )
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_can_move_between_any_two_bytes() {
    let (mut client, mut backend, tunnel) = open();
    let fragments = [
        encode(0x01, b"frag", Spelling::TwoBytes, Some([1, 2, 3, 4])),
        encode(0x89, b"", Spelling::Shortest, Some([1, 2, 3, 4])),
        encode(0x80, b"ments", Spelling::EightBytes, Some([1, 2, 3, 4])),
    ];
    let stream = [client.message(b"whole"), fragments.concat()].concat();

    for byte in stream.chunks(1) {
        client.send(byte).await;
        settle().await;
        assert!(tunnel.moves().await);
    }
    client.stop_sending().await;

    assert!(backend.hears_to_the_end().await.starts_with(&stream));
    drop((client, backend));
    assert_eq!(tunnel.ended().await.from_client, traffic(stream.len(), 2));
}

#[tokio::test(start_paused = true)]
async fn what_was_not_taken_yet_goes_along() {
    let (mut client, mut backend, tunnel) = open();
    let long = backend.message(&[b'x'; 3 * BUFFER]);
    backend.send(&long[..2 * BUFFER]).await;
    assert!(tunnel.moves().await, "while the client takes nothing");
    let sender = tokio::spawn(async move {
        backend.send(&long[2 * BUFFER..]).await;
        backend
    });
    assert!(tunnel.moves().await);

    assert_eq!(client.hears_text().await.len(), 3 * BUFFER);
    let mut backend = sender.await.unwrap();
    client.say("and the other way").await;
    assert_eq!(backend.hears_text().await, "and the other way");
    drop(client);
    let told = backend.hears_close().await;
    assert_eq!(told, (1001, "client connection lost".into()));
}

#[tokio::test]
async fn amid_long_frames_what_the_system_holds_goes_along() {
    const LEN: usize = 12 << 20;
    let (client, client_socket) = tcp_pair().await;
    let (backend, backend_socket) = tcp_pair().await;
    let tunnel = Wandering::between(bare(client_socket), bare(backend_socket), QUIET);
    let mut client: Peer<TcpStream> = Peer::new(Role::Client, client);
    let mut backend = Peer::new(Role::Server, backend);

    // Behind one long frame the next is moved by the system, and here more than the client takes.
    let text: String = ('a'..='z').cycle().take(LEN).collect();
    let long = backend.message(text.as_bytes());
    let first = backend.message(&vec![b'x'; LONG as usize]);
    let sender = tokio::spawn(async move {
        backend.send(&first).await;
        backend.send(&long).await;
        backend
    });
    assert_eq!(client.hears_text().await.len(), LONG as usize);
    let mut heard = 0;
    while heard < LEN {
        heard = (heard + (1 << 20)).min(LEN);
        client.hears_the_beginning(heard).await;
        assert!(tunnel.moves().await);
    }
    assert!(client.hears_text().await == text, "it is not the same");
    assert!(pipe::spare() > 0, "the system has moved nothing");

    let mut backend = sender.await.unwrap();
    client.say("got it").await;
    assert_eq!(backend.hears_text().await, "got it");
    drop((client, backend));
    let ended = tunnel.ended().await;
    assert_eq!(ended.from_backend.messages, 2);
    assert_eq!(ended.from_backend.bytes, LEN as u64 + LONG + 20);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_ending_ends_where_it_is() {
    let (mut client, mut backend, tunnel) = open();
    client.close(1000).await;
    assert_eq!(backend.hears_close().await.0, 1000);
    assert!(!tunnel.moves().await);

    backend.close(1000).await;
    assert_eq!(client.hears_close().await.0, 1000);
    drop((client, backend));
    assert_eq!(tunnel.ended().await.end.cause, Cause::Close);

    let (client, mut backend, tunnel) = open();
    drop(client);
    assert_eq!(backend.hears_close().await.0, 1001);
    assert!(!tunnel.moves().await);

    let (_client, mut backend, tunnel) = open();
    close_all(tunnel.home(), &SHUTDOWN);
    assert_eq!(backend.hears_close().await.0, 1001);
    assert!(!tunnel.moves().await);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_moved_obeys_the_orders_of_its_new_home() {
    let (mut client, mut backend, tunnel) = open();
    assert!(tunnel.moves().await);
    close_all(tunnel.home(), &SHUTDOWN);
    assert_eq!(client.hears_close().await.0, 1001);
    assert_eq!(backend.hears_close().await.0, 1001);
    client.close(1001).await;
    backend.close(1001).await;
    drop((client, backend));
    assert_eq!(tunnel.ended().await.end.by, Party::Proxy);
}

#[tokio::test(start_paused = true)]
async fn what_keeps_something_above_its_socket_stays_and_goes_on() {
    let [(client, client_socket), (backend, backend_socket)] = [BUFFER; 2].map(duplex);
    let (client_socket, _) = Counted::new(client_socket);
    let tunnel = Wandering::between(bare(client_socket), bare(backend_socket), QUIET);
    let mut client = Peer::new(Role::Client, client);
    let mut backend = Peer::new(Role::Server, backend);

    assert!(!tunnel.moves().await);

    client.say("still here").await;
    assert_eq!(backend.hears_text().await, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_opens_while_others_leave_leaves_too() {
    let registry = Registry::new(1);
    registry.let_all_leave();
    let [(_client, client_socket), (_backend, backend_socket)] = [BUFFER; 2].map(duplex);
    let glued = End {
        socket: client_socket,
        glued: Bytes::from_static(b"\x81\x83keysabc"),
    };
    let place = registry.enter(0, BackendId::next());
    let tunnel = Tunnel::new(glued, bare(backend_socket), QUIET.into(), place);
    assert!(matches!(tunnel.await, Outcome::Left(_)));
    assert!(registry.is_empty());
}

/// A tunnel whose backend is lost, and the registry that it lives in.
fn searching() -> (Peer, Running, Lifeline) {
    let (client, client_socket) = duplex(BUFFER);
    let (backend, mortal) = Mortal::pair(BUFFER);
    let (tunnel, lifeline) = rescued(client_socket, mortal, QUIET, BUFFER);
    drop(backend);
    (Peer::new(Role::Client, client), tunnel, lifeline)
}

#[tokio::test(start_paused = true)]
async fn one_that_looks_for_another_backend_stays_until_it_has_one() {
    let (mut client, tunnel, lifeline) = searching();
    settle().await;
    assert_eq!(lifeline.searches(), 1);
    client.say("meanwhile").await;

    tunnel.registry.let_all_leave();
    settle().await;
    assert!(tunnel.is_running());

    let mut second = lifeline.find();
    assert_eq!(
        second.hears_text().await,
        "meanwhile",
        "it passes that on first"
    );
    let registry = Arc::clone(&tunnel.registry);
    assert!(tunnel.has_left().await);
    assert!(registry.is_empty());
}
