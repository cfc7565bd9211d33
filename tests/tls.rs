//! TLS towards clients and towards backends, and what it changes for those inside.

use std::{path::Path, sync::Arc, time::Duration};

use longwire::{
    tls::Failure,
    websocket::{CloseCode, Role, frame},
};
use rustls::{
    HandshakeKind, ProtocolVersion,
    pki_types::{CertificateDer, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    Authority, Backend, Certificate, ClientSocket, Proxy, ProxyBuilder, Raw, Request, Response,
    TlsClient, echo_cluster, until,
};

const GET: &str = "GET / HTTP/1.1\r\nHost: one.test\r\n\r\n";

#[tokio::test]
async fn clients_of_tls_1_2_and_1_3_get_their_websockets() {
    let (authority, certificate) = vouched_for("one.test");
    let backends = echo_cluster(1).await;
    let proxy = with_tls(Proxy::fronting(&backends), &certificate).await;

    for (version, negotiated) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let client = TlsClient::speaking(&[version], &authority);
        let mut client = client.connect(proxy.address, "one.test").await;
        let session = client.socket.get_ref().1;
        assert_eq!(session.protocol_version(), Some(negotiated));
        client.open_websocket().await;
        client.send(text("hello")).await;
        assert_eq!(client.frame().await.unwrap().payload, b"hello");
    }
}

#[tokio::test]
async fn clients_of_tls_1_2_and_1_3_get_their_responses() {
    let (authority, certificate) = vouched_for("one.test");
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let proxy = with_tls(Proxy::fronting([&backend]), &certificate).await;

    for version in [&TLS12, &TLS13] {
        let client = TlsClient::speaking(&[version], &authority);
        let mut client = client.connect(proxy.address, "one.test").await;
        for _ in 0..2 {
            client.send(GET).await;
            assert!(client.head().await.starts_with("HTTP/1.1 200"));
            assert_eq!(client.bytes(5).await, b"hello");
        }
    }
}

#[tokio::test]
async fn a_listener_for_tls_1_3_refuses_1_2() {
    let (authority, certificate) = vouched_for("one.test");
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
        .listener(&certificate.on_listener())
        .listener("tls.min_version = \"1.3\"")
        .start()
        .await;

    let old = TlsClient::speaking(&[&TLS12], &authority);
    let refused = old
        .try_connect(proxy.address, "one.test")
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("ProtocolVersion"), "{refused}");
    let new = TlsClient::trusting(&authority);
    new.try_connect(proxy.address, "one.test").await.unwrap();
}

#[tokio::test]
async fn http_1_1_is_what_is_spoken_inside() {
    let (authority, certificate) = vouched_for("one.test");
    let proxy = with_tls(nobody(), &certificate).await;
    let client = TlsClient::trusting(&authority);
    let chosen = async |offered: &[&str]| {
        let client = client.clone().offering(offered);
        let socket = client.try_connect(proxy.address, "one.test").await?;
        Ok::<_, std::io::Error>(socket.get_ref().1.alpn_protocol().map(<[u8]>::to_vec))
    };

    let http_1_1 = Some(b"http/1.1".to_vec());
    assert_eq!(chosen(&["h2", "http/1.1"]).await.unwrap(), http_1_1);
    assert_eq!(chosen(&[]).await.unwrap(), None);
    // RFC 7301, section 3.2.
    let refused = chosen(&["h2"]).await.unwrap_err();
    assert!(
        refused.to_string().contains("NoApplicationProtocol"),
        "{refused}"
    );
}

#[tokio::test]
async fn the_name_that_a_client_asks_for_chooses_the_certificate() {
    let authority = Authority::new();
    let default = authority.certify(&["default.test"]);
    let wild = authority.certify(&["*.wild.test"]);
    let named = authority.certify(&["named.wild.test", "other.test"]);
    let entries = [&default, &wild, &named].map(Certificate::entry).join(", ");
    let proxy = nobody()
        .listener(&format!("tls.certificates = [{entries}]"))
        .start()
        .await;

    for (name, expected) in [
        ("default.test", &default),
        ("a.wild.test", &wild),
        ("A.Wild.Test", &wild),
        ("a.b.wild.test", &default),
        ("wild.test", &default),
        ("named.wild.test", &named),
        ("other.test", &named),
        ("unknown.test", &default),
        // An address is no name, so nothing is asked for.
        ("127.0.0.1", &default),
    ] {
        let client = TlsClient::trusting_anyone();
        let socket = client.try_connect(proxy.address, name).await.unwrap();
        let presented = socket.get_ref().1.peer_certificates().unwrap();
        assert!(presented[0] == expected.der, "{name}");
    }
}

