//! A client that has gone is noticed, whatever it has sent behind its request; one that only has
//! nothing more to say gets its answer.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use crate::support::{
    Authority, Proxy, Raw, RawBackend, TlsClient, handshake, in_slow_motion, switching, until,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

/// Much more than hyper reads ahead.
const MUCH: usize = 40_000;

async fn between() -> (RawBackend, Proxy) {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    (backend, proxy)
}

/// A client whose request the backend has read, with so many bytes behind it.
async fn asked(proxy: &Proxy, backend: &RawBackend, request: &str, behind: usize) -> (Raw, Raw) {
    let mut client = proxy.raw().await;
    client.send(request).await;
    client.send(vec![b'x'; behind]).await;
    let mut served = backend.accept().await;
    served.head().await;
    (client, served)
}

#[tokio::test]
async fn a_handshake_whose_client_leaves_is_given_up_whatever_lies_behind_it() {
    for behind in [0, 1, MUCH] {
        let (backend, proxy) = between().await;
        let (client, mut served) = asked(&proxy, &backend, &handshake("/", &[]), behind).await;
        drop(client);
        assert_eq!(served.rest().await, b"");
        until(|| proxy.pools[0].backends()[0].tunnels() == 0).await;
    }
}

#[tokio::test]
async fn a_handshake_that_waits_leaves_the_line_with_its_client_and_reaches_no_backend() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[admission]\nhandshakes = 1\nqueue = 10\nqueue_timeout = \"60s\"")
        .start()
        .await;
    let (mut first, mut served) = asked(&proxy, &backend, &handshake("/", &[]), 0).await;
    let mut waiting = Vec::new();
    for behind in [0, 1, MUCH] {
        let mut client = proxy.raw().await;
        client.send(handshake("/", &[])).await;
        client.send(vec![b'x'; behind]).await;
        waiting.push(client);
    }
    until(|| proxy.control.proxy().queue().waiting == 3).await;
    drop(waiting);
    until(|| proxy.control.proxy().queue().waiting == 0).await;

    served.send(switching(&[])).await;
    first.head().await;
    backend.has_no_more_visitors().await;
}

#[tokio::test]
async fn a_request_whose_client_resets_its_connection_is_given_up() {
    for behind in [0, 1, MUCH] {
        let (backend, proxy) = between().await;
        let (client, mut served) = asked(&proxy, &backend, GET, behind).await;
        client.reset();
        assert_eq!(served.rest().await, b"");
        until(|| proxy.pools[0].backends()[0].load() == 0).await;
    }
}

#[tokio::test]
async fn a_client_that_resets_after_it_has_ended_its_side_is_gone_too() {
    let (backend, proxy) = between().await;
    let (mut client, mut served) = asked(&proxy, &backend, GET, 1).await;
    client.socket.shutdown().await.unwrap();
    tokio::task::yield_now().await;
    client.reset();
    assert_eq!(served.rest().await, b"");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_has_ended_its_side_gets_its_answer() {
    for slow in [0, 9] {
        let (backend, proxy) = between().await;
        let (mut client, mut served) = asked(&proxy, &backend, GET, 0).await;
        client.socket.shutdown().await.unwrap();
        sleep(Duration::from_secs(slow)).await;
        served.answer("late but there").await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.ends_with("late but there"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_such_a_client_may_take_its_time_as_long_as_it_moves() {
    let (backend, proxy) = between().await;
    let (mut client, mut served) = asked(&proxy, &backend, GET, 0).await;
    client.socket.shutdown().await.unwrap();
    served
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.head().await;
    for _ in 0..5 {
        sleep(Duration::from_secs(8)).await;
        served.send("4\r\nbody\r\n").await;
        assert_eq!(client.chunk().await, "body");
    }
    in_slow_motion();
    assert_eq!(served.rest().await, b"", "it stands still");
}

#[tokio::test(start_paused = true)]
async fn such_a_client_is_not_waited_for_for_ever() {
    in_slow_motion();
    for behind in [0, 1] {
        let (backend, proxy) = between().await;
        let (mut client, mut served) = asked(&proxy, &backend, GET, behind).await;
        client.socket.shutdown().await.unwrap();
        let began = Instant::now();
        assert_eq!(served.rest().await, b"");
        assert!(
            began.elapsed() >= Duration::from_secs(9),
            "{:?}",
            began.elapsed()
        );
        assert_eq!(client.rest().await, b"");
    }
}

#[tokio::test]
async fn such_a_client_is_gone_at_once_where_it_is_so_configured() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[timeouts]\nhalf_closed = \"off\"")
        .start()
        .await;
    let (mut client, mut served) = asked(&proxy, &backend, GET, 1).await;
    client.socket.shutdown().await.unwrap();
    assert_eq!(served.rest().await, b"");
}

#[tokio::test]
async fn over_tls_a_client_has_gone_when_it_says_so_or_its_socket_does() {
    let authority = Authority::new();
    let certificate = authority.certify(&["localhost"]);
    let tls = TlsClient::trusting(&authority);
    for says_so in [true, false] {
        let backend = RawBackend::listen();
        let proxy = Proxy::fronting_addresses([backend.address])
            .listener(&certificate.on_listener())
            .start()
            .await;
        let mut client = tls.connect(proxy.address, "localhost").await;
        client.send(handshake("/", &[])).await;
        client.send("x").await;
        client.socket.flush().await.unwrap();
        let mut served = backend.accept().await;
        served.head().await;
        if says_so {
            client.socket.get_mut().1.send_close_notify();
            client.socket.flush().await.unwrap();
            assert_eq!(served.rest().await, b"");
        } else {
            drop(client);
            assert_eq!(served.rest().await, b"");
        }
    }
}

#[tokio::test]
async fn a_tunnel_over_tls_gets_what_was_sent_behind_its_handshake() {
    let authority = Authority::new();
    let certificate = authority.certify(&["localhost"]);
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .listener(&certificate.on_listener())
        .start()
        .await;
    let tls = TlsClient::trusting(&authority);
    let mut client = tls.connect(proxy.address, "localhost").await;
    client.send(handshake("/", &[])).await;
    let message = crate::support::frame(0x82, &[7; 50_000], longwire::websocket::Role::Client);
    client.send(&message).await;
    let mut served = backend.accept().await;
    served.grant_websocket().await;
    client.head().await;
    client.socket.flush().await.unwrap();
    let frame = served.frame().await.unwrap();
    assert_eq!(frame.payload, [7; 50_000]);
}
