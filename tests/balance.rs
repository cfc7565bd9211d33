//! How new clients are spread over backends.

use std::{collections::HashMap, net::SocketAddr};

use futures_util::future::join_all;
use longwire::pool::backend::Backend as Member;

use crate::support::{Backend, Client, Pair, Proxy, Raw, header, naming_cluster, until};

/// What each backend has now, in the configuration's order.
fn tunnels(proxy: &Proxy) -> Vec<usize> {
    let backends = proxy.pools[0].backends().iter();
    backends.map(|backend| backend.tunnels()).collect()
}

/// Backends with those weights.
fn weighted(backends: &[Backend], weights: &[u32]) -> Vec<String> {
    let weight = |(backend, weight): (&Backend, &u32)| backend.entry(&format!("weight = {weight}"));
    backends.iter().zip(weights).map(weight).collect()
}

async fn proxy_with(backends: &[Backend], weights: &[u32], balance: &str) -> Proxy {
    let proxy = Proxy::fronting_entries(weighted(backends, weights));
    let proxy = proxy.pool(&format!("balance = \"{balance}\""));
    proxy.start().await
}

async fn open(proxy: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(proxy.connect().await);
    }
    clients
}

/// How often each backend answered so many plain requests, one after the other.
async fn visits(proxy: &Proxy, backends: &[Backend], count: usize) -> Vec<usize> {
    let mut answers = HashMap::<SocketAddr, usize>::new();
    for _ in 0..count {
        let answer = proxy.get("/").await;
        let backend = answer.header("x-backend").unwrap().parse().unwrap();
        *answers.entry(backend).or_default() += 1;
        let is_idle = |backend: &std::sync::Arc<Member>| backend.load() == 0;
        until(|| proxy.pools[0].backends().iter().all(is_idle)).await;
    }
    let of = |backend: &Backend| answers.get(&backend.address).copied().unwrap_or(0);
    backends.iter().map(of).collect()
}

#[tokio::test]
async fn least_tunnels_is_the_default_and_fills_the_gaps() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let mut clients = open(&proxy, 9).await;
    assert_eq!(tunnels(&proxy), [3, 3, 3]);

    for gone in [4, 1, 6] {
        let gone = clients.remove(gone);
        let backend = gone.backend();
        drop(gone);
        until(|| proxy.registry.len() == 8).await;
        let next = proxy.connect().await;
        assert_eq!(next.backend(), backend);
        clients.push(next);
    }
}

#[tokio::test]
async fn round_robin_goes_around_by_weight() {
    let backends = naming_cluster(3).await;
    let proxy = proxy_with(&backends, &[5, 1, 2], "round-robin").await;
    for _ in 0..2 {
        assert_eq!(visits(&proxy, &backends, 8).await, [5, 1, 2]);
    }
    let _clients = open(&proxy, 16).await;
    assert_eq!(tunnels(&proxy), [10, 2, 4]);
}

#[tokio::test]
async fn least_tunnels_shares_by_weight() {
    let backends = naming_cluster(3).await;
    let proxy = proxy_with(&backends, &[5, 1, 2], "least-tunnels").await;
    let mut clients = Vec::new();
    for round in 1..4 {
        clients.extend(open(&proxy, 8).await);
        assert_eq!(tunnels(&proxy), [5 * round, round, 2 * round]);
    }
}

#[tokio::test]
async fn random_of_two_shares_by_weight() {
    let backends = naming_cluster(3).await;
    let proxy = proxy_with(&backends, &[2, 1, 1], "random-of-two").await;
    let _clients = open(&proxy, 160).await;
    let tunnels = tunnels(&proxy);
    assert!((60..=100).contains(&tunnels[0]), "{tunnels:?}");
    assert!((25..=55).contains(&tunnels[1]), "{tunnels:?}");
    assert!((25..=55).contains(&tunnels[2]), "{tunnels:?}");
}

