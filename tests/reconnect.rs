//! Tunnels that outlive their backends.

use std::time::Duration;

use longwire::{
    config::Intent,
    pool::standing::State,
    websocket::{Role, handshake::accept},
};
use socket2::SockRef;
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Proxy, ProxyBuilder, Raw, RawBackend, frame, handshake, header, in_slow_motion, switching,
    until,
};

/// Longer than any search.
const PATIENCE: Duration = Duration::from_secs(30);

const RECONNECT: &str = "on_backend_loss = \"reconnect\"";

/// Two backends, of which the first gets the first tunnel.
struct Scene {
    first: RawBackend,
    second: RawBackend,
    proxy: Proxy,
}

/// A tunnel to the first of two backends.
struct Opened {
    scene: Scene,
    client: Raw,
    backend: Raw,
}

impl Scene {
    async fn set(configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder) -> Self {
        in_slow_motion();
        let (first, second) = (RawBackend::listen(), RawBackend::listen());
        let proxy = Proxy::fronting_addresses([first.address, second.address]);
        let proxy = configure(proxy).start().await;
        Self {
            first,
            second,
            proxy,
        }
    }

    /// The tunnels that each backend has.
    fn live(&self) -> [usize; 2] {
        let backends = self.proxy.pools[0].backends();
        [backends[0].tunnels(), backends[1].tunnels()]
    }

    /// A tunnel whose handshakes are changed in that way.
    async fn open(self, asked: &[(&str, &str)], answered: &[(&str, &str)]) -> Opened {
        let mut client = self.proxy.raw().await;
        client.send(handshake("/", asked)).await;
        let (backend, _) = granted(&self.first, answered).await;
        let answer = client.head().await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
        until(|| self.proxy.registry.len() == 1).await;
        Opened {
            scene: self,
            client,
            backend,
        }
    }
}

/// The tunnel of a route that reconnects.
async fn opened() -> Opened {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT)).await;
    scene.open(&[], &[]).await
}

/// The next connection to `backend`, which it has granted, and what it was asked.
async fn granted(backend: &RawBackend, changes: &[(&str, &str)]) -> (Raw, String) {
    let accepted = timeout(PATIENCE, backend.accept()).await;
    let mut connection = accepted.expect("nobody asks");
    let head = connection.head().await;
    let key = header(&head, "sec-websocket-key").unwrap();
    let accept = accept(&key.parse().unwrap());
    let accepted = [("Sec-WebSocket-Accept", accept.to_str().unwrap())];
    let answer = switching(&[&accepted, changes].concat());
    connection.send(answer).await;
    (connection, head)
}

fn text(payload: &str, sender: Role) -> Vec<u8> {
    frame(0x81, payload.as_bytes(), sender)
}

async fn hears(peer: &mut Raw, payload: &str) {
    let heard = peer.frame().await.expect("a frame, not the end");
    assert_eq!(heard.payload, payload.as_bytes());
}

/// The code of the Close that comes next.
async fn hears_close(peer: &mut Raw) -> u16 {
    let heard = peer.frame().await.expect("a frame, not the end");
    heard.close().expect("a Close").0.0
}

impl Opened {
    /// The backend is lost: the client is told, and nobody else is asked.
    async fn ends(mut self) {
        drop(self.backend);
        assert_eq!(hears_close(&mut self.client).await, 1014);
        self.scene.second.has_no_more_visitors().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_goes_on_with_another_backend_when_its_own_is_gone() {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT)).await;
    let headers = [("authorization", "Bearer me")];
    let connecting = scene.proxy.connect_to("/feed?of=birds", &headers);
    let (mut client, (mut first, asked)) = tokio::join!(connecting, granted(&scene.first, &[]));
    client.send("to the first").await;
    hears(&mut first, "to the first").await;
    first.send(text("from the first", Role::Server)).await;
    assert_eq!(client.text().await, "from the first");
    assert_eq!(scene.live(), [1, 0]);

    drop(first);
    let (mut second, asked_again) = granted(&scene.second, &[]).await;
    assert_eq!(asked_again, asked);
    assert!(asked.starts_with("GET /feed?of=birds "), "{asked}");
    client.send("to the second").await;
    hears(&mut second, "to the second").await;
    second.send(text("from the second", Role::Server)).await;
    assert_eq!(client.text().await, "from the second");
    assert_eq!(scene.live(), [0, 1]);

