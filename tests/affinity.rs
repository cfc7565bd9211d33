//! A returning client gets the same backend.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use longwire::config::Intent;
use tokio::time::sleep;

use crate::support::{
    Backend, Client, Proxy, RawBackend, echo_cluster, header, in_slow_motion, naming_cluster, until,
};

const SECRET: &str = r#"{ by = "cookie", secret = "the same for everybody" }"#;
const TRUSTING: &str = "[server]\ntrusted_proxies = [\"127.0.0.1\"]";

/// What a plain request brought.
struct Visit {
    backend: String,
    set_cookie: Option<String>,
}

impl Visit {
    async fn to(proxy: &Proxy, path: &str, headers: &[(&str, &str)]) -> Self {
        let answer = proxy.get_with(path, headers).await;
        Self {
            backend: answer.header("x-backend").expect("a backend").to_owned(),
            set_cookie: answer.header("set-cookie").map(str::to_owned),
        }
    }

    /// The cookie, as it is sent back.
    fn cookie(&self) -> &str {
        let set_cookie = self.set_cookie.as_deref().expect("a cookie");
        set_cookie.split(';').next().unwrap()
    }
}

/// The backend of a plain request with one header.
async fn backend_of(proxy: &Proxy, name: &str, value: &str) -> String {
    Visit::to(proxy, "/", &[(name, value)]).await.backend
}

async fn backend_of_ip(proxy: &Proxy, ip: &str) -> String {
    backend_of(proxy, "x-forwarded-for", ip).await
}

/// A WebSocket client that a trusted proxy saw at `ip`.
async fn client_at(proxy: &Proxy, ip: &str) -> Client {
    proxy.connect_to("/", &[("x-forwarded-for", ip)]).await
}

#[tokio::test]
async fn a_returning_cookie_reaches_the_same_backend() {
    let backends = echo_cluster(3).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("\"cookie\"")
        .start()
        .await;

    let first = proxy.connect().await;
    for _ in 0..6 {
        let again = proxy.connect_with_cookie(first.cookie().unwrap()).await;
        assert_eq!(again.backend(), first.backend());
        assert_eq!(again.cookie(), None, "a fresh cookie is not renewed");
    }
}

#[tokio::test]
async fn long_polling_and_the_websocket_after_it_share_a_backend() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).affinity("\"cookie\"");
    let proxy = proxy.start().await;

    let poll = Visit::to(&proxy, "/socket.io/?transport=polling", &[]).await;
    let again = Visit::to(&proxy, "/socket.io/", &[("cookie", poll.cookie())]).await;
    assert_eq!(again.backend, poll.backend);
    assert_eq!(again.set_cookie, None);
    let websocket = proxy.connect_with_cookie(poll.cookie()).await;
    assert_eq!(websocket.backend().to_string(), poll.backend);
    assert_eq!(websocket.cookie(), None);
}

#[tokio::test]
async fn our_cookie_is_found_among_others_and_reaches_the_client_beside_the_backends() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).affinity("\"cookie\"");
    let proxy = proxy.start().await;
    let first = Visit::to(&proxy, "/", &[]).await;
    let jar = format!("a=1; longwire=nonsense; {}; b=2", first.cookie());
    for _ in 0..4 {
        let again = Visit::to(&proxy, "/", &[("cookie", &jar)]).await;
        assert_eq!(again.backend, first.backend);
    }
}

#[tokio::test]
async fn a_forged_cookie_is_a_new_client() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).affinity("\"cookie\"");
    let proxy = proxy.start().await;
    let genuine = Visit::to(&proxy, "/", &[]).await.cookie().to_owned();
    let last = if genuine.ends_with('A') { 'B' } else { 'A' };
    let mut changed = genuine.clone();
    changed.replace_range("longwire=".len().."longwire=".len() + 1, "x");
    let forged = [
        "longwire=".to_owned(),
        "longwire=nonsense".to_owned(),
        format!("longwire={}", backends[0].address),
        format!("{}{last}", &genuine[..genuine.len() - 8]),
        genuine[..genuine.len() - 4].to_owned(),
        format!("{genuine}AAAA"),
        changed,
    ];
    for forged in forged {
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let visit = Visit::to(&proxy, "/", &[("cookie", &forged)]).await;
            assert!(visit.set_cookie.is_some(), "{forged}");
            seen.insert(visit.backend);
        }
        assert_eq!(seen.len(), 3, "{forged} chooses a backend");
    }
}

