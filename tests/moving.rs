//! Live tunnels that go on in another process.

use std::{fs::File, time::Duration};

use longwire::{config::Intent, pool::standing::State, websocket::Role};
use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    Authority, Backend, Log, Pair, Proxy, ProxyBuilder, Raw, RawBackend, TlsClient, copied,
    echo_cluster, frame, handshake, header, in_slow_motion, naming_cluster, switching, until,
};

fn text(payload: &str, sender: Role) -> Vec<u8> {
    frame(0x81, payload.as_bytes(), sender)
}

const NO_PINGS: &str = "[keepalive]\ninterval = \"off\"";

/// Tunnels of each backend of a proxy.
fn live(proxy: &Proxy) -> Vec<usize> {
    let backends = proxy.pools[0].backends().iter();
    backends.map(|backend| backend.tunnels()).collect()
}

async fn hears(peer: &mut Raw, payload: &str) {
    let heard = peer.frame().await.expect("a frame, not the end");
    assert_eq!(heard.payload, payload.as_bytes());
}

#[tokio::test(start_paused = true)]
async fn a_client_amid_a_conversation_notices_nothing() {
    in_slow_motion();
    let log = Log::begin();
    let backends = echo_cluster(1).await;
    let quiet = || Proxy::fronting(&backends).config(NO_PINGS);
    let (mut old, new) = (quiet().start().await, quiet().start().await);
    let _first = old.connect().await;
    let mut client = old.connect_to("/chat?room=7", &[]).await;
    assert_eq!(client.echo("hello").await, "hello");
    sleep(Duration::from_secs(30)).await;

    old.moves_to(&new, 2).await;
    assert_eq!((live(&old), live(&new)), (vec![0], vec![2]));
    assert_eq!((old.registry.len(), new.registry.len()), (0, 2));
    old.stop();
    assert_eq!(old.stopped().await.cut_tunnels, 0);
    assert_eq!(log.events("tunnel ended").len(), 0, "they have not");

    sleep(Duration::from_secs(30)).await;
    assert_eq!(client.echo("still there?").await, "still there?");
    client.websocket.close(None).await.unwrap();
    while client.next().await.is_some() {}
    drop(client);
    until(|| log.events("tunnel ended").len() == 1).await;
    assert_eq!((live(&new), new.registry.len()), (vec![1], 1));

    let ended = &log.events("tunnel ended")[0];
    assert_eq!(ended["tunnel"], 2);
    assert_eq!(ended["client"], "127.0.0.1");
    assert_eq!(ended["host"], "127.0.0.1");
    assert_eq!(ended["path"], "/chat");
    assert_eq!(ended["route"], "*/");
    assert_eq!(ended["pool"], "main");
    assert_eq!(ended["backend"], backends[0].address.to_string());
    assert_eq!(ended["affinity"], "none");
    assert_eq!(ended["ended_by"], "client");
    assert_eq!(ended["client_messages"], 2);
    assert_eq!(ended["backend_messages"], 2);
    assert_eq!(ended["client_bytes"], (6 + 5) + (6 + 12) + 6);
    assert_eq!(ended["backend_bytes"], (2 + 5) + (2 + 12) + 2);
    let seconds = ended["duration_seconds"].as_f64().unwrap();
    assert!((60.0..62.0).contains(&seconds), "{seconds}");
    assert_eq!(log.events("tunnel opened").len(), 2, "none opens anew");
}

#[tokio::test(start_paused = true)]
async fn what_is_under_way_arrives_whole() {
    let Pair {
        mut client,
        mut backend,
        listener,
        proxy: old,
        ..
    } = Pair::open().await;
    let new = Proxy::fronting_addresses([listener.address]).start().await;
    let message = text(&"x".repeat(100_000), Role::Client);
    let (begun, rest) = message.split_at(70_000);
    client.send(begun).await;

    old.moves_to(&new, 1).await;
    client.send(rest).await;
    hears(&mut backend, &"x".repeat(100_000)).await;
    new.moves_to(&old, 1).await;
    backend.send(text("got it", Role::Server)).await;
    hears(&mut client, "got it").await;
    assert_eq!((live(&old), live(&new)), (vec![1], vec![0]));
}

#[tokio::test(start_paused = true)]
async fn a_backend_on_a_unix_socket_serves_on() {
    in_slow_motion();
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("backend");
    let listener = UnixListener::bind(&path).unwrap();
    let fronting = || Proxy::fronting_addresses([format!("unix:{}", path.display())]);
    let (old, new) = (fronting().start().await, fronting().start().await);
    let mut client = old.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = Raw::new(listener.accept().await.unwrap().0);
    backend.grant_websocket().await;
    client.head().await;

    old.moves_to(&new, 1).await;
    client.send(text("to", Role::Client)).await;
    assert_eq!(backend.frame().await.unwrap().payload, b"to");
    backend.send(text("fro", Role::Server)).await;
    hears(&mut client, "fro").await;
    assert_eq!(live(&new), [1]);
}

