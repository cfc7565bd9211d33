//! Long frames between real sockets, which the system moves.

use std::time::Duration;

use tokio::net::TcpStream;

use super::{
    peer::{Peer, Spelling, encode},
    rig::{PINGING, QUIET, SHUTDOWN, close_all, pass, traffic},
    sockets::{open_tcp, open_tcp_with, reset},
};
use crate::tunnel::{Cause, Party, Policy, pipe, watch::LONG};

const LONG_LEN: usize = LONG as usize;

/// More than all the sockets on the way hold.
const FLOOD: usize = 64 << 20;

#[tokio::test]
async fn long_and_short_frames_pass_in_their_order_both_ways() {
    let (client, backend, tunnel) = open_tcp().await;
    let sizes = [
        5,
        LONG_LEN,
        LONG_LEN - 1,
        1_000_000,
        3_000_000,
        0,
        LONG_LEN + 1,
        LONG_LEN,
        70_000,
        65_536,
        65_536,
        1,
        200_000,
    ];
    let bytes: usize = sizes.iter().sum();
    let headers = |peer: &Peer<TcpStream>| -> usize {
        let frames = sizes.iter().map(|size| peer.message(&vec![0; *size]).len());
        frames.sum::<usize>() - bytes
    };
    let (from_client, from_backend) = (headers(&client), headers(&backend));

    let (client, backend) = says(client, backend, sizes).await;
    let (backend, client) = says(backend, client, sizes).await;

    drop((client, backend));
    let ended = tunnel.ended().await;
    let messages = sizes.len() as u64;
    assert_eq!(ended.from_client, traffic(bytes + from_client, messages));
    assert_eq!(ended.from_backend, traffic(bytes + from_backend, messages));
    assert!(pipe::spare() > 0, "no pipe has been used and given back");
}

#[tokio::test]
async fn fragments_of_a_long_message_are_one_message() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    let part = vec![b'x'; 100_000];
    let fragments = [0x01, 0x00, 0x80].map(|first| encode(first, &part, Spelling::Shortest, None));
    let fragments = fragments.concat();

    let sender = tokio::spawn(async move {
        backend.send(&fragments).await;
        backend.close(1000).await;
        backend
    });
    for _ in 0..3 {
        assert_eq!(client.next().await.unwrap().payload, part);
    }
    assert_eq!(client.hears_close().await.0, 1000);
    drop((client, sender.await.unwrap()));
    assert_eq!(tunnel.ended().await.from_backend.messages, 1);
}

#[tokio::test]
async fn a_ping_waits_for_the_end_of_a_long_frame() {
    tokio::time::pause();
    let (mut client, mut backend, _tunnel) = open_tcp_with(PINGING).await;
    let message = backend.message(&vec![b'x'; 200_000]);
    backend.send(&message[..100_000]).await;
    client.hears_the_beginning(100_000).await;

    pass(25).await;
    backend.send(&message[100_000..]).await;
    backend.say("next").await;

    assert_eq!(client.hears_text().await.len(), 200_000);
    client.hears_ping().await;
    assert_eq!(client.hears_text().await, "next");
}

#[tokio::test]
async fn a_close_of_ours_waits_for_the_end_of_a_long_frame() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    let message = backend.message(&vec![b'x'; 200_000]);
    backend.send(&message[..100_000]).await;
    client.hears_the_beginning(100_000).await;

    close_all(&tunnel.registry, &SHUTDOWN);
    assert_eq!(backend.hears_close().await.0, 1001);
    backend.send(&message[100_000..]).await;
    backend.say("too late").await;

    assert_eq!(client.hears_text().await.len(), 200_000);
    assert_eq!(client.hears_close().await.0, 1001);
}

#[tokio::test]
async fn a_stream_that_ends_inside_a_long_frame_just_ends() {
    let (client, mut backend, tunnel) = open_tcp().await;
    let half = backend.message(&vec![b'x'; 1_000_000])[..600_000].to_vec();
    let expected = half.clone();
    let sender = tokio::spawn(async move {
        backend.send(&half).await;
        backend.stop_sending().await;
        backend
    });

    let mut client = client;
    assert_eq!(client.hears_to_the_end().await, expected);
    drop((client, sender.await.unwrap()));
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Eof, None));
}

#[tokio::test]
async fn a_client_that_resets_amid_a_long_frame_leaves_the_backend_a_close() {
    let (mut client, mut backend, tunnel) = open_tcp().await;
    let message = backend.message(&vec![b'x'; 1_000_000]);
    backend.send(&message[..300_000]).await;
    client.hears_the_beginning(200_000).await;

    reset(client);

    assert_eq!(backend.hears_close().await.0, 1001);
    drop(backend);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Reset, None));
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_its_backend_back_and_is_cut_in_the_end() {
    tokio::time::pause();
    let stalling = Policy {
        stall: Duration::from_secs(30),
        ..QUIET
    };
    let (client, mut backend, tunnel) = open_tcp_with(stalling).await;
    let flood = backend.message(&vec![b'x'; FLOOD]);

    let sender = tokio::spawn(async move {
        backend.send(&flood).await;
        backend
    });
    pass(20).await;
    assert!(!sender.is_finished(), "all was taken, and nobody reads it");

    pass(20).await;
    // Its socket is gone: what its backend still sends is for nobody.
    drop((client, sender.await.unwrap()));
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Stalled, None));
}

/// One says messages of these sizes, and the other hears them.
async fn says<const N: usize>(
    mut speaker: Peer<TcpStream>,
    mut hearer: Peer<TcpStream>,
    sizes: [usize; N],
) -> (Peer<TcpStream>, Peer<TcpStream>) {
    let texts = sizes.into_iter().enumerate().map(|(index, size)| {
        let letters = (b'a'..=b'z').cycle().skip(index).take(size);
        letters.map(char::from).collect::<String>()
    });
    let messages = texts.clone().map(|text| speaker.message(text.as_bytes()));
    let messages: Vec<u8> = messages.flatten().collect();
    let said = tokio::spawn(async move {
        speaker.send(&messages).await;
        speaker
    });
    for (index, text) in texts.enumerate() {
        assert!(hearer.hears_text().await == text, "message {index}");
    }
    (said.await.unwrap(), hearer)
}