    client.websocket.close(None).await.unwrap();
    assert!(
        second.frame().await.unwrap().close().is_none(),
        "without a code"
    );
    assert_eq!(scene.live(), [0, 1], "it serves until the end");
    second.send(b"\x88\x00").await;
    assert!(matches!(client.next().await, Some(Message::Close(None))));
    drop((client, second));
    until(|| scene.live() == [0, 0]).await;
}

#[tokio::test(start_paused = true)]
async fn so_it_does_when_its_backend_breaks() {
    let Opened {
        scene,
        mut client,
        backend,
    } = opened().await;
    let socket = SockRef::from(&backend.socket);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    drop(backend);
    client.send(text("one", Role::Client)).await;
    client.send(text("two", Role::Client)).await;
    let (mut second, _) = granted(&scene.second, &[]).await;
    // What was just being written to the first may have been taken by it.
    let heard = second.frame().await.unwrap().payload;
    assert!(heard == b"one" || heard == b"two", "{heard:?}");
    second.send(text("welcome", Role::Server)).await;
    hears(&mut client, "welcome").await;
}

#[tokio::test(start_paused = true)]
async fn what_follows_the_other_101_at_once_and_what_the_client_said_meanwhile_arrive() {
    let Opened {
        scene,
        mut client,
        backend,
    } = opened().await;
    drop(backend);
    let mut second = scene.second.accept().await;
    let head = second.head().await;
    assert_eq!(scene.live(), [0, 1]);
    client.send(text("meanwhile", Role::Client)).await;
    let key = header(&head, "sec-websocket-key").unwrap();
    let accept = accept(&key.parse().unwrap());
    let mut answer = switching(&[("Sec-WebSocket-Accept", accept.to_str().unwrap())]).into_bytes();
    answer.extend(text("at once", Role::Server));
    assert!(client.is_silent().await);
    second.send(answer).await;
    hears(&mut client, "at once").await;
    hears(&mut second, "meanwhile").await;
}

#[tokio::test(start_paused = true)]
async fn unless_a_route_says_so_nobody_is_reconnected() {
    let scene = Scene::set(|proxy| proxy).await;
    scene.open(&[], &[]).await.ends().await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_lost_inside_a_frame_or_a_message_is_not_replaced() {
    let mut inside_frame = opened().await;
    inside_frame.backend.send(b"\x81\x05Hel").await;
    drop(inside_frame.backend);
    assert_eq!(inside_frame.client.rest().await, b"\x81\x05Hel");
    inside_frame.scene.second.has_no_more_visitors().await;

    let mut inside_message = opened().await;
    let message = frame(0x82, &vec![7; 100_000], Role::Server);
    let fragment = frame(0x02, &vec![7; 100_000], Role::Server);
    inside_message.backend.send(message).await;
    inside_message.client.frame().await.unwrap();
    // Behind a long frame the next is moved by the system.
    inside_message.backend.send(fragment).await;
    inside_message.client.frame().await.unwrap();
    inside_message.ends().await;
}

#[tokio::test(start_paused = true)]
async fn behind_long_frames_a_backend_is_replaced_and_long_frames_follow() {
    let Opened {
        scene,
        mut client,
        mut backend,
    } = opened().await;
    let long = vec![7; 100_000];
    for _ in 0..2 {
        backend.send(frame(0x82, &long, Role::Server)).await;
        assert_eq!(client.frame().await.unwrap().payload, long);
    }
    drop(backend);
    let (mut second, _) = granted(&scene.second, &[]).await;
    for _ in 0..2 {
        second.send(frame(0x82, &long, Role::Server)).await;
        assert_eq!(client.frame().await.unwrap().payload, long);
        client.send(frame(0x82, &long, Role::Client)).await;
        assert_eq!(second.frame().await.unwrap().payload, long);
    }
}

const PROTOCOLS: (&str, &str) = ("Sec-WebSocket-Protocol", "a, b");
const DEFLATE: (&str, &str) = (
    "Sec-WebSocket-Extensions",
    "permessage-deflate; client_no_context_takeover; client_max_window_bits",
);

#[tokio::test(start_paused = true)]
async fn a_backend_that_agrees_on_something_else_is_no_other_backend() {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT)).await;
    let chosen = ("Sec-WebSocket-Protocol", "a");
    let Opened {
        scene,
        mut client,
        backend,
    } = scene.open(&[PROTOCOLS], &[chosen]).await;
    let began = Instant::now();
    drop(backend);
    granted(&scene.second, &[("Sec-WebSocket-Protocol", "b")]).await;
    // The lost one is tried last.
    granted(&scene.first, &[]).await;
    assert_eq!(hears_close(&mut client).await, 1012);
    assert_eq!(began.elapsed().as_secs(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_same_extension_is_agreed_on_however_it_is_written() {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT)).await;
    let agreed = (
        "Sec-WebSocket-Extensions",
        "permessage-deflate; client_no_context_takeover; client_max_window_bits=10",
    );
    let Opened {
        scene,
        mut client,
        backend,
    } = scene.open(&[DEFLATE], &[agreed]).await;
    drop(backend);
    let agreed = (
        "Sec-WebSocket-Extensions",
        "permessage-deflate;client_max_window_bits=\"10\";client_no_context_takeover",
    );
    let (mut second, _) = granted(&scene.second, &[agreed]).await;
    second.send(text("welcome", Role::Server)).await;
    hears(&mut client, "welcome").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_compressor_remembers_is_not_reconnected() {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT)).await;
    let agreed = ("Sec-WebSocket-Extensions", "permessage-deflate");
    scene.open(&[DEFLATE], &[agreed]).await.ends().await;
}