const RECONNECT: &str = "on_backend_loss = \"reconnect\"";
const DEFLATE: &str = "permessage-deflate; client_no_context_takeover; client_max_window_bits=10";

/// The next connection to `backend`, which it has granted with that extension, and what was asked.
async fn granted(backend: &RawBackend, extensions: &str) -> (Raw, String) {
    let accepted = timeout(Duration::from_secs(30), backend.accept()).await;
    let mut connection = accepted.expect("nobody asks");
    let head = connection.head().await;
    let answer = switching(&[("Sec-WebSocket-Extensions", extensions)]);
    connection.send(answer).await;
    (connection, head)
}

#[tokio::test(start_paused = true)]
async fn one_that_loses_its_backend_later_still_gets_another() {
    in_slow_motion();
    let (first, second) = (RawBackend::listen(), RawBackend::listen());
    let fronting = || Proxy::fronting_addresses([first.address, second.address]).route(RECONNECT);
    let (old, new) = (fronting().start().await, fronting().start().await);
    let mut client = old.raw().await;
    let offer = [
        ("Sec-WebSocket-Extensions", DEFLATE),
        ("Authorization", "Bearer me"),
    ];
    client.send(handshake("/feed?of=birds", &offer)).await;
    let (backend, asked) = granted(&first, DEFLATE).await;
    client.head().await;
    until(|| old.registry.len() == 1).await;

    old.moves_to(&new, 1).await;
    assert_eq!(live(&new), [1, 0]);
    drop(backend);
    let rewritten = "permessage-deflate; client_max_window_bits=\"10\"; client_no_context_takeover";
    let (mut other, asked_again) = granted(&second, rewritten).await;
    let sorted = |head: &str| {
        let mut lines: Vec<_> = head.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&asked_again), sorted(&asked));
    assert_eq!(header(&asked_again, "authorization"), Some("Bearer me"));
    other.send(text("welcome", Role::Server)).await;
    hears(&mut client, "welcome").await;
    assert_eq!(live(&new), [0, 1]);
    first.has_no_more_visitors().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_known_by_its_address_is_known_where_its_tunnel_goes() {
    in_slow_motion();
    let backends = naming_cluster(2).await;
    let by_ip = "{ by = \"ip\", expiry = \"10s\" }";
    let fronting = || Proxy::fronting(&backends).affinity(by_ip).config(NO_PINGS);
    let (old, new) = (fronting().start().await, fronting().start().await);
    let home = old.connect().await.backend();
    until(|| old.registry.is_empty()).await;
    let away = usize::from(backends[0].address == home);
    let pool = &old.pools[0];
    pool.intend(&pool.backends()[1 - away], Intent::Maintenance);
    let client = old.connect().await;
    assert_eq!(client.backend(), backends[away].address);

    old.moves_to(&new, 1).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(new.connect().await.backend(), backends[away].address);
    drop(client);
    until(|| new.registry.is_empty()).await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(new.connect().await.backend(), home, "it is forgotten");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_full_keeps_what_it_has() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let fronting = || Proxy::fronting(&backends);
    let old = fronting().start().await;
    let new = fronting().pool("max_tunnels = 1").start().await;
    let mut clients = [old.connect().await, old.connect().await];
    old.moves_to(&new, 2).await;
    assert_eq!(live(&new), [2]);
    for client in &mut clients {
        assert_eq!(client.echo("hello").await, "hello");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_counts_from_when_it_is_let_in() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let fronting = || Proxy::fronting(&backends).pool("max_tunnels = 1");
    let (old, new) = (fronting().start().await, fronting().start().await);
    let mut client = old.connect().await;
    let parcel = old.lets_go(1).await.remove(0);
    let go_on = new.arrivals.admit(copied(&parcel)).unwrap();
    let mut other = new.raw().await;
    other.ask_for_websocket("/").await;
    assert!(other.head().await.starts_with("HTTP/1.1 503"));
    // It may yet turn out that the old process has it.
    drop(go_on);
    assert_eq!(live(&new), [0]);
    new.receives(parcel).unwrap();
    assert_eq!(client.echo("hello").await, "hello");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_go_on_elsewhere_is_given_back_and_goes_on_where_it_was() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let old = Proxy::fronting(&backends[..1]).start().await;
    let others = [
        Proxy::fronting(&backends[1..]).start().await,
        Proxy::with_config(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"other\"\n\
             [pool.other]\nbackends = [{:?}]",
            backends[0].address.to_string()
        ))
        .await,
    ];
    let mut client = old.connect().await;
    let parcel = old.lets_go(1).await.remove(0);
    for other in &others {
        assert!(other.receives(copied(&parcel)).is_err());
        assert_eq!(live(other), [0]);
        assert!(other.registry.is_empty());
    }
    let mut broken = copied(&parcel);
    broken.backend = File::open("/dev/null").unwrap().into();
    assert!(old.receives(broken).is_err());

    assert_eq!(old.receives(parcel), Ok(()));
    assert_eq!(client.echo("still there?").await, "still there?");
    assert_eq!((live(&old), old.registry.len()), (vec![1], 1));
}

