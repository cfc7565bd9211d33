//! The door between HTTP and a WebSocket: who may pass, and what passes with it.

use futures_util::FutureExt;
use longwire::websocket::{Role, handshake::accept as accept_of};

use crate::support::{
    Backend, Pair, Proxy, RawBackend, all_is_quiet, frame, handshake, header, in_slow_motion,
    switching, until,
};

/// A proxy, and what its client got for `request` while no backend heard of it.
async fn refused(request: impl AsRef<[u8]>) -> String {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    client.send(request).await;
    let (head, _) = client.response().await;
    backend.has_no_more_visitors().await;
    head
}

fn is(head: &str, status: u16) -> bool {
    head.starts_with(&format!("HTTP/1.1 {status} "))
}

/// More than any buffer between client and backend holds: frames, the last of them `last`.
fn a_lot_from(sender: Role, last: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..200u8 {
        bytes.extend(frame(0x82, &[n; 5_000], sender));
    }
    bytes.extend(frame(0x81, last, sender));
    bytes
}

#[tokio::test]
async fn a_handshake_may_be_spelt_in_many_ways() {
    for change in [
        ("Connection", "upgrade"),
        ("Connection", "keep-alive, UPGRADE"),
        ("Connection", "x-one,Upgrade ,x-two"),
        ("Upgrade", "WebSocket"),
        ("Upgrade", "h2c, websocket"),
        ("Content-Length", "0"),
    ] {
        let mut pair = Pair::asking(&[change]).await;
        assert_eq!(header(&pair.asked, "upgrade"), Some("websocket"));
        assert_eq!(header(&pair.asked, "connection"), Some("Upgrade"));
        pair.backend.send(switching(&[])).await;
        let answer = pair.client.head().await;
        assert!(is(&answer, 101), "{change:?}: {answer}");
    }
}

#[tokio::test]
async fn a_bad_key_is_400_and_the_backend_sees_nothing() {
    for key in [
        "",
        "short",
        "dGhlIHNhbXBsZSBub25jZQ",
        "c2l4dGVlbiBieXRlcyBhbmQgbW9yZQ==",
    ] {
        let answer = refused(handshake("/", &[("Sec-WebSocket-Key", key)])).await;
        assert!(is(&answer, 400), "{key}: {answer}");
    }
}

#[tokio::test]
async fn a_key_whose_last_bits_say_nothing_is_passed_on_as_it_is() {
    // As RFC 6455 shows it in section 4.1, and as who draws letters may write it.
    for key in ["AQIDBAUGBwgJCgsMDQ4PEC==", "zzzzzzzzzzzzzzzzzzzzzz=="] {
        let mut pair = Pair::asking(&[("Sec-WebSocket-Key", key)]).await;
        assert_eq!(header(&pair.asked, "sec-websocket-key"), Some(key));
        let accept = accept_of(&key.parse().unwrap());
        let accept = [("Sec-WebSocket-Accept", accept.to_str().unwrap())];
        pair.backend.send(switching(&accept)).await;
        let answer = pair.client.head().await;
        assert!(is(&answer, 101), "{key}: {answer}");
        assert_eq!(header(&answer, "sec-websocket-accept"), Some(accept[0].1));
    }
}

