//! A tunnel that moves to another process: what is due in it stays due, and nobody is accused early.

use std::time::Duration;

use tokio::{io::duplex, task::JoinHandle, time::Instant};

use super::{
    lifeline::{Mortal, search},
    peer::Peer,
    rescue::KEPT,
    rig::{BUFFER, PINGING, QUIET, bare, pass, patiently, seconds_since, settle, ticking_registry},
    wandering::{Wandering, unpacked},
};
use crate::{
    pool::backend::BackendId,
    tunnel::{
        Cause, Ended, Party, Policy, Tunnel,
        moving::{Outcome, Packed, State},
    },
    websocket::{CloseCode, Role},
};

fn open(policy: Policy) -> (Peer, Peer, Wandering) {
    open_with(policy, BUFFER, BUFFER)
}

/// A tunnel between two peers whose sockets hold as much as that.
fn open_with(
    policy: Policy,
    client_buffer: usize,
    backend_buffer: usize,
) -> (Peer, Peer, Wandering) {
    let (client, client_socket) = duplex(client_buffer);
    let (backend, backend_socket) = duplex(backend_buffer);
    let tunnel = Wandering::between(bare(client_socket), bare(backend_socket), policy);
    (
        Peer::new(Role::Client, client),
        Peer::new(Role::Server, backend),
        tunnel,
    )
}

/// A tunnel that has left.
async fn packed<C, B>(tunnel: JoinHandle<Outcome<C, B>>) -> Packed<C, B> {
    match patiently(tunnel).await.unwrap() {
        Outcome::Left(packed) => *packed,
        Outcome::Ended(ended) => panic!("it has not left: {:?}", ended.end),
    }
}

fn end(ended: &Ended) -> (Party, Cause) {
    (ended.end.by, ended.end.cause)
}