#[tokio::test(start_paused = true)]
async fn where_nobody_takes_them_tunnels_stay() {
    in_slow_motion();
    let log = Log::begin();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let mut client = proxy.connect().await;
    assert_eq!(client.echo("hello").await, "hello");
    drop(proxy.opens_exit());
    assert_eq!(client.echo("still there?").await, "still there?");
    assert_eq!((live(&proxy), proxy.registry.len()), (vec![1], 1));

    // The next time it leaves with the others.
    let new = Proxy::fronting(&backends).start().await;
    proxy.moves_to(&new, 1).await;
    assert_eq!(client.echo("and now?").await, "and now?");
    drop(client);
    until(|| log.events("tunnel ended").len() == 1).await;
    assert_eq!(log.events("tunnel ended")[0]["client_messages"], 3);
}

#[tokio::test(start_paused = true)]
async fn clients_over_tls_stay() {
    in_slow_motion();
    let authority = Authority::new();
    let certificate = authority.certify(&["one.test"]);
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).listener(&certificate.on_listener());
    let proxy = proxy.start().await;
    let mut client = TlsClient::trusting(&authority)
        .connect(proxy.address, "one.test")
        .await;
    client.open_websocket().await;
    let mut leaving = proxy.opens_exit();
    client.send(text("hello", Role::Client)).await;
    assert_eq!(client.frame().await.unwrap().payload, b"hello");
    assert!(leaving.try_recv().is_err());
}

/// What becomes of a backend that drops a tunnel after some seconds, moved once meanwhile.
async fn state_after_dropping_a_tunnel_of(seconds: u64) -> State {
    in_slow_motion();
    let configure = |proxy: ProxyBuilder| {
        proxy
            .pool("ejection = { failures = 1, networks = 1, max_share = 100 }")
            .config(NO_PINGS)
    };
    let Pair {
        mut client,
        backend,
        listener,
        proxy: old,
        ..
    } = Pair::open_through(configure).await;
    let new = configure(Proxy::fronting_addresses([listener.address]));
    let new = new.start().await;
    sleep(Duration::from_secs(seconds)).await;
    old.moves_to(&new, 1).await;
    drop(backend);
    assert!(client.frame().await.unwrap().close().is_some());
    drop(client);
    until(|| new.registry.is_empty()).await;
    new.pools[0].backends()[0].state(Instant::now())
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_blamed_for_young_tunnels_however_long_they_are_here() {
    assert_eq!(state_after_dropping_a_tunnel_of(0).await, State::Ejected);
    assert_eq!(state_after_dropping_a_tunnel_of(60).await, State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_goes_on_under_the_policy_that_it_began_with() {
    let often = "[keepalive]\ninterval = \"5s\"\ntimeout = \"5s\"";
    let Pair {
        mut client,
        backend: _backend,
        listener,
        proxy: old,
        ..
    } = Pair::open_through(|proxy| proxy.config(often)).await;
    let new = Proxy::fronting_addresses([listener.address]).config(NO_PINGS);
    let new = new.start().await;
    old.moves_to(&new, 1).await;
    let asked = timeout(Duration::from_secs(30), client.frame()).await;
    assert!(asked.expect("nobody is pinged").unwrap().is_ping());
}

#[tokio::test(start_paused = true)]
async fn what_is_logged_is_what_the_process_is_to_log() {
    in_slow_motion();
    let log = Log::begin();
    let backends = echo_cluster(1).await;
    let fronting = |log: &str| Proxy::fronting(&backends).config(log).start();
    let old = fronting("[log]\nquery = true").await;
    let ways = ["[log]\nquery = true", "", "[log]\naccess = false"];
    for way in ways {
        let new = fronting(way).await;
        let client = old.connect_to("/chat?room=7", &[]).await;
        old.moves_to(&new, 1).await;
        drop(client);
        until(|| new.registry.is_empty()).await;
    }
    let ended = log.events("tunnel ended");
    let queries: Vec<_> = ended.iter().map(|event| event["query"].as_str()).collect();
    assert_eq!(queries, [Some("room=7"), None]);
}

#[tokio::test(start_paused = true)]
async fn a_hundred_tunnels_that_talk_all_the_time_lose_nothing() {
    in_slow_motion();
    let backend = Backend::echo().await;
    let (old, new) = (
        Proxy::fronting([&backend]).start().await,
        Proxy::fronting([&backend]).start().await,
    );
    let mut talks = Vec::new();
    for _ in 0..100 {
        let mut client = old.connect().await;
        talks.push(tokio::spawn(async move {
            for n in 0..200 {
                let number = n.to_string();
                assert_eq!(client.echo(&number).await, number);
            }
        }));
    }
    until(|| old.registry.len() == 100).await;
    old.moves_to(&new, 100).await;
    new.moves_to(&old, 100).await;
    for talk in talks {
        talk.await.unwrap();
    }
}