#[tokio::test]
async fn a_light_backend_gets_its_share_of_an_idle_pools_requests() {
    let backends = naming_cluster(2).await;
    let proxy = proxy_with(&backends, &[3, 1], "least-tunnels").await;
    assert_eq!(visits(&proxy, &backends, 12).await, [9, 3]);

    let proxy = proxy_with(&backends, &[3, 1], "random-of-two").await;
    let visits = visits(&proxy, &backends, 200).await;
    assert!((110..=185).contains(&visits[0]), "{visits:?}");
}

#[tokio::test]
async fn handshakes_at_the_same_moment_are_spread() {
    // Nobody is answered, so all are under way together.
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(Backend::silent().await);
    }
    for balance in ["least-tunnels", "round-robin"] {
        let proxy = Proxy::fronting(&backends).pool(&format!("balance = \"{balance}\""));
        let proxy = proxy.start().await;
        let asking = (0..60).map(|_| async {
            let mut client = proxy.raw().await;
            client.ask_for_websocket("/").await;
            client
        });
        let _clients = join_all(asking).await;
        until(|| tunnels(&proxy).iter().sum::<usize>() == 60).await;
        assert_eq!(tunnels(&proxy), [20, 20, 20], "{balance}");
    }
}

#[tokio::test]
async fn a_full_backend_gets_no_more() {
    let backends = naming_cluster(3).await;
    let entries = [
        backends[0].entry("max_tunnels = 1"),
        backends[1].entry("weight = 1"),
        backends[2].entry("max_tunnels = 4"),
    ];
    for balance in ["least-tunnels", "round-robin", "random-of-two"] {
        let proxy = Proxy::fronting_entries(entries.clone())
            .pool("max_tunnels = 2")
            .pool(&format!("balance = \"{balance}\""));
        let proxy = proxy.start().await;
        let mut clients = open(&proxy, 7).await;
        assert_eq!(tunnels(&proxy), [1, 2, 4], "{balance}");

        let mut one_more = proxy.raw().await;
        one_more.ask_for_websocket("/").await;
        assert!(one_more.head().await.starts_with("HTTP/1.1 503"));

        let gone = clients.pop().unwrap();
        let freed = gone.backend();
        drop(gone);
        until(|| proxy.registry.len() == 6).await;
        assert_eq!(proxy.connect().await.backend(), freed);
    }
}

#[tokio::test]
async fn a_full_backend_still_answers_plain_requests() {
    let backends = naming_cluster(1).await;
    let proxy = Proxy::fronting(&backends).pool("max_tunnels = 1");
    let proxy = proxy.start().await;
    let _client = proxy.connect().await;
    assert_eq!(proxy.get("/").await.status, 200);
}

#[tokio::test]
async fn a_refused_handshake_gives_its_place_back() {
    let mut pair = Pair::asking(&[]).await;
    assert_eq!(tunnels(&pair.proxy), [1]);
    pair.backend
        .send("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        .await;
    pair.client.response().await;
    until(|| tunnels(&pair.proxy) == [0]).await;
}

#[tokio::test]
async fn a_client_that_leaves_during_its_handshake_gives_its_place_back() {
    let pair = Pair::asking(&[]).await;
    assert_eq!(tunnels(&pair.proxy), [1]);
    drop(pair.client);
    until(|| tunnels(&pair.proxy) == [0]).await;
}

#[tokio::test]
async fn a_tunnel_that_ends_gives_its_place_back() {
    let pair = Pair::open().await;
    assert_eq!(tunnels(&pair.proxy), [1]);
    drop((pair.client, pair.backend));
    until(|| tunnels(&pair.proxy) == [0]).await;
}

#[tokio::test]
async fn a_dead_backends_share_goes_to_all_others() {
    let mut backends = naming_cluster(2).await;
    backends.insert(0, Backend::refusing().await);
    let proxy = Proxy::fronting(&backends).pool("balance = \"round-robin\"");
    let proxy = proxy.start().await;
    let mut answers = HashMap::<String, usize>::new();
    for _ in 0..12 {
        let mut client: Raw = proxy.raw().await;
        client.ask_for_websocket("/").await;
        let answer = client.head().await;
        let backend = header(&answer, "x-backend").unwrap();
        *answers.entry(backend.to_owned()).or_default() += 1;
    }
    assert!(answers.values().all(|count| *count == 6), "{answers:?}");
}