#[tokio::test]
async fn two_keys_are_400() {
    let keys = [
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    let answer = refused(handshake("/", &keys)).await;
    assert!(is(&answer, 400), "{answer}");
}

#[tokio::test]
async fn another_version_is_426_that_names_ours() {
    for version in ["", "8", "14", "13, 8"] {
        let answer = refused(handshake("/", &[("Sec-WebSocket-Version", version)])).await;
        assert!(is(&answer, 426), "{version}: {answer}");
        assert_eq!(header(&answer, "sec-websocket-version"), Some("13"));
        assert_eq!(header(&answer, "upgrade"), Some("websocket"));
    }
}

#[tokio::test]
async fn a_handshake_with_a_body_is_400() {
    let with_length = handshake("/", &[("Content-Length", "5")]) + "Hello";
    let chunked = handshake("/", &[("Transfer-Encoding", "chunked")]) + "5\r\nHello\r\n0\r\n\r\n";
    for request in [with_length, chunked] {
        let answer = refused(&request).await;
        assert!(is(&answer, 400), "{request}: {answer}");
    }
}

#[tokio::test]
async fn what_is_glued_to_a_handshake_that_we_refuse_is_not_read() {
    let request = handshake("/", &[("Sec-WebSocket-Key", "")]);
    let answer = refused(request + "GET /smuggled HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(is(&answer, 400), "{answer}");
    assert_eq!(header(&answer, "connection"), Some("close"));
}

#[tokio::test]
async fn what_asks_for_no_websocket_goes_on_as_plain_http() {
    let plain = [
        handshake("/", &[("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]),
        handshake("/", &[("Upgrade", "websocket2")]),
        handshake("/", &[("Connection", "keep-alive")]),
        handshake("/", &[("Connection", "")]),
        handshake("/", &[]).replace("HTTP/1.1", "HTTP/1.0"),
        handshake("/", &[("Content-Length", "0")]).replace("GET", "POST"),
        handshake("/", &[]).replace("GET", "HEAD"),
    ];
    for request in plain {
        let mut pair = Pair::asking_through(|proxy| proxy, &request).await;
        assert_eq!(header(&pair.asked, "upgrade"), None, "{request}");
        assert_eq!(header(&pair.asked, "connection"), None, "{request}");

        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        pair.backend.send(answer).await;
        let answer = pair.client.head().await;
        assert!(answer.contains("200 OK"), "{request}: {answer}");
    }
}

#[tokio::test]
async fn a_101_to_a_plain_request_is_502() {
    let mut pair = Pair::asking(&[("Upgrade", "h2c")]).await;
    pair.backend.send(switching(&[("Upgrade", "h2c")])).await;
    let (answer, _) = pair.client.response().await;
    assert!(is(&answer, 502), "{answer}");
    assert_eq!(pair.backend.rest().await, b"");
}

#[tokio::test(start_paused = true)]
async fn nothing_reaches_the_backend_before_its_101_and_everything_after_it() {
    let frames = frame(0x81, b"early", Role::Client);
    let request = [handshake("/", &[]).into_bytes(), frames.clone()].concat();
    let mut pair = Pair::asking_through(|proxy| proxy, request).await;
    assert!(pair.backend.is_silent().await);

    pair.client.send(frame(0x81, b"later", Role::Client)).await;
    assert!(pair.backend.is_silent().await);

    pair.backend.send(switching(&[])).await;
    assert_eq!(pair.backend.frame().await.unwrap().payload, b"early");
    assert_eq!(pair.backend.frame().await.unwrap().payload, b"later");
}

#[tokio::test(start_paused = true)]
async fn a_lot_behind_the_handshake_waits_for_the_101_and_arrives_whole() {
    let frames = a_lot_from(Role::Client, b"last");
    let mut pair = Pair::asking(&[]).await;
    let (client, backend) = (&mut pair.client, &mut pair.backend);
    let granting = async {
        assert!(backend.is_silent().await);
        backend.send(switching(&[])).await;
        assert_eq!(backend.bytes(frames.len()).await, frames);
    };
    tokio::join!(client.send(&frames), granting);
}

#[tokio::test(start_paused = true)]
async fn a_lot_glued_to_the_handshake_arrives_whole() {
    in_slow_motion();
    let frames = a_lot_from(Role::Client, b"last");
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    let request = [handshake("/", &[]).as_bytes(), &frames].concat();
    let granting = async {
        let mut backend = backend.accept().await;
        backend.head().await;
        assert!(backend.is_silent().await);
        backend.send(switching(&[])).await;
        assert_eq!(backend.bytes(frames.len()).await, frames);
    };
    tokio::join!(client.send(request), granting);
}

#[tokio::test(start_paused = true)]
async fn what_is_glued_to_the_101_arrives_wherever_it_is_split() {
    let frames = [
        frame(0x81, b"welcome", Role::Server),
        frame(0x82, &[7; 300], Role::Server),
    ]
    .concat();
    let answer = [switching(&[]).as_bytes(), &frames].concat();
    for split in 0..=answer.len() {
        let mut pair = Pair::asking(&[]).await;
        pair.backend.send(&answer[..split]).await;
        all_is_quiet().await;
        pair.backend.send(&answer[split..]).await;
        assert!(is(&pair.client.head().await, 101));
        let arrived = pair.client.bytes(frames.len()).await;
        assert_eq!(arrived, frames, "split at {split}");
    }
}

#[tokio::test]
async fn a_lot_glued_to_the_101_arrives_whole() {
    let frames = a_lot_from(Role::Server, b"last");
    let mut pair = Pair::asking(&[]).await;
    let answer = [switching(&[]).as_bytes(), &frames].concat();
    let reading = async {
        assert!(is(&pair.client.head().await, 101));
        assert_eq!(pair.client.bytes(frames.len()).await, frames);
    };
    tokio::join!(pair.backend.send(answer), reading);
}

#[tokio::test(start_paused = true)]
async fn interim_answers_may_come_before_the_101() {
    let mut pair = Pair::asking(&[]).await;
    pair.backend.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    all_is_quiet().await;
    pair.backend
        .send("HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n")
        .await;
    pair.client.send(frame(0x81, b"early", Role::Client)).await;
    assert!(pair.backend.is_silent().await, "they are no 101");

    pair.backend.send(switching(&[])).await;
    assert!(is(&pair.client.head().await, 101));
    assert_eq!(pair.backend.frame().await.unwrap().payload, b"early");
}

#[tokio::test]
async fn a_101_that_does_not_fit_is_502_and_ends_the_backends_connection() {
    let offer = [
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ];
    for changes in [
        [("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")].as_slice(),
        &[("Sec-WebSocket-Accept", "")],
        &[("Upgrade", "")],
        &[("Upgrade", "h2c")],
        &[("Upgrade", "websocket, h2c")],
        &[("Connection", "")],
        &[("Connection", "close")],
        &[("Sec-WebSocket-Protocol", "superchat")],
        &[("Sec-WebSocket-Protocol", "chat, superchat")],
        &[("Sec-WebSocket-Extensions", "x-other")],
        &[("Sec-WebSocket-Extensions", "permessage-deflate, x-other")],
        &[("Sec-WebSocket-Extensions", "x-other; why=\"\u{e4}\"")],
    ] {
        let mut pair = Pair::asking(&offer).await;
        let forged = frame(0x81, b"forged", Role::Server);
        pair.backend.send(switching(changes)).await;
        pair.backend.send(forged).await;
        let (answer, body) = pair.client.response().await;
        assert!(is(&answer, 502), "{changes:?}: {answer}");
        assert!(!body.contains("forged"));
        assert_eq!(pair.backend.rest().await, b"", "{changes:?}");
        until(|| pair.proxy.pools[0].backends()[0].tunnels() == 0).await;
    }
}

#[tokio::test]
async fn a_101_that_chooses_what_nobody_offered_is_502() {
    for choice in [
        ("Sec-WebSocket-Protocol", "chat"),
        ("Sec-WebSocket-Extensions", "permessage-deflate"),
    ] {
        let mut pair = Pair::asking(&[]).await;
        pair.backend.send(switching(&[choice])).await;
        let (answer, _) = pair.client.response().await;
        assert!(is(&answer, 502), "{choice:?}: {answer}");
    }
}

#[tokio::test]
async fn a_backend_that_hangs_up_instead_of_answering_is_502() {
    let pair = Pair::asking(&[]).await;
    let mut client = pair.client;
    drop(pair.backend);
    let (answer, _) = client.response().await;
    assert!(is(&answer, 502), "{answer}");
}

#[tokio::test]
async fn any_other_answer_is_the_clients_and_its_connection_goes_on() {
    for (status, extra) in [
        ("200 OK", "X-Fine: yes"),
        ("302 Found", "Location: https://elsewhere.test/login?to=%2F"),
        (
            "401 Unauthorized",
            "WWW-Authenticate: Bearer realm=\"chat\"",
        ),
        ("404 Not Found", "Set-Cookie: seen=1"),
        ("426 Upgrade Required", "Sec-WebSocket-Version: 13, 8"),
        ("500 Internal Server Error", "X-Trace: 7"),
    ] {
        let mut pair = Pair::asking(&[]).await;
        let refusal =
            format!("HTTP/1.1 {status}\r\n{extra}\r\nContent-Length: 11\r\n\r\nno, because");
        pair.backend.send(refusal).await;
        let (head, body) = pair.client.response().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{head}");
        let (name, value) = extra.split_once(": ").unwrap();
        assert_eq!(header(&head, name), Some(value));
        assert_eq!(body, "no, because");

        let (client, listener) = (&mut pair.client, &pair.listener);
        client.send(handshake("/again", &[])).await;
        let mut backend = listener.accept().await;
        let asked = backend.grant_websocket().await;
        assert!(asked.starts_with("GET /again "), "{asked}");
        assert!(is(&client.head().await, 101));
        client.send(frame(0x81, b"hello", Role::Client)).await;
        assert_eq!(backend.frame().await.unwrap().payload, b"hello");
    }
}

#[tokio::test]
async fn a_refusal_may_be_chunked() {
    let mut pair = Pair::asking(&[]).await;
    let head = "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n";
    pair.backend.send(head).await;
    pair.backend.send("5\r\nnever\r\n0\r\n\r\n").await;
    let head = pair.client.head().await;
    assert!(is(&head, 403), "{head}");
    assert_eq!(pair.client.bytes(15).await, b"5\r\nnever\r\n0\r\n\r\n");
}

#[tokio::test]
async fn what_is_glued_to_a_refused_handshake_is_the_next_request_or_nothing() {
    let glued = "GET /next HTTP/1.1\r\nHost: test\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n";
    let mut pair = Pair::asking_through(|p| p, handshake("/", &[]) + glued).await;
    pair.backend
        .send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(is(&pair.client.head().await, 404));
    let mut next = pair.listener.accept().await;
    let head = next.head().await;
    assert!(head.starts_with("GET /next "), "{head}");
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(pair.backend.rest().await, b"");
}

#[tokio::test]
async fn frames_behind_a_refused_handshake_are_no_requests() {
    let frames = frame(0x81, b"hello", Role::Client);
    let request = [handshake("/", &[]).as_bytes(), &frames].concat();
    let mut pair = Pair::asking_through(|proxy| proxy, request).await;
    pair.backend
        .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert!(is(&pair.client.head().await, 200));
    assert!(is(&pair.client.head().await, 400));
    assert_eq!(pair.backend.rest().await, b"");
    pair.listener.has_no_more_visitors().await;
}

#[tokio::test]
async fn what_is_for_the_next_hop_only_does_not_pass() {
    let hops = [
        ("Connection", "upgrade, x-secret, keep-alive"),
        ("X-Secret", "for you only"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authorization", "Basic AAAA"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
    ];
    let mut pair = Pair::asking(&hops).await;
    assert_eq!(header(&pair.asked, "connection"), Some("Upgrade"));
    for (name, _) in &hops[1..] {
        assert_eq!(header(&pair.asked, name), None, "{name}");
    }

    let hops = [
        ("Connection", "upgrade, x-secret"),
        ("X-Secret", "for you only"),
        ("Keep-Alive", "timeout=5"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "5"),
    ];
    pair.backend.send(switching(&hops)).await;
    let answer = pair.client.head().await;
    assert_eq!(header(&answer, "connection"), Some("Upgrade"));
    for (name, _) in &hops[1..] {
        assert_eq!(header(&answer, name), None, "{name}: {answer}");
    }
}

#[tokio::test]
async fn what_the_application_needs_passes_both_ways() {
    let wanted = [
        ("Host", "chat.test:8080"),
        ("Origin", "https://chat.test"),
        ("Cookie", "session=1; theme=dark"),
        ("Authorization", "Bearer abc"),
        ("Sec-WebSocket-Protocol", "chat, superchat"),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; client_max_window_bits",
        ),
        ("User-Agent", "test"),
    ];
    let request = handshake("/room/1?token=a%20b&x=%2F", &wanted);
    let mut pair = Pair::asking_through(|proxy| proxy, request).await;
    let first = pair.asked.lines().next();
    assert_eq!(first, Some("GET /room/1?token=a%20b&x=%2F HTTP/1.1"));
    for (name, value) in wanted {
        assert_eq!(header(&pair.asked, name), Some(value));
    }

    let chosen = [
        ("Sec-WebSocket-Protocol", "superchat"),
        (
            "Sec-WebSocket-Extensions",
            "permessage-deflate; server_max_window_bits=10",
        ),
        ("Set-Cookie", "seen=1; Path=/"),
        ("X-Server", "seven"),
    ];
    pair.backend.send(switching(&chosen)).await;
    let answer = pair.client.head().await;
    for (name, value) in chosen {
        assert_eq!(header(&answer, name), Some(value));
    }
}

#[tokio::test]
async fn the_backend_is_told_who_the_client_is() {
    let forged = [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-Proto", "https"),
    ];
    let pair = Pair::asking(&forged).await;
    assert_eq!(header(&pair.asked, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&pair.asked, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&pair.asked, "x-forwarded-host"), Some("test"));
    let forwarded = "for=127.0.0.1;host=test;proto=http";
    assert_eq!(header(&pair.asked, "forwarded"), Some(forwarded));
}

#[tokio::test]
async fn an_unreachable_backend_is_passed_over() {
    let backends = [
        Backend::refusing().await,
        Backend::refusing().await,
        Backend::echo().await,
    ];
    let proxy = Proxy::fronting(&backends).start().await;
    for _ in 0..3 {
        let mut client = proxy.connect().await;
        assert_eq!(client.backend(), backends[2].address);
        assert_eq!(client.echo("hello").await, "hello");
    }
    for backend in &proxy.pools[0].backends()[..2] {
        assert_eq!(backend.tunnels(), 0);
    }
}

#[tokio::test]
async fn without_a_reachable_backend_it_is_502() {
    let backends = [Backend::refusing().await, Backend::refusing().await];
    let proxy = Proxy::fronting(&backends).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let (answer, body) = client.response().await;
    assert!(is(&answer, 502), "{answer}");
    assert!(
        !body.contains("127.0.0.1"),
        "addresses are no client's business"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_answers_is_504_after_the_handshakes_time() {
    let limits = "[timeouts]\nconnect = \"2s\"\nhandshake = \"7s\"";
    let begin = tokio::time::Instant::now();
    let mut pair = Pair::asking_through(|p| p.config(limits), handshake("/", &[])).await;
    let (answer, _) = pair.client.response().await;
    assert!(is(&answer, 504), "{answer}");
    assert_eq!(begin.elapsed().as_secs(), 7);
    assert_eq!(pair.backend.rest().await, b"", "its connection is closed");
    assert_eq!(pair.proxy.pools[0].backends()[0].tunnels(), 0);
}

#[tokio::test]
async fn when_all_backends_are_full_it_is_503_and_a_time_to_retry() {
    let backends = [Backend::echo().await, Backend::echo().await];
    let proxy = Proxy::fronting(&backends)
        .pool("max_tunnels = 1")
        .start()
        .await;
    let _open = [proxy.connect().await, proxy.connect().await];
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let (answer, _) = client.response().await;
    assert!(is(&answer, 503), "{answer}");
    assert!(header(&answer, "retry-after").is_some());
}

#[tokio::test]
async fn a_client_that_leaves_while_its_backend_thinks_frees_the_backend() {
    let pair = Pair::asking(&[]).await;
    assert_eq!(pair.proxy.pools[0].backends()[0].tunnels(), 1);
    drop(pair.client);
    let mut backend = pair.backend;
    assert_eq!(backend.rest().await, b"");
    until(|| pair.proxy.pools[0].backends()[0].tunnels() == 0).await;
    assert!(pair.proxy.registry.emptied().now_or_never().is_some());
}
