//! What a pool knows of its backends and clients, a reload does not forget.

use std::{net::SocketAddr, time::Duration};

use longwire::config::Intent;
use tokio::time::sleep;

use crate::support::{
    Backend, Client, Proxy, Raw, echo_cluster, in_slow_motion, naming_cluster, until,
};

const OTHERWISE: &str = "balance = \"random-of-two\"";

async fn clients(proxy: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(proxy.connect().await);
    }
    clients
}

/// How many of those clients each of the backends has.
fn shares<const N: usize>(clients: &[Client], backends: &[Backend; N]) -> [usize; N] {
    backends.each_ref().map(|backend| {
        let its_own = |client: &&Client| client.backend() == backend.address;
        clients.iter().filter(its_own).count()
    })
}

/// Those backends in the order in which they stand in the configuration now, with their tunnels.
fn tunnels(proxy: &Proxy) -> Vec<(String, usize)> {
    let members = proxy.members();
    let members = members.iter();
    members
        .map(|member| (member.name().to_owned(), member.tunnels()))
        .collect()
}

fn intend(proxy: &Proxy, index: usize, intent: Intent) {
    proxy.control.pools()[0].intend(&proxy.members()[index], intent);
}

async fn cluster<const N: usize>() -> [Backend; N] {
    let cluster = echo_cluster(N).await;
    cluster.try_into().unwrap_or_else(|_| panic!("not {N}"))
}

/// The status of the answer to a handshake.
async fn answer(proxy: &Proxy) -> String {
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let head = client.head().await;
    head.split(' ').nth(1).unwrap().to_owned()
}

#[tokio::test]
async fn a_backend_is_the_same_whatever_its_place_and_its_weight() {
    let [one, two, new] = &cluster().await;
    let proxy = Proxy::fronting([one, two]).start().await;
    let open = clients(&proxy, 6).await;

    let entries = [new.entry(""), two.entry("weight = 2"), one.entry("")];
    let new = Proxy::fronting_entries(entries).pool("slow_start = \"off\"");
    proxy.reload(new).await.unwrap();

    let counts: Vec<_> = tunnels(&proxy)
        .into_iter()
        .map(|(_, count)| count)
        .collect();
    assert_eq!(counts, [0, 3, 3]);
    assert_eq!(proxy.members()[1].name(), two.address.to_string());
    drop(open);
    until(|| tunnels(&proxy).iter().all(|(_, count)| *count == 0)).await;
}

#[tokio::test]
async fn another_balance_and_other_weights_hold_for_new_clients() {
    let backends @ [one, two] = &cluster().await;
    let proxy = Proxy::fronting(backends).start().await;
    let open = clients(&proxy, 4).await;
    assert_eq!(shares(&open, backends), [2, 2]);

    let heavy = [one.entry("weight = 3"), two.entry("")];
    let heavy = Proxy::fronting_entries(heavy).pool("balance = \"round-robin\"");
    proxy.reload(heavy).await.unwrap();
    let more = clients(&proxy, 12).await;
    assert_eq!(shares(&more, backends), [9, 3]);

    let fewest = Proxy::fronting(backends);
    proxy.reload(fewest).await.unwrap();
    let more = clients(&proxy, 6).await;
    assert_eq!(shares(&more, backends), [0, 6]);
}

#[tokio::test]
async fn another_limit_of_tunnels_holds_for_new_clients_and_counts_the_old() {
    let backends = echo_cluster(1).await;
    let limited = |max: usize| Proxy::fronting(&backends).pool(&format!("max_tunnels = {max}"));
    let proxy = Proxy::fronting(&backends).start().await;
    let mut open = clients(&proxy, 3).await;

    proxy.reload(limited(2)).await.unwrap();
    assert_eq!(answer(&proxy).await, "503");
    for client in &mut open {
        assert_eq!(client.echo("still here").await, "still here");
    }
    proxy.reload(limited(4)).await.unwrap();
    open.push(proxy.connect().await);
    assert_eq!(answer(&proxy).await, "503");
}

#[tokio::test]
async fn a_backend_that_is_added_again_has_the_tunnels_that_it_has() {
    let [one, two] = &cluster().await;
    let of_pool = |name: &str, backend: &Backend| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"{name}\"\n\
             [pool.{name}]\nbackends = [\"{}\"]\nmax_tunnels = 1",
            backend.address
        )
    };
    // Without its backend for a while, and without the pool at all.
    for without in [of_pool("main", two), of_pool("other", two)] {
        let proxy = Proxy::with_config(&of_pool("main", one)).await;
        let open = proxy.connect().await;
        for unrelated in ["a", "b"] {
            let more = format!("\n[[route]]\npath = \"/{unrelated}\"\npool = ");
            let name = if without.contains("pool.main") {
                "main"
            } else {
                "other"
            };
            proxy
                .reload_as(&format!("{without}{more}\"{name}\""))
                .await
                .unwrap();
        }
        assert_eq!(proxy.connect().await.backend(), two.address);
        proxy.reload_as(&of_pool("main", one)).await.unwrap();

        assert_eq!(tunnels(&proxy), [(one.address.to_string(), 1)]);
        assert_eq!(answer(&proxy).await, "503");
        drop(open);
        until(|| tunnels(&proxy)[0].1 == 0).await;
        assert_eq!(proxy.connect().await.backend(), one.address);
    }
}

