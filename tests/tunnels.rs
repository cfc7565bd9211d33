//! A tunnel through the whole proxy: what passes, what we put in, and how it ends.

use std::{sync::Arc, time::Duration};

use futures_util::{SinkExt, future::join_all};
use longwire::websocket::{CloseCode, Role};
use socket2::SockRef;
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Backend, Frame, Pair, Proxy, Raw, echo_cluster, frame, handshake, in_slow_motion, switching,
    until,
};

/// The next frame that is no ping; pings are answered as `role` answers them.
async fn next_answering(peer: &mut Raw, role: Role) -> Option<Frame> {
    loop {
        let frame = peer.frame().await?;
        if !frame.is_ping() {
            return Some(frame);
        }
        peer.send(frame.pong(role)).await;
    }
}

/// Answers pings until the peer is closed; gives the code and the reason, and what follows.
async fn closed(peer: &mut Raw, role: Role) -> (CloseCode, String) {
    let frame = next_answering(peer, role).await.expect("a Close");
    let is_masked = frame.header.mask.is_some();
    assert_eq!(
        is_masked,
        role == Role::Server,
        "clients' frames are masked"
    );
    let (code, reason) = frame.close().expect("a Close");
    let closed = (code, reason.to_owned());
    assert_eq!(peer.rest().await, b"", "nothing follows a Close");
    closed
}

fn lost(code: CloseCode, reason: &str) -> (CloseCode, String) {
    (code, reason.to_owned())
}

/// The whole seconds that have passed since `begin`, where a second more or less does not count.
fn about(seconds: u64, begin: Instant) -> bool {
    (seconds..=seconds + 3).contains(&begin.elapsed().as_secs())
}

/// Breaks the connection off without a word.
fn reset(peer: Raw) {
    let socket = SockRef::from(&peer.socket);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
}

#[tokio::test]
async fn texts_and_binaries_of_all_sizes_come_back_the_same() {
    let backend = Backend::echo().await;
    let proxy = Proxy::fronting([&backend]).start().await;
    let mut client = proxy.connect().await;
    for size in [0, 1, 125, 126, 65_535, 65_536, 1_000_000, 5_000_000] {
        let bytes: Vec<u8> = (0..size).map(|n: usize| (n % 251) as u8).collect();
        for message in [Message::text("ä".repeat(size / 2)), Message::binary(bytes)] {
            client.websocket.send(message.clone()).await.unwrap();
            assert!(client.next().await.unwrap() == message, "{size} bytes");
        }
    }
}

#[tokio::test]
async fn two_hundred_tunnels_live_side_by_side() {
    let backend = Backend::echo().await;
    let proxy = Proxy::fronting([&backend]).start().await;
    let mut clients = join_all((0..200).map(|_| proxy.connect())).await;
    assert_eq!(proxy.registry.len(), 200);
    for round in 0..3 {
        let speaking = clients
            .iter_mut()
            .enumerate()
            .map(|(n, client)| async move {
                let text = format!("{n} in round {round}");
                assert_eq!(client.echo(&text).await, text);
            });
        join_all(speaking).await;
    }
    drop(clients);
    until(|| proxy.registry.is_empty()).await;
}

#[tokio::test]
async fn every_bit_of_every_frame_passes_untouched() {
    let mut pair = Pair::open().await;
    for (client, backend) in [
        // permessage-deflate says with RSV1 that a message is compressed.
        (0xc1, 0xc2),
        // The other reserved bits, a reserved opcode, and a fragment without a beginning.
        (0xb3, 0xfb),
        (0x00, 0x80),
    ] {
        for payload in [&b""[..], b"compressed?", &[0x8a; 70_000]] {
            let up = frame(client, payload, Role::Client);
            pair.client.send(&up).await;
            assert!(pair.backend.bytes(up.len()).await == up);
            let down = frame(backend, payload, Role::Server);
            pair.backend.send(&down).await;
            assert!(pair.client.bytes(down.len()).await == down);
        }
    }
}

