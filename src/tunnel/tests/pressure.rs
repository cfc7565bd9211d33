//! A source is read only as fast as its destination takes, and memory is held no longer than that.

use std::{pin::pin, sync::Arc, time::Duration};

use futures_util::poll;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    time::{Instant, timeout},
};

use super::{
    odd_sockets::Hoarder,
    peer::Peer,
    rig::{BUFFER, QUIET, Running, bare, open, open_with, pass, seconds_since, settle, traffic},
};
use crate::{
    pool::backend::BackendId,
    tunnel::{Cause, Party, Policy, Tunnel, registry::Registry},
    websocket::Role,
};

const SCRATCH: usize = 64 * 1024;

/// The longest stall of tests in which somebody stalls on purpose.
const STALL: u64 = 30;

const IMPATIENT: Policy = Policy {
    stall: Duration::from_secs(STALL),
    ..QUIET
};

#[tokio::test(start_paused = true)]
async fn a_source_can_push_no_more_than_the_buffers_hold() {
    let (mut client, _backend, _tunnel) = open_with(QUIET, 2 * SCRATCH, BUFFER);

    let pushed = push(&mut client.socket).await;

    assert!(pushed >= 2 * SCRATCH, "{pushed}");
    assert!(pushed <= 3 * SCRATCH + BUFFER, "{pushed}");
}

#[tokio::test(start_paused = true)]
async fn so_can_a_backend() {
    let (_client, mut backend, _tunnel) = open_with(QUIET, BUFFER, 2 * SCRATCH);

    let pushed = push(&mut backend.socket).await;

    assert!(pushed >= 2 * SCRATCH, "{pushed}");
    assert!(pushed <= 3 * SCRATCH + BUFFER, "{pushed}");
}

#[tokio::test(start_paused = true)]
async fn what_was_kept_back_arrives_when_it_is_taken() {
    let (mut client, mut backend, tunnel) = open_with(QUIET, 2 * SCRATCH, BUFFER);

    let pushed = push(&mut client.socket).await;
    client.stop_sending().await;

    let heard = backend.hears_to_the_end().await;
    assert!(heard.starts_with(&pattern(pushed)));
    drop((client, backend));
    assert_eq!(tunnel.ended().await.from_client.bytes, pushed as u64);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_nothing_is_cut_and_the_client_hears_of_it() {
    let start = Instant::now();
    let (mut client, _backend, tunnel) = open(IMPATIENT);
    push(&mut client.socket).await;

    assert_eq!(client.hears_close().await, (1001, "peer lost".into()));

    assert!((STALL..STALL + 5).contains(&seconds_since(start)));
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Stalled, None));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_and_the_backend_hears_of_it() {
    let (_client, mut backend, tunnel) = open(IMPATIENT);
    let flood = backend.message(&[0; 10_000]);
    backend.send(&flood).await;

    assert_eq!(backend.hears_close().await, (1001, "peer lost".into()));
    drop(backend);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Stalled, None));
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_but_cannot_be_flushed_stalls_too() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (_backend, backend_socket) = tokio::io::duplex(16);
    let mut client = Peer::new(Role::Client, client);
    let hoarder = Hoarder::new(backend_socket, 1_000);
    let tunnel = Running::between(bare(client_socket), bare(hoarder), IMPATIENT);

    client.say("more than sixteen bytes of text").await;

    assert_eq!(client.hears_close().await, (1001, "peer lost".into()));
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Stalled, None));
}

#[tokio::test(start_paused = true)]
async fn a_slow_peer_that_moves_is_not_cut() {
    let (mut client, mut backend, tunnel) = open(IMPATIENT);
    let pushed = push(&mut client.socket).await;

    let mut heard = vec![0; pushed];
    for slowly in heard.chunks_mut(pushed / 20) {
        pass(STALL - 5).await;
        backend.socket.read_exact(slowly).await.unwrap();
    }

    assert!(tunnel.is_running());
    assert!(heard == pattern(pushed));
}