#[tokio::test(start_paused = true)]
async fn an_added_backend_gets_its_share_slowly_and_none_begins_anew() {
    in_slow_motion();
    let backends @ [one, two] = &cluster().await;
    let alone = Proxy::fronting([one]);
    let proxy = alone.start().await;
    let mut open = clients(&proxy, 10).await;

    proxy.reload(Proxy::fronting(backends)).await.unwrap();
    open.extend(clients(&proxy, 8).await);
    assert_eq!(shares(&open, backends), [17, 1]);
    sleep(Duration::from_secs(10)).await;
    let changed = Proxy::fronting([two, one]).pool("max_tunnels = 100");
    proxy.reload(changed).await.unwrap();
    open.extend(clients(&proxy, 16).await);
    assert_eq!(shares(&open, backends), [17, 17]);
}

#[tokio::test]
async fn a_cookie_is_honoured_after_a_reload_though_its_secret_is_random() {
    let backends @ [one, two, three] = &cluster().await;
    let proxy = Proxy::fronting([one, two]).affinity("\"cookie\"");
    let proxy = proxy.start().await;
    let first = proxy.connect().await;
    let cookie = first.cookie().unwrap();
    let turned =
        Proxy::fronting([three, two, one]).affinity("{ by = \"cookie\", max_age = \"2h\" }");
    proxy.reload(turned).await.unwrap();
    for _ in 0..backends.len() {
        let again = proxy.connect_with_cookie(cookie).await;
        assert_eq!(again.backend(), first.backend());
    }

    // Its backend is gone.
    let others = backends.iter().filter(|b| b.address != first.backend());
    let others = Proxy::fronting(others).affinity("\"cookie\"");
    proxy.reload(others).await.unwrap();
    let moved = proxy.connect_with_cookie(cookie).await;
    let moved_cookie = moved.cookie().expect("a new one");
    for _ in 0..backends.len() {
        let again = proxy.connect_with_cookie(moved_cookie).await;
        assert_eq!(again.backend(), moved.backend());
    }
}

#[tokio::test]
async fn a_client_that_is_known_by_its_address_has_its_backend_whatever_the_order_of_lines() {
    let backends = naming_cluster(3).await;
    let by_address = || Proxy::fronting(&backends).affinity("\"ip\"");
    let proxy = by_address().start().await;
    let home = proxy.connect().await.backend();
    let at = |wanted: SocketAddr| backends.iter().position(|b| b.address == wanted).unwrap();
    // Not where its address alone would lead.
    intend(&proxy, at(home), Intent::Draining);
    let moved = proxy.connect().await.backend();
    assert_ne!(moved, home);
    intend(&proxy, at(home), Intent::Ready);

    let turned = Proxy::fronting(backends.iter().rev()).affinity("\"ip\"");
    proxy.reload(turned).await.unwrap();
    assert_eq!(proxy.connect().await.backend(), moved);
    let without = backends.iter().filter(|b| b.address != moved);
    let without = Proxy::fronting(without).affinity("\"ip\"");
    proxy.reload(without).await.unwrap();
    let other = proxy.connect().await.backend();
    // And so it stays, though the one before has come back.
    proxy.reload(by_address()).await.unwrap();
    assert_eq!(proxy.connect().await.backend(), other);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_under_way_holds_its_clients_memory_through_a_reload() {
    in_slow_motion();
    let backends = naming_cluster(3).await;
    let lines = "affinity = { by = \"ip\", expiry = \"10s\" }";
    let proxy = Proxy::fronting(&backends).pool(lines).start().await;
    let home = proxy.connect().await.backend();
    let place = backends.iter().position(|b| b.address == home).unwrap();
    intend(&proxy, place, Intent::Draining);
    let mut open: Raw = proxy.raw().await;
    open.open_websocket().await;
    let moved = proxy.connect().await.backend();
    intend(&proxy, place, Intent::Ready);

    let changed = Proxy::fronting(&backends).pool(lines).pool(OTHERWISE);
    proxy.reload(changed).await.unwrap();
    sleep(Duration::from_secs(15)).await;
    assert_eq!(proxy.connect().await.backend(), moved);
}
