//! What happens when a client or a backend fails.

use std::time::Duration;

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use crate::support::{
    Backend, Proxy, ProxyBuilder, Raw, RawBackend, Response, in_slow_motion, narrow_client,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";

async fn between() -> (RawBackend, Proxy) {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    (backend, proxy)
}

/// A proxy that has an idle connection to its backend, with that connection.
async fn with_idle_connection(
    configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder,
) -> (RawBackend, Proxy, Raw) {
    let backend = RawBackend::listen();
    let proxy = configure(Proxy::fronting_addresses([backend.address]));
    let proxy = proxy.start().await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    let mut served = backend.accept().await;
    served.head().await;
    served.answer("first").await;
    assert!(client.message().await.ends_with("first"));
    (backend, proxy, served)
}

/// The answer to `request` on a connection of its own, which says as little as that.
async fn short_answer(proxy: &Proxy, request: &str) -> String {
    let mut client = proxy.raw().await;
    client.send(request).await;
    let answer = client.message().await;
    assert!(!answer.contains("127.0.0.1"), "{answer}");
    assert!(answer.len() < 250, "{answer}");
    answer
}

#[tokio::test]
async fn what_no_route_is_for_is_not_found() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
        .route("path = \"/chat\"")
        .start()
        .await;
    let answer = short_answer(&proxy, GET).await;
    assert!(answer.starts_with("HTTP/1.1 404 Not Found\r\n"), "{answer}");
    assert!(answer.ends_with("no route for this host and path\n"));

    // The same without a body, and the connection goes on.
    let mut client = proxy.raw().await;
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    client.send(GET).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
}

#[tokio::test]
async fn backends_that_all_refuse_are_a_bad_gateway() {
    let backends = [Backend::refusing().await, Backend::refusing().await];
    let proxy = Proxy::fronting(&backends).start().await;
    let answer = short_answer(&proxy, GET).await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    assert!(answer.ends_with("\r\n\r\n502 Bad Gateway\n"), "{answer}");
}

#[tokio::test]
async fn a_backend_that_refuses_is_passed_over() {
    let dead = Backend::refusing().await;
    let live = Backend::http(|_| async { Response::new("live".into()) }).await;
    let proxy = Proxy::fronting([&dead, &live])
        .pool("balance = \"round-robin\"")
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(proxy.get("/").await.text(), "live");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_lets_nobody_in_is_a_timeout() {
    let (backend, _queue) = RawBackend::overrun().await;
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[timeouts]\nconnect = \"3s\"")
        .start()
        .await;
    let began = Instant::now();
    let answer = short_answer(&proxy, GET).await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\n504 Gateway Timeout\n"),
        "{answer}"
    );
    assert_eq!(began.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_is_a_timeout_and_is_hung_up_on() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[timeouts]\nresponse = \"7s\"")
        .start()
        .await;
    let began = Instant::now();
    let (answer, mut served) = tokio::join!(short_answer(&proxy, GET), backend.accept());
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!(began.elapsed().as_secs(), 7);
    served.head().await;
    assert_eq!(served.rest().await, b"");
}

/// A client that has begun to send a body of twelve bytes, and its backend.
async fn uploading() -> (Proxy, Raw, Raw) {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[timeouts]\nresponse = \"10s\"")
        .start()
        .await;
    let mut client = proxy.raw().await;
    client
        .send("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 12\r\n\r\n")
        .await;
    let mut served = backend.accept().await;
    served.head().await;
    (proxy, client, served)
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_moves_takes_as_long_as_it_takes() {
    let (_proxy, mut client, mut served) = uploading().await;
    for part in [b"some", b"more", b"last"] {
        sleep(Duration::from_secs(9)).await;
        client.send(part).await;
        assert_eq!(served.bytes(4).await, part);
    }
    served.answer("thanks").await;
    assert!(client.message().await.ends_with("thanks"));
}

