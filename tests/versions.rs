//! What a reload leaves of the version before, and what it takes over.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use longwire::pool::{Pool, standing::State};
use tokio::{
    sync::{Notify, mpsc::UnboundedReceiver},
    time::timeout,
};

use crate::support::{
    Backend, Proxy, Raw, RawBackend, Response, echo_cluster, in_slow_motion, naming_cluster, until,
};

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
async fn ask_plainly(proxy: &Proxy, arrivals: &mut UnboundedReceiver<Raw>) -> Raw {
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
    let lines = "balance = \"round-robin\"\nejection = { failures = 1, networks = 1 }";
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
    let visited = Arc::new(Notify::new());
    let clients = (0..4).map(|_| {
        let (proxy, is_over) = (Arc::clone(&proxy), Arc::clone(&is_over));
        let visited = Arc::clone(&visited);
        tokio::spawn(async move {
            let (mut kept, mut visits) = (proxy.raw().await, 0);
            while !is_over.load(Relaxed) {
                assert_eq!(status(&mut kept, "/name").await, "200");
                let mut tunnel = proxy.connect().await;
                assert_eq!(tunnel.echo("hello").await, "hello");
                visits += 1;
                visited.notify_waiters();
            }
            visits
        })
    });
    let clients: Vec<_> = clients.collect();
    for round in 1..=100 {
        proxy.reload_as(&text(round)).await.unwrap();
        let visit = timeout(PATIENCE, visited.notified()).await;
        visit.expect("somebody is served");
    }
    is_over.store(true, Relaxed);
    for client in clients {
        assert!(client.await.unwrap() > 0);
    }
}
