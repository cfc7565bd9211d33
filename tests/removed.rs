//! Tunnels of backends, pools and routes that a reload has removed.

use std::{sync::Arc, time::Duration};

use longwire::{config::Intent, tunnel::registry::RouteId, websocket::CloseCode};
use tokio::time::{Instant, sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

use crate::{
    drain::{Told, assert_paced, clients, finished},
    support::{Backend, Proxy, ProxyBuilder, Raw, echo_cluster, in_slow_motion, until},
};

const DRAIN: &str = "[reload]\nremoved = \"drain\"";

const REMOVED: Option<(CloseCode, &str)> =
    Some((CloseCode::SERVICE_RESTART, "removed from the configuration"));

/// A proxy with one pool of that name and with that backend.
fn of_pool(name: &str, backend: &Backend, rest: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"{name}\"\n[pool.{name}]\n\
         backends = [\"{}\"]\ndrain.over = \"10s\"\n{rest}",
        backend.address
    )
}

fn were_told(told: &[Told], code: u16) {
    for told in told {
        assert_eq!(
            (told.code, &*told.reason),
            (code, "removed from the configuration")
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_removed_backend_or_pool_are_kept_by_default() {
    in_slow_motion();
    let backends = echo_cluster(3).await;
    let lines = "drain.over = \"1s\"";
    let proxy = Proxy::fronting(&backends[..2]).pool(lines).start().await;
    let (mut one, mut other) = (proxy.connect().await, proxy.connect().await);

    let alone = Proxy::fronting(&backends[1..2]).pool(lines);
    proxy.reload(alone).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    for client in [&mut one, &mut other] {
        assert_eq!(client.echo("still here").await, "still here");
    }
    let elsewhere = of_pool("other", &backends[2], "");
    proxy.reload_as(&elsewhere).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    for client in [&mut one, &mut other] {
        assert_eq!(client.echo("still here").await, "still here");
    }
    assert_eq!(proxy.connect().await.backend(), backends[2].address);
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_removed_route_are_drained_where_that_is_wanted_though_their_backend_stays() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let lines = "drain.over = \"10s\"";
    let more = format!(
        "{DRAIN}\n[keepalive]\ninterval = \"off\"\n[[route]]\npath = \"/kept\"\npool = \"main\""
    );
    let proxy = Proxy::fronting(&backends).pool(lines).config(&more);
    let proxy = proxy.route("path = \"/gone\"").start().await;
    let mut gone = proxy.connect_to("/gone", &[]).await;
    let mut kept = proxy.connect_to("/kept", &[]).await;

    let new = Proxy::fronting(&backends).pool(lines).config(&more);
    proxy.reload(new.route("path = \"/new\"")).await.unwrap();
    let told = timeout(Duration::from_secs(60), gone.next()).await;
    let Ok(Some(Message::Close(Some(close)))) = told else {
        panic!("no Close: {told:?}");
    };
    assert_eq!(close.reason.as_str(), "removed from the configuration");
    sleep(Duration::from_secs(20)).await;
    assert_eq!(kept.echo("still here").await, "still here");
}

#[tokio::test(start_paused = true)]
async fn a_removed_route_is_known_as_long_as_it_has_tunnels_whatever_is_reloaded_meanwhile() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let of = |routes: &str| {
        let pools = backends.iter().zip(["a", "b"]).map(|(backend, name)| {
            let address = backend.address;
            format!(
                "[[route]]\npath = \"/{name}\"\npool = \"{name}\"\n\
                 [pool.{name}]\nbackends = [\"{address}\"]\n"
            )
        });
        let pools: String = pools.collect();
        format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{routes}\n{pools}")
    };
    let leading = |pool| of(&format!("[[route]]\npath = \"/gone\"\npool = \"{pool}\""));
    let proxy = Proxy::with_config(&leading("a")).await;
    let is_known = || proxy.registry.knows(RouteId::of("*/gone"));
    let first = proxy.connect_to("/gone", &[]).await;
    for version in [leading("b"), of(""), leading("b")] {
        proxy.reload_as(&version).await.unwrap();
    }
    let second = proxy.connect_to("/gone", &[]).await;
    proxy.reload_as(&of("")).await.unwrap();

    drop(second);
    until(|| proxy.registry.len() == 1).await;
    sleep(Duration::from_secs(5)).await;
    assert!(is_known());
    drop(first);
    until(|| !is_known()).await;
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_removed_backend_are_drained_at_their_pools_pace_where_that_is_wanted() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let lines = "drain = { over = \"20s\", code = 1001 }";
    let proxy = Proxy::fronting(&backends).pool(lines).start().await;
    let mut clients = clients(&proxy, 20).await;

    let began = Instant::now();
    let new = Proxy::fronting(&backends[1..]).pool(lines).config(DRAIN);
    proxy.reload(new).await.unwrap();
    sleep(Duration::from_secs(21)).await;

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 10);
    were_told(&told, 1001);
    assert!(told.iter().all(|told| told.backend == backends[0].address));
    assert_paced(&told, began, Duration::from_secs(2));
    assert_eq!(proxy.registry.len(), 10, "the others go on");
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_removed_pool_are_drained_at_its_pace_where_that_is_wanted() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::with_config(&of_pool("old", &backends[0], "")).await;
    let mut clients = clients(&proxy, 10).await;

    let began = Instant::now();
    let new = of_pool("new", &backends[1], DRAIN);
    proxy.reload_as(&new).await.unwrap();
    let mut late = proxy.connect().await;
    sleep(Duration::from_secs(11)).await;

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 10);
    were_told(&told, 1012);
    assert_paced(&told, began, Duration::from_secs(1));
    assert_eq!(late.echo("hello").await, "hello");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_with_a_removed_backend_becomes_a_tunnel_that_is_drained() {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let other = Backend::echo().await;
    let proxy = Proxy::with_config(&of_pool("old", &server, "")).await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = arrivals.recv().await.unwrap();
    let new = of_pool("new", &other, DRAIN);
    proxy.reload_as(&new).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    backend.grant_websocket().await;
    client.head().await;

    assert_eq!(client.frame().await.unwrap().close(), REMOVED);
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_at_first_is_drained_once_that_is_wanted() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let mut clients = clients(&proxy, 4).await;
    let alone = || Proxy::fronting(&backends[1..]).pool("drain.over = \"1s\"");
    proxy.reload(alone()).await.unwrap();
    sleep(Duration::from_secs(5)).await;
    proxy.reload(alone().config(DRAIN)).await.unwrap();
    sleep(Duration::from_secs(2)).await;

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 2);
    were_told(&told, 1012);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_added_again_keeps_what_it_has_left() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let lines = "drain.over = \"20s\"";
    let proxy = Proxy::fronting(&backends).pool(lines).config(DRAIN);
    let proxy = proxy.start().await;
    let _clients = clients(&proxy, 40).await;

    let alone = Proxy::fronting(&backends[1..]).pool(lines).config(DRAIN);
    proxy.reload(alone).await.unwrap();
    sleep(Duration::from_millis(10_200)).await;
    let both = Proxy::fronting(&backends).pool(lines).config(DRAIN);
    proxy.reload(both).await.unwrap();
    let left = proxy.members()[0].tunnels();
    assert!((9..=11).contains(&left), "{left}");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(proxy.registry.len(), 20 + left);
}

