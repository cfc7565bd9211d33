//! Plain HTTP passes as it is, streaming both ways.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    time::{Instant, sleep},
};

use crate::support::{Proxy, Raw, RawBackend, header, narrow_client};

/// More than all buffers on the way take together.
const MUCH: usize = 48 << 20;

async fn between() -> (RawBackend, Proxy) {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    (backend, proxy)
}

async fn asked(client: &mut Raw, backend: &RawBackend, request: &str) -> (Raw, String) {
    client.send(request).await;
    let mut served = backend.accept().await;
    let head = served.head().await;
    (served, head)
}

#[tokio::test]
async fn a_response_passes_chunk_by_chunk() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;

    served
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    client.head().await;
    for chunk in ["one", "two", "three"] {
        served
            .send(format!("{:x}\r\n{chunk}\r\n", chunk.len()))
            .await;
        assert_eq!(client.chunk().await, chunk);
    }
    served.send("0\r\n\r\n").await;
    assert_eq!(client.chunk().await, "");
}

#[tokio::test]
async fn a_request_passes_chunk_by_chunk() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let post = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, post).await;

    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    for chunk in ["one", "two", "three"] {
        client
            .send(format!("{:x}\r\n{chunk}\r\n", chunk.len()))
            .await;
        assert_eq!(served.chunk().await, chunk);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(served.chunk().await, "");
}

#[tokio::test]
async fn a_get_may_have_a_chunked_body() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n\
               5\r\nquery\r\n0\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, get).await;

    assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
    assert_eq!(served.chunk().await, "query");
    assert_eq!(served.chunk().await, "");
    served.answer("found").await;
    assert!(client.message().await.ends_with("found"));
}

#[tokio::test]
async fn server_sent_events_arrive_at_once() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET /events HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;

    // The end of the connection is the end of the events.
    served
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        .await;
    client.head().await;
    for event in ["data: 1\n\n", "data: 2\n\n", ": a comment\n\n"] {
        served.send(event).await;
        assert_eq!(client.chunk().await, event);
    }
    drop(served);
    assert_eq!(client.chunk().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_long_poll_is_held_open() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET /poll HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;

    sleep(Duration::from_secs(110)).await;
    served.answer("news").await;
    assert!(client.message().await.ends_with("\r\n\r\nnews"));
}

#[tokio::test]
async fn a_client_that_reads_slowly_holds_the_backend_back() {
    let backend = RawBackend::with_small_buffers().await;
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = narrow_client(proxy.address).await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;
    served
        .send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {ENDLESS}\r\n\r\n"
        ))
        .await;
    client.head().await;

    let poured = pour(served);
    let waiting = once_stuck(&poured).await;
    assert!(waiting < MUCH, "{waiting} bytes wait for the client");
    client.bytes(waiting + 1).await;
}

#[tokio::test]
async fn a_backend_that_reads_slowly_holds_the_client_back() {
    let backend = RawBackend::with_small_buffers().await;
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = narrow_client(proxy.address).await;
    let put = format!("PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: {ENDLESS}\r\n\r\n");
    let (mut served, _) = asked(&mut client, &backend, &put).await;

    let poured = pour(client);
    let waiting = once_stuck(&poured).await;
    assert!(waiting < MUCH, "{waiting} bytes wait for the backend");
    served.bytes(waiting + 1).await;
}

const ENDLESS: usize = 1 << 40;

/// Sends without end, and counts what was taken.
fn pour(mut from: Raw) -> Arc<AtomicUsize> {
    let poured = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&poured);
    tokio::spawn(async move {
        while let Ok(taken) = from.socket.write(&[b'x'; 64 * 1024]).await {
            count.fetch_add(taken, Relaxed);
        }
    });
    poured
}

/// How much was poured when nothing more is taken, or that it was too much.
async fn once_stuck(poured: &AtomicUsize) -> usize {
    let (mut before, mut unchanged) = (0, 0);
    while unchanged < 1000 && before < MUCH {
        tokio::task::yield_now().await;
        let now = poured.load(Relaxed);
        unchanged = if now == before { unchanged + 1 } else { 0 };
        before = now;
    }
    before
}