#[tokio::test(start_paused = true)]
async fn an_upload_that_stands_still_is_the_clients_fault() {
    let (_proxy, mut client, mut served) = uploading().await;
    client.send("some").await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(served.rest().await, b"some");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_has_the_whole_upload_has_to_answer() {
    let (_proxy, mut client, mut served) = uploading().await;
    client.send("twelve bytes").await;
    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 504 "), "{answer}");
    assert_eq!(served.rest().await, b"twelve bytes");
}

#[tokio::test]
async fn idle_connections_are_used_again() {
    let (backend, proxy, mut served) = with_idle_connection(|proxy| proxy).await;
    for request in [
        GET,
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody",
    ] {
        let mut client = proxy.raw().await;
        client.send(request).await;
        served.head().await;
        if request != GET {
            assert_eq!(served.bytes(4).await, b"body");
        }
        served.answer("again").await;
        assert!(client.message().await.ends_with("again"));
    }
    backend.has_no_more_visitors().await;
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[limits]\nbackend_idle = 1")
        .start()
        .await;
    let mut both = Vec::new();
    for _ in 0..2 {
        let mut client = proxy.raw().await;
        client.send(GET).await;
        let mut served = backend.accept().await;
        served.head().await;
        both.push((client, served));
    }
    for (client, served) in &mut both {
        served.answer("done").await;
        client.message().await;
    }
    let (_, mut second) = both.pop().unwrap();
    assert_eq!(second.rest().await, b"");

    let (mut client, mut first) = both.pop().unwrap();
    client.send(GET).await;
    first.head().await;
    backend.has_no_more_visitors().await;
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_kept_for_a_while() {
    let config = "[timeouts]\nbackend_idle = \"30s\"";
    let (_backend, _proxy, mut served) = with_idle_connection(|proxy| proxy.config(config)).await;
    let began = Instant::now();
    assert_eq!(served.rest().await, b"");
    let kept = began.elapsed().as_secs();
    assert!((30..=40).contains(&kept), "{kept}");
}

#[tokio::test]
async fn a_connection_that_died_idle_hurts_no_request() {
    for request in [
        GET,
        "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody",
    ] {
        let (backend, proxy, served) = with_idle_connection(|proxy| proxy).await;
        let mut client = proxy.raw().await;
        drop(served);
        client.send(request).await;
        let mut served = backend.accept().await;
        served.head().await;
        served.answer("all is well").await;
        assert!(client.message().await.ends_with("all is well"));
    }
}

#[tokio::test]
async fn a_get_that_met_a_dying_connection_is_sent_once_more() {
    let (backend, proxy, mut served) = with_idle_connection(|proxy| proxy).await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    served.head().await;
    drop(served);

    let mut served = backend.accept().await;
    served.head().await;
    served.answer("second try").await;
    assert!(client.message().await.ends_with("second try"));
}

#[tokio::test]
async fn a_get_is_not_sent_for_ever() {
    let (backend, proxy, mut served) = with_idle_connection(|proxy| proxy).await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    served.head().await;
    drop(served);
    backend.accept().await.head().await;

    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    backend.has_no_more_visitors().await;
}

#[tokio::test]
async fn a_request_that_may_have_been_served_is_not_sent_again() {
    let post = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\n\r\nbody";
    for request in [post, put] {
        let (backend, proxy, mut served) = with_idle_connection(|proxy| proxy).await;
        let mut client = proxy.raw().await;
        client.send(request).await;
        served.head().await;
        drop(served);

        let answer = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
        backend.has_no_more_visitors().await;
    }
}

#[tokio::test]
async fn a_backend_that_hangs_up_on_a_fresh_connection_is_a_bad_gateway() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    backend.accept().await.head().await;

    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    backend.has_no_more_visitors().await;
}

#[tokio::test]
async fn what_one_backend_may_have_served_is_not_sent_to_another() {
    let backends = [RawBackend::listen(), RawBackend::listen()];
    let addresses = backends.each_ref().map(|backend| backend.address);
    let proxy = Proxy::fronting_addresses(addresses).start().await;
    let mut client = proxy.raw().await;
    client.send(GET).await;
    let mut served = tokio::select! {
        served = backends[0].accept() => served,
        served = backends[1].accept() => served,
    };
    served.head().await;
    drop(served);

    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    for backend in backends {
        backend.has_no_more_visitors().await;
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_does_not_look_whole() {
    for framing in ["Content-Length: 90", "Transfer-Encoding: chunked"] {
        let (backend, proxy) = between().await;
        let mut client = proxy.raw().await;
        client.send(GET).await;
        let mut served = backend.accept().await;
        served.head().await;
        served
            .send(format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n4\r\nhalf\r\n"))
            .await;
        let head = client.head().await;
        drop(served);
        let body = String::from_utf8(client.rest().await).unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        assert_eq!(body, "4\r\nhalf\r\n", "without an end");
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_client_is_let_go() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
        .config("[timeouts]\nrequest_head = \"20s\"")
        .start()
        .await;
    let began = Instant::now();
    assert_eq!(proxy.raw().await.rest().await, b"");
    assert_eq!(began.elapsed().as_secs(), 20);

    let mut client = proxy.raw().await;
    client.send(GET).await;
    client.message().await;
    let began = Instant::now();
    assert_eq!(client.rest().await, b"");
    assert_eq!(began.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_drags_its_head_out_is_let_go() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
        .config("[timeouts]\nrequest_head = \"20s\"")
        .start()
        .await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n").await;
    for _ in 0..4 {
        sleep(Duration::from_secs(4)).await;
        client.send("X-Slow: 1\r\n").await;
    }
    let began = Instant::now();
    assert_eq!(client.rest().await, b"");
    assert_eq!(began.elapsed().as_secs(), 4, "the bytes bought no time");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_of_its_response_is_cut() {
    in_slow_motion();
    let backend = RawBackend::with_small_buffers().await;
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = narrow_client(proxy.address).await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut connection = backend.accept().await;
    connection.head().await;
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n";
    connection.send(head).await;

    let begin = Instant::now();
    while connection.socket.write_all(&[7; 10_000]).await.is_ok() {}
    let waited = begin.elapsed().as_secs();
    assert!((30..35).contains(&waited), "cut after {waited} s");
}