#[tokio::test]
async fn a_client_whose_backend_has_stopped_is_moved_and_told_so() {
    let backends = echo_cluster(3).await;
    let proxy = Proxy::fronting(&backends).affinity("\"cookie\"");
    let proxy = proxy.start().await;
    let first = proxy.connect().await;
    let home = backends.iter().find(|b| b.address == first.backend());
    home.unwrap().stop().await;

    let moved = proxy.connect_with_cookie(first.cookie().unwrap()).await;
    assert_ne!(moved.backend(), first.backend());
    for _ in 0..3 {
        let again = proxy.connect_with_cookie(moved.cookie().unwrap()).await;
        assert_eq!(again.backend(), moved.backend());
    }
}

#[tokio::test]
async fn a_client_whose_backend_is_full_is_moved_and_told_so() {
    let backends = naming_cluster(2).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("\"cookie\"")
        .pool("max_tunnels = 1");
    let proxy = proxy.start().await;
    let first = proxy.connect().await;
    let cookie = first.cookie().unwrap();

    let plain = Visit::to(&proxy, "/", &[("cookie", cookie)]).await;
    assert_eq!(plain.backend, first.backend().to_string());
    let moved = proxy.connect_with_cookie(cookie).await;
    assert_ne!(moved.backend(), first.backend());
    assert!(moved.cookie().is_some());
}

#[tokio::test]
async fn the_cookies_name_and_attributes_are_as_configured() {
    let backends = naming_cluster(1).await;
    let plainest = Proxy::fronting(&backends).affinity("\"cookie\"");
    let plainest = plainest.start().await;
    let cookie = Visit::to(&plainest, "/", &[]).await.set_cookie.unwrap();
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    for attribute in ["HttpOnly", "SameSite=Lax", "Path=/", "Max-Age=86400"] {
        assert!(attributes.contains(&attribute), "{cookie}");
    }
    assert_eq!(attributes.len(), 4, "{cookie}");
    assert!(cookie.starts_with("longwire="), "{cookie}");

    let proxy = Proxy::fronting(&backends).affinity(
        r#"{ by = "cookie", name = "seat", max_age = "2h", domain = "example.com",
             path = "/chat", same_site = "none", secure = true, http_only = false }"#,
    );
    let proxy = proxy.start().await;
    let client = proxy.connect().await;
    let cookie = client.headers["set-cookie"].to_str().unwrap();
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    for attribute in [
        "SameSite=None",
        "Secure",
        "Path=/chat",
        "Domain=example.com",
        "Max-Age=7200",
    ] {
        assert!(attributes.contains(&attribute), "{cookie}");
    }
    assert_eq!(attributes.len(), 5, "{cookie}");
    assert!(cookie.starts_with("seat="), "{cookie}");
    let address = backends[0].address.to_string();
    assert!(!cookie.contains(&address), "no address is in it");
}

#[tokio::test]
async fn a_partitioned_cookie_is_secure_too() {
    let backends = naming_cluster(1).await;
    let affinity = r#"{ by = "cookie", same_site = "none", partitioned = true }"#;
    let proxy = Proxy::fronting(&backends).affinity(affinity).start().await;
    let cookie = Visit::to(&proxy, "/", &[]).await.set_cookie.unwrap();
    let attributes: Vec<_> = cookie.split("; ").skip(1).collect();
    for attribute in ["Partitioned", "Secure", "SameSite=None"] {
        assert!(attributes.contains(&attribute), "{cookie}");
    }
}

#[tokio::test]
async fn proxies_that_share_a_secret_honour_each_others_cookies() {
    let backends = naming_cluster(3).await;
    let one = Proxy::fronting(&backends).affinity(SECRET).start().await;
    let other = Proxy::fronting(backends.iter().rev()).affinity(SECRET);
    let other = other.start().await;
    for _ in 0..3 {
        let first = Visit::to(&one, "/", &[]).await;
        let again = Visit::to(&other, "/", &[("cookie", first.cookie())]).await;
        assert_eq!(again.backend, first.backend);
        assert_eq!(again.set_cookie, None);
    }
}

#[tokio::test]
async fn proxies_without_a_shared_secret_do_not() {
    let backends = naming_cluster(3).await;
    let one = Proxy::fronting(&backends).affinity("\"cookie\"");
    let other = Proxy::fronting(&backends).affinity("\"cookie\"");
    let (one, other) = (one.start().await, other.start().await);
    let first = Visit::to(&one, "/", &[]).await;
    let again = Visit::to(&other, "/", &[("cookie", first.cookie())]).await;
    assert!(again.set_cookie.is_some());
}