#[tokio::test]
async fn a_strict_listener_refuses_who_names_no_certificate() {
    let authority = Authority::new();
    let named = authority.certify(&["named.test"]);
    let wild = authority.certify(&["*.wild.test"]);
    let entries = [&named, &wild].map(Certificate::entry).join(", ");
    let proxy = nobody()
        .listener(&format!(
            "tls = {{ certificates = [{entries}], strict_sni = true }}"
        ))
        .start()
        .await;

    let client = TlsClient::trusting_anyone();
    for name in ["named.test", "NAMED.test", "a.wild.test"] {
        assert!(
            client.try_connect(proxy.address, name).await.is_ok(),
            "{name}"
        );
    }
    // An address is no name, so nothing is asked for.
    for name in ["unknown.test", "wild.test", "127.0.0.1"] {
        assert!(
            client.try_connect(proxy.address, name).await.is_err(),
            "{name}"
        );
    }
}

#[tokio::test]
async fn keys_are_served_in_every_common_form() {
    let keys = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/keys");
    for (chain, key) in [
        ("ec.crt", "ec.pkcs8.key"),
        ("ec.crt", "ec.sec1.key"),
        ("rsa.crt", "rsa.pkcs8.key"),
        ("rsa.crt", "rsa.pkcs1.key"),
    ] {
        let (chain, key) = (keys.join(chain), keys.join(key));
        let proxy = nobody()
            .listener(&format!(
                "tls.certificates = [{{ chain = {chain:?}, key = {key:?} }}]"
            ))
            .start()
            .await;
        let client = TlsClient::trusting_anyone();
        let socket = client.try_connect(proxy.address, "one.test").await.unwrap();
        let presented = socket.get_ref().1.peer_certificates().unwrap();
        let expected = CertificateDer::from_pem_file(&chain).unwrap();
        assert!(presented[0] == expected, "{}", key.display());
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_slow_in_their_handshake_are_cut_and_disturb_nobody() {
    let (authority, certificate) = vouched_for("one.test");
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .listener(&certificate.on_listener())
        .config("[timeouts]\ntls_handshake = \"3s\"")
        .start()
        .await;
    let began = tokio::time::Instant::now();
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut client = proxy.raw().await;
        client.send(b"\x16\x03\x01\x02").await;
        slow.push(client);
    }

    let client = TlsClient::trusting(&authority);
    let mut client = client.connect(proxy.address, "one.test").await;
    client.open_websocket().await;
    assert_eq!(began.elapsed(), Duration::ZERO, "nobody had to wait");
    for mut client in slow {
        assert_eq!(client.rest().await, b"");
    }
    assert_eq!(began.elapsed().as_secs(), 3);
    client.send(text("hello")).await;
    assert_eq!(client.frame().await.unwrap().payload, b"hello");
}

#[tokio::test]
async fn garbage_and_plain_http_are_turned_away_and_disturb_nobody() {
    let (authority, certificate) = vouched_for("one.test");
    let backends = echo_cluster(1).await;
    let proxy = with_tls(Proxy::fronting(&backends), &certificate).await;

    for hello in [
        &b"\x00\xff\x16garbage"[..],
        b"\x16\x03\x01\x00\x04\xff\x00\x00\x00",
        GET.as_bytes(),
    ] {
        let mut rude = proxy.raw().await;
        rude.send(hello).await;
        let answer = rude.rest().await;
        assert!(
            answer.is_empty() || answer[0] == 0x15,
            "an alert at most: {answer:?}"
        );
        let client = TlsClient::trusting(&authority);
        let mut client = client.connect(proxy.address, "one.test").await;
        client.open_websocket().await;
    }
}

#[tokio::test]
async fn a_client_that_comes_back_is_resumed_every_time() {
    let (authority, certificate) = vouched_for("one.test");
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let proxy = with_tls(Proxy::fronting([&backend]), &certificate).await;

    for version in [&TLS12, &TLS13] {
        let client = TlsClient::speaking(&[version], &authority);
        for visit in 0..100 {
            let mut client = client.connect(proxy.address, "one.test").await;
            let kind = client.socket.get_ref().1.handshake_kind().unwrap();
            let is_resumed = kind == HandshakeKind::Resumed;
            assert_eq!(is_resumed, visit > 0, "{version:?}, visit {visit}");
            // In TLS 1.3 the tickets come with the response.
            client.send(GET).await;
            client.head().await;
        }
    }
}

#[tokio::test]
async fn handshakes_are_counted_by_what_they_came_to() {
    let (authority, certificate) = vouched_for("one.test");
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
        .listener(&certificate.on_listener())
        .config("[timeouts]\ntls_handshake = \"1s\"")
        .start()
        .await;
    let mut quiet = proxy.raw().await;
    for version in [&TLS12, &TLS13] {
        let client = TlsClient::speaking(&[version], &authority);
        for _ in 0..2 {
            let mut client = client.connect(proxy.address, "one.test").await;
            client.send(GET).await;
            client.head().await;
        }
    }
    let wary = TlsClient::trusting(&authority);
    let refused = wary.try_connect(proxy.address, "another.test").await;
    assert!(refused.is_err());
    let mut plain = proxy.raw().await;
    plain.send(GET).await;
    plain.rest().await;
    drop(proxy.raw().await);
    quiet.rest().await;

    let failed = |failure| {
        let totals = proxy.control.tls();
        let own = totals.failed.iter().find(|(own, _)| *own == failure);
        own.unwrap().1
    };
    until(|| failed(Failure::Gone) == 1).await;
    assert_eq!(
        proxy.control.tls().completed.map(|(_, count)| count),
        [1; 4]
    );
    for failure in [Failure::Certificate, Failure::NotTls, Failure::TimedOut] {
        assert_eq!(failed(failure), 1, "{failure:?}");
    }
    assert_eq!(failed(Failure::Other), 0);
}

#[tokio::test]
async fn handshakes_with_backends_are_counted_too() {
    let (authority, certificate) = vouched_for("one.test");
    let backend = secure_backend(&certificate).await;
    for (name, completed, failed) in [("one.test", 1, 0), ("another.test", 0, 1)] {
        let server_name = format!("server_name = {name:?}");
        let proxy = towards(&backend, &authority, &server_name).await;
        proxy.get("/").await;
        let totals = proxy.pools[0].tls();
        let sum = totals.completed.iter().map(|(_, count)| count).sum::<u64>();
        assert_eq!(sum, completed, "{name}");
        let refused = totals
            .failed
            .iter()
            .find(|(own, _)| *own == Failure::Certificate);
        assert_eq!(refused.unwrap().1, failed, "{name}");
    }
}

#[tokio::test]
async fn backends_over_tls_serve_requests_and_websockets() {
    let authority = Authority::new();
    for (names, server_name) in [
        (["backend.test"], "server_name = \"backend.test\""),
        (["127.0.0.1"], ""),
    ] {
        let certificate = authority.certify(&names);
        let backend = secure_backend(&certificate).await;
        let proxy = towards(&backend, &authority, server_name).await;

        let answer = proxy.get("/").await;
        assert_eq!((answer.status.as_u16(), answer.text()), (200, "hello"));
        let mut client = proxy.connect().await;
        assert_eq!(client.echo("hello").await, "hello");
    }
}

#[tokio::test]
async fn backends_that_prove_another_name_or_none_are_not_spoken_to() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let other = authority.certify(&["other.test"]);
    let untrusted = stranger.certify(&["backend.test"]);
    for certificate in [&other, &untrusted] {
        let backend = secure_backend(certificate).await;
        let proxy = towards(&backend, &authority, "server_name = \"backend.test\"").await;

        assert_eq!(proxy.get("/").await.status, 502);
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
    }
}

