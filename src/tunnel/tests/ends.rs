//! How its peers end a tunnel, what they are told of it, and what it reports.

use std::{sync::Arc, time::Duration};

use tokio::{io::DuplexStream, time::Instant};

use super::{
    odd_sockets::Broken,
    peer::{Peer, Spelling, encode},
    rig::{
        CLOSE, PINGING, QUIET, Running, SHUTDOWN, bare, close_all, open, pass, patiently,
        seconds_since, traffic,
    },
};
use crate::{
    tunnel::{Cause, Party, Policy},
    websocket::{CloseCode, Role, frame},
};

#[tokio::test(start_paused = true)]
async fn a_close_of_the_client_passes_with_its_code() {
    let (mut client, mut backend, tunnel) = open(QUIET);

    client.say("bye").await;
    client.close(1000).await;
    assert_eq!(backend.hears_text().await, "bye");
    assert_eq!(backend.hears_close().await, (1000, String::new()));
    backend.close(1000).await;
    drop(backend);
    assert_eq!(client.hears_close().await, (1000, String::new()));
    assert_eq!(client.next().await, None, "nothing of ours follows");
    drop(client);

    let ended = tunnel.ended().await;
    assert_eq!(ended.end.by, Party::Client);
    assert_eq!(ended.end.cause, Cause::Close);
    assert_eq!(ended.end.code.unwrap().0, 1000);
    assert_eq!(ended.from_client, traffic(6 + 3 + 6 + 2, 1));
    assert_eq!(ended.from_backend, traffic(2 + 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_backend_passes_with_its_code() {
    let (mut client, mut backend, tunnel) = open(QUIET);

    backend.close(4001).await;
    assert_eq!(client.hears_close().await, (4001, String::new()));
    client.close(4001).await;
    drop(client);
    assert_eq!(backend.hears_close().await.0, 4001);
    assert_eq!(backend.next().await, None);
    drop(backend);

    assert_eq!(
        tunnel.end().await,
        (Party::Backend, Cause::Close, Some(4001))
    );
}

#[tokio::test(start_paused = true)]
async fn a_close_needs_no_code() {
    let (mut client, _backend, tunnel) = open(QUIET);
    client.send(b"\x88\x80keys").await;
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Close, None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_vanishes_between_frames_is_taken_leave_of_with_1001() {
    let (mut client, mut backend, tunnel) = open(QUIET);

    client.say("last words").await;
    drop(client);

    assert_eq!(backend.hears_text().await, "last words");
    assert_eq!(backend.hears_close().await.0, 1001);
    assert_eq!(backend.next().await, None);
    drop(backend);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_vanishes_between_frames_is_a_bad_gateway() {
    let (mut client, backend, tunnel) = open(QUIET);

    drop(backend);

    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn one_that_vanishes_inside_a_frame_gets_no_close() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    let message = backend.message(b"half of it");
    // Inside the payload, and inside the header.
    backend.send(&message[..6]).await;
    drop(backend);
    assert_eq!(client.hears_to_the_end().await, &message[..6]);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Eof, None));

    let (mut client, mut backend, tunnel) = open(QUIET);
    client.send(b"\x81").await;
    drop(client);
    assert_eq!(backend.hears_to_the_end().await, b"\x81");
    drop(backend);
    assert_eq!(tunnel.ended().await.from_client, traffic(1, 0));
}

#[tokio::test(start_paused = true)]
async fn one_that_broke_after_its_close_has_closed() {
    let goodbye = frame::close(CloseCode(4001), "", Role::Server);
    let (mut client, client_socket) = pipe();
    client.say("are you there?").await;
    let tunnel = Running::between(bare(client_socket), bare(Broken::after(&[&goodbye])), QUIET);

    assert_eq!(client.hears_close().await.0, 4001);
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(
        tunnel.end().await,
        (Party::Backend, Cause::Close, Some(4001))
    );
}

#[tokio::test(start_paused = true)]
async fn the_last_words_of_one_that_broke_arrive() {
    let (mut client, client_socket) = pipe();
    client.say("are you there?").await;
    client.close(1000).await;
    let tunnel = Running::between(
        bare(client_socket),
        bare(Broken::after(&[b"\x81\x02no"])),
        QUIET,
    );

    assert_eq!(client.hears_text().await, "no");
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(client.next().await, None);
    let (by, cause, _) = tunnel.end().await;
    assert_eq!(
        (by, cause),
        (Party::Client, Cause::Close),
        "it closed in the same moment"
    );
}

#[tokio::test(start_paused = true)]
async fn they_arrive_whole_even_if_they_are_taken_slowly() {
    let (mut client, client_socket) = pipe();
    client.say("are you there?").await;
    let words = [[b'a'; 100], [b'b'; 100], [b'c'; 100]];
    let [one, two, three] = words.map(|words| encode(0x82, &words, Spelling::Shortest, None));
    let backend = Broken::after(&[&one, &two, &three]);
    let tunnel = Running::between(bare(client_socket), bare(backend), QUIET);

    pass(CLOSE / 2).await;
    for words in words {
        assert_eq!(client.next().await.unwrap().payload, words);
    }
    assert_eq!(client.hears_close().await.0, 1014);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Reset, None));
}

#[tokio::test(start_paused = true)]
async fn a_half_close_lets_the_other_direction_go_on() {
    let start = Instant::now();
    let (mut client, mut backend, tunnel) = open(QUIET);

    client.say("a question").await;
    client.stop_sending().await;
    assert_eq!(backend.hears_text().await, "a question");
    assert_eq!(backend.hears_close().await.0, 1001);
    assert_eq!(backend.next().await, None);

    for n in 0..10 {
        let answer = format!("{n} and more");
        backend.say(&answer).await;
        assert_eq!(client.hears_text().await, answer);
        pass(CLOSE - 2).await;
    }
    backend.close(1000).await;
    backend.stop_sending().await;
    assert_eq!(client.hears_close().await.0, 1000);
    assert_eq!(client.next().await, None);

    assert!(seconds_since(start) > CLOSE, "what moves is not cut");
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn a_half_close_inside_a_message_does_so_too() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    let question = client.message(b"a question");

    client.send(&question[..10]).await;
    client.stop_sending().await;
    assert_eq!(backend.hears_to_the_end().await, &question[..10]);
    backend.say("I did not hear the end of it").await;
    backend.stop_sending().await;

    assert_eq!(client.hears_text().await, "I did not hear the end of it");
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn after_a_close_nothing_of_ours_follows_even_if_its_sender_talks_on() {
    let pinging = Policy {
        close: Duration::from_secs(1_000),
        ..PINGING
    };
    let (mut client, mut backend, tunnel) = open(pinging);

    client.close(1000).await;
    client.say("and another thing").await;
    assert_eq!(backend.hears_close().await.0, 1000);
    assert_eq!(backend.hears_text().await, "and another thing");
    pass(500).await;
    close_all(&tunnel.registry, &SHUTDOWN);
    pass(100).await;
    client.stop_sending().await;

    assert_eq!(backend.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_cut_when_nothing_moves_any_more_after_a_close() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    client.close(1000).await;
    for _ in 0..5 {
        backend.say("wait").await;
        assert_eq!(client.hears_text().await, "wait");
        pass(CLOSE - 2).await;
        assert!(tunnel.is_running());
    }

    let start = Instant::now();
    assert_eq!(
        tunnel.end().await,
        (Party::Client, Cause::Close, Some(1000))
    );
    assert!(seconds_since(start) <= CLOSE + 2);
    assert_eq!(client.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_ended_is_no_longer_registered() {
    let (client, backend, tunnel) = open(QUIET);
    let registry = Arc::clone(&tunnel.registry);
    assert_eq!(registry.len(), 1);

    drop((client, backend));
    tunnel.ended().await;

    assert!(registry.is_empty());
    patiently(registry.emptied()).await;
}

/// A client and the socket that a tunnel has of it.
fn pipe() -> (Peer, DuplexStream) {
    let (client, socket) = tokio::io::duplex(64);
    (Peer::new(Role::Client, client), socket)
}