/// As many tunnels that never answer a Close.
async fn stubborn(proxy: &Proxy, count: usize) -> Vec<Raw> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = proxy.raw().await;
        client.open_websocket().await;
        clients.push(client);
    }
    clients
}

fn stubbornly(backends: &[Backend], lines: &str) -> ProxyBuilder {
    Proxy::fronting(backends)
        .pool(lines)
        .config("[timeouts]\nclose = \"1h\"\n[keepalive]\ninterval = \"off\"")
}

#[tokio::test(start_paused = true)]
async fn a_drain_goes_on_at_its_pace_and_to_its_deadline_whatever_else_is_reloaded() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let lines = "drain = { over = \"20s\", deadline = \"30s\" }";
    let proxy = stubbornly(&backends, lines).start().await;
    let _clients = stubborn(&proxy, 40).await;
    let member = Arc::clone(&proxy.members()[0]);
    let closing = || {
        let handles = proxy.registry.served_by(|id| id == member.id());
        handles.iter().filter(|handle| handle.is_closing()).count()
    };

    proxy.pools[0].intend(&member, Intent::Draining);
    for second in 1..=2 {
        sleep(Duration::from_secs(9)).await;
        let new = stubbornly(&backends, lines).pool(&format!("max_tunnels = {}", 100 + second));
        proxy.reload(new).await.unwrap();
        let told = closing();
        assert!((9 * second - 2..=9 * second + 1).contains(&told), "{told}");
    }
    sleep(Duration::from_millis(2_500)).await;
    assert_eq!(closing(), 20);
    assert_eq!(member.tunnels(), 20);
    sleep(Duration::from_secs(9)).await;
    assert_eq!(member.tunnels(), 20, "before the deadline");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(member.tunnels(), 0, "after it");
}

#[tokio::test(start_paused = true)]
async fn a_drain_of_a_removed_backend_ends_with_its_tunnels_and_frees_what_it_was() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let lines = "drain.over = \"1s\"";
    let mut proxy = Proxy::fronting(&backends).pool(lines).start().await;
    let mut clients = clients(&proxy, 4).await;
    let was = Arc::downgrade(&proxy.pools[0]);
    // It drains already when it is removed.
    let member = Arc::clone(&proxy.members()[0]);
    proxy.pools[0].intend(&member, Intent::Draining);
    proxy.pools = Arc::default();
    drop(member);
    sleep(Duration::from_millis(100)).await;
    let alone = Proxy::fronting(&backends[1..]).pool(lines).config(DRAIN);
    proxy.reload(alone).await.unwrap();
    sleep(Duration::from_secs(3)).await;

    assert_eq!(finished(&mut clients).await.len(), 2);
    assert_eq!(was.strong_count(), 0);
    let pool = Arc::clone(&proxy.control.pools()[0]);
    until(|| pool.former().next().is_none()).await;
}
