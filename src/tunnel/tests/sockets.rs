//! Over real sockets: what FIN and RST do.

use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};

use super::{
    peer::Peer,
    rig::{QUIET, Running, bare, patiently, traffic},
};
use crate::{
    tunnel::{Cause, Party, Policy},
    websocket::Role,
};

#[tokio::test]
async fn bytes_pass_and_a_fin_arrives_after_them() {
    let (mut client, mut backend, tunnel) = open_tcp().await;

    let long = "x".repeat(1_000_000);
    let message = client.message(long.as_bytes());
    let sender = tokio::spawn(async move {
        client.send(&message).await;
        client.stop_sending().await;
        client
    });
    assert_eq!(backend.hears_text().await, long);
    assert_eq!(backend.hears_close().await.0, 1001);
    assert_eq!(backend.next().await, None);

    let mut client = patiently(sender).await.unwrap();
    backend.say("still talking").await;
    assert_eq!(client.hears_text().await, "still talking");
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(client.next().await, None);
    let ended = tunnel.ended().await;
    assert_eq!((ended.end.by, ended.end.cause), (Party::Client, Cause::Eof));
    assert_eq!(ended.from_client, traffic(1_000_014, 1));
    assert_eq!(ended.from_backend, traffic(15, 1));
}

#[tokio::test]
async fn a_client_that_resets_between_frames_is_taken_leave_of_with_1001() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    client.say("last words").await;
    assert_eq!(backend.hears_text().await, "last words");

    reset(client);

    assert_eq!(backend.hears_close().await.0, 1001);
    assert_eq!(backend.next().await, None);
    drop(backend);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Reset, None));
}

#[tokio::test]
async fn a_backend_that_resets_between_frames_is_a_bad_gateway() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    backend.say("last words").await;
    assert_eq!(client.hears_text().await, "last words");

    reset(backend);

    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Reset, None));
}

#[tokio::test]
async fn a_reset_inside_a_frame_is_told_by_the_end_alone() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    let half = &backend.message(b"never finished")[..9];
    backend.say("whole").await;
    backend.send(half).await;
    assert_eq!(client.hears_text().await, "whole");
    client.hears_the_beginning(half.len()).await;

    reset(backend);

    assert_eq!(client.hears_to_the_end().await, half);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Reset, None));
}

#[tokio::test]
async fn a_backend_that_says_close_and_then_resets_has_closed() {
    let (mut client, mut backend, tunnel) = open_tcp().await;

    backend.close(4001).await;
    assert_eq!(client.hears_close().await.0, 4001);
    reset(backend);

    assert_eq!(client.next().await, None);
    client.close(4001).await;
    drop(client);
    assert_eq!(
        tunnel.end().await,
        (Party::Backend, Cause::Close, Some(4001))
    );
}

#[tokio::test]
async fn one_that_is_written_to_after_its_reset_has_reset() {
    let (mut client, backend, tunnel) = open_tcp().await;
    reset(backend);
    client.say("anybody there?").await;

    assert_eq!(client.hears_close().await.0, 1014);
    client.close(1014).await;
    assert_eq!(client.next().await, None);
    drop(client);
    let (by, cause, _) = tunnel.end().await;
    assert_eq!((by, cause), (Party::Backend, Cause::Reset));
}

/// A tunnel between two peers over loopback. No clock goes: nothing here is due to time.
pub(super) async fn open_tcp() -> (Peer<TcpStream>, Peer<TcpStream>, Running) {
    open_tcp_with(QUIET).await
}

pub(super) async fn open_tcp_with(policy: Policy) -> (Peer<TcpStream>, Peer<TcpStream>, Running) {
    let (client, client_socket) = tcp_pair().await;
    let (backend, backend_socket) = tcp_pair().await;
    (
        Peer::new(Role::Client, client),
        Peer::new(Role::Server, backend),
        Running::between(bare(client_socket), bare(backend_socket), policy),
    )
}

pub(super) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

/// Closes it with an RST.
pub(super) fn reset(peer: Peer<TcpStream>) {
    let Peer { socket, .. } = peer;
    SockRef::from(&socket)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(socket);
}