#[tokio::test]
async fn the_answer_to_a_head_has_a_length_but_no_body() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let request = "HEAD / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, request).await;
    assert!(head.starts_with("HEAD / HTTP/1.1\r\n"), "{head}");

    served
        .send("HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n")
        .await;
    let answer = client.head().await;
    assert_eq!(header(&answer, "content-length"), Some("1234"));

    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    served.head().await;
    served.answer("body").await;
    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn trailers_of_a_request_pass() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let post = "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\
                Trailer: x-checksum\r\n\r\n4\r\nbody\r\n0\r\nx-checksum: 42\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, post).await;

    assert_eq!(header(&head, "trailer"), Some("x-checksum"));
    assert_eq!(served.chunk().await, "body");
    assert_eq!(served.chunk().await, "");
    assert_eq!(served.line().await, "x-checksum: 42");
    assert_eq!(served.line().await, "");
}

#[tokio::test]
async fn trailers_of_a_response_pass_to_a_client_that_takes_them() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\nTE: trailers, deflate\r\nConnection: te\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, get).await;
    assert_eq!(header(&head, "te"), Some("trailers"));
    assert_eq!(header(&head, "connection"), Some("te"));

    served.send(WITH_TRAILERS).await;
    client.head().await;
    assert_eq!(client.chunk().await, "body");
    assert_eq!(client.chunk().await, "");
    assert_eq!(client.line().await, "x-checksum: 42");
}

#[tokio::test]
async fn trailers_of_a_response_do_not_pass_to_a_client_that_did_not_ask() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, get).await;
    assert_eq!(header(&head, "te"), None);

    served.send(WITH_TRAILERS).await;
    client.head().await;
    assert_eq!(client.chunk().await, "body");
    assert_eq!(client.chunk().await, "");
    assert_eq!(client.line().await, "");
}

const WITH_TRAILERS: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
    Trailer: x-checksum\r\n\r\n4\r\nbody\r\n0\r\nx-checksum: 42\r\n\r\n";

const EXPECTING: &str =
    "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn a_client_is_told_to_continue_when_the_backend_asks() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let began = Instant::now();
    let (mut served, head) = asked(&mut client, &backend, EXPECTING).await;
    assert_eq!(header(&head, "expect"), Some("100-continue"));

    served.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "nobody's patience was tried"
    );
    client.send("body").await;
    assert_eq!(served.bytes(4).await, b"body");
    served.answer("thanks").await;
    assert!(client.message().await.ends_with("thanks"));
}

#[tokio::test(start_paused = true)]
async fn hints_before_continue_do_no_harm() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let began = Instant::now();
    let (mut served, _) = asked(&mut client, &backend, EXPECTING).await;

    served
        .send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        .await;
    served.send("HTTP/1.1 102 Processing\r\n\r\n").await;
    served.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(
        began.elapsed(),
        Duration::ZERO,
        "nobody's patience was tried"
    );
    client.send("body").await;
    assert_eq!(served.bytes(4).await, b"body");
    served.answer("thanks").await;
    assert!(client.message().await.ends_with("thanks"));
}

#[tokio::test(start_paused = true)]
async fn a_backend_may_refuse_a_body_unseen() {
    for refusal in ["417 Expectation Failed", "401 Unauthorized"] {
        let (backend, proxy) = between().await;
        let mut client = proxy.raw().await;
        let (mut served, _) = asked(&mut client, &backend, EXPECTING).await;

        served
            .send(format!("HTTP/1.1 {refusal}\r\nContent-Length: 2\r\n\r\n"))
            .await;
        let answer = client.head().await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {refusal}")),
            "{answer}"
        );
        assert_eq!(header(&answer, "connection"), Some("close"));
        // Longer than anybody is kept waiting for a 100.
        sleep(Duration::from_secs(5)).await;
        served.send("no").await;
        assert_eq!(client.rest().await, b"no");
        assert_eq!(served.rest().await, b"", "the body was never sent");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_knows_no_continue_gets_the_body_after_a_while() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let began = Instant::now();
    let (mut served, _) = asked(&mut client, &backend, EXPECTING).await;

    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_eq!(began.elapsed().as_secs(), 1);
    client.send("body").await;
    assert_eq!(served.bytes(4).await, b"body");
    served.answer("thanks").await;
    assert!(client.message().await.ends_with("thanks"));
}

#[tokio::test]
async fn a_client_that_does_not_wait_for_continue_is_served_too() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let whole = format!("{EXPECTING}body");
    let (mut served, _) = asked(&mut client, &backend, &whole).await;

    served.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(served.bytes(4).await, b"body");
    served.answer("thanks").await;
    assert_eq!(client.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    assert!(client.message().await.ends_with("thanks"));
}

