//! When a lost backend is not replaced: what happens then is what happens without a rescue.

use std::sync::atomic::Ordering::Relaxed;

use super::{
    lifeline::{Lifeline, Mortal, open_rescued, rescued},
    peer::Peer,
    rescue::KEPT,
    rig::{BUFFER, CLOSE, PINGING, QUIET, SHUTDOWN, close_all, pass, settle},
};
use crate::{
    tunnel::{Cause, Party},
    websocket::Role,
};

/// The first backend has sent `bytes` and is lost; all that the client hears after them.
async fn lost_after(bytes: &[u8]) -> (Vec<u8>, usize) {
    let (mut client, mut backend, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    backend.send(bytes).await;
    drop(backend);
    settle().await;
    lifeline.fail();
    client.hears_the_beginning(bytes.len()).await;
    let heard = client.hears_to_the_end().await;
    drop(client);
    assert_eq!(tunnel.end().await.0, Party::Backend);
    (heard[bytes.len()..].to_vec(), lifeline.searches())
}

/// What a Close with 1014 begins with.
const FAREWELL: &[u8] = b"\x88\x19\x03\xf6";

#[tokio::test(start_paused = true)]
async fn a_backend_lost_inside_a_frame_or_its_header_is_not_replaced() {
    for part in [&b"\x81\x05Hel"[..], b"\x81", b"\x81\x7e\x01", b"\x81\x05"] {
        assert_eq!(lost_after(part).await, (vec![], 0), "{part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_lost_inside_a_message_is_not_replaced() {
    let fragment = &b"\x01\x03Hel"[..];
    let with_ping = b"\x01\x03Hel\x89\x00";
    let with_continuation = b"\x01\x03Hel\x00\x01l";
    for part in [fragment, with_ping, with_continuation] {
        let (rest, searches) = lost_after(part).await;
        assert!(rest.starts_with(FAREWELL), "{rest:?}");
        assert_eq!(searches, 0, "{part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_lost_behind_the_last_fragment_or_a_control_frame_is() {
    for whole in [&b"\x01\x03Hel\x89\x00\x80\x02lo"[..], b"\x89\x00", b""] {
        let (_, searches) = lost_after(whole).await;
        assert_eq!(searches, 1, "{whole:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_that_said_close_is_not_replaced() {
    let (rest, searches) = lost_after(b"\x88\x02\x03\xe9").await;
    assert_eq!((rest, searches), (vec![], 0));
}

/// The client has sent `bytes` when the backend, which took them, is lost.
async fn lost_having_taken(bytes: &[u8]) -> (Peer, Lifeline) {
    let (mut client, mut backend, _, lifeline) = open_rescued(QUIET, KEPT);
    client.send(bytes).await;
    settle().await;
    backend.hears_the_beginning(bytes.len()).await;
    drop(backend);
    settle().await;
    (client, lifeline)
}

#[tokio::test(start_paused = true)]
async fn one_that_has_taken_a_part_of_a_message_is_not_replaced() {
    let inside_frame = &b"\x81\x85keysHel"[..];
    let inside_message = b"\x01\x83keysHel";
    let with_pong = b"\x01\x83keysHel\x8a\x80keys";
    for part in [inside_frame, inside_message, with_pong] {
        let (mut client, lifeline) = lost_having_taken(part).await;
        assert_eq!(client.hears_close().await.0, 1014, "{part:?}");
        assert_eq!(lifeline.searches(), 0, "{part:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_of_a_header_that_was_held_back_goes_to_the_other_backend() {
    let (mut client, backend, _tunnel, lifeline) = open_rescued(QUIET, KEPT);
    client.send(b"\x81").await;
    settle().await;
    drop(backend);
    let mut second = lifeline.find();
    settle().await;
    client.send(b"\x80keys").await;
    assert_eq!(second.hears_text().await, "");
}

#[tokio::test(start_paused = true)]
async fn one_that_has_not_taken_all_that_waited_is_not_replaced() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (backend, mortal) = Mortal::pair(10);
    let (_tunnel, lifeline) = rescued(client_socket, mortal, QUIET, KEPT);
    let mut client = Peer::new(Role::Client, client);
    client.say("more than it takes at once").await;
    settle().await;
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_write_that_failed_halfway_is_not_made_again() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (mut backend, mortal) = Mortal::pair(BUFFER);
    let takes = mortal.takes();
    let (_tunnel, lifeline) = rescued(client_socket, mortal, QUIET, KEPT);
    let mut client = Peer::new(Role::Client, client);
    let message = client.message(b"in two pieces");
    client.send(&message[..10]).await;
    backend.hears_the_beginning(10).await;
    takes.store(0, Relaxed);
    client.send(&message[10..]).await;
    settle().await;
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_of_which_a_part_was_taken() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (backend, mortal) = Mortal::pair(BUFFER);
    mortal.takes().store(5, Relaxed);
    let (_tunnel, lifeline) = rescued(client_socket, mortal, QUIET, KEPT);
    let mut client = Peer::new(Role::Client, client);
    client.say("in two pieces").await;
    settle().await;
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn nor_is_one_of_which_a_part_may_have_gone_out() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (backend, mortal) = Mortal::pair(BUFFER);
    let mortal = mortal.taking_a_part();
    let takes = mortal.takes();
    let (_tunnel, lifeline) = rescued(client_socket, mortal, QUIET, KEPT);
    let mut client = Peer::new(Role::Client, client);
    takes.store(0, Relaxed);
    client.say("encrypted, and sent in part").await;
    settle().await;
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn for_a_client_that_has_said_close_nobody_is_looked_for() {
    let (mut client, mut backend, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    client.close(1000).await;
    assert_eq!(backend.hears_close().await.0, 1000);
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(
        tunnel.end().await,
        (Party::Client, Cause::Close, Some(1000))
    );
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn nor_for_one_that_has_ended() {
    let (mut client, mut backend, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    client.stop_sending().await;
    assert_eq!(backend.hears_close().await.0, 1001);
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn nor_while_the_tunnel_is_being_closed() {
    let (mut client, mut backend, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    close_all(&tunnel.registry, &SHUTDOWN);
    assert_eq!(backend.hears_close().await.0, 1001);
    drop(backend);
    assert_eq!(client.hears_close().await.0, 1001);
    assert_eq!(client.next().await, None);
    client.close(1001).await;
    let end = (Party::Proxy, Cause::Shutdown, Some(1001));
    assert_eq!(tunnel.end().await, end);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dead_backend_is_not_replaced_inside_a_message() {
    let (mut client, mut backend, tunnel, lifeline) = open_rescued(PINGING, KEPT);
    backend.send(b"\x01\x03Hel").await;
    let listening = tokio::spawn(async move {
        client.next().await;
        let token = client.hears_ping().await;
        client.pong(&token).await;
        let farewell = client.hears_close().await;
        pass(CLOSE).await;
        farewell
    });
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Dead, None));
    assert_eq!(listening.await.unwrap(), (1001, "peer lost".into()));
    assert_eq!(lifeline.searches(), 0);
}