#[tokio::test]
async fn fragments_pass_with_control_frames_between_them() {
    let mut pair = Pair::open().await;
    let fragments = [
        frame(0x01, b"Hel", Role::Client),
        frame(0x89, b"alive?", Role::Client),
        frame(0x00, b"l", Role::Client),
        frame(0x8a, b"yes", Role::Client),
        frame(0x80, b"o", Role::Client),
    ];
    for fragment in &fragments {
        pair.client.send(fragment).await;
        assert_eq!(&pair.backend.bytes(fragment.len()).await, fragment);
    }
    let whole = fragments.concat();
    pair.client.send(&whole).await;
    assert_eq!(pair.backend.bytes(whole.len()).await, whole);
}

#[tokio::test]
async fn the_clients_pings_are_the_backends_to_answer() {
    let mut pair = Pair::open().await;
    pair.client.send(frame(0x89, b"alive?", Role::Client)).await;
    let ping = pair.backend.frame().await.unwrap();
    assert!(ping.is_ping());
    assert_eq!(ping.payload, b"alive?");
    let pong = ping.pong(Role::Server);
    pair.backend.send(&pong).await;
    assert_eq!(pair.client.bytes(pong.len()).await, *pong);
}

#[tokio::test(start_paused = true)]
async fn the_idle_are_pinged_on_both_legs_and_their_pongs_are_ours() {
    let mut pair = Pair::open().await;
    for _ in 0..3 {
        let begin = Instant::now();
        let to_client = pair.client.frame().await.unwrap();
        let to_backend = pair.backend.frame().await.unwrap();
        assert!(about(20, begin), "{:?}", begin.elapsed());
        assert!(to_client.is_ping() && to_client.header.mask.is_none());
        assert!(to_backend.is_ping() && to_backend.header.mask.is_some());
        assert_ne!(to_client.payload, to_backend.payload);

        pair.client.send(to_client.pong(Role::Client)).await;
        pair.backend.send(to_backend.pong(Role::Server)).await;
        assert!(pair.client.is_silent().await && pair.backend.is_silent().await);
    }
    let unasked = frame(0x8a, b"8 bytes!", Role::Client);
    pair.client.send(&unasked).await;
    assert_eq!(pair.backend.bytes(unasked.len()).await, unasked);
}

