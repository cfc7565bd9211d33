//! The live tunnels: which there are, and what is known of each.

use std::time::Duration;

use longwire::websocket::Role;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::encoded;
use crate::support::{
    Backend, Operator, Proxy, Raw, echo_cluster, frame, handshake, in_slow_motion,
};

/// A number that is part of no address.
const BEFORE: u64 = 7_000_000;

/// A proxy with three tunnels, which are called `a`, `b` and `c` in the order of their opening, three
/// seconds one after the other.
struct Three {
    _proxy: Proxy,
    operator: Operator,
    backends: Vec<Backend>,
    clients: [Raw; 3],
}

impl Three {
    async fn open() -> Self {
        in_slow_motion();
        let backends = echo_cluster(2).await;
        let proxy = Proxy::with_config(&format!(
            r#"
            [[listener]]
            address = "127.0.0.1:0"
            [keepalive]
            interval = "off"
            [[route]]
            host = "chat.test"
            path = "/room"
            pool = "chat"
            [[route]]
            pool = "main"
            [pool.chat]
            backends = ["{}"]
            affinity = "cookie"
            [pool.main]
            backends = ["{}"]
            "#,
            backends[0].address, backends[1].address
        ))
        .await;
        proxy.registry.number_after(BEFORE);
        let a = open(&proxy, [127, 0, 0, 4], "Chat.test", "/room/7?token=x").await;
        sleep(Duration::from_secs(3)).await;
        let b = open(&proxy, [127, 0, 0, 2], "test", "/").await;
        sleep(Duration::from_secs(3)).await;
        let c = open(&proxy, [127, 0, 0, 3], "test", "/Other").await;
        Self {
            operator: Operator::of(&proxy),
            _proxy: proxy,
            backends,
            clients: [a, b, c],
        }
    }

    /// The names of those that match.
    async fn names(&self, query: &str) -> String {
        let ids = self.operator.ids(query).await;
        let name = |id: u64| char::from(b'a' + (id - BEFORE - 1) as u8);
        ids.into_iter().map(name).collect()
    }

    /// Has a tunnel's messages come back.
    async fn echo(&mut self, client: usize, message: &[u8]) {
        let client = &mut self.clients[client];
        client.send(frame(0x82, message, Role::Client)).await;
        assert_eq!(client.frame().await.unwrap().payload, message);
    }
}

async fn open(proxy: &Proxy, source: [u8; 4], host: &str, path: &str) -> Raw {
    let mut client = proxy.raw_from(source).await;
    client.send(handshake(path, &[("Host", host)])).await;
    let head = client.head().await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    client
}

