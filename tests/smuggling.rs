//! No request can be read by a backend otherwise than by us.

use crate::support::{Proxy, Raw, RawBackend, header, headers};

/// A request behind which another hides.
const HIDDEN: &str = "GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";

async fn between() -> (RawBackend, Proxy) {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    (backend, proxy)
}

/// Asserts that a request gets this status and the end of its connection, and no backend hears
/// of it.
async fn is_refused(status: u16, request: &str) {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;

    client.send(format!("{request}{HIDDEN}")).await;
    let said = client.rest().await;
    let said = String::from_utf8_lossy(&said);

    let answered = said.split(' ').nth(1);
    let expected = status.to_string();
    assert_eq!(answered, Some(expected.as_str()), "{request:?}: {said:?}");
    assert_eq!(said.matches("HTTP/1.").count(), 1, "{request:?}: {said:?}");
    backend.has_no_more_visitors().await;
}

async fn are_refused(status: u16, requests: &[&str]) {
    for request in requests {
        is_refused(status, request).await;
    }
}

#[tokio::test]
async fn a_request_has_one_host() {
    are_refused(
        400,
        &[
            "GET / HTTP/1.1\r\nHost: test\r\nHost: test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nHost: other\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: test\r\nHost: other\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test/path\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: user@test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test:abc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test:65536\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test:+80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test:80:80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: :80\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [::1]:abc\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: [test]\r\n\r\n",
            "GET / HTTP/1.0\r\nHost: test:abc\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_target_is_where_its_host_says() {
    are_refused(
        400,
        &[
            "GET http://elsewhere/ HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET http://test:81/ HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET http://me@test/ HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET http://elsewhere/ HTTP/1.0\r\n\r\n",
            "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_head_has_one_reading() {
    are_refused(
        400,
        &[
            "GET / HTTP/1.1\r\nHost: test\r\nX-Nul: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nX-Return: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nX-Folded: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nX-Space : a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nContent-Length : 5\r\n\r\nhello",
            "GET / HTTP/1.1\r\n Host: test\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: test\r\nno colon\r\n\r\n",
            "GET /a b HTTP/1.1\r\nHost: test\r\n\r\n",
            "GET / HTTP/3.1\r\nHost: test\r\n\r\n",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_body_has_one_length() {
    are_refused(
        400,
        &[
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5, 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: +5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: -5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0x5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 5 5\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length:\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 18446744073709551621\r\n\r\nhello",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_transfer_coding_is_exactly_chunked() {
    let coded = |lines: &str| {
        format!("POST / HTTP/1.1\r\nHost: test\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    };
    for lines in [
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunkedx",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: identity",
        "Transfer-Encoding: chunked, gzip",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding: \x0bchunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: \"chunked\"",
        "Transfer-Encoding:",
    ] {
        is_refused(400, &coded(lines)).await;
    }
    for lines in [
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: , chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
    ] {
        is_refused(501, &coded(lines)).await;
    }
}

#[tokio::test]
async fn http_1_0_has_no_transfer_codings() {
    is_refused(
        400,
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    )
    .await;
}

#[tokio::test]
async fn a_chunk_that_is_none_ends_both_connections() {
    for chunk in [
        "x\r\n",
        "-1\r\n",
        "+5\r\nhello\r\n",
        "0x5\r\nhello\r\n",
        "5\nhello\r\n",
        "5 5\r\nhello\r\n",
        "11111111111111111\r\n",
        "5\r\nhelloX\r\n",
        "\r\n",
    ] {
        let (backend, proxy) = between().await;
        let mut client = proxy.raw().await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{HIDDEN}"
            ))
            .await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{chunk:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{chunk:?}: {answer}");

        let heard = String::from_utf8(backend.accept().await.rest().await).unwrap();
        assert!(!heard.contains("hidden"), "{chunk:?}: {heard}");
        assert!(
            !heard.ends_with("0\r\n\r\n"),
            "{chunk:?} ended well: {heard}"
        );
        backend.has_no_more_visitors().await;
    }
}

#[tokio::test]
async fn chunked_beside_a_length_is_chunked_alone_and_the_last_request_of_its_connection() {
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Content-Length: 4\r\nTransfer-Encoding: Chunked\r\nContent-Length: 7",
    ] {
        let (backend, proxy) = between().await;
        let mut client = proxy.raw().await;
        client
            .send(format!(
                "POST / HTTP/1.1\r\nHost: test\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n{HIDDEN}"
            ))
            .await;
        let mut served = backend.accept().await;
        let head = served.head().await;
        assert_eq!(header(&head, "transfer-encoding"), Some("chunked"));
        assert!(headers(&head, "content-length").is_empty(), "{head}");
        assert_eq!(served.chunk().await, "hello");
        assert_eq!(served.chunk().await, "");
        assert_eq!(served.line().await, "");
        served.answer("done").await;

        let answer = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_eq!(header(&answer, "connection"), Some("close"));
        assert_eq!(
            client.rest().await,
            b"",
            "the hidden request is not answered"
        );

        let mut next = proxy.raw().await;
        next.send("GET /next HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let head = served.head().await;
        assert!(head.starts_with("GET /next "), "{head}");
        backend.has_no_more_visitors().await;
    }
}

/// What a client gets of a backend's answer, and the backend's side afterwards.
async fn answered(answer: &str) -> (String, Raw) {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut served = backend.accept().await;
    served.head().await;
    served.send(answer).await;
    let got = client.message().await;
    // The proxy lives on for as long as this connection is of use to it.
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut fresh = backend.accept().await;
    fresh.head().await;
    fresh.answer("fresh").await;
    assert!(client.message().await.ends_with("fresh"));
    (got, served)
}

#[tokio::test]
async fn an_answer_that_could_be_read_in_two_ways_is_none() {
    for lines in [
        "Transfer-Encoding: chunked\r\nContent-Length: 4",
        "Content-Length: 4\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "X-Folded: a\r\n b",
        "X-Nul: a\0b",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        let (got, mut served) = answered(&answer).await;
        assert!(got.starts_with("HTTP/1.1 502 "), "{lines:?}: {got}");
        assert!(!got.contains("hello"), "{lines:?}: {got}");
        assert_eq!(served.rest().await, b"", "{lines:?}: it is closed");
    }
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_no_answer() {
    let (got, mut served) = answered(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhidden",
    )
    .await;
    assert!(got.starts_with("HTTP/1.1 502 "), "{got}");
    assert_eq!(served.rest().await, b"");
}

#[tokio::test]
async fn a_second_answer_to_one_request_reaches_nobody() {
    let (backend, proxy) = between().await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut served = backend.accept().await;
    served.head().await;
    served
        .send(
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nfirst\
             HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecond",
        )
        .await;
    assert!(client.message().await.ends_with("first"));
    assert_eq!(
        served.rest().await,
        b"",
        "that backend's connection is closed"
    );

    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut fresh = backend.accept().await;
    fresh.head().await;
    fresh.answer("third").await;
    assert!(client.message().await.ends_with("third"));
}

#[tokio::test]
async fn a_head_has_its_limits() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address])
        .config("[limits]\nrequest_head = \"8KiB\"\nrequest_headers = 10")
        .start()
        .await;
    let long = format!("X-Long: {}\r\n", "x".repeat(9000));
    let many = "X-Many: 1\r\n".repeat(10);
    for lines in [long, many] {
        let mut client = proxy.raw().await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: test\r\n{lines}\r\n"))
            .await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    backend.has_no_more_visitors().await;
}

#[tokio::test]
async fn a_client_cannot_nominate_what_is_meant_for_the_backend() {
    for names in [
        "Authorization",
        "close, Cookie",
        "Host",
        "content-length",
        "Origin",
        "Sec-WebSocket-Key",
        "Sec-WebSocket-Protocol",
    ] {
        let get = format!("GET / HTTP/1.1\r\nHost: test\r\nConnection: {names}\r\n\r\n");
        is_refused(400, &get).await;
        let handshake = format!(
            "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nConnection: Upgrade, {names}\r\n\r\n"
        );
        is_refused(400, &handshake).await;
    }
}

#[tokio::test]
async fn no_method_shows_a_request_to_whoever_made_its_sender_ask() {
    for method in ["TRACE", "TRACK", "trace"] {
        let (backend, proxy) = between().await;
        let mut client = proxy.raw().await;
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nHost: test\r\nCookie: a=b\r\n\r\n"
            ))
            .await;
        let answer = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 405"), "{answer}");
        assert!(
            header(&answer, "allow").unwrap().contains("GET"),
            "{answer}"
        );
        assert!(!answer.contains("a=b"), "{answer}");
        backend.has_no_more_visitors().await;
    }
}