#[tokio::test(start_paused = true)]
async fn a_routes_own_keepalive_counts_before_the_general_one() {
    let keepalive = "keepalive = { interval = \"5s\" }";
    let mut pair = Pair::open_through(|p| p.route(keepalive)).await;
    let begin = Instant::now();
    assert!(pair.client.frame().await.unwrap().is_ping());
    assert!(about(5, begin), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn no_ping_comes_inside_a_frame() {
    let mut pair = Pair::open().await;
    let message = frame(0x82, &[7; 100], Role::Server);
    let (begun, rest) = message.split_at(50);
    pair.backend.send(begun).await;
    // The backend is pinged meanwhile, and lives as long as any byte of it comes.
    for byte in &rest[..3] {
        assert!(pair.backend.frame().await.unwrap().is_ping());
        pair.backend.send([*byte]).await;
    }
    pair.backend.send(&rest[3..]).await;
    assert_eq!(pair.client.bytes(message.len()).await, message);
    assert!(pair.client.frame().await.unwrap().is_ping());
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_dead_and_its_backend_is_told() {
    let Pair {
        mut client,
        mut backend,
        proxy,
        ..
    } = Pair::open().await;
    let begin = Instant::now();
    let told = closed(&mut backend, Role::Server).await;
    assert_eq!(told, lost(CloseCode::GOING_AWAY, "peer lost"));
    assert!(about(30, begin), "{:?}", begin.elapsed());
    assert!(client.frame().await.unwrap().is_ping());
    assert_eq!(client.rest().await, b"", "it is cut");
    drop((client, backend));
    until(|| proxy.registry.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_backend_is_dead_and_its_client_is_told() {
    let Pair {
        mut client,
        mut backend,
        proxy,
        ..
    } = Pair::open().await;
    let begin = Instant::now();
    let told = closed(&mut client, Role::Client).await;
    assert_eq!(told, lost(CloseCode::GOING_AWAY, "peer lost"));
    assert!(about(30, begin), "{:?}", begin.elapsed());
    assert!(backend.frame().await.unwrap().is_ping());
    assert_eq!(backend.rest().await, b"", "it is cut");
    drop((client, backend));
    until(|| proxy.registry.is_empty()).await;
}

#[tokio::test]
async fn a_backend_that_vanishes_is_a_bad_gateway_to_its_client() {
    for vanish in [drop::<Raw>, reset] {
        let Pair {
            mut client,
            backend,
            proxy,
            ..
        } = Pair::open().await;
        vanish(backend);
        let told = closed(&mut client, Role::Client).await;
        assert_eq!(
            told,
            lost(CloseCode::BAD_GATEWAY, "backend connection lost")
        );
        drop(client);
        until(|| proxy.registry.is_empty()).await;
    }
}

#[tokio::test]
async fn a_client_that_vanishes_is_going_away_to_its_backend() {
    for vanish in [drop::<Raw>, reset] {
        let Pair {
            client,
            mut backend,
            proxy,
            ..
        } = Pair::open().await;
        vanish(client);
        let told = closed(&mut backend, Role::Server).await;
        assert_eq!(told, lost(CloseCode::GOING_AWAY, "client connection lost"));
        drop(backend);
        until(|| proxy.registry.is_empty()).await;
    }
}

#[tokio::test]
async fn a_close_passes_as_it_is_and_nothing_of_ours_follows() {
    let Pair {
        mut client,
        mut backend,
        proxy,
        ..
    } = Pair::open().await;
    let close = frame(0x88, b"\x0f\xa1because", Role::Client);
    client.send(&close).await;
    client.socket.shutdown().await.unwrap();
    assert_eq!(backend.rest().await, close);

    let answer = frame(0x88, b"\x0f\xa1", Role::Server);
    backend.send(&answer).await;
    drop(backend);
    assert_eq!(client.rest().await, answer);
    until(|| proxy.registry.is_empty()).await;
}

#[tokio::test]
async fn what_a_side_sends_after_the_others_end_still_arrives() {
    let mut pair = Pair::open().await;
    let question = frame(0x81, b"all of it?", Role::Client);
    pair.client.send(&question).await;
    pair.client.socket.shutdown().await.unwrap();
    assert_eq!(pair.backend.bytes(question.len()).await, question);
    let told = closed(&mut pair.backend, Role::Server).await;
    assert_eq!(told, lost(CloseCode::GOING_AWAY, "client connection lost"));

    let answer = [
        frame(0x82, &[7; 300_000], Role::Server),
        frame(0x88, b"\x03\xe8", Role::Server),
    ]
    .concat();
    let answering = async {
        pair.backend.send(&answer).await;
        pair.backend.socket.shutdown().await.unwrap();
    };
    let (arrived, ()) = tokio::join!(pair.client.rest(), answering);
    assert!(arrived == answer);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_in_which_nothing_passes_is_closed_if_so_configured() {
    let limit = "[timeouts]\ntunnel_idle = \"1m\"";
    let Pair {
        mut client,
        mut backend,
        proxy,
        ..
    } = Pair::open_through(|p| p.config(limit)).await;
    let begin = Instant::now();
    // Pings and pongs of ours are nothing.
    let told = tokio::join!(
        closed(&mut client, Role::Client),
        closed(&mut backend, Role::Server)
    );
    let idle = lost(CloseCode::GOING_AWAY, "idle for too long");
    assert_eq!(told, (idle.clone(), idle));
    assert!(about(70, begin), "a minute and ten seconds to answer");
    until(|| proxy.registry.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_is_old_enough_is_closed_however_busy() {
    let limit = "[timeouts]\ntunnel_lifetime = \"2m\"\ntunnel_lifetime_jitter = 0";
    let Pair {
        client,
        mut backend,
        proxy,
        ..
    } = Pair::open_through(|p| p.config(limit)).await;
    let begin = Instant::now();
    let mut client = client;
    let talking = async {
        loop {
            client.send(frame(0x81, b"and", Role::Client)).await;
            let Some(answer) = next_answering(&mut client, Role::Client).await else {
                unreachable!("a Close comes first");
            };
            if let Some((code, reason)) = answer.close() {
                client.send(frame(0x88, b"\x03\xe9", Role::Client)).await;
                return lost(code, reason);
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let listening = async {
        loop {
            let heard = next_answering(&mut backend, Role::Server).await.unwrap();
            if let Some((code, reason)) = heard.close() {
                return lost(code, reason);
            }
            backend.send(frame(0x81, b"so?", Role::Server)).await;
        }
    };
    let old = lost(CloseCode::GOING_AWAY, "open for too long");
    let answer = lost(CloseCode::GOING_AWAY, "");
    assert_eq!(tokio::join!(talking, listening), (old, answer));
    assert!(about(120, begin), "{:?}", begin.elapsed());
    drop((client, backend));
    until(|| proxy.registry.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn tunnels_that_open_together_do_not_end_together() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let limits = "[timeouts]\ntunnel_lifetime = \"100s\"\ntunnel_lifetime_jitter = 50";
    let proxy = Proxy::fronting(&backends).config(limits).start().await;
    let mut clients = Vec::new();
    for _ in 0..40 {
        let mut client = proxy.connect().await;
        clients.push(tokio::spawn(async move {
            while client.next().await.is_some() {}
        }));
    }
    let mut left = Vec::new();
    for seconds in [48, 27, 28] {
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        left.push(proxy.registry.len());
    }
    assert_eq!((left[0], left[2]), (40, 0));
    assert!((8..=32).contains(&left[1]), "about half: {left:?}");
}

/// Sends one endless message until the other side takes no more of it.
async fn fill(peer: &mut Raw, sender: Role) {
    let mut header = frame(0x82, &[0; 0x1_0000], sender);
    header.truncate(header.len() - 0x1_0000);
    header[2..10].copy_from_slice(&(1_u64 << 40).to_be_bytes());
    peer.send(&header).await;
    let patience = Duration::from_millis(100);
    let zeros = [0; 0x1_0000];
    while timeout(patience, peer.socket.write(&zeros)).await.is_ok() {}
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_is_cut_and_its_backend_is_told() {
    let Pair {
        client,
        mut backend,
        proxy,
        ..
    } = Pair::open().await;
    fill(&mut backend, Role::Server).await;
    let begin = Instant::now();
    let told = next_answering(&mut backend, Role::Server).await.unwrap();
    assert_eq!(told.close(), Some((CloseCode::GOING_AWAY, "peer lost")));
    assert!(about(30, begin), "{:?}", begin.elapsed());
    drop(backend);
    until(|| proxy.registry.is_empty()).await;
    drop(client);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_nothing_is_cut_and_its_client_is_told() {
    let Pair {
        mut client,
        backend,
        proxy,
        ..
    } = Pair::open().await;
    fill(&mut client, Role::Client).await;
    let begin = Instant::now();
    let told = next_answering(&mut client, Role::Client).await.unwrap();
    assert_eq!(told.close(), Some((CloseCode::GOING_AWAY, "peer lost")));
    assert!(about(30, begin), "{:?}", begin.elapsed());
    drop(client);
    until(|| proxy.registry.is_empty()).await;
    drop(backend);
}

#[tokio::test]
async fn a_client_that_leaves_at_its_101_leaves_nothing_behind() {
    for vanish in [drop::<Raw>, reset] {
        let Pair {
            client,
            mut backend,
            proxy,
            ..
        } = Pair::asking(&[]).await;
        // Neither is awaited: the proxy hears of both at once.
        SockRef::from(&backend.socket)
            .send(switching(&[]).as_bytes())
            .unwrap();
        vanish(client);
        let rest = backend.rest().await;
        assert!(
            rest.is_empty() || rest[0] == 0x88,
            "a Close or nothing: {rest:?}"
        );
        until(|| proxy.registry.is_empty()).await;
        until(|| proxy.pools[0].backends()[0].tunnels() == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_with_bytes_behind_its_handshake_leaves_nothing_behind() {
    let request = [
        handshake("/", &[]).into_bytes(),
        frame(0x81, b"bye", Role::Client),
    ]
    .concat();
    let Pair {
        client,
        mut backend,
        proxy,
        ..
    } = Pair::asking_through(|p| p, request).await;
    drop(client);
    backend.send(switching(&[])).await;
    backend.rest().await;
    drop(backend);
    until(|| proxy.registry.is_empty()).await;
    until(|| proxy.pools[0].backends()[0].tunnels() == 0).await;
    assert_eq!(Arc::strong_count(&proxy.pools[0].backends()[0]), 1);
}
