//! A new configuration for a proxy that runs: the next request is served under it, and whoever is
//! there goes on.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use longwire::{
    pool::{Pool, standing::State},
    server::ReloadError,
    websocket::{CloseCode, Role, frame},
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};

use crate::support::{
    Backend, Pair, Proxy, Raw, RawBackend, Response, all_is_quiet, echo_cluster, frame as framed,
    in_slow_motion, naming_cluster, parsed, switching, until,
};

/// Some configuration.
const ANY: &str = "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"other\"\n\
                   [pool.other]\nbackends = [\"127.0.0.1:1\"]";

/// Longer than anything takes that is waited for.
const PATIENCE: Duration = Duration::from_secs(20);

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
        "1 listeners, 1 (1 added, 1 removed) routes, 1 pools"
    );
    assert_eq!(status(&mut client, "/new").await, "200");
    assert_eq!(status(&mut client, "/old").await, "404");
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
        "1 (1 changed) listeners, 3 (1 added, 1 removed) routes, 3 (1 added, 1 changed, 1 removed) pools"
    );
    let back = [
        ("a", "least-tunnels"),
        ("b", "round-robin"),
        ("c", "round-robin"),
    ];
    let changes = proxy.reload_as(&text("max_connections = 5", &back)).await;
    assert_eq!(
        changes.unwrap().to_string(),
        "1 listeners, 3 (1 added, 1 removed) routes, 3 (1 added, 1 removed) pools"
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

#[tokio::test]
async fn idle_connections_to_backends_are_kept_where_nothing_concerns_them() {
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let proxy = Proxy::fronting([&backend]).start().await;
    proxy.get("/").await;
    let new = Proxy::fronting([&backend]).pool("balance = \"round-robin\"");
    proxy.reload(new).await.unwrap();
    proxy.get("/").await;
    assert_eq!(backend.visits(), 1);
}

#[tokio::test]
async fn idle_connections_to_a_backend_that_is_gone_are_closed_though_it_has_tunnels() {
    for gone in ["other.backends", "limits"] {
        let (backend, mut arrivals) = Backend::played().await;
        let other = Backend::naming().await;
        let proxy = Proxy::fronting([&backend]).start().await;
        let _tunnel = proxy.open_to(&mut arrivals).await;
        let mut idle = ask_plainly(&proxy, &mut arrivals).await;
        let mut busy = proxy.raw().await;
        busy.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        // It takes the idle one.
        idle.head().await;

        let new = match gone {
            "limits" => Proxy::fronting([&backend]).config("[limits]\nbackend_idle = 5"),
            _ => Proxy::fronting([&other]),
        };
        proxy.reload(new).await.unwrap();
        idle.answer("late").await;
        assert_eq!(busy.response().await.1, "late");
        let rest = timeout(PATIENCE, idle.rest()).await;
        assert_eq!(rest.expect("it is closed"), b"", "{gone}");
    }
}

/// The backend's end of a connection over which a request was answered.
async fn ask_plainly(
    proxy: &Proxy,
    arrivals: &mut tokio::sync::mpsc::UnboundedReceiver<Raw>,
) -> Raw {
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut backend = arrivals.recv().await.unwrap();
    backend.head().await;
    backend.answer("hello").await;
    client.response().await;
    backend
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_loses_its_backend_after_a_reload_goes_on_with_one_of_the_new() {
    in_slow_motion();
    let (old, new) = (RawBackend::listen(), RawBackend::listen());
    let fronting = |backend: &RawBackend| {
        Proxy::fronting_addresses([backend.address]).route("on_backend_loss = \"reconnect\"")
    };
    let proxy = fronting(&old).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = old.accept().await;
    backend.grant_websocket().await;
    client.head().await;

    proxy.reload(fronting(&new)).await.unwrap();
    drop(backend);

    let found = timeout(PATIENCE, new.accept()).await;
    let mut backend = found.expect("it is asked");
    backend.grant_websocket().await;
    backend.send(b"\x81\x05hello").await;
    assert_eq!(client.frame().await.unwrap().payload, b"hello");
    until(|| proxy.members()[0].tunnels() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_loss_counts_in_the_pool_as_it_is_now() {
    in_slow_motion();
    let (one, mut arrivals) = Backend::played().await;
    let other = Backend::naming().await;
    let lines = "balance = \"round-robin\"\nejection = { failures = 1 }";
    let proxy = Proxy::fronting([&one, &other]).pool(lines).start().await;
    let (mut client, backend) = proxy.open_to(&mut arrivals).await;

    // Alone it could not be spared.
    proxy
        .reload(Proxy::fronting([&one]).pool(lines))
        .await
        .unwrap();
    drop(backend);
    client.rest().await;
    drop(client);
    until(|| proxy.registry.is_empty()).await;

    assert_eq!(proxy.state(0), State::Ready);
}

#[tokio::test]
async fn of_old_versions_nothing_is_left_but_what_their_tunnels_need() {
    let backends = echo_cluster(3).await;
    let configured = |round: usize| {
        Proxy::fronting(backends.iter().skip(round % 2))
            .pool(&format!("max_tunnels = {}", 1_000 + round))
            .pool("health = { check = \"tcp\" }\nrebalance = { rate = 1 }")
            .config(
                "[[route]]\npath = \"/reconnect\"\npool = \"main\"\n\
                 on_backend_loss = \"reconnect\"",
            )
    };
    let mut proxy = configured(0).start().await;
    let mut versions: Vec<Weak<Pool>> = vec![Arc::downgrade(&proxy.pools[0])];
    proxy.pools = Arc::default();
    let mut tunnels = Vec::new();
    for round in 1..=30 {
        tunnels.push(proxy.connect().await);
        tunnels.push(proxy.connect_to("/reconnect", &[]).await);
        proxy.get("/").await;
        proxy.reload(configured(round)).await.unwrap();
        versions.push(Arc::downgrade(&proxy.control.pools()[0]));
    }
    let now = versions.pop().unwrap();
    until(|| versions.iter().all(|version| version.strong_count() == 0)).await;
    assert!(now.upgrade().is_some());
    assert_eq!(proxy.registry.len(), tunnels.len());
    for tunnel in &mut tunnels {
        assert_eq!(tunnel.echo("still here").await, "still here");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nobody_is_refused_while_reloads_come_one_after_the_other() {
    let (echo, naming) = (echo_cluster(3).await, naming_cluster(3).await);
    let text = |round: usize| {
        let backends = |cluster: &[Backend]| {
            let members = cluster.iter().cycle().skip(round).take(2);
            let members: Vec<_> = members.map(|b| format!("\"{}\"", b.address)).collect();
            members.join(", ")
        };
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\nmax_connections = {}\n[[route]]\n\
             pool = \"echo\"\n[[route]]\npath = \"/name\"\npool = \"naming\"\n[pool.echo]\n\
             backends = [{}]\n[pool.naming]\nbackends = [{}]",
            100 + round,
            backends(&echo),
            backends(&naming)
        )
    };
    let proxy = Arc::new(Proxy::with_config(&text(0)).await);
    let is_over = Arc::new(AtomicBool::new(false));
    let clients = (0..4).map(|_| {
        let (proxy, is_over) = (Arc::clone(&proxy), Arc::clone(&is_over));
        tokio::spawn(async move {
            let (mut kept, mut visits) = (proxy.raw().await, 0);
            while !is_over.load(Relaxed) {
                assert_eq!(status(&mut kept, "/name").await, "200");
                let mut tunnel = proxy.connect().await;
                assert_eq!(tunnel.echo("hello").await, "hello");
                visits += 1;
            }
            visits
        })
    });
    let clients: Vec<_> = clients.collect();
    for round in 1..=100 {
        proxy.reload_as(&text(round)).await.unwrap();
        sleep(Duration::from_millis(5)).await;
    }
    is_over.store(true, Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
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