#[tokio::test]
async fn nobody_is_told_to_continue_with_what_we_refuse() {
    let (backend, proxy) = between().await;
    backend.has_no_more_visitors().await;
    let refused = Proxy::fronting_addresses([backend.address])
        .route("path = \"/elsewhere\"")
        .start()
        .await;
    drop(proxy);
    let mut client = refused.raw().await;

    client.send(EXPECTING).await;
    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
    assert_eq!(client.rest().await, b"");
}

#[tokio::test]
async fn hints_before_an_answer_do_no_harm() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;

    served
        .send("HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n")
        .await;
    served.answer("the page").await;
    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("the page"), "{answer}");
}

#[tokio::test]
async fn a_client_of_http_1_0_is_served() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET /old HTTP/1.0\r\n\r\n";
    let (mut served, head) = asked(&mut client, &backend, get).await;
    assert!(head.starts_with("GET /old HTTP/1.1\r\n"), "{head}");
    assert!(header(&head, "host").is_some(), "{head}");

    served
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n")
        .await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert_eq!(header(&answer, "transfer-encoding"), None);
    assert_eq!(client.rest().await, b"body", "its end is the connection's");
}

#[tokio::test(start_paused = true)]
async fn a_client_of_http_1_0_can_expect_no_continue() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let put = "PUT / HTTP/1.0\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nbody";
    let (mut served, head) = asked(&mut client, &backend, put).await;

    assert_eq!(header(&head, "expect"), None);
    assert_eq!(served.bytes(4).await, b"body");
    served.answer("thanks").await;
    assert!(client.message().await.starts_with("HTTP/1.0 200"));
}

#[tokio::test]
async fn a_backend_of_http_1_0_is_no_concern_of_the_clients() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;

    served.send("HTTP/1.0 200 OK\r\n\r\nold news").await;
    drop(served);
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(client.chunk().await, "old news");
    assert_eq!(client.chunk().await, "");
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order_on_one_connection() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let pipelined: String = ["/1", "/2", "/3"]
        .map(|path| format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .concat();

    client.send(pipelined).await;
    let mut served = backend.accept().await;
    for path in ["/1", "/2", "/3"] {
        let head = served.head().await;
        let asked_for = head.split(' ').nth(1).unwrap();
        assert_eq!(asked_for, path);
        served.answer(asked_for).await;
    }
    for path in ["/1", "/2", "/3"] {
        assert!(client.message().await.ends_with(&format!("\r\n\r\n{path}")));
    }
}

#[tokio::test]
async fn a_backend_notices_that_a_client_has_left_amidst_the_response() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;
    served
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await;
    client.head().await;
    assert_eq!(client.chunk().await, "first");
    assert_eq!(load(&proxy), 1);

    client.reset();
    assert_eq!(served.rest().await, b"");
    assert_eq!(load(&proxy), 0);
}

#[tokio::test]
async fn a_backend_notices_that_a_client_has_left_before_the_answer() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut served, _) = asked(&mut client, &backend, get).await;
    assert_eq!(load(&proxy), 1);

    client.reset();
    assert_eq!(served.rest().await, b"");
    assert_eq!(load(&proxy), 0);
}

/// What the backend is counted to have to do.
fn load(proxy: &Proxy) -> usize {
    proxy.pools[0].backends()[0].load()
}

#[tokio::test]
async fn a_backend_notices_that_a_client_has_left_amidst_its_request() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf";
    let (mut served, _) = asked(&mut client, &backend, put).await;

    drop(client);
    assert_eq!(served.rest().await, b"half");
    assert_eq!(load(&proxy), 0);
}

#[tokio::test]
async fn a_refusal_amidst_an_upload_arrives() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf";
    let (mut served, _) = asked(&mut client, &backend, put).await;
    assert_eq!(served.bytes(4).await, b"half");

    served
        .send("HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig")
        .await;
    drop(served);
    let answer = client.message().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.ends_with("big"), "{answer}");
}

#[tokio::test]
async fn an_answer_may_overtake_the_request() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    let put = "PUT / HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf";
    let (mut served, _) = asked(&mut client, &backend, put).await;
    assert_eq!(served.bytes(4).await, b"half");

    served.answer("enough").await;
    assert!(client.message().await.ends_with("enough"));
    // The connection to the backend is not clean yet, so another request takes another.
    let mut other = proxy.raw().await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut second, _) = asked(&mut other, &backend, get).await;
    second.answer("second").await;
    assert!(other.message().await.ends_with("second"));

    client.send("rest").await;
    assert_eq!(served.bytes(4).await, b"rest");
}