#[tokio::test(start_paused = true)]
async fn where_all_backends_are_gone_the_client_is_told_within_the_deadline() {
    let Opened {
        scene,
        mut client,
        backend,
    } = opened().await;
    let Scene {
        first,
        second,
        proxy,
    } = scene;
    drop((first, second));
    let began = Instant::now();
    drop(backend);
    let close = client.frame().await.unwrap();
    let (code, reason) = close.close().unwrap();
    assert_eq!((code.0, reason), (1012, "backend connection lost"));
    assert!((9..=11).contains(&began.elapsed().as_secs()));
    client.send(frame(0x88, b"", Role::Client)).await;
    drop(client);
    until(|| proxy.registry.is_empty()).await;
    let live = proxy.pools[0].backends().iter().map(|b| b.tunnels());
    assert_eq!(live.sum::<usize>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_leaves_time_for_another() {
    let Opened {
        scene,
        mut client,
        backend,
    } = opened().await;
    drop(backend);
    let _hangs = scene.second.accept().await;
    let (mut first, _) = granted(&scene.first, &[]).await;
    first.send(text("back again", Role::Server)).await;
    hears(&mut client, "back again").await;
}

#[tokio::test(start_paused = true)]
async fn the_only_backend_is_waited_for_while_it_restarts() {
    in_slow_motion();
    let only = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([only.address])
        .route(RECONNECT)
        .start()
        .await;
    let mut client = proxy.raw().await;
    client.send(handshake("/", &[])).await;
    let (backend, _) = granted(&only, &[]).await;
    client.head().await;
    until(|| proxy.registry.len() == 1).await;

    drop(backend);
    let mut early = only.accept().await;
    early.head().await;
    early
        .send("HTTP/1.1 503 Not Yet\r\nContent-Length: 0\r\n\r\n")
        .await;
    let (mut backend, _) = granted(&only, &[]).await;
    backend.send(text("back again", Role::Server)).await;
    hears(&mut client, "back again").await;
}

#[tokio::test(start_paused = true)]
async fn backends_that_let_it_in_and_fail_at_once_are_given_up() {
    let Opened {
        scene,
        mut client,
        backend,
    } = opened().await;
    drop(backend);
    for backend in [&scene.second, &scene.first, &scene.second] {
        granted(backend, &[]).await;
    }
    assert_eq!(hears_close(&mut client).await, 1014);
    scene.first.has_no_more_visitors().await;
    scene.second.has_no_more_visitors().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_known_by_its_address_stays_with_the_backend_that_it_was_moved_to() {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT).affinity("\"ip\"")).await;
    let mut client = scene.proxy.raw().await;
    client.send(handshake("/", &[])).await;
    let [mut own, mut other] = [&scene.first, &scene.second];
    let mut connection = tokio::select! {
        connection = own.accept() => connection,
        connection = other.accept() => {
            std::mem::swap(&mut own, &mut other);
            connection
        }
    };
    connection.grant_websocket().await;
    client.head().await;
    until(|| scene.proxy.registry.len() == 1).await;
    drop(connection);
    let (mut moved, _) = granted(other, &[]).await;
    moved.send(text("welcome", Role::Server)).await;
    hears(&mut client, "welcome").await;

    let mut again = scene.proxy.raw().await;
    again.send(handshake("/", &[])).await;
    granted(other, &[]).await;
    own.has_no_more_visitors().await;
}

#[tokio::test(start_paused = true)]
async fn a_stop_ends_a_search() {
    let Opened {
        mut scene,
        mut client,
        backend,
    } = opened().await;
    drop(backend);
    let mut asked = scene.second.accept().await;
    asked.head().await;
    scene.proxy.stop();
    assert_eq!(hears_close(&mut client).await, 1001);
    assert_eq!(asked.rest().await, b"", "it is hung up on");
    assert_eq!(scene.live(), [0, 0]);
    client.send(frame(0x88, b"", Role::Client)).await;
    scene.proxy.stopped().await;
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_has_moved_belongs_to_its_new_backend() {
    let scene = Scene::set(|proxy| proxy.route(RECONNECT).pool("drain.over = \"1s\"")).await;
    let Opened {
        scene,
        mut client,
        backend,
    } = scene.open(&[], &[]).await;
    drop(backend);
    let (mut second, _) = granted(&scene.second, &[]).await;
    second.send(text("here I am", Role::Server)).await;
    hears(&mut client, "here I am").await;

    let pool = &scene.proxy.pools[0];
    pool.intend(&pool.backends()[1], Intent::Draining);
    assert_eq!(hears_close(&mut client).await, 1012);
}

#[tokio::test(start_paused = true)]
async fn a_backend_whose_young_tunnels_had_to_be_moved_is_ejected() {
    let scene = Scene::set(|proxy| {
        proxy
            .route(RECONNECT)
            .pool("ejection = { failures = 1, networks = 1 }")
    })
    .await;
    let opened = scene.open(&[], &[]).await;
    drop(opened.backend);
    let (_second, _) = granted(&opened.scene.second, &[]).await;
    let first = &opened.scene.proxy.pools[0].backends()[0];
    until(|| first.state(Instant::now()) == State::Ejected).await;
}

#[tokio::test(start_paused = true)]
async fn those_that_lose_their_backend_together_come_to_another_no_faster_than_clients() {
    let gate = "admission.handshakes = 1";
    let scene = Scene::set(|proxy| proxy.route(RECONNECT).pool(gate)).await;
    let pool = &scene.proxy.pools[0];
    pool.intend(&pool.backends()[1], Intent::Maintenance);
    let mut tunnels = Vec::new();
    for _ in 0..2 {
        let mut client = scene.proxy.raw().await;
        client.ask_for_websocket("/").await;
        tunnels.push((client, granted(&scene.first, &[]).await));
    }
    until(|| scene.proxy.registry.len() == 2).await;
    pool.intend(&pool.backends()[1], Intent::Ready);
    let _clients: Vec<_> = tunnels.into_iter().map(|(client, _)| client).collect();

    let mut one = scene.second.accept().await;
    one.head().await;
    let other = timeout(Duration::from_secs(2), scene.second.accept()).await;
    assert!(other.is_err(), "the other waits");
    one.send(switching(&[])).await;
    granted(&scene.second, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_drops_a_tunnel_soon_after_it_came_is_blamed_however_old_the_tunnel_is() {
    let scene = Scene::set(|proxy| {
        proxy
            .route(RECONNECT)
            .pool("ejection = { failures = 1, networks = 1 }")
            .config("[keepalive]\ninterval = \"off\"")
    })
    .await;
    let Opened {
        scene,
        client: _client,
        backend,
    } = scene.open(&[], &[]).await;
    sleep(Duration::from_secs(60)).await;
    drop(backend);
    let (second, _) = granted(&scene.second, &[]).await;
    drop(second);
    let _first = granted(&scene.first, &[]).await;
    let states = scene.proxy.pools[0].backends().iter();
    let states = states.map(|backend| backend.state(Instant::now()));
    assert_eq!(states.collect::<Vec<_>>(), [State::Ready, State::Ejected]);
}

#[tokio::test(start_paused = true)]
async fn a_search_is_not_over_while_a_backend_was_not_asked() {
    let Opened {
        scene,
        client: _client,
        backend,
    } = Scene::set(|proxy| proxy.route(RECONNECT).pool("retries.max = 0"))
        .await
        .open(&[], &[])
        .await;
    drop(backend);
    let mut second = scene.second.accept().await;
    second.head().await;
    second
        .send("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        .await;
    let again = timeout(PATIENCE, scene.second.accept()).await;
    assert!(again.is_ok(), "the next round begins");
}