#[tokio::test(start_paused = true)]
async fn the_idle_are_pinged_after_the_interval_and_not_before() {
    let start = Instant::now();
    let (mut client, mut backend, tunnel) = open(PINGING);
    for _ in 0..2 {
        pass(5).await;
        assert!(tunnel.moves().await);
    }
    client.hears_ping().await;
    backend.hears_ping().await;
    assert!((20..=24).contains(&seconds_since(start)));
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_awaits_its_pong_is_answered_elsewhere() {
    let (mut client, mut backend, tunnel) = open(PINGING);
    for _ in 0..3 {
        let (asked, other) = (client.hears_ping().await, backend.hears_ping().await);
        assert!(tunnel.moves().await);
        client.pong(&asked).await;
        backend.pong(&other).await;
        settle().await;
        assert!(tunnel.moves().await);
    }
    client.say("no pong came before this").await;
    backend.say("nor here").await;
    assert_eq!(backend.hears_text().await, "no pong came before this");
    assert_eq!(client.hears_text().await, "nor here");
    drop((client, backend));
    let ended = tunnel.ended().await;
    assert_eq!(
        (ended.from_client.messages, ended.from_backend.messages),
        (1, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_does_not_answer_is_dead_after_the_timeout_and_not_before() {
    for seconds_before in 0..10 {
        let (mut client, backend, tunnel) = open(PINGING);
        let _backend = tokio::spawn(backend.oblige());
        client.hears_ping().await;
        let asked = Instant::now();
        pass(seconds_before).await;
        assert!(tunnel.moves().await);
        assert_eq!(client.next().await, None);
        let waited = asked.elapsed().as_secs_f64();
        assert!((10.0..=13.0).contains(&waited), "{waited} s");
        assert_eq!(end(&tunnel.ended().await), (Party::Client, Cause::Dead));
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_that_waits_for_a_boundary_goes_in_elsewhere() {
    let (mut client, mut backend, tunnel) = open(PINGING);
    let message = backend.message(b"piecemeal");
    for byte in message[..10].chunks(1) {
        backend.send(byte).await;
        pass(5).await;
    }
    assert!(tunnel.moves().await);
    let rest = [&message[10..], &backend.message(b"next")].concat();
    backend.send(&rest).await;

    assert_eq!(client.hears_text().await, "piecemeal");
    let token = client.hears_ping().await;
    assert_eq!(client.hears_text().await, "next");
    client.pong(&token).await;
    client.say("taken out").await;
    assert_eq!(backend.hears_text().await, "taken out");
}

#[tokio::test(start_paused = true)]
async fn the_time_to_answer_begins_when_a_ping_that_was_not_taken_has_gone() {
    let (mut client, mut backend, tunnel) = open_with(PINGING, 64, BUFFER);
    let message = backend.message(&[b'x'; 300]);
    for byte in message[..10].chunks(1) {
        backend.send(byte).await;
        pass(5).await;
    }
    backend.send(&message[10..]).await;
    settle().await;
    assert!(tunnel.moves().await, "with the ping among what waits");
    let _backend = tokio::spawn(backend.oblige());
    pass(30).await;
    assert!(tunnel.is_running(), "it was not asked yet");

    assert_eq!(client.hears_text().await.len(), 300);
    client.hears_ping().await;
    let asked = Instant::now();
    assert_eq!(client.next().await, None, "one ping is enough");
    let waited = asked.elapsed().as_secs_f64();
    assert!((10.0..=13.0).contains(&waited), "{waited} s");
    assert_eq!(end(&tunnel.ended().await), (Party::Client, Cause::Dead));
}

#[tokio::test(start_paused = true)]
async fn who_has_answered_on_the_way_lives() {
    let [(client, client_socket), (backend, backend_socket)] = [BUFFER; 2].map(duplex);
    let (mut client, mut backend) = (
        Peer::new(Role::Client, client),
        Peer::new(Role::Server, backend),
    );
    let [old, new] = [ticking_registry(), ticking_registry()];
    let place = old.enter(0, BackendId::next());
    let (one, other) = (bare(client_socket), bare(backend_socket));
    let tunnel = tokio::spawn(Tunnel::new(one, other, PINGING.into(), place));
    let (asked, other) = (client.hears_ping().await, backend.hears_ping().await);
    old.let_all_leave();
    let packed = packed(tunnel).await;

    client.pong(&asked).await;
    backend.pong(&other).await;
    pass(60).await;
    let _tunnel = tokio::spawn(unpacked(packed, &new));
    client.say("still here").await;
    assert_eq!(backend.hears_text().await, "still here");
}

#[tokio::test(start_paused = true)]
async fn limits_of_a_tunnel_go_on() {
    let young = Policy {
        lifetime: Some(Duration::from_secs(60)),
        ..QUIET
    };
    let start = Instant::now();
    let (mut client, _backend, tunnel) = open(young);
    pass(40).await;
    assert!(tunnel.moves().await);
    assert_eq!(
        client.hears_close().await,
        (1001, "open for too long".into())
    );
    assert!((60..=63).contains(&seconds_since(start)));

    let lively = Policy {
        idle: Some(Duration::from_secs(60)),
        ..QUIET
    };
    let (mut client, mut backend, tunnel) = open(lively);
    client.say("last").await;
    backend.hears_text().await;
    let start = Instant::now();
    pass(40).await;
    assert!(tunnel.moves().await);
    assert_eq!(
        client.hears_close().await,
        (1001, "idle for too long".into())
    );
    assert!((60..=63).contains(&seconds_since(start)));
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_nothing_is_cut_as_late_as_it_would_have_been() {
    let (client, backend, tunnel) = open_with(QUIET, 64, 64);
    let message = backend.message(&[b'x'; 300]);
    let start = Instant::now();
    let _sender = tokio::spawn(async move {
        let mut backend = backend;
        backend.send(&message).await;
        backend.oblige().await
    });
    pass(40).await;
    assert!(tunnel.moves().await);
    assert_eq!(end(&tunnel.ended().await), (Party::Client, Cause::Stalled));
    assert!((60..=63).contains(&seconds_since(start)));
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_changed_its_backend_too_often_has_done_so_elsewhere_too() {
    let (client, client_socket) = duplex(BUFFER);
    let mut client = Peer::new(Role::Client, client);
    let (mut backend, mortal) = Mortal::pair(BUFFER);
    let (old, new) = (ticking_registry(), ticking_registry());
    let place = old.enter(0, BackendId::next());
    let (rescue, lifeline) = search();
    let tunnel = Tunnel::new(bare(client_socket), bare(mortal), QUIET.into(), place);
    let tunnel = tokio::spawn(tunnel.rescued_by(rescue, KEPT));
    for _ in 0..3 {
        drop(backend);
        backend = lifeline.find();
        backend.say("here I am").await;
        client.hears_text().await;
        pass(10).await;
    }
    old.let_all_leave();
    let packed = packed(tunnel).await;

    let (rescue, lifeline) = search();
    let state: State = packed.state.clone();
    let tunnel = unpacked(packed, &new).rescued_again_by(rescue, KEPT, &state);
    tokio::spawn(tunnel);
    drop(backend);
    assert_eq!(client.hears_close().await.0, CloseCode::BAD_GATEWAY.0);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_lost_amid_a_message_is_not_replaced_wherever_that_began() {
    let (client, client_socket) = duplex(BUFFER);
    let mut client = Peer::new(Role::Client, client);
    let (mut backend, mortal) = Mortal::pair(BUFFER);
    let (old, new) = (ticking_registry(), ticking_registry());
    let place = old.enter(0, BackendId::next());
    let (one, other) = (bare(client_socket), bare(mortal));
    let tunnel = tokio::spawn(Tunnel::new(one, other, QUIET.into(), place));
    backend.send(b"\x01\x03Hel").await;
    assert_eq!(client.hears_text().await, "Hel");
    old.let_all_leave();
    let packed = packed(tunnel).await;

    let (rescue, lifeline) = search();
    let tunnel = unpacked(packed, &new).rescued_by(rescue, KEPT);
    tokio::spawn(tunnel);
    drop(backend);
    assert_eq!(client.hears_close().await.0, CloseCode::BAD_GATEWAY.0);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_an_older_or_a_newer_longwire_has_written_is_understood() {
    let flow = r#"{"sight": {"remaining": 7, "held": "gQ==", "bytes": 12, "messages": 3,
        "ends_message": true, "has_open_message": false, "colour": "green"}}"#;
    let life = r#"{"heard_ago": {"secs": 5, "nanos": 0}, "mood": {}}"#;
    let text = format!(
        r#"{{"upward": {flow}, "downward": {flow}, "client": {life}, "backend": {life},
            "moved_ago": {{"secs": 5, "nanos": 0}}, "later": [1, 2]}}"#
    );
    let state: State = serde_json::from_str(&text).unwrap();
    let again: State = serde_json::from_str(&serde_json::to_string(&state).unwrap()).unwrap();
    assert_eq!(again, state);

    let too_much = text.replace("gQ==", &"gQ".repeat(20));
    assert!(serde_json::from_str::<State>(&too_much).is_err());
}