#[tokio::test(start_paused = true)]
async fn each_filter_gives_those_with_exactly_this_and_all_together_those_with_all_of_it() {
    let three = Three::open().await;
    let chat = encoded(&three.backends[0].address);
    for (query, names) in [
        ("", "abc"),
        ("route=chat.test%2Froom", "a"),
        ("route=*%2F", "bc"),
        ("pool=main", "bc"),
        ("pool=mai", ""),
        (&format!("backend={chat}"), "a"),
        ("client=127.0.0.3", "c"),
        ("pool=main&client=127.0.0.2", "b"),
        ("pool=chat&client=127.0.0.2", ""),
        ("search=127.0.0&pool=main", "bc"),
    ] {
        assert_eq!(three.names(query).await, names, "{query}");
        let page = three.operator.get(&format!("tunnels?{query}")).await;
        assert_eq!(page["total"], names.len(), "{query}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_search_looks_at_all_that_is_said_of_a_tunnel_whatever_the_case() {
    let three = Three::open().await;
    let chat = encoded(&three.backends[0].address);
    for (text, names) in [
        ("7000002", "b"),
        ("127.0.0.4", "a"),
        ("CHAT.TEST", "a"),
        ("room/7", "a"),
        ("/oTHER", "c"),
        ("*/", "bc"),
        ("main", "bc"),
        (&chat, "a"),
        ("token", ""),
        ("", "abc"),
    ] {
        assert_eq!(
            three.names(&format!("search={text}")).await,
            names,
            "{text}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn tunnels_are_sorted_by_whatever_is_wanted_both_ways() {
    let mut three = Three::open().await;
    three.echo(1, &[1; 5_000]).await;
    for _ in 0..2 {
        three.echo(0, b"short").await;
    }
    sleep(Duration::from_secs(3)).await;
    three.echo(0, b"short").await;
    sleep(Duration::from_secs(3)).await;
    for _ in 0..2 {
        three.echo(2, b"short").await;
    }
    sleep(Duration::from_secs(3)).await;
    // The backend has nothing to say to that.
    three.clients[1].send(frame(0x8a, b"", Role::Client)).await;
    sleep(Duration::from_secs(2)).await;
    let [chat, main] = [0, 1].map(|index| three.backends[index].address.to_string());
    let by_backend = if chat < main {
        ["abc", "bca"]
    } else {
        ["bca", "abc"]
    };
    for (sort, [ascending, descending]) in [
        ("id", ["abc", "cba"]),
        ("age", ["cba", "abc"]),
        ("client", ["bca", "acb"]),
        // Those that are equal are sorted by their numbers, both ways.
        ("route", ["bca", "abc"]),
        ("backend", by_backend),
        ("messages", ["bca", "acb"]),
        ("bytes", ["cab", "bac"]),
        ("client_heard", ["bca", "acb"]),
        ("backend_heard", ["cab", "bac"]),
        ("client_round_trip", ["abc", "abc"]),
        ("backend_round_trip", ["abc", "abc"]),
    ] {
        let names = three.names(&format!("sort={sort}")).await;
        assert_eq!(names, ascending, "{sort}");
        let names = three.names(&format!("sort={sort}&descending=true")).await;
        assert_eq!(names, descending, "{sort}, the largest first");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_is_a_part_of_all_that_match() {
    let three = Three::open().await;
    for (page, names) in [
        ("limit=2", "ab"),
        ("limit=2&offset=2", "c"),
        ("offset=1", "bc"),
        ("offset=3", ""),
        ("offset=4000", ""),
        ("limit=0", ""),
        ("limit=2&offset=1&descending=true", "ba"),
    ] {
        assert_eq!(three.names(page).await, names, "{page}");
        let answer = three.operator.get(&format!("tunnels?{page}")).await;
        assert_eq!(answer["total"], 3, "{page}");
    }
    assert_eq!(
        three.operator.get("tunnels?limit=1&pool=main").await["total"],
        2
    );
}

#[tokio::test]
async fn a_page_has_a_hundred_if_nothing_is_said_and_a_thousand_at_most() {
    let server = Backend::naming().await;
    let proxy = Proxy::fronting([&server]).start().await;
    let operator = Operator::of(&proxy);
    let mut clients = Vec::new();
    for _ in 0..1_010 {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        client.head().await;
        clients.push(client);
    }
    for (page, count) in [("", 100), ("limit=1000", 1_000), ("limit=5000", 1_000)] {
        let ids = operator.ids(page).await;
        assert_eq!(ids.len(), count, "{page}");
        assert!(ids.is_sorted());
    }
    let rest = operator.ids("limit=1000&offset=1000").await;
    assert_eq!(rest, (1_001..=1_010).collect::<Vec<_>>());
    assert_eq!(operator.get("tunnels").await["total"], 1_010);
}

#[tokio::test(start_paused = true)]
async fn all_that_is_known_of_a_tunnel_is_told() {
    let mut three = Three::open().await;
    for _ in 0..3 {
        three.echo(0, b"hello").await;
    }
    sleep(Duration::from_secs(10)).await;
    let mut tunnel = three.operator.get("tunnels/7000001").await;
    let page = three.operator.get("tunnels?pool=chat").await;
    assert_eq!(page["tunnels"][0]["client_bytes"], tunnel["client_bytes"]);
    let mut seconds = |name: &str| tunnel[name].take().as_f64().unwrap();
    let age = seconds("age_seconds");
    assert!((16.0..17.5).contains(&age), "{age}");
    for side in ["client", "backend"] {
        let heard = seconds(&format!("{side}_heard_seconds"));
        assert!((9.0..=11.0).contains(&heard), "{side} {heard}");
    }
    let expected = json!({
        "id": 7000001, "client": "127.0.0.4", "host": "Chat.test", "path": "/room/7",
        "route": "chat.test/room", "pool": "chat",
        "backend": three.backends[0].address.to_string(), "affinity": "new",
        "is_closing": false, "age_seconds": null,
        "client_bytes": 3 * (2 + 4 + 5), "client_messages": 3, "client_heard_seconds": null,
        "client_round_trip_seconds": null,
        "backend_bytes": 3 * (2 + 5), "backend_messages": 3, "backend_heard_seconds": null,
        "backend_round_trip_seconds": null,
    });
    assert_eq!(tunnel, expected);
}

#[tokio::test]
async fn a_returning_client_has_kept_its_affinity() {
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("\"cookie\"")
        .start()
        .await;
    let operator = Operator::of(&proxy);
    let first = proxy.connect().await;
    let _again = proxy.connect_with_cookie(first.cookie().unwrap()).await;
    let _forged = proxy.connect_with_cookie("longwire=forged").await;
    for (id, affinity) in [(1, "new"), (2, "kept"), (3, "forged")] {
        let tunnel = operator.get(&format!("tunnels/{id}")).await;
        assert_eq!(tunnel["affinity"], affinity);
    }
}

#[tokio::test(start_paused = true)]
async fn only_a_side_that_was_pinged_has_a_round_trip() {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let often = "keepalive = { interval = \"5s\", timeout = \"60s\" }";
    let proxy = Proxy::fronting([&server]).route(often).start().await;
    let operator = Operator::of(&proxy);
    let (mut client, mut backend) = proxy.open_to(&mut arrivals).await;
    let _other = proxy.open_to(&mut arrivals).await;
    let ping = client.frame().await.unwrap();
    assert!(ping.is_ping());
    sleep(Duration::from_millis(1_500)).await;
    client.send(ping.pong(Role::Client)).await;
    // It is told only what is not ours.
    client.send(frame(0x81, b"hello", Role::Client)).await;
    while backend.frame().await.unwrap().is_ping() {}

    let tunnel = operator.get("tunnels/1").await;
    let took = tunnel["client_round_trip_seconds"].as_f64().unwrap();
    assert!((1.5..2.6).contains(&took), "{took}");
    assert_eq!(tunnel["backend_round_trip_seconds"], Value::Null);
    assert_eq!(tunnel["client_messages"], 1, "a pong is no message");
    assert_eq!(tunnel["client_bytes"], 2 + 4 + 5, "nor does it pass");
    // Who was never asked comes first.
    assert_eq!(operator.ids("sort=client_round_trip").await, [2, 1]);
    let largest_first = "sort=client_round_trip&descending=true";
    assert_eq!(operator.ids(largest_first).await, [1, 2]);
}

#[tokio::test]
async fn a_tunnel_that_has_ended_is_there_no_more() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let client = proxy.connect().await;
    assert_eq!(operator.get("tunnels/1").await["id"], 1);
    drop(client);
    proxy.registry.emptied().await;
    for id in ["1", "2", "-1", "one", "99999999999999999999999"] {
        let (status, words) = operator.refused("GET", &format!("tunnels/{id}"), "").await;
        let expected = format!("no live tunnel has the number {id}");
        assert_eq!((status, words), (404, expected));
    }
    let page = operator.get("tunnels").await;
    assert_eq!(page, json!({ "total": 0, "tunnels": [] }));
}
