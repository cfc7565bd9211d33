//! What is counted of tunnels is what has passed.

use std::{sync::Arc, time::Duration};

use tokio::time::advance;

use super::{
    peer::{Peer, Spelling, encode},
    rig::{PINGING, QUIET, Running, SHUTDOWN, close_all, open, pass, patiently, settle, traffic},
    sockets::open_tcp,
};
use crate::{
    tunnel::{OPCODES, SideTotals, Totals, watch::LONG},
    websocket::{Role, frame},
};

const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);

fn totals(tunnel: &Running) -> Totals {
    tunnel.registry.totals()
}

/// How many frames there were of each kind of which there were any.
fn frames(side: &SideTotals) -> Vec<(&'static str, u64)> {
    let all = OPCODES.into_iter().zip(side.frames);
    all.filter(|(_, count)| *count > 0).collect()
}

fn frame_from_client(first: u8, payload: &[u8]) -> Vec<u8> {
    encode(first, payload, Spelling::Shortest, KEY)
}

#[tokio::test(start_paused = true)]
async fn frames_count_by_their_opcode_and_messages_by_their_first_frame() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    for frame in [
        frame_from_client(0x01, b"Hel"),
        frame_from_client(0x89, b"?"),
        frame_from_client(0x00, b"l"),
        frame_from_client(0x80, b"o"),
        frame_from_client(0x82, &[0; 100]),
    ] {
        client.send(&frame).await;
        backend.next().await.unwrap();
    }
    backend.pong(b"?").await;
    client.next().await.unwrap();

    let Totals { client, backend } = totals(&tunnel);
    let expected = [("continuation", 2), ("text", 1), ("binary", 1), ("ping", 1)];
    assert_eq!(frames(&client), expected);
    assert_eq!((client.texts, client.binaries), (1, 1));
    let sizes = &client.message_sizes;
    assert_eq!((sizes.count(), sizes.sum()), (2, 105));
    assert_eq!(frames(&backend), [("pong", 1)]);
    assert_eq!(backend.messages(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_message_counts_when_it_has_passed_to_its_end_in_whatever_pieces() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    let message = frame_from_client(0x81, b"Hello");
    let (last, first) = message.split_last().unwrap();
    client.send(first).await;
    backend.hears_the_beginning(first.len()).await;
    let half = totals(&tunnel).client;
    assert_eq!((frames(&half), half.messages()), (vec![("text", 1)], 0));
    assert_eq!(half.bytes, first.len() as u64);

    client.send(&[*last]).await;
    assert_eq!(backend.hears_text().await, "Hello");
    let whole = totals(&tunnel).client;
    assert_eq!((whole.messages(), whole.message_sizes.sum()), (1, 5));
    assert_eq!(whole.bytes, message.len() as u64);
}

#[tokio::test]
async fn long_frames_that_the_system_moves_count_too() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    let long = vec![0; LONG as usize];
    let talk = async {
        for first in [0x02, 0x00, 0x80] {
            client.send(&frame_from_client(first, &long)).await;
        }
    };
    let hear = async {
        for _ in 0..3 {
            backend.next().await.unwrap();
        }
    };
    patiently(async { tokio::join!(talk, hear) }).await;
    let counted = totals(&tunnel).client;
    assert_eq!(frames(&counted), [("continuation", 2), ("binary", 1)]);
    assert_eq!(
        (counted.binaries, counted.message_sizes.sum()),
        (1, 3 * LONG)
    );
}

#[tokio::test(start_paused = true)]
async fn the_counts_of_all_are_those_of_each_together() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    client.say("Hello").await;
    backend.hears_text().await;
    backend.say("you too").await;
    client.hears_text().await;
    let live = &tunnel.registry.served_by(|_| true)[0];
    let (from_client, from_backend) = (live.client().passed, live.backend().passed);
    let Totals { client: all, .. } = totals(&tunnel);
    assert_eq!(from_client, traffic(all.bytes as usize, all.messages()));

    client.close(1000).await;
    backend.close(1000).await;
    drop((client, backend));
    let registry = Arc::clone(&tunnel.registry);
    let ended = tunnel.ended().await;
    assert_eq!(ended.from_client.messages, from_client.messages);
    assert_eq!(ended.from_backend.messages, from_backend.messages);
    assert_eq!(registry.totals().client.bytes, ended.from_client.bytes);
    assert_eq!(registry.totals().backend.bytes, ended.from_backend.bytes);
}

#[tokio::test(start_paused = true)]
async fn what_is_dropped_after_our_close_does_not_count() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    close_all(&tunnel.registry, &SHUTDOWN);
    backend.hears_close().await;
    client.say("too late").await;
    settle().await;
    let Totals {
        client: counted, ..
    } = totals(&tunnel);
    assert_eq!((counted.bytes, frames(&counted)), (0, vec![]));
}

/// Has a side answer our ping after 30 ms, and another time with other words first.
async fn answers_late(peer: &mut Peer) {
    let token = peer.hears_ping().await;
    advance(Duration::from_millis(30)).await;
    peer.pong(&token).await;
    let token = peer.hears_ping().await;
    advance(Duration::from_millis(10)).await;
    peer.say("busy").await;
    settle().await;
    advance(Duration::from_millis(59)).await;
    peer.pong(&token).await;
    settle().await;
}

#[tokio::test(start_paused = true)]
async fn the_round_trip_of_each_leg_is_from_our_ping_to_its_own_pong() {
    let (client, mut backend, tunnel) = open(PINGING);
    let client = tokio::spawn(client.oblige());
    answers_late(&mut backend).await;
    let live = &tunnel.registry.served_by(|_| true)[0];
    let measured = live.backend().round_trip.unwrap().as_millis();
    assert!((70..=71).contains(&measured), "{measured} ms");
    let counted = totals(&tunnel).backend;
    assert_eq!((counted.pings, counted.round_trips.count()), (2, 2));
    let sum = counted.round_trips.sum() / 1_000;
    assert!((100..=102).contains(&sum), "{sum} ms");
    assert_eq!(
        frames(&counted),
        [("text", 1)],
        "our pongs are no frames of its"
    );
    client.abort();
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_is_counted_as_dead() {
    let (client, mut backend, tunnel) = open(PINGING);
    let registry = Arc::clone(&tunnel.registry);
    let client = tokio::spawn(client.oblige());
    backend.hears_ping().await;
    tunnel.ended().await;
    let Totals {
        client: one,
        backend: other,
    } = registry.totals();
    assert_eq!((one.dead, other.dead), (0, 1));
    client.abort();
}

#[tokio::test(start_paused = true)]
async fn it_is_known_of_each_side_how_long_ago_it_was_heard() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    pass(10).await;
    client.send(&frame::pong(b"", Role::Client)).await;
    backend.next().await.unwrap();
    pass(5).await;
    let live = &tunnel.registry.served_by(|_| true)[0];
    let heard = [live.client(), live.backend()].map(|side| side.heard_ago.as_secs());
    assert!(
        (4..=5).contains(&heard[0]) && (14..=15).contains(&heard[1]),
        "{heard:?}"
    );
}