#[tokio::test(start_paused = true)]
async fn one_that_keeps_what_it_took_is_not_cut_either_as_long_as_it_passes_on() {
    for capacity in [100, 1_000] {
        let (client, client_socket) = tokio::io::duplex(BUFFER);
        let (mut backend, backend_socket) = tokio::io::duplex(16);
        let mut client = Peer::new(Role::Client, client);
        let hoarder = Hoarder::new(backend_socket, capacity);
        let tunnel = Running::between(bare(client_socket), bare(hoarder), IMPATIENT);
        let message = client.message(&[0; 500]);
        client.send(&message).await;

        let mut heard = vec![0; message.len()];
        for slowly in heard.chunks_mut(10) {
            pass(STALL - 5).await;
            backend.read_exact(slowly).await.unwrap();
        }
        assert!(tunnel.is_running());
        assert!(heard == message);

        // Nobody is waited for any longer for having moved once.
        client.send(&message).await;
        assert_eq!(client.hears_close().await, (1001, "peer lost".into()));
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_stalls_for_whom_nothing_waits() {
    let (_client, _backend, tunnel) = open(IMPATIENT);
    pass(10 * STALL).await;
    assert!(tunnel.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_stall_that_is_over_is_forgotten() {
    let (mut client, mut backend, tunnel) = open(IMPATIENT);

    for _ in 0..5 {
        let pushed = push(&mut client.socket).await;
        pass(STALL - 5).await;
        backend
            .socket
            .read_exact(&mut vec![0; pushed])
            .await
            .unwrap();
        pass(10 * STALL).await;
    }

    assert!(tunnel.is_running());
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_holds_memory_only_while_its_peer_takes_nothing() {
    let (mut client, client_socket) = tokio::io::duplex(BUFFER);
    let (mut backend, backend_socket) = tokio::io::duplex(16);
    let place = Registry::new(1).enter(0, BackendId::next());
    let tunnel = Tunnel::new(
        bare(client_socket),
        bare(backend_socket),
        Arc::new(QUIET),
        place,
    );
    let mut tunnel = pin!(tunnel);

    let message = Peer::new(Role::Client, &mut client).message(&[0; 1_000]);
    client.write_all(&message).await.unwrap();
    assert!(poll!(&mut tunnel).is_pending());
    assert!(tunnel.upward.holds_memory());

    let mut taken = vec![0; message.len()];
    let mut read = pin!(backend.read_exact(&mut taken));
    while poll!(&mut read).is_pending() {
        assert!(poll!(&mut tunnel).is_pending());
    }
    assert!(!tunnel.upward.holds_memory());
    assert!(!tunnel.downward.holds_memory());
    assert_eq!(tunnel.traffic().0, traffic(message.len(), 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_at_once_is_never_held() {
    let (mut client, client_socket) = tokio::io::duplex(BUFFER);
    let (_backend, backend_socket) = tokio::io::duplex(BUFFER);
    let place = Registry::new(1).enter(0, BackendId::next());
    let tunnel = Tunnel::new(
        bare(client_socket),
        bare(backend_socket),
        Arc::new(QUIET),
        place,
    );
    let mut tunnel = pin!(tunnel);

    let message = Peer::new(Role::Client, &mut client).message(&[0; 1_000]);
    client.write_all(&message).await.unwrap();

    assert!(poll!(&mut tunnel).is_pending());
    assert!(!tunnel.upward.holds_memory());
    assert_eq!(tunnel.traffic().0, traffic(message.len(), 1));
}

/// Pushes frames until nothing is taken any more, and says how many bytes were.
async fn push(socket: &mut DuplexStream) -> usize {
    let flood = pattern(10 * SCRATCH);
    let mut pushed = 0;
    while pushed < flood.len() {
        let chunk = &flood[pushed..flood.len().min(pushed + 1_000)];
        settle().await;
        match timeout(Duration::from_millis(1), socket.write(chunk)).await {
            Ok(written) => pushed += written.unwrap(),
            Err(_) => break,
        }
    }
    pushed
}

/// The first `len` bytes of a stream of short frames, no two neighbours of which are the same.
fn pattern(len: usize) -> Vec<u8> {
    let frames = (0u8..=250).cycle().flat_map(|n| [0x82, 2, n, n]);
    frames.take(len).collect()
}
