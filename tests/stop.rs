//! Whoever is connected when the proxy stops is let finish, told, or cut: in that order.

use std::{future::pending, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::join_all;
use longwire::{
    server::{Placement, Readiness, Server, Stopped},
    websocket::{CloseCode, Role, frame},
};
use rustix::process::Signal;
use tokio::{
    net::TcpStream,
    sync::{Notify, oneshot},
    time::{Instant, timeout},
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Authority, Backend, Client, Folder, Process, Proxy, Raw, Response, echo_cluster,
    in_slow_motion, parsed, until,
};

const STOPPING: Option<(CloseCode, &str)> = Some((CloseCode::GOING_AWAY, "proxy is stopping"));

#[tokio::test]
async fn a_stopping_proxy_accepts_nobody() {
    let backends = echo_cluster(1).await;
    let mut proxy = Proxy::fronting(&backends).start().await;
    let address = proxy.address;
    // It holds the stop up until it answers its Close.
    let mut client = proxy.raw().await;
    client.open_websocket().await;

    proxy.stop();
    assert_eq!(client.frame().await.unwrap().close(), STOPPING);
    // Between its fork and its exec a process that another test starts holds all files of this one,
    // the listener too.
    while TcpStream::connect(address).await.is_ok() {
        assert_eq!(proxy.registry.len(), 1, "it accepted for as long as it ran");
        tokio::task::yield_now().await;
    }
    assert_eq!(proxy.registry.len(), 1, "it was still stopping");
}

#[tokio::test]
async fn a_request_under_way_is_finished() {
    let (asked, answered) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (ask, answer) = (Arc::clone(&asked), Arc::clone(&answered));
    let backend = Backend::http(move |_| {
        let (ask, answer) = (Arc::clone(&ask), Arc::clone(&answer));
        async move {
            ask.notify_one();
            answer.notified().await;
            Response::new("at last".into())
        }
    })
    .await;
    let mut proxy = Proxy::fronting([&backend]).start().await;
    let address = proxy.address;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    asked.notified().await;

    proxy.stop();
    refused(address).await;
    answered.notify_one();

    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.ends_with("at last"), "{answer}");
    assert_eq!(proxy.stopped().await.cut_tunnels, 0);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_after_a_last_call() {
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let mut proxy = Proxy::fronting([&backend]).start().await;
    let mut silent = proxy.raw().await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    client.head().await;
    assert_eq!(client.bytes(5).await, b"hello");

    let began = Instant::now();
    proxy.stop();
    assert_eq!(client.rest().await, b"");
    assert_eq!(silent.rest().await, b"");
    proxy.stopped().await;
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test]
async fn a_request_that_was_on_its_way_is_answered_and_is_the_last() {
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let mut proxy = Proxy::fronting([&backend]).start().await;
    let address = proxy.address;
    let (mut fresh, mut idle) = (proxy.raw().await, proxy.raw().await);
    idle.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    idle.head().await;
    assert_eq!(idle.bytes(5).await, b"hello");

    proxy.stop();
    refused(address).await;
    for client in [&mut fresh, &mut idle] {
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
    }
    proxy.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_tls_handshake_under_way_holds_nothing_up_for_long() {
    let authority = Authority::new();
    let mut proxy = Proxy::fronting_addresses(["127.0.0.1:1"])
        .listener(&authority.certify(&["one.test"]).on_listener())
        .start()
        .await;
    let mut client = proxy.raw().await;
    client.send(b"\x16\x03\x01").await;
    tokio::task::yield_now().await;

    let began = Instant::now();
    proxy.stop();
    assert_eq!(client.rest().await, b"");
    proxy.stopped().await;
    assert_eq!(began.elapsed().as_secs(), 1);
}

#[tokio::test]
async fn both_sides_of_a_tunnel_are_told() {
    let mut story = Story::begin("").await;

    story.proxy.stop();
    for side in [&mut story.client, &mut story.backend] {
        assert_eq!(side.frame().await.unwrap().close(), STOPPING);
    }
    story.answer_closes().await;

    let registry = Arc::clone(&story.proxy.registry);
    assert_eq!(story.proxy.stopped().await.cut_tunnels, 0);
    assert!(registry.is_empty());
}

#[tokio::test]
async fn a_frame_that_has_begun_is_finished_before_the_close() {
    let mut story = Story::begin("").await;
    let payload: Vec<u8> = (0..300_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    // Masked with zeros, a payload looks like itself.
    let header = [&[0x82, 0xff][..], &300_000_u64.to_be_bytes(), &[0; 4]].concat();
    let (sent, unsent) = payload.split_at(100_000);
    story.client.send(&header).await;
    story.client.send(sent).await;
    assert_eq!(story.backend.bytes(header.len()).await, header);
    let mut arrived = story.backend.bytes(sent.len()).await;

    story.proxy.stop();
    let told = story.client.frame().await.unwrap();
    assert_eq!(told.close(), STOPPING, "the other way is at a boundary");
    story.client.send(unsent).await;
    arrived.extend(story.backend.bytes(unsent.len()).await);

    assert!(arrived == payload, "the frame is unchanged");
    let close = story.backend.frame().await.unwrap();
    assert_eq!(close.close(), STOPPING);
    story.answer_closes().await;
    assert_eq!(story.proxy.stopped().await.cut_tunnels, 0);
}

#[tokio::test(start_paused = true)]
async fn peers_that_do_not_answer_are_cut_after_the_close_timeout() {
    let mut story = Story::begin("[timeouts]\nclose = \"4s\"\n[stop]\ndeadline = \"1h\"").await;

    let began = Instant::now();
    story.proxy.stop();
    let registry = Arc::clone(&story.proxy.registry);
    assert_eq!(story.proxy.stopped().await.cut_tunnels, 0, "all have ended");
    let took = began.elapsed().as_secs();
    assert!((4..=6).contains(&took), "{took}");
    assert!(registry.is_empty());
    for mut side in [story.client, story.backend] {
        assert_eq!(side.frame().await.unwrap().close(), STOPPING);
        assert_eq!(side.frame().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_not_ended_by_the_stop_timeout_is_cut_and_counted() {
    let mut story =
        Story::begin("[timeouts]\nclose = \"1h\"\n[stop]\nover = \"1s\"\ndeadline = \"4s\"").await;

    let began = Instant::now();
    story.proxy.stop();
    assert_eq!(story.proxy.stopped().await.cut_tunnels, 1);
    assert_eq!(began.elapsed().as_secs(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_abort_cuts_what_is_left_at_once() {
    let mut story = Story::begin("[timeouts]\nclose = \"1h\"\n[stop]\ndeadline = \"1h\"").await;

    let began = Instant::now();
    story.proxy.stop();
    assert_eq!(story.client.frame().await.unwrap().close(), STOPPING);
    story.proxy.abort();
    let registry = Arc::clone(&story.proxy.registry);
    assert_eq!(story.proxy.stopped().await.cut_tunnels, 1);
    assert!(registry.is_empty(), "a tunnel outlives its server");
    assert!(
        began.elapsed() <= Duration::from_millis(101),
        "its own slot"
    );
}

#[tokio::test]
async fn what_a_stop_cuts_does_not_live_on_with_the_workers() {
    let (server, mut arrivals) = Backend::played().await;
    let config = parsed(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"main\"\n\
         [pool.main]\nbackends = [\"{}\"]\n[stop]\nover = \"100ms\"\ndeadline = \"100ms\"",
        server.address
    ));
    let bound = Server::bind(&config, Placement::Threads).unwrap();
    let address = bound.addresses()[0];
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async { stopped.await.unwrap_or(()) };
    let running = tokio::spawn(bound.run(stopped, pending()));
    let mut client = Raw::new(TcpStream::connect(address).await.unwrap());
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let _unanswered = arrivals.recv().await.unwrap();
    drop(stop);
    running.await.unwrap();
    let end = timeout(Duration::from_secs(10), client.frame()).await;
    assert_eq!(end.expect("it lives on"), None);
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_told_one_after_the_other() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let mut proxy = Proxy::fronting(&backends)
        .config("[stop]\nrate = 2\ncode = 1012\ndeadline = \"1h\"")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..6 {
        clients.push(proxy.connect().await);
    }

    proxy.stop();
    let began = Instant::now();
    let told = clients.into_iter().map(async |mut client| {
        let Some(Message::Close(Some(close))) = client.next().await else {
            panic!("no close");
        };
        assert_eq!(u16::from(close.code), 1012);
        let told = began.elapsed();
        // The library has answered; reading on lets it say so.
        assert_eq!(client.next().await, None);
        told.as_millis() / 500
    });
    let mut slots = join_all(told).await;
    slots.sort_unstable();
    assert_eq!(
        slots,
        [0, 1, 2, 3, 4, 5],
        "each in a half second of its own"
    );
    let stopped = proxy.stopped().await;
    assert_eq!((stopped.closed_tunnels, stopped.cut_tunnels), (6, 0));
}

#[tokio::test(start_paused = true)]
async fn before_it_stops_it_is_not_ready_and_yet_serves() {
    let backends = echo_cluster(1).await;
    let mut proxy = Proxy::fronting(&backends)
        .config("[stop]\ndelay = \"20s\"")
        .start()
        .await;
    let mut readiness = proxy.control.readiness();
    assert_eq!(*readiness.borrow(), Readiness::Ready);

    let began = Instant::now();
    proxy.stop();
    readiness.changed().await.unwrap();
    assert_eq!(*readiness.borrow(), Readiness::Stopping);
    let mut client = proxy.connect().await;
    assert_eq!(client.echo("hello").await, "hello");
    assert!(matches!(client.next().await, Some(Message::Close(_))));
    assert!(
        began.elapsed() >= Duration::from_secs(20),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_wait_for_the_delay() {
    let backends = echo_cluster(1).await;
    let mut proxy = Proxy::fronting(&backends)
        .config("[stop]\ndelay = \"20s\"")
        .start()
        .await;
    let mut client = proxy.connect().await;
    let began = Instant::now();
    proxy.stop();
    proxy.abort();
    assert_eq!(proxy.stopped().await.cut_tunnels, 1);
    assert_eq!(client.next().await, None);
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test(start_paused = true)]
async fn a_stop_knows_how_its_tunnels_ended() {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let mut proxy = Proxy::fronting([&server])
        .config("[timeouts]\nclose = \"1h\"\n[stop]\nover = \"1s\"\ndeadline = \"4s\"")
        .start()
        .await;
    let (mut polite, mut its_backend) = proxy.open_to(&mut arrivals).await;
    let (_stubborn, _its_backend) = proxy.open_to(&mut arrivals).await;
    let (leaving, its_backend_too) = proxy.open_to(&mut arrivals).await;
    let registry = Arc::clone(&proxy.registry);
    proxy.stop();
    assert_eq!(polite.frame().await.unwrap().close(), STOPPING);
    answer_close(&mut polite, Role::Client).await;
    assert!(its_backend.frame().await.unwrap().close().is_some());
    answer_close(&mut its_backend, Role::Server).await;
    drop(leaving);
    drop(its_backend_too);
    until(|| registry.len() == 1).await;
    let Stopped {
        closed_tunnels,
        ended_tunnels,
        cut_tunnels,
        ..
    } = proxy.stopped().await;
    assert_eq!(cut_tunnels, 1);
    // Whether the one that left had been told before, chance decides.
    assert_eq!(closed_tunnels + ended_tunnels, 2);
    assert!(closed_tunnels >= 1);
}

#[tokio::test]
async fn a_websocket_granted_during_the_stop_is_closed_in_peace_too() {
    let (server, mut arrivals) = Backend::played().await;
    let mut proxy = Proxy::fronting([&server]).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = arrivals.recv().await.unwrap();

    let address = proxy.address;
    proxy.stop();
    refused(address).await;
    backend.grant_websocket().await;

    let answer = client.head().await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(answer.contains("\r\nconnection: upgrade\r\n"), "{answer}");
    assert_eq!(client.frame().await.unwrap().close(), STOPPING);
    assert_eq!(backend.frame().await.unwrap().close(), STOPPING);
    answer_close(&mut client, Role::Client).await;
    answer_close(&mut backend, Role::Server).await;
    let registry = Arc::clone(&proxy.registry);
    assert_eq!(proxy.stopped().await.cut_tunnels, 0);
    assert!(registry.is_empty());
}

#[tokio::test]
async fn a_stop_waits_for_a_websocket_that_is_granted_meanwhile() {
    let (server, mut arrivals) = Backend::played().await;
    let mut proxy = Proxy::fronting([&server]).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = arrivals.recv().await.unwrap();

    let address = proxy.address;
    proxy.stop();
    refused(address).await;
    backend.grant_websocket().await;
    client.head().await;
    // Both have been told, and neither has answered: the tunnel lives.
    client.frame().await.unwrap();
    backend.frame().await.unwrap();
    let registry = Arc::clone(&proxy.registry);
    let mut stopped = Box::pin(proxy.stopped());
    for _ in 0..100 {
        assert!(futures_util::poll!(&mut stopped).is_pending());
        tokio::task::yield_now().await;
    }
    assert_eq!(registry.len(), 1);
}

#[tokio::test]
async fn the_signals_to_terminate_and_to_interrupt_stop_in_peace() {
    for signal in [Signal::TERM, Signal::INT] {
        let backend = Backend::echo().await;
        let folder = Folder::new();
        folder.configure(backend.address, "");
        let mut process = folder.start(&[]);
        let address = process.address().await;
        let mut client = Client::connect(address, "/", &[]).await;
        assert_eq!(client.echo("hello").await, "hello");

        process.signal(signal);
        let Some(Message::Close(Some(close))) = client.next().await else {
            panic!("no close");
        };
        assert_eq!(close.reason.as_str(), "proxy is stopping");
        // The library has answered; reading on lets it say so.
        assert_eq!(client.next().await, None);
        let (code, log) = process.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        assert!(log.last().unwrap().contains("cut_tunnels=0"), "{log:#?}");
    }
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for (first, second) in [(Signal::TERM, Signal::TERM), (Signal::INT, Signal::TERM)] {
        let (mut process, mut client) = process_with_a_stubborn_client().await;
        process.signal(first);
        assert_eq!(client.frame().await.unwrap().close(), STOPPING);
        process.signal(second);

        assert_eq!(client.frame().await, None);
        process.line("stopping at once").await;
        let (code, log) = process.ended().await;
        assert_eq!(code, Some(0), "{log:#?}");
        assert!(log.last().unwrap().contains("cut_tunnels=1"), "{log:#?}");
    }
}

/// A tunnel of which the test plays both sides.
struct Story {
    proxy: Proxy,
    client: Raw,
    backend: Raw,
    _server: Backend,
}

impl Story {
    async fn begin(config: &str) -> Self {
        let (server, mut arrivals) = Backend::played().await;
        let proxy = Proxy::fronting([&server]).config(config).start().await;
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        let mut backend = arrivals.recv().await.unwrap();
        backend.grant_websocket().await;
        client.head().await;
        Self {
            proxy,
            client,
            backend,
            _server: server,
        }
    }

    async fn answer_closes(&mut self) {
        answer_close(&mut self.client, Role::Client).await;
        answer_close(&mut self.backend, Role::Server).await;
    }
}

async fn answer_close(side: &mut Raw, role: Role) {
    side.send(frame::close(CloseCode::GOING_AWAY, "", role))
        .await;
}

/// Waits until nobody is accepted at `address`.
async fn refused(address: SocketAddr) {
    for _ in 0..1000 {
        if TcpStream::connect(address).await.is_err() {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{address} is still listened on");
}

/// A client of the real program that never answers a Close.
async fn process_with_a_stubborn_client() -> (Process, Raw) {
    let (server, mut arrivals) = Backend::played().await;
    let folder = Folder::new();
    let timeouts = "[timeouts]\nclose = \"1h\"\n[stop]\ndeadline = \"1h\"";
    folder.configure(server.address, timeouts);
    let mut process = folder.start(&[]);
    let mut client = Raw::new(TcpStream::connect(process.address().await).await.unwrap());
    client.ask_for_websocket("/").await;
    let mut backend = arrivals.recv().await.unwrap();
    backend.grant_websocket().await;
    client.head().await;
    tokio::spawn(async move { backend.rest().await });
    (process, client)
}