#[tokio::test]
async fn a_cookie_of_another_pool_is_a_new_client() {
    let backends = naming_cluster(3).await;
    let addresses: Vec<_> = backends.iter().map(|b| b.address.to_string()).collect();
    let proxy = Proxy::with_config(&format!(
        r#"
        [[listener]]
        address = "127.0.0.1:0"
        [[route]]
        pool = "main"
        [[route]]
        path = "/other"
        pool = "other"
        [pool.main]
        backends = {addresses:?}
        affinity = {SECRET}
        [pool.other]
        backends = {addresses:?}
        affinity = {SECRET}
        "#
    ))
    .await;
    let first = Visit::to(&proxy, "/", &[]).await;
    let elsewhere = Visit::to(&proxy, "/other", &[("cookie", first.cookie())]).await;
    assert!(elsewhere.set_cookie.is_some());
}

#[tokio::test]
async fn a_cookie_for_a_backend_that_has_gone_is_renewed() {
    let backends = naming_cluster(2).await;
    let both = Proxy::fronting(&backends).affinity(SECRET).start().await;
    let one = Proxy::fronting(&backends[..1]).affinity(SECRET);
    let one = one.start().await;
    let mut cookies = HashMap::new();
    for _ in 0..2 {
        let visit = Visit::to(&both, "/", &[]).await;
        cookies.insert(visit.backend.clone(), visit.cookie().to_owned());
    }
    let gone = &cookies[&backends[1].address.to_string()];
    let visit = Visit::to(&one, "/", &[("cookie", gone)]).await;
    assert!(visit.set_cookie.is_some());
}

#[tokio::test]
async fn an_ip_keeps_its_backend_and_ips_spread() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("\"ip\"")
        .config(TRUSTING);
    let proxy = proxy.start().await;
    let mut seen = HashSet::new();
    for n in 0..60 {
        let ip = format!("192.0.2.{n}");
        let first = backend_of_ip(&proxy, &ip).await;
        assert_eq!(backend_of_ip(&proxy, &ip).await, first);
        let websocket = client_at(&proxy, &ip).await;
        assert_eq!(websocket.backend().to_string(), first);
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn without_a_proxy_in_front_the_connections_address_counts() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).affinity("\"ip\"").start().await;
    let mut seen = HashSet::new();
    for n in 2..30 {
        let mut at_home = HashSet::new();
        for _ in 0..2 {
            let mut client = proxy.raw_from([127, 0, 0, n]).await;
            client.ask_for_websocket("/").await;
            let answer = client.head().await;
            at_home.insert(header(&answer, "x-backend").unwrap().to_owned());
        }
        assert_eq!(at_home.len(), 1, "127.0.0.{n}");
        seen.extend(at_home);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn nobody_else_is_believed_about_an_ip() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).affinity("\"ip\"").start().await;
    let first = backend_of_ip(&proxy, "192.0.2.1").await;
    for n in 0..20 {
        let ip = format!("192.0.2.{n}");
        assert_eq!(backend_of_ip(&proxy, &ip).await, first);
    }
}

