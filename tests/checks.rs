//! Backends are asked whether they work: what they are asked, and what is found wrong.

use std::{
    io::Write,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use longwire::{
    pool::standing::State,
    websocket::{CloseCode, Opcode, Role},
};
use tokio::{
    net::UnixListener,
    task::yield_now,
    time::{Instant, advance, sleep},
};

use crate::support::{
    Authority, BROKEN, Backend, Log, Mood, Moody, OK, Proxy, ProxyBuilder, Raw, RawBackend,
    accept_of, all_is_quiet, frame, header, in_slow_motion, switching, until,
};

const TCP: &str = "health = { check = \"tcp\" }";
const HTTP: &str = "health = { check = \"http\" }";

/// Why a backend in that mood goes down, as the log says, with a check of these keys.
async fn reason(check: &str, mood: Mood) -> String {
    let moody = Moody::new(mood).await;
    reason_of(Moody::fronting([&moody]), check).await
}

async fn reason_of(proxy: ProxyBuilder, check: &str) -> String {
    in_slow_motion();
    let log = Log::begin();
    let health = format!("health = {{ {check}, falls = 1 }}");
    let proxy = proxy.pool(&health).start().await;
    proxy.becomes(0, State::Down).await;
    let events = log.events("the backend is down");
    assert_eq!(events.len(), 1, "{events:?}");
    events[0]["reason"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_cannot_be_connected_to_is_down() {
    let nobody = Backend::refusing().await;
    for check in ["tcp", "http", "websocket"] {
        let said = reason_of(Proxy::fronting([&nobody]), &format!("check = \"{check}\"")).await;
        assert_eq!(
            said,
            "cannot be connected to: Connection refused (os error 111)"
        );
    }
    let (full, _queue) = RawBackend::overrun().await;
    let proxy = Proxy::fronting_addresses([full.address]);
    let said = reason_of(proxy, "check = \"tcp\"").await;
    assert_eq!(said, "timed out after 2s, waiting for a connection");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_answers_otherwise_is_down() {
    let endless = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let stalled = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot ";
    for (keys, mood, words) in [
        ("", Mood::Hangs, "timed out after 2s, waiting for an answer"),
        ("timeout = \"500ms\",", Mood::Hangs, "timed out after 500ms"),
        ("", Mood::Leaves(""), "gave no answer: connection closed"),
        (
            "",
            Mood::Says("+OK ready\r\n\r\n"),
            "gave no answer: invalid HTTP",
        ),
        ("", Mood::Says(BROKEN), "answered 500 instead of 200-399"),
        (
            "status = 204,",
            Mood::Says(OK),
            "answered 200 instead of 204",
        ),
        (
            "status = \"401-403\",",
            Mood::Says(OK),
            "instead of 401-403",
        ),
        (
            "body = \"well\",",
            Mood::Says(OK),
            "expected text in the first 2 bytes",
        ),
        (
            "body = \"not yet\",",
            Mood::Says(stalled),
            "waiting for the rest of its answer",
        ),
        (
            "body = \"not yet\",",
            Mood::Leaves(stalled),
            "gave no answer",
        ),
        (
            "body = \"bc\",",
            Mood::Floods(endless, "2\r\nab\r\n"),
            "in the first 65536 bytes",
        ),
        (
            "",
            Mood::Floods("HTTP/1.1 200 OK\r\n", "X: 1\r\n"),
            "gave no answer: message head",
        ),
    ] {
        let said = reason(&format!("check = \"http\", {keys} rises = 1"), mood).await;
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_opens_no_sound_websocket_is_down() {
    for (keys, mood, words) in [
        ("", Mood::Says(OK), "answered 200 instead of 101"),
        ("", Mood::Hangs, "timed out after 2s, waiting for an answer"),
        (
            "",
            Mood::Grants(
                &[("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")],
                b"",
            ),
            "opens no WebSocket: its Sec-WebSocket-Accept does not fit the key",
        ),
        (
            "",
            Mood::Grants(&[("Upgrade", "h2c")], b""),
            "its Upgrade is not the protocol that was asked for",
        ),
        (
            "",
            Mood::Grants(&[("Sec-WebSocket-Protocol", "chat")], b""),
            "a subprotocol that the client did not offer",
        ),
        (
            "subprotocol = \"chat\",",
            Mood::Grants(&[], b""),
            "did not grant the subprotocol `chat`",
        ),
        (
            "ping = true,",
            Mood::Grants(&[], b""),
            "timed out after 2s, waiting for a pong",
        ),
        (
            "ping = true,",
            Mood::Grants(&[], b"\x8a\x08notours!"),
            "timed out after 2s, waiting for a pong",
        ),
        (
            "message = \"ping\",",
            Mood::Grants(&[], b"\x81\x04pong"),
            "waiting for the text message",
        ),
        (
            "ping = true,",
            Mood::Grants(&[], b"\x88\x02\x03\xf3"),
            "closed the WebSocket with 1011",
        ),
        (
            "ping = true,",
            Mood::Grants(&[], b"\xc1\x01x"),
            "a frame that no client would take",
        ),
    ] {
        let said = reason(&format!("check = \"websocket\", {keys} rises = 1"), mood).await;
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_stops_to_send_is_given_up() {
    let checks = "health = { check = \"websocket\", ping = true, falls = 1 }";
    let (server, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&server]).pool(checks).start().await;
    let mut check = arrivals.recv().await.unwrap();
    let head = check.head().await;
    let granted = [("Sec-WebSocket-Accept", &*accept_of(&head))];
    check.send(switching(&granted)).await;
    // A thread of its own, or else there would be moments in which nothing has come.
    let mut socket = check.socket.into_std().unwrap();
    socket.set_nonblocking(false).unwrap();
    let sent = Arc::<AtomicUsize>::default();
    let flooded = Arc::clone(&sent);
    let flood = std::thread::spawn(move || {
        let more = b"\x81\x04more".repeat(10_000);
        while socket.write_all(&more).is_ok() {
            flooded.fetch_add(more.len(), Relaxed);
        }
    });
    // From now on somebody is always busy, so the clock moves only by hand.
    until(|| sent.load(Relaxed) > 10_000_000).await;
    assert_eq!(proxy.state(0), State::Ready);
    advance(Duration::from_millis(2100)).await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(proxy.state(0), State::Down);
    flood.join().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_tcp_check_says_nothing_and_hangs_up() {
    in_slow_motion();
    let backend = RawBackend::listen();
    let _proxy = Proxy::fronting_addresses([backend.address])
        .pool(TCP)
        .start()
        .await;
    for _ in 0..3 {
        let began = Instant::now();
        assert_eq!(backend.accept().await.rest().await, b"");
        assert!(began.elapsed() < Duration::from_secs(6));
    }
}

#[tokio::test(start_paused = true)]
async fn an_http_check_asks_as_it_was_told_to_and_hangs_up() {
    in_slow_motion();
    let backend = RawBackend::listen();
    let health = "health = { check = \"http\", path = \"/health?full=1\", host = \"Chat.test:81\", \
                  headers = { x-token = \"sesame\" }, body = \"all is well\" }";
    let proxy = Proxy::fronting_addresses([backend.address]);
    let proxy = proxy.pool(health).start().await;
    for _ in 0..4 {
        let mut check = backend.accept().await;
        let head = check.head().await;
        assert!(
            head.starts_with("GET /health?full=1 HTTP/1.1\r\n"),
            "{head}"
        );
        assert_eq!(header(&head, "host"), Some("Chat.test:81"));
        assert_eq!(header(&head, "x-token"), Some("sesame"));
        assert_eq!(header(&head, "connection"), Some("close"));
        // The text may come in pieces.
        check
            .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nand all \r\n")
            .await;
        all_is_quiet().await;
        check.send("a\r\nis well, s\r\n").await;
        let answered = Instant::now();
        assert_eq!(check.rest().await, b"");
        assert!(
            answered.elapsed() < Duration::from_millis(500),
            "it holds on"
        );
    }
    assert_eq!(proxy.state(0), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_check_names_the_address_that_it_goes_to() {
    in_slow_motion();
    let backend = RawBackend::listen();
    let _proxy = Proxy::fronting_addresses([backend.address])
        .pool(HTTP)
        .start()
        .await;
    let head = backend.accept().await.head().await;
    assert!(head.starts_with("GET / HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some(&*backend.address.to_string()));
}

#[tokio::test(start_paused = true)]
async fn a_websocket_check_pings_speaks_and_closes_in_peace() {
    in_slow_motion();
    let backend = RawBackend::listen();
    let health = "health = { check = \"websocket\", path = \"/chat\", subprotocol = \"chat.v2\", \
                  ping = true, message = \"are you well?\", answer = \"I am\", falls = 1 }";
    let proxy = Proxy::fronting_addresses([backend.address]);
    let proxy = proxy.pool(health).start().await;
    for _ in 0..2 {
        let mut check = backend.accept().await;
        let head = check.head().await;
        assert!(head.starts_with("GET /chat HTTP/1.1\r\n"), "{head}");
        assert_eq!(header(&head, "sec-websocket-protocol"), Some("chat.v2"));
        let granted = [
            ("Sec-WebSocket-Accept", &*accept_of(&head)),
            ("Sec-WebSocket-Protocol", "chat.v2"),
        ];
        // The first frame comes together with the 101.
        check.send(switching(&granted) + "\u{1}\u{2}hi").await;
        let ping = check.frame().await.unwrap();
        assert!(ping.is_ping() && ping.header.mask.is_some());
        let said = check.frame().await.unwrap();
        assert_eq!(said.payload, b"are you well?");
        assert_eq!(said.header.opcode, Opcode::Text);

        check.send(frame(0x80, b"!", Role::Server)).await;
        check.send(frame(0x81, b"I am", Role::Server)).await;
        assert!(check.is_silent().await, "the pong has not come yet");
        check.send(ping.pong(Role::Server)).await;
        let close = check.frame().await.unwrap();
        assert_eq!(close.close(), Some((CloseCode::NORMAL, "")));
        assert!(close.header.mask.is_some());
        check.send(frame(0x88, b"\x03\xe8", Role::Server)).await;
        drop(check);
    }
    assert_eq!(proxy.state(0), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_takes_no_leave_is_left() {
    in_slow_motion();
    let moody = Moody::new(Mood::Grants(&[], b"")).await;
    let health = "health = { check = \"websocket\", falls = 1 }";
    let proxy = Moody::fronting([&moody]).pool(health).start().await;
    moody.visited(3).await;
    assert_eq!(proxy.state(0), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn checks_are_apart_by_about_the_interval() {
    in_slow_motion();
    let moody = Moody::new(Mood::Well).await;
    let _proxy = Moody::fronting([&moody]).pool(HTTP).start().await;
    moody.visited(20).await;
    let visits = moody.visits();
    let waits = visits
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).as_secs_f64());
    let waits: Vec<_> = waits.collect();
    assert!(
        waits.iter().all(|wait| (4.5..5.6).contains(wait)),
        "{waits:?}"
    );
    let longest = waits.iter().copied().fold(0.0, f64::max);
    let shortest = waits.iter().copied().fold(f64::MAX, f64::min);
    assert!(longest - shortest > 0.1, "all the same: {waits:?}");
}

#[tokio::test(start_paused = true)]
async fn first_checks_come_soon_and_one_after_the_other() {
    in_slow_motion();
    let mut pool = Vec::new();
    for _ in 0..5 {
        pool.push(Moody::new(Mood::Well).await);
    }
    let began = Instant::now();
    let _proxy = Moody::fronting(&pool).pool(HTTP).start().await;
    for moody in &pool {
        moody.visited(1).await;
    }
    let first = |moody: &Moody| moody.visits()[0] - began;
    let firsts: Vec<_> = pool.iter().map(first).collect();
    assert!(firsts[4] < Duration::from_secs(1), "{firsts:?}");
    let apart = firsts
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]));
    assert!(
        apart.min().unwrap() > Duration::from_millis(50),
        "{firsts:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn checks_may_go_to_a_separate_port() {
    in_slow_motion();
    let (backend, side) = (Backend::refusing().await, Moody::new(Mood::Hangs).await);
    let port = side.address().port();
    let health = format!("health = {{ check = \"http\", port = {port} }}");
    let proxy = Proxy::fronting([&backend]).pool(&health).start().await;
    proxy.becomes(0, State::Down).await;
    side.is_now(Mood::Well);
    proxy.becomes(0, State::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn checks_of_backends_over_tls_are_over_tls_on_every_port() {
    in_slow_motion();
    let authority = Authority::new();
    let acceptor = authority.certify(&["127.0.0.1"]).acceptor();
    let moody = Moody::behind(Some(acceptor), Mood::Says(BROKEN)).await;
    let elsewhere = Backend::refusing().await;
    let port = moody.address().port();
    for (address, health) in [
        (moody.address(), "check = \"http\"".to_owned()),
        (
            elsewhere.address,
            format!("check = \"http\", port = {port}"),
        ),
    ] {
        moody.is_now(Mood::Says(BROKEN));
        let proxy = Proxy::fronting_addresses([format!("https://{address}")])
            .pool(&format!("tls.ca = {:?}", authority.file()))
            .pool(&format!("health = {{ {health} }}"));
        let proxy = proxy.start().await;
        proxy.becomes(0, State::Down).await;
        moody.is_now(Mood::Well);
        proxy.becomes(0, State::Ready).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_proves_another_name_is_down_by_any_check() {
    let authority = Authority::new();
    let acceptor = authority.certify(&["other.test"]).acceptor();
    let moody = Moody::behind(Some(acceptor), Mood::Well).await;
    for check in ["tcp", "http", "websocket"] {
        let proxy = Proxy::fronting_addresses([format!("https://{}", moody.address())])
            .pool(&format!("tls.ca = {:?}", authority.file()));
        let said = reason_of(proxy, &format!("check = \"{check}\"")).await;
        assert!(
            said.contains("certificate is not for the name `127.0.0.1`"),
            "{said}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_behind_a_unix_socket_is_checked() {
    in_slow_motion();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.sock");
    let proxy = Proxy::fronting_addresses([format!("unix:{}", path.display())]);
    let proxy = proxy.pool(HTTP).start().await;
    proxy.becomes(0, State::Down).await;

    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let mut check = Raw::new(socket);
            let head = check.head().await;
            assert_eq!(header(&head, "host"), Some("localhost"));
            check.send(OK).await;
        }
    });
    proxy.becomes(0, State::Ready).await;
    serving.abort();
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_has_stopped_checks_nobody() {
    in_slow_motion();
    let moody = Moody::new(Mood::Well).await;
    let mut proxy = Moody::fronting([&moody]).pool(HTTP).start().await;
    moody.visited(2).await;
    proxy.stop();
    proxy.stopped().await;
    let before = moody.visits().len();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(moody.visits().len(), before);
}