#[tokio::test]
async fn a_backend_may_show_exactly_the_certificate_that_is_named_while_it_is_valid() {
    let (authority, other) = (Authority::new(), Authority::new());
    for is_ca in [true, false] {
        let named = authority.self_signed(&["named.test"], is_ca, 2999);
        let twin = other.self_signed(&["named.test"], is_ca, 2999);
        let expired = authority.self_signed(&["named.test"], is_ca, 2001);
        for (shown, ca, status) in [
            (&named, &named, 200),
            (&twin, &named, 502),
            (&named, &twin, 502),
            (&expired, &expired, 502),
        ] {
            let backend = secure_backend(shown).await;
            let proxy = Proxy::fronting_addresses([format!("https://{}", backend.address)])
                .pool(&format!("tls.ca = {:?}", ca.chain))
                .start()
                .await;
            assert_eq!(proxy.get("/").await.status, status);
        }
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_in_plain_words() {
    let authority = Authority::new();
    let own = Authority::new().self_signed(&["127.0.0.1"], true, 2999);
    let backend = secure_backend(&own).await;
    let proxy = Proxy::fronting_addresses([format!("https://{}", backend.address)])
        .pool(&format!("tls.ca = {:?}", authority.file()))
        .pool("health = { check = \"tcp\", falls = 1 }")
        .start()
        .await;
    let backends = proxy.pools[0].backends();
    let failure = || backends[0].checks().unwrap().last_failure;
    until(|| failure().is_some()).await;
    let failure = failure().unwrap();
    assert_eq!(
        failure,
        "cannot be connected to: its certificate is an authority's; in a file that is named as \
         `tls.ca`, exactly that one is accepted"
    );
}

#[tokio::test]
async fn a_backend_need_not_prove_who_it_is_where_that_is_off() {
    let stranger = Authority::new().certify(&["other.test"]);
    let backend = secure_backend(&stranger).await;
    let proxy = Proxy::fronting_addresses([format!("https://{}", backend.address)])
        .pool("tls.verify = \"off\"")
        .start()
        .await;
    assert_eq!(proxy.get("/").await.status, 200);
    let mut client = proxy.connect().await;
    assert_eq!(client.echo("hello").await, "hello");
}

#[tokio::test]
async fn a_backend_that_does_not_speak_tls_is_a_bad_gateway() {
    let authority = Authority::new();
    let backend = Backend::http(|_| async { Response::new("plain".into()) }).await;
    let proxy = towards(&backend, &authority, "").await;
    assert_eq!(proxy.get("/").await.status, 502);
}

#[tokio::test]
async fn backends_are_told_that_the_client_came_over_tls() {
    let (authority, certificate) = vouched_for("one.test");
    let backend = Backend::http(|request: Request| async move {
        let proto = request.headers()["x-forwarded-proto"].as_bytes().to_vec();
        Response::new(proto.into())
    })
    .await;
    let proxy = with_tls(Proxy::fronting([&backend]), &certificate).await;

    let client = TlsClient::trusting(&authority);
    let mut client = client.connect(proxy.address, "one.test").await;
    client
        .send("GET / HTTP/1.1\r\nHost: one.test\r\nX-Forwarded-Proto: http\r\nConnection: close\r\n\r\n")
        .await;
    client.head().await;
    assert_eq!(client.rest().await, b"https");
}

#[tokio::test]
async fn the_affinity_cookie_is_secure_over_tls_alone() {
    let (authority, certificate) = vouched_for("one.test");
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let config = format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n{}\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npool = \"main\"\n[pool.main]\nbackends = [\"{}\"]\naffinity = \"cookie\"",
        certificate.on_listener(),
        backend.address
    );
    let proxy = Proxy::with_config(&config).await;
    let cookie = |head: &str| {
        let mut lines = head.lines().map(str::to_ascii_lowercase);
        lines.find(|line| line.starts_with("set-cookie:")).unwrap()
    };

    let client = TlsClient::trusting(&authority);
    let mut secure = client.connect(proxy.addresses[0], "one.test").await;
    secure.send(GET).await;
    assert!(cookie(&secure.head().await).contains("; secure"));
    let mut plain = Raw::new(TcpStream::connect(proxy.addresses[1]).await.unwrap());
    plain.send(GET).await;
    assert!(!cookie(&plain.head().await).contains("; secure"));
}

#[tokio::test]
async fn a_client_that_ends_without_close_notify_has_ended_like_any_other() {
    let mut story = Story::begin().await;
    story.client.send(text("last")).await;
    let (socket, _) = story.client.socket.into_inner();
    drop(socket);

    assert_eq!(story.backend.frame().await.unwrap().payload, b"last");
    let close = story.backend.frame().await.unwrap();
    let lost = (CloseCode::GOING_AWAY, "client connection lost");
    assert_eq!(close.close(), Some(lost));
    assert_eq!(story.backend.frame().await, None);
}

#[tokio::test]
async fn a_client_that_only_says_that_it_ends_is_still_heard_out_and_written_to() {
    let mut story = Story::begin().await;
    story.client.send(text("last")).await;
    story.client.socket.shutdown().await.unwrap();

    assert_eq!(story.backend.frame().await.unwrap().payload, b"last");
    assert!(story.backend.frame().await.unwrap().close().is_some());
    assert_eq!(story.backend.frame().await, None);
    story.backend.send(b"\x81\x06answer").await;
    assert_eq!(story.client.frame().await.unwrap().payload, b"answer");
    story
        .backend
        .send(frame::close(CloseCode::GOING_AWAY, "", Role::Server))
        .await;
    story.backend.socket.shutdown().await.unwrap();
    assert!(story.client.frame().await.unwrap().close().is_some());
    assert_eq!(story.client.frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_slow_reader_holds_a_large_message_up_and_gets_it_whole() {
    for is_upward in [true, false] {
        let story = Story::begin().await;
        if is_upward {
            carry(story.client.socket, story.backend.socket, [0; 4].as_slice()).await;
        } else {
            carry(story.backend.socket, story.client.socket, &[]).await;
        }
    }
}

/// A large message from one side to the other, who begins to read it late.
async fn carry<F, T>(mut from: F, mut to: T, mask: &[u8])
where
    F: tokio::io::AsyncRead + AsyncWriteExt + Unpin + Send + 'static,
    T: AsyncReadExt + tokio::io::AsyncWrite + Unpin,
{
    // More than the sockets on the way can hold, in a pattern that no chunk repeats.
    let pattern: Vec<u8> = (0..251).collect();
    let payload: Arc<[u8]> = pattern.repeat(150_000).into();
    let masked = if mask.is_empty() { 0x7f } else { 0xff };
    let header = [
        &[0x82, masked][..],
        &(payload.len() as u64).to_be_bytes(),
        mask,
    ]
    .concat();
    let sent = Arc::clone(&payload);
    let len = header.len();
    let mut sending = tokio::spawn(async move {
        from.write_all(&header).await.unwrap();
        from.write_all(&sent).await.unwrap();
        from.flush().await.unwrap();
        from
    });
    let held_up = timeout(Duration::from_secs(5), &mut sending).await;
    assert!(held_up.is_err(), "all of it went somewhere");

    let mut arrived = vec![0; len + payload.len()];
    for part in arrived.chunks_mut(50_000) {
        to.read_exact(part).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert!(arrived[len..] == *payload);
    sending.await.unwrap();
}

/// A tunnel from a client over TLS to a backend, both played by the test.
struct Story {
    client: Raw<ClientSocket>,
    backend: Raw,
    _proxy: Proxy,
    _server: Backend,
}

impl Story {
    async fn begin() -> Self {
        let (authority, certificate) = vouched_for("one.test");
        let (server, mut arrivals) = Backend::played().await;
        // Nobody is given up: a paused clock may run ahead of the system's sockets.
        let proxy = Proxy::fronting([&server])
            .config("[keepalive]\ninterval = \"off\"\n[timeouts]\nstall = \"1h\"");
        let proxy = with_tls(proxy, &certificate).await;
        let client = TlsClient::trusting(&authority);
        let mut client = client.connect(proxy.address, "one.test").await;
        client.ask_for_websocket("/").await;
        let mut backend = arrivals.recv().await.unwrap();
        backend.grant_websocket().await;
        client.head().await;
        Self {
            client,
            backend,
            _proxy: proxy,
            _server: server,
        }
    }
}

fn vouched_for(name: &str) -> (Authority, Certificate) {
    let authority = Authority::new();
    let certificate = authority.certify(&[name]);
    (authority, certificate)
}

fn nobody() -> ProxyBuilder {
    Proxy::fronting_addresses(["127.0.0.1:1"])
}

async fn with_tls(proxy: ProxyBuilder, certificate: &Certificate) -> Proxy {
    proxy.listener(&certificate.on_listener()).start().await
}

/// A proxy towards a backend over TLS, for which `authority` is to vouch.
async fn towards(backend: &Backend, authority: &Authority, server_name: &str) -> Proxy {
    Proxy::fronting_addresses([format!("https://{}", backend.address)])
        .pool(&format!("tls.ca = {:?}", authority.file()))
        .pool(&if server_name.is_empty() {
            String::new()
        } else {
            format!("tls.{server_name}")
        })
        .start()
        .await
}

/// A backend over TLS that answers a request with `hello`, and sends a WebSocket's first text back.
async fn secure_backend(certificate: &Certificate) -> Backend {
    let acceptor = certificate.acceptor();
    Backend::serving(move |socket, _| {
        let acceptor = acceptor.clone();
        async move {
            // A proxy that does not trust it leaves.
            let Ok(socket) = acceptor.accept(socket).await else {
                return;
            };
            let mut proxy = Raw::new(socket);
            let head = proxy.head().await;
            let Some((_, key)) = head.split_once("sec-websocket-key: ") else {
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
                return proxy.send(answer).await;
            };
            let key = key.split("\r\n").next().unwrap();
            let accept =
                tokio_tungstenite::tungstenite::handshake::derive_accept_key(key.as_bytes());
            proxy
                .send(format!(
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                     Connection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"
                ))
                .await;
            let frame = proxy.frame().await.unwrap();
            let length = u8::try_from(frame.payload.len()).unwrap();
            proxy
                .send([&[0x81, length], &*frame.payload].concat())
                .await;
            proxy.rest().await;
        }
    })
    .await
}

/// A text from a client, masked with zeros: it looks like itself.
fn text(text: &str) -> Vec<u8> {
    let length = 0x80 | u8::try_from(text.len()).unwrap();
    [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat()
}