#[tokio::test]
async fn an_ipv6_prefix_of_64_is_one_client() {
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("\"ip\"")
        .config(TRUSTING);
    let proxy = proxy.start().await;
    let mut seen = HashSet::new();
    for household in 0..40 {
        let one = format!("2001:db8:0:{household:x}::1");
        let other = format!("2001:db8:0:{household:x}:ffff:eeee:dddd:cccc");
        let backend = backend_of_ip(&proxy, &one).await;
        assert_eq!(backend_of_ip(&proxy, &other).await, backend);
        seen.insert(backend);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_ip_is_remembered_while_it_has_a_tunnel_and_until_its_expiry() {
    in_slow_motion();
    let backends = naming_cluster(2).await;
    let proxy = Proxy::fronting(&backends)
        .affinity(r#"{ by = "ip", expiry = "20s" }"#)
        .pool("max_tunnels = 1")
        .config(TRUSTING)
        .config("[keepalive]\ninterval = \"off\"");
    let proxy = proxy.start().await;
    let ip = "192.0.2.1";

    let at_home = client_at(&proxy, ip).await;
    let home = at_home.backend().to_string();
    let moved = client_at(&proxy, ip).await;
    let refuge = moved.backend().to_string();
    assert_ne!(refuge, home, "its home is full");
    drop(at_home);
    until(|| proxy.registry.len() == 1).await;
    assert_eq!(backend_of_ip(&proxy, ip).await, refuge);

    sleep(Duration::from_secs(60)).await;
    assert_eq!(backend_of_ip(&proxy, ip).await, refuge, "it has a tunnel");

    drop(moved);
    until(|| proxy.registry.is_empty()).await;
    sleep(Duration::from_secs(10)).await;
    assert_eq!(
        backend_of_ip(&proxy, ip).await,
        refuge,
        "its time is not over"
    );
    sleep(Duration::from_secs(30)).await;
    assert_eq!(backend_of_ip(&proxy, ip).await, home, "it is forgotten");
}

#[tokio::test]
async fn two_proxies_agree_where_an_ip_begins() {
    let backends = naming_cluster(3).await;
    let one = Proxy::fronting(&backends)
        .affinity("\"ip\"")
        .config(TRUSTING);
    let other = Proxy::fronting(backends.iter().rev());
    let other = other.affinity("\"ip\"").config(TRUSTING);
    let (one, other) = (one.start().await, other.start().await);
    for n in 0..30 {
        let ip = format!("192.0.2.{n}");
        assert_eq!(
            backend_of_ip(&one, &ip).await,
            backend_of_ip(&other, &ip).await
        );
    }
}

#[tokio::test]
async fn a_header_gathers_its_clients_through_every_proxy() {
    let backends = naming_cluster(3).await;
    let by_room = r#"{ by = "header", name = "X-Room" }"#;
    let one = Proxy::fronting(&backends).affinity(by_room).start().await;
    let other = Proxy::fronting(backends.iter().rev()).affinity(by_room);
    let other = other.start().await;
    let mut seen = HashSet::new();
    for n in 0..30 {
        let room = format!("room-{n}");
        let backend = backend_of(&one, "x-room", &room).await;
        assert_eq!(backend_of(&other, "x-room", &room).await, backend);
        let websocket = one.connect_to("/", &[("x-room", &room)]).await;
        assert_eq!(websocket.backend().to_string(), backend);
        seen.insert(backend);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn a_query_parameter_gathers_its_clients_through_every_proxy() {
    let backends = naming_cluster(3).await;
    let by_room = r#"{ by = "query", name = "room" }"#;
    let one = Proxy::fronting(&backends).affinity(by_room).start().await;
    let other = Proxy::fronting(backends.iter().rev()).affinity(by_room);
    let other = other.start().await;
    let mut seen = HashSet::new();
    for n in 0..30 {
        let backend = Visit::to(&one, &format!("/?room=a%20{n}"), &[])
            .await
            .backend;
        let path = format!("/elsewhere?x=1&room=a+{n}&room=2");
        assert_eq!(Visit::to(&other, &path, &[]).await.backend, backend);
        seen.insert(backend);
    }
    assert_eq!(seen.len(), 3);
}

#[tokio::test]
async fn who_brings_no_value_is_balanced() {
    let backends = naming_cluster(3).await;
    for affinity in [
        r#"{ by = "header", name = "x-room" }"#,
        r#"{ by = "query", name = "room" }"#,
        r#""none""#,
    ] {
        let proxy = Proxy::fronting(&backends).affinity(affinity);
        let proxy = proxy.pool("balance = \"round-robin\"").start().await;
        let mut seen = HashSet::new();
        for _ in 0..3 {
            let none = [("cookie", "longwire=1"), ("x-room", "")];
            let visit = Visit::to(&proxy, "/?rooms=1&room=", &none).await;
            assert_eq!(visit.set_cookie, None);
            seen.insert(visit.backend);
        }
        assert_eq!(seen.len(), 3, "{affinity}");
    }
}

#[tokio::test]
async fn a_room_whose_backend_has_stopped_meets_elsewhere() {
    let backends = echo_cluster(3).await;
    let by_room = r#"{ by = "header", name = "x-room" }"#;
    let proxy = Proxy::fronting(&backends).affinity(by_room).start().await;
    let room = [("x-room", "blue")];
    let first = proxy.connect_to("/", &room).await.backend();
    let is_home = |backend: &&Backend| backend.address == first;
    backends.iter().find(is_home).unwrap().stop().await;
    let refuge = proxy.connect_to("/", &room).await.backend();
    assert_ne!(refuge, first);
    assert_eq!(proxy.connect_to("/", &room).await.backend(), refuge);
}

/// How many tunnels each backend has of thirty whose clients all have the same key.
async fn crowd_of_one_room(balance_factor: &str) -> Vec<usize> {
    let backends = naming_cluster(3).await;
    let affinity =
        format!("{{ by = \"query\", name = \"room\", balance_factor = {balance_factor} }}");
    let proxy = Proxy::fronting(&backends).affinity(&affinity).start().await;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(proxy.connect_to("/?room=lobby", &[]).await);
    }
    let backends = proxy.pools[0].backends().iter();
    let mut counts: Vec<_> = backends.map(|backend| backend.tunnels()).collect();
    counts.sort_unstable();
    counts
}

#[tokio::test]
async fn a_crowded_key_stays_together_unless_it_may_spill_over() {
    assert_eq!(crowd_of_one_room("\"off\"").await, [0, 0, 30]);
    let spilt = crowd_of_one_room("125").await;
    assert_eq!(
        spilt[2], 13,
        "a quarter more than a fair share, rounded up: {spilt:?}"
    );
    assert_eq!(
        spilt[1], 13,
        "the key's second choice fills up next: {spilt:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_comes_back_gets_its_keys_back_little_by_little() {
    in_slow_motion();
    let backends = naming_cluster(2).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("{ by = \"header\", name = \"x-room\" }")
        .pool("slow_start = \"2m\"")
        .start()
        .await;
    let own = backends[0].address.to_string();
    let at_home = async || {
        let mut rooms = HashSet::new();
        for room in 0..100 {
            if backend_of(&proxy, "x-room", &room.to_string()).await == own {
                rooms.insert(room);
            }
        }
        rooms
    };
    let before = at_home().await;
    let pool = &proxy.pools[0];
    pool.intend(&pool.backends()[0], Intent::Maintenance);
    assert!(at_home().await.is_empty());
    pool.intend(&pool.backends()[0], Intent::Ready);
    let mut last = at_home().await;
    assert!(last.len() < before.len() / 2, "{last:?} of {before:?}");
    for _ in 0..2 {
        sleep(Duration::from_secs(50)).await;
        let now = at_home().await;
        assert!(now.is_superset(&last), "what has come back stays");
        last = now;
    }
    sleep(Duration::from_secs(30)).await;
    assert_eq!(at_home().await, before);
}

#[tokio::test]
async fn a_cookie_is_secure_where_the_client_came_over_tls_to_a_trusted_proxy() {
    let backends = naming_cluster(1).await;
    let is_secure = async |config: &str, headers: &[(&str, &str)]| {
        let proxy = Proxy::fronting(&backends)
            .affinity("\"cookie\"")
            .config(config);
        let visit = Visit::to(&proxy.start().await, "/", headers).await;
        visit.set_cookie.unwrap().contains("; Secure")
    };
    let proto = &[("x-forwarded-proto", "https")];
    assert!(is_secure(TRUSTING, proto).await);
    assert!(!is_secure(TRUSTING, &[]).await);
    assert!(!is_secure("", proto).await);
    let by_forwarded = format!("{TRUSTING}\ntrusted_header = \"forwarded\"");
    let forwarded = &[("forwarded", "for=1.1.1.1;proto=https")];
    assert!(is_secure(&by_forwarded, forwarded).await);
    assert!(!is_secure(&by_forwarded, proto).await);
}

#[tokio::test]
async fn no_cookie_goes_onto_what_a_shared_cache_may_keep() {
    for (line, is_set) in [
        ("Cache-Control: public, max-age=60", false),
        ("Cache-Control: max-age=60", false),
        ("Cache-Control: s-maxage=60", false),
        ("Expires: Sat, 06 Nov 2094 08:49:37 GMT", false),
        ("Cache-Control: private, max-age=60", true),
        ("Cache-Control: no-store", true),
        ("Cache-Control: max-age=0", true),
        ("X-Nothing: said", true),
    ] {
        let backend = RawBackend::listen();
        let proxy = Proxy::fronting_addresses([backend.address]).affinity("\"cookie\"");
        let proxy = proxy.start().await;
        let mut client = proxy.raw().await;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        let mut served = backend.accept().await;
        served.head().await;
        served
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{line}\r\n\r\n"
            ))
            .await;
        let head = client.head().await;
        assert_eq!(header(&head, "set-cookie").is_some(), is_set, "{line}");
    }
}
