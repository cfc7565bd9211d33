//! A new configuration for a proxy that runs: the next request is served under it, and whoever is
//! there goes on.

use std::{sync::Arc, time::Duration};

use longwire::{
    server::ReloadError,
    websocket::{CloseCode, Role, frame},
};
use tokio::{sync::Notify, time::timeout};

use crate::support::{
    Backend, Pair, Proxy, Raw, Response, all_is_quiet, echo_cluster, frame as framed,
    in_slow_motion, naming_cluster, parsed, switching,
};

/// Some configuration.
const ANY: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"other\"\n\
                   [pool.other]\nbackends = [\"127.0.0.1:1\"]";

/// The status of the answer to a GET on a connection that is kept.
async fn status(client: &mut Raw, path: &str) -> String {
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .await;
    let (head, _) = client.response().await;
    head.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn the_next_request_on_a_kept_connection_is_served_as_the_new_configuration_says() {
    let backends = naming_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .route("path = \"/old\"")
        .start()
        .await;
    let mut client = proxy.raw().await;
    assert_eq!(status(&mut client, "/new").await, "404");

    let new = Proxy::fronting(&backends).route("path = \"/new\"");
    let changes = proxy.reload(new).await.unwrap();

    assert_eq!(
        changes.to_string(),
        "1 listeners, 1 routes (1 added, 1 removed), 1 pools"
    );
    assert_eq!(status(&mut client, "/new").await, "200");
    assert_eq!(status(&mut client, "/old").await, "404");
}

#[tokio::test]
async fn reloads_are_counted_and_what_is_in_force_can_be_read() {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = socket.local_addr().unwrap().to_string();
    let proxy = Proxy::with_config(ANY).await;
    let old = proxy.control.source();
    assert_eq!(old.text, ANY);

    let new = format!("{ANY}\n[limits]\nconnections = 10");
    proxy.reload_as(&new).await.unwrap();
    assert_eq!(proxy.control.source().text, new);
    assert!(proxy.control.source().read_at >= old.read_at);

    let impossible = new.replace("127.0.0.1:0", &taken);
    assert!(proxy.reload_as(&impossible).await.is_err());
    proxy.control.note_refused_reload();
    assert_eq!(proxy.control.source().text, new);
    let totals = proxy.control.reloads();
    assert_eq!((totals.done, totals.refused), (1, 2));
}

#[tokio::test]
async fn a_request_under_way_is_answered_by_whom_it_was_sent_to() {
    let (asked, may_answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (ask, answer) = (Arc::clone(&asked), Arc::clone(&may_answer));
    let old = Backend::http(move |_| {
        let (ask, answer) = (Arc::clone(&ask), Arc::clone(&answer));
        async move {
            ask.notify_one();
            answer.notified().await;
            Response::new("old".into())
        }
    })
    .await;
    let new = Backend::http(|_| async { Response::new("new".into()) }).await;
    let proxy = Proxy::fronting([&old]).route("path = \"/old\"");
    let proxy = proxy.start().await;
    let mut client = proxy.raw().await;
    client.send("GET /old HTTP/1.1\r\nHost: test\r\n\r\n").await;
    asked.notified().await;

    let other = Proxy::fronting([&new]).route("path = \"/new\"");
    proxy.reload(other).await.unwrap();
    may_answer.notify_one();

    assert_eq!(client.response().await.1, "old");
    client.send("GET /new HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert_eq!(client.response().await.1, "new");
}

#[tokio::test(start_paused = true)]
async fn a_handshake_under_way_becomes_a_tunnel_though_its_route_is_gone() {
    let mut pair = Pair::asking(&[]).await;
    let elsewhere = Proxy::fronting_addresses(["127.0.0.1:1"]).route("path = \"/elsewhere\"");
    pair.proxy.reload(elsewhere).await.unwrap();
    pair.backend.send(switching(&[])).await;

    let answer = pair.client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    pair.backend.send(b"\x81\x05hello").await;
    assert_eq!(pair.client.frame().await.unwrap().payload, b"hello");
}

#[tokio::test(start_paused = true)]
async fn a_message_passes_whole_that_is_half_way_through_when_its_route_and_pool_go() {
    let mut pair = Pair::open().await;
    let message = framed(0x82, &[7; 10_000], Role::Client);
    let (sent, unsent) = message.split_at(4_000);
    pair.client.send(sent).await;
    assert_eq!(pair.backend.bytes(sent.len()).await, sent);

    pair.proxy.reload_as(ANY).await.unwrap();

    assert!(pair.backend.is_silent().await && pair.client.is_silent().await);
    pair.client.send(unsent).await;
    assert_eq!(pair.backend.bytes(unsent.len()).await, unsent);
    pair.backend.send(b"\x81\x06answer").await;
    assert_eq!(pair.client.frame().await.unwrap().payload, b"answer");
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_is_pinged_as_it_was_when_it_began() {
    let pinged = "[keepalive]\ninterval = \"5s\"\ntimeout = \"60s\"";
    let unpinged = "[keepalive]\ninterval = \"off\"";
    for (before, after, is_pinged) in [(pinged, unpinged, true), (unpinged, pinged, false)] {
        let mut pair = Pair::open_through(|proxy| proxy.config(before)).await;
        let new = Proxy::fronting_addresses([pair.listener.address]).config(after);
        pair.proxy.reload(new).await.unwrap();

        let frame = timeout(Duration::from_secs(20), pair.client.frame()).await;
        assert_eq!(frame.is_ok_and(|frame| frame.unwrap().is_ping()), is_pinged);
    }
}

#[tokio::test]
async fn a_reload_that_says_nothing_new_leaves_pools_as_they_are() {
    let backends = echo_cluster(2).await;
    let configured = || Proxy::fronting(&backends).affinity("\"cookie\"");
    let proxy = configured().start().await;

    let changes = proxy.reload(configured()).await.unwrap();

    assert_eq!(changes.to_string(), "1 listeners, 1 routes, 1 pools");
    assert!(Arc::ptr_eq(&proxy.pools[0], &proxy.control.pools()[0]));
}

#[tokio::test]
async fn what_has_changed_is_counted() {
    let backends = echo_cluster(2).await;
    let text = |listener: &str, pools: &[(&str, &str)]| {
        let pools = pools.iter().map(|(name, balance)| {
            format!(
                "[[route]]\npath = \"/{name}\"\npool = \"{name}\"\n[pool.{name}]\n\
                 balance = \"{balance}\"\nbackends = [\"{}\"]\n",
                backends[0].address
            )
        });
        let pools: String = pools.collect();
        format!("[[listener]]\naddress = \"127.0.0.1:0\"\n{listener}\n{pools}")
    };
    let proxy = Proxy::with_config(&text(
        "",
        &[
            ("a", "round-robin"),
            ("b", "round-robin"),
            ("c", "round-robin"),
        ],
    ))
    .await;

    let two = [
        ("a", "least-tunnels"),
        ("b", "round-robin"),
        ("d", "round-robin"),
    ];
    let changes = proxy.reload_as(&text("max_connections = 5", &two)).await;
    assert_eq!(
        changes.unwrap().to_string(),
        "1 listeners (1 changed), 3 routes (1 added, 1 removed), 3 pools (1 added, 1 changed, 1 removed)"
    );
    let back = [
        ("a", "least-tunnels"),
        ("b", "round-robin"),
        ("c", "round-robin"),
    ];
    let changes = proxy.reload_as(&text("max_connections = 5", &back)).await;
    assert_eq!(
        changes.unwrap().to_string(),
        "1 listeners, 3 routes (1 added, 1 removed), 3 pools (1 added, 1 removed)"
    );
}

#[tokio::test]
async fn what_only_another_process_can_change_is_named_as_long_as_it_differs() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let others = parsed(ANY).server.workers.get() + 1;
    let new = || Proxy::fronting(&backends).config(&format!("[server]\nworkers = {others}"));
    for _ in 0..2 {
        let changes = proxy.reload(new()).await.unwrap().to_string();
        let expected = "; server.workers changes only with a restart or an upgrade";
        assert!(changes.ends_with(expected), "{changes}");
    }
    let changes = proxy.reload(Proxy::fronting(&backends)).await.unwrap();
    assert_eq!(changes.to_string(), "1 listeners, 1 routes, 1 pools");
}

#[tokio::test(start_paused = true)]
async fn who_waits_in_a_line_waits_on_and_newcomers_stand_behind() {
    in_slow_motion();
    let (backend, mut arrivals) = Backend::played().await;
    for (pool, rest) in [
        ("admission = { handshakes = 1, queue = 5 }", ""),
        ("admission.backend = { handshakes = 1, queue = 5 }", ""),
        ("", "[admission]\nhandshakes = 1\nqueue = 5"),
        ("", "[admission.client]\nhandshakes = 1\nqueue = 5"),
    ] {
        let limited = || Proxy::fronting([&backend]).pool(pool).config(rest);
        let proxy = limited().start().await;
        let mut clients = Vec::new();
        for _ in 0..2 {
            clients.push(proxy.raw().await);
            clients.last_mut().unwrap().ask_for_websocket("/").await;
            all_is_quiet().await;
        }
        let new = limited().pool("balance = \"round-robin\"");
        proxy.reload(new).await.unwrap();
        clients.push(proxy.raw().await);
        clients[2].ask_for_websocket("/").await;
        all_is_quiet().await;

        let mut open = Vec::new();
        for mut client in clients {
            let mut granting = arrivals.recv().await.unwrap();
            assert!(arrivals.is_empty(), "one at a time: {pool}{rest}");
            granting.grant_websocket().await;
            let answer = client.head().await;
            assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
            open.push((client, granting));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_stops_or_has_stopped_takes_no_other_configuration() {
    in_slow_motion();
    let (backend, mut arrivals) = Backend::played().await;
    let configured = || Proxy::fronting([&backend]).config("[stop]\ndeadline = \"1h\"");
    let mut proxy = configured().start().await;
    let (mut client, mut server) = proxy.open_to(&mut arrivals).await;
    proxy.stop();
    client.frame().await.unwrap();

    let refused = timeout(Duration::from_secs(1), proxy.reload(configured())).await;
    let refused = refused.expect("at once").unwrap_err();
    assert!(matches!(refused, ReloadError::NotRunning), "{refused}");

    let close = |role| frame::close(CloseCode::GOING_AWAY, "", role);
    client.send(close(Role::Client)).await;
    server.send(close(Role::Server)).await;
    let control = proxy.control.clone();
    proxy.stopped().await;
    let refused = control.reload(parsed(ANY)).await.unwrap_err();
    assert!(matches!(refused, ReloadError::NotRunning), "{refused}");
}
