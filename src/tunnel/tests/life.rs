//! The idle are pinged, the silent are given up, and nobody is accused who could not answer.

use std::{
    future::{Future, poll_fn},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncWriteExt, DuplexStream},
    time::Instant,
};

use super::{
    odd_sockets::Prompt,
    peer::Peer,
    rig::{
        PINGING, QUIET, Running, bare, open, open_with, pass, patiently, seconds_since, settle,
        ticking_registry,
    },
};
use crate::{
    config::Keepalive,
    pool::backend::BackendId,
    tunnel::{Cause, Party, Policy, Tunnel},
    websocket::Role,
};

#[tokio::test(start_paused = true)]
async fn an_idle_client_that_answers_is_kept() {
    let (mut client, backend, tunnel) = open(PINGING);
    let backend = tokio::spawn(backend.oblige());

    for _ in 0..5 {
        let token = client.hears_ping().await;
        client.pong(&token).await;
    }
    client.say("still here").await;
    client.close(1000).await;

    let heard = patiently(backend).await.unwrap();
    assert_eq!(heard[0].payload, b"still here", "no pong has passed");
    assert!(heard[1].close().is_some());
    drop(client);
    assert_eq!(
        tunnel.end().await,
        (Party::Client, Cause::Close, Some(1000))
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_backend_that_answers_is_kept() {
    let (client, mut backend, tunnel) = open(PINGING);
    let client = tokio::spawn(client.oblige());

    for _ in 0..5 {
        let token = backend.hears_ping().await;
        backend.pong(&token).await;
    }
    backend.close(1000).await;

    let heard = patiently(client).await.unwrap();
    assert_eq!(heard.len(), 1, "no pong has passed: {heard:?}");
    drop(backend);
    assert_eq!(
        tunnel.end().await,
        (Party::Backend, Cause::Close, Some(1000))
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_peer_is_pinged_after_the_interval_and_not_before() {
    let start = Instant::now();
    let (mut client, mut backend, _tunnel) = open(PINGING);

    client.hears_ping().await;
    backend.hears_ping().await;

    assert!((20..=22).contains(&seconds_since(start)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_talks_is_not_pinged() {
    let (mut client, mut backend, _tunnel) = open(PINGING);

    for _ in 0..20 {
        pass(10).await;
        client.say("to").await;
        backend.say("fro").await;
        assert_eq!(backend.hears_text().await, "to");
        assert_eq!(client.hears_text().await, "fro");
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_interval_nobody_is_pinged() {
    let (mut client, mut backend, _tunnel) = open(QUIET);

    pass(100_000).await;
    client.say("to").await;
    backend.say("fro").await;

    assert_eq!(backend.hears_text().await, "to");
    assert_eq!(client.hears_text().await, "fro");
}

#[tokio::test(start_paused = true)]
async fn any_byte_is_an_answer() {
    let (mut client, backend, tunnel) = open(PINGING);
    let _backend = tokio::spawn(backend.oblige());

    let message = client.message(&[b'x'; 100]);
    for byte in message.chunks(1).take(5) {
        client.hears_ping().await;
        client.send(byte).await;
    }

    client.hears_ping().await;
    assert!(tunnel.is_running());
}

#[tokio::test(start_paused = true)]
async fn every_side_has_a_token_of_its_own() {
    let (mut client, mut backend, _tunnel) = open(PINGING);
    assert_ne!(client.hears_ping().await, backend.hears_ping().await);
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dead_and_the_backend_hears_of_it() {
    let start = Instant::now();
    let (_client, backend, tunnel) = open(PINGING);
    let backend = tokio::spawn(backend.oblige());

    let heard = patiently(backend).await.unwrap();
    assert!((30..=34).contains(&seconds_since(start)));
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].close(), Some((1001, "peer lost".into())));
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Dead, None));
    assert!(seconds_since(start) <= 34, "the backend's Close ends it");
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_dead_and_the_client_hears_of_it() {
    let (client, mut backend, tunnel) = open(PINGING);
    let client = tokio::spawn(client.oblige());

    let heard = patiently(client).await.unwrap();
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert_eq!(heard[0].close(), Some((1001, "peer lost".into())));
    backend.hears_ping().await;
    assert_eq!(backend.next().await, None, "the dead one is cut");
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Dead, None));
}

#[tokio::test(start_paused = true)]
async fn the_loss_of_a_peer_inside_a_frame_is_told_by_the_end_alone() {
    let (mut client, backend, tunnel) = open(PINGING);
    let backend_hears = tokio::spawn(async move {
        let mut backend = backend;
        let beginning = backend.hears_to_the_end().await;
        (beginning, backend)
    });

    client.send(&client.message(b"never finished")[..10]).await;

    let (heard, _backend) = patiently(backend_hears).await.unwrap();
    assert_eq!(heard, &client.message(b"never finished")[..10]);
    let (by, cause, _) = tunnel.end().await;
    assert_eq!((by, cause), (Party::Client, Cause::Dead));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_we_do_not_read_is_not_dead() {
    let (client, backend, tunnel) = open_with(PINGING, 256, 256);
    answers_behind_what_the_other_does_not_take(client, backend, tunnel).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_we_do_not_read_is_not_dead() {
    let (client, backend, tunnel) = open_with(PINGING, 256, 256);
    answers_behind_what_the_other_does_not_take(backend, client, tunnel).await;
}

/// The answer of one stands behind more than the tunnel and its sockets take, for minutes.
async fn answers_behind_what_the_other_does_not_take(
    mut one: Peer,
    mut other: Peer,
    tunnel: Running,
) {
    let asked = other.hears_ping().await;
    other.pong(&asked).await;
    let asked = one.hears_ping().await;
    let sender = tokio::spawn(async move {
        let message = one.message(&[b'x'; 1_000]);
        one.send(&message).await;
        one.pong(&asked).await;
        one
    });

    pass(300).await;

    assert!(tunnel.is_running());
    assert_eq!(other.hears_text().await.len(), 1_000);
    let mut one = patiently(sender).await.unwrap();
    settle().await;
    other.say("I was busy").await;
    assert_eq!(one.hears_text().await, "I was busy");
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_has_to_wait_accuses_nobody_and_goes_in_at_the_next_boundary() {
    let (mut client, mut backend, tunnel) = open(PINGING);
    let long = backend.message(&[b'x'; 100]);

    for byte in long[..99].chunks(1) {
        backend.send(byte).await;
        pass(5).await;
    }
    assert!(tunnel.is_running(), "the client was never asked");
    let next = [&long[99..], &backend.message(b"next")].concat();
    backend.send(&next).await;

    assert_eq!(client.hears_text().await.len(), 100);
    client.hears_ping().await;
    assert_eq!(client.hears_text().await, "next");
    drop(backend);
}

#[tokio::test(start_paused = true)]
async fn the_time_to_answer_begins_when_the_ping_has_gone() {
    let (mut client, mut backend, tunnel) = open(PINGING);
    let long = backend.message(&[b'x'; 100]);
    for byte in long[..99].chunks(1) {
        backend.send(byte).await;
        pass(5).await;
    }
    let asked = Instant::now();
    backend.send(&long[99..]).await;

    let _backend = tokio::spawn(backend.oblige());
    client.hears_to_the_end().await;

    assert!((10..=13).contains(&seconds_since(asked)));
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Dead, None));
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_rest_was_taken_is_an_answer() {
    let (mut client, mut backend, tunnel) = open_with(PINGING, 64, 4096);
    // The client takes slowly, and its ping waits for the end of a frame.
    let (one, other) = (backend.message(&[b'x'; 20]), backend.message(&[b'y'; 500]));
    backend.send(&one[..10]).await;
    for byte in one[10..19].chunks(1) {
        pass(5).await;
        backend.send(byte).await;
    }
    let rest = [&one[19..], &other].concat();
    backend.send(&rest).await;
    let _backend = tokio::spawn(backend.oblige());

    client.hears_text().await;
    let token = client.hears_ping().await;
    client.pong(&token).await;
    pass(5).await;
    assert_eq!(client.hears_text().await.len(), 500);

    let token = client.hears_ping().await;
    client.pong(&token).await;
    assert!(tunnel.is_running());
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_same_moment_is_an_answer() {
    let (client, client_socket) = tokio::io::duplex(64);
    let _client = tokio::spawn(Peer::new(Role::Client, client).oblige());
    let backend = Prompt::default();
    let tunnel = Running::between(bare(client_socket), bare(backend), PINGING);

    pass(300).await;
    assert!(tunnel.is_running());
}

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_is_seldom_polled() {
    assert_eq!(polls_in_an_hour(QUIET).await, 1);

    // A round of pings: the tick, the pongs, and the boundary cases of both.
    let rounds = 3_600 / 20;
    assert!(polls_in_an_hour(PINGING).await <= 6 * rounds);
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_waits_is_looked_at_once_a_second() {
    let (_client, client_socket) = tokio::io::duplex(64);
    let (mut backend, backend_socket) = tokio::io::duplex(64);
    let polls = counted(
        client_socket,
        backend_socket,
        Policy {
            keepalive: Keepalive {
                timeout: Duration::from_secs(10_000),
                ..PINGING.keepalive
            },
            ..PINGING
        },
    );
    backend.write_all(b"\x81\x7ebeginning").await.unwrap();

    pass(3_600).await;
    assert!(polls.so_far() <= 3_600 + 10);
}

/// How often an hour polls a tunnel whose peers only answer pings.
async fn polls_in_an_hour(policy: Policy) -> u32 {
    let (client, client_socket) = tokio::io::duplex(64);
    let (backend, backend_socket) = tokio::io::duplex(64);
    let polls = counted(client_socket, backend_socket, policy);
    let _client = tokio::spawn(Peer::new(Role::Client, client).oblige());
    let _backend = tokio::spawn(Peer::new(Role::Server, backend).oblige());

    pass(3_600).await;
    polls.so_far()
}

fn counted(client: DuplexStream, backend: DuplexStream, policy: Policy) -> Polls {
    let polls = Polls::default();
    let counter = Arc::clone(&polls.0);
    let place = ticking_registry().enter(0, BackendId::next());
    let mut tunnel = Box::pin(Tunnel::new(
        bare(client),
        bare(backend),
        Arc::new(policy),
        place,
    ));
    tokio::spawn(poll_fn(move |cx| {
        counter.fetch_add(1, Relaxed);
        tunnel.as_mut().poll(cx)
    }));
    polls
}

#[derive(Default)]
struct Polls(Arc<AtomicU32>);

impl Polls {
    fn so_far(&self) -> u32 {
        self.0.load(Relaxed)
    }
}
