//! Other protocols than WebSocket, where a route lets connections switch to them.

use std::time::Duration;

use longwire::{config::Intent, pool::standing::State};
use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use crate::support::{Pair, Proxy, ProxyBuilder, RawBackend, header, in_slow_motion};

/// What `docker exec` asks for, with a body.
const EXEC: &str = "POST /exec/17/start HTTP/1.1\r\nHost: test\r\nConnection: Upgrade\r\n\
                    Upgrade: tcp\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n\
                    {\"Detach\":false";

/// What the daemon answers.
const UPGRADED: &str = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\
                        Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n";

fn allowing(proxy: ProxyBuilder) -> ProxyBuilder {
    proxy.route("upgrades = [\"tcp\", \"spdy/3.1\"]")
}

fn draining_at_once(proxy: ProxyBuilder) -> ProxyBuilder {
    allowing(proxy).pool("drain.over = \"1s\"")
}

/// A client whose request to switch was granted.
async fn switched(configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> Pair {
    let mut pair = Pair::asking_through(configure, EXEC).await;
    assert_eq!(pair.backend.bytes(15).await, b"{\"Detach\":false");
    pair.backend.send(UPGRADED).await;
    let answer = pair.client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    pair
}

/// Whether a backend that was asked for this got it as a plain request, which it has answered.
async fn is_plain(request: &str) -> bool {
    let mut pair = Pair::asking_through(allowing, request).await;
    assert_eq!(header(&pair.asked, "upgrade"), None, "{}", pair.asked);
    pair.backend.answer("plain").await;
    pair.client.response().await.1 == "plain"
}

#[tokio::test(start_paused = true)]
async fn a_request_with_a_body_switches_and_then_any_bytes_pass_both_ways() {
    let mut pair = Pair::asking_through(allowing, EXEC).await;
    // What comes behind the request is no part of it.
    pair.client.send(b"\x88\x80too early").await;
    assert!(pair.asked.starts_with("POST /exec/17/start HTTP/1.1\r\n"));
    assert_eq!(header(&pair.asked, "upgrade"), Some("tcp"));
    assert_eq!(header(&pair.asked, "connection"), Some("Upgrade"));
    assert_eq!(header(&pair.asked, "content-length"), Some("15"));
    assert_eq!(pair.backend.bytes(15).await, b"{\"Detach\":false");
    assert!(pair.backend.is_silent().await, "it has not switched yet");

    pair.backend.send(UPGRADED).await;
    let answer = pair.client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(header(&answer, "upgrade"), Some("tcp"));
    let kind = header(&answer, "content-type");
    assert_eq!(kind, Some("application/vnd.docker.raw-stream"));
    assert_eq!(pair.backend.bytes(11).await, b"\x88\x80too early");
    pair.backend.send(b"\x01\0\0\0\0\0\0\x02ok").await;
    assert_eq!(pair.client.bytes(10).await, b"\x01\0\0\0\0\0\0\x02ok");
    assert_eq!(pair.proxy.registry.len(), 1);

    // The end of the input is not that of the output.
    pair.client.socket.shutdown().await.unwrap();
    assert_eq!(pair.backend.rest().await, b"");
    pair.backend.send("done").await;
    assert_eq!(pair.client.bytes(4).await, b"done");
    drop(pair.backend);
    assert_eq!(pair.client.rest().await, b"");
    pair.proxy.registry.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn protocols_are_compared_without_regard_to_case_and_need_no_body() {
    let request = "POST /attach HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\
                   Connection: upgrade\r\nUpgrade: SPDY/3.1\r\n\r\n";
    let mut pair = Pair::asking_through(allowing, request).await;
    assert_eq!(header(&pair.asked, "upgrade"), Some("SPDY/3.1"));
    let answer = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
                  Upgrade: SPDY/3.1\r\n\r\n\x01\x03";
    pair.backend.send(answer).await;
    let answer = pair.client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(pair.client.bytes(2).await, b"\x01\x03");
}

#[tokio::test(start_paused = true)]
async fn a_chunked_body_is_whole_before_a_backend_is_asked() {
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\
                Connection: Upgrade\r\nUpgrade: tcp\r\n\r\n4\r\nhalf\r\n";
    in_slow_motion();
    let backend = RawBackend::listen();
    let proxy = allowing(Proxy::fronting_addresses([backend.address]));
    let proxy = proxy.start().await;
    let mut client = proxy.raw().await;
    client.send(head).await;
    sleep(Duration::from_secs(1)).await;
    backend.has_no_more_visitors().await;
    client.send("5\r\n more\r\n0\r\n\r\nbehind").await;

    let mut backend = backend.accept().await;
    let asked = backend.head().await;
    assert_eq!(header(&asked, "content-length"), Some("9"));
    assert_eq!(header(&asked, "transfer-encoding"), None);
    assert_eq!(backend.bytes(9).await, b"half more");
    assert!(backend.is_silent().await);
    backend.send(UPGRADED).await;
    assert_eq!(backend.bytes(6).await, b"behind");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_long_to_be_kept_is_refused() {
    in_slow_motion();
    let backend = RawBackend::listen();
    let proxy = allowing(Proxy::fronting_addresses([backend.address]));
    let proxy = proxy.start().await;
    let mut client = proxy.raw().await;
    let head = EXEC.replace("Content-Length: 15", "Content-Length: 70000");
    client.send(head + &"x".repeat(70_000)).await;
    let (answer, _) = client.response().await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    backend.has_no_more_visitors().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_route_allows_is_a_plain_request() {
    for (what, other) in [
        ("Upgrade: tcp", "Upgrade: h2c"),
        ("Upgrade: tcp", "Upgrade: tcp/2"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("POST", "PUT"),
        ("Connection: Upgrade", "Connection: keep-alive"),
    ] {
        assert!(is_plain(&EXEC.replace(what, other)).await, "{other}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_switches_to_something_else_has_failed() {
    for (what, other) in [
        ("Upgrade: tcp", "Upgrade: spdy/3.1"),
        ("Upgrade: tcp", "Upgrade: tcp, tcp"),
        ("Upgrade: tcp\r\n", ""),
        ("Connection: Upgrade\r\n", ""),
    ] {
        let mut pair = Pair::asking_through(allowing, EXEC).await;
        pair.backend.bytes(15).await;
        pair.backend.send(UPGRADED.replace(what, other)).await;
        let (answer, _) = pair.client.response().await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{other}: {answer}");
        assert_eq!(pair.backend.rest().await, b"");
    }
}

#[tokio::test(start_paused = true)]
async fn any_other_answer_is_the_clients() {
    let mut pair = Pair::asking_through(allowing, EXEC).await;
    pair.backend.bytes(15).await;
    pair.backend.answer("not upgraded").await;
    let (answer, body) = pair.client.response().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(body, "not upgraded");
}

#[tokio::test(start_paused = true)]
async fn peers_that_speak_another_protocol_are_never_pinged() {
    let quiet = |proxy: ProxyBuilder| {
        allowing(proxy).config("[keepalive]\ninterval = \"1s\"\ntimeout = \"1s\"\n")
    };
    let mut pair = switched(quiet).await;
    sleep(Duration::from_secs(10)).await;
    assert!(pair.client.is_silent().await && pair.backend.is_silent().await);
    assert_eq!(pair.proxy.registry.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_drain_ends_the_output_and_passes_on_what_the_client_still_says() {
    let mut pair = switched(draining_at_once).await;
    pair.backend.send("before").await;
    assert_eq!(pair.client.bytes(6).await, b"before");
    let pool = &pair.proxy.pools[0];
    pool.intend(&pool.backends()[0], Intent::Draining);

    assert_eq!(pair.client.rest().await, b"", "no Close among its bytes");
    pair.client.send("last words").await;
    pair.client.socket.shutdown().await.unwrap();
    assert_eq!(pair.backend.rest().await, b"last words");
    pair.proxy.registry.emptied().await;
    assert_eq!(pair.proxy.registry.told().told[0], ("drain", 1));
}

#[tokio::test(start_paused = true)]
async fn a_drain_cuts_those_who_do_not_end() {
    let mut pair = switched(draining_at_once).await;
    let pool = &pair.proxy.pools[0];
    pool.intend(&pool.backends()[0], Intent::Draining);
    assert_eq!(pair.client.rest().await, b"");
    assert_eq!(pair.backend.rest().await, b"");
    pair.proxy.registry.emptied().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_ends_what_it_has_to_say_is_not_lost() {
    in_slow_motion();
    let backends = [RawBackend::listen(), RawBackend::listen()];
    let proxy = Proxy::fronting_addresses(backends.each_ref().map(|backend| backend.address));
    let proxy = allowing(proxy).pool("balance = \"round-robin\"\nejection.early_loss = \"1m\"");
    let proxy = proxy.start().await;
    for _ in 0..40 {
        let mut client = proxy.raw().await;
        client.send(EXEC).await;
        let [one, other] = &backends;
        let mut backend = tokio::select! {
            backend = one.accept() => backend,
            backend = other.accept() => backend,
        };
        backend.head().await;
        backend.bytes(15).await;
        backend.send(UPGRADED).await;
        drop(backend);
        client.head().await;
        assert_eq!(client.rest().await, b"");
    }
    let now = Instant::now();
    for member in proxy.pools[0].backends() {
        assert_eq!(member.state(now), State::Ready);
    }
}
