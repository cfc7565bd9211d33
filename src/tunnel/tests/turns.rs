//! A tunnel's turn ends after a number of bytes, however many more there are: others wait.

use std::{pin::pin, sync::Arc};

use futures_util::poll;
use tokio::task::yield_now;

use super::{
    peer::Peer,
    rig::{QUIET, bare, patiently},
    sockets::tcp_pair,
};
use crate::{
    pool::backend::BackendId,
    tunnel::{Tunnel, pump::TURN, registry::Registry},
    websocket::Role,
};

/// A reading or a pipe more than a turn's worth is not worth an early end.
const AT_MOST: u64 = TURN as u64 + 128 * 1024;

/// What is sent, in frames of one size: far more than a turn, and less than sockets take.
const BULK: usize = 2 << 20;

#[tokio::test]
async fn no_turn_passes_more_than_its_share_of_short_frames() {
    assert_turns_are_bounded(1_000).await;
}

#[tokio::test]
async fn no_turn_passes_more_than_its_share_of_long_frames() {
    assert_turns_are_bounded(500_000).await;
}

/// A backend sends frames of that size, all of which wait at the tunnel before its first turn.
async fn assert_turns_are_bounded(frame: usize) {
    let ((client, client_socket), (backend, backend_socket)) = (tcp_pair().await, tcp_pair().await);
    let place = Registry::new(1).enter(0, BackendId::next());
    let (client_end, backend_end) = (bare(client_socket), bare(backend_socket));
    let tunnel = Tunnel::new(client_end, backend_end, Arc::new(QUIET), place);
    let mut tunnel = pin!(tunnel);
    let mut backend = Peer::new(Role::Server, backend);
    let mut client = Peer::new(Role::Client, client);
    let frames = backend.message(&vec![b'x'; frame]).repeat(BULK / frame);
    let bulk = frames.clone();
    let sent = tokio::spawn(async move {
        backend.send(&bulk).await;
        backend
    });
    let len = frames.len();
    let heard = tokio::spawn(async move {
        client.hears_the_beginning(len).await;
        client.unread()
    });

    let (mut passed, mut largest) = (0, 0);
    while passed < frames.len() as u64 {
        assert!(poll!(&mut tunnel).is_pending());
        let now = tunnel.traffic().1.bytes;
        largest = largest.max(now - passed);
        passed = now;
        yield_now().await;
    }
    assert!(largest <= AT_MOST, "{largest}");
    assert!(
        largest > AT_MOST / 2,
        "there was never more than a turn's worth: {largest}"
    );
    assert!(patiently(heard).await.unwrap() == frames);
    patiently(sent).await.unwrap();
}
