//! A backend on which traffic fails is left out for a while.

use std::{net::IpAddr, time::Duration};

use longwire::{
    config::Intent,
    pool::{outlier::Seen, standing::State},
};
use tokio::time::{Instant, advance, sleep};

use crate::support::{
    Backend, Client, Mood, Moody, Proxy, ProxyBuilder, Raw, all_is_quiet, in_slow_motion,
    naming_cluster, until,
};

const WRONG_ACCEPT: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
                            Connection: Upgrade\r\nSec-WebSocket-Accept: wrong\r\n\r\n";
const WRONG_UPGRADE: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\
                             Connection: Upgrade\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
/// A Close 1000 as a server sends it.
const CLOSE: &[u8] = &[0x88, 2, 0x03, 0xe8];
/// The first bytes of a message of five.
const HALF_A_FRAME: &[u8] = b"\x81\x05ha";

/// A proxy whose backends take turns, the first one first.
fn in_turn<'b>(backends: impl IntoIterator<Item = &'b Backend>) -> ProxyBuilder {
    Proxy::fronting(backends).pool("balance = \"round-robin\"")
}

fn states(proxy: &Proxy) -> Vec<State> {
    let backends = proxy.pools[0].backends().iter();
    backends
        .map(|backend| backend.state(Instant::now()))
        .collect()
}

/// Handshakes one after the other, whatever becomes of them, and of their tunnels.
async fn ask(proxy: &Proxy, times: usize) {
    for _ in 0..times {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        client.head().await;
        until_left(client).await;
    }
}

/// Waits until the tunnel of that client has ended, if its backend ends it at once.
async fn until_left(mut client: Raw) {
    client.send([0x88, 0x80, 0, 0, 0, 0]).await;
    client.rest().await;
}

/// The same from as many networks in turn.
async fn ask_from(proxy: &Proxy, networks: u8, times: usize) {
    for _ in 0..times {
        for network in 1..=networks {
            let mut client = proxy.raw_from([127, 0, network, 1]).await;
            client.ask_for_websocket("/").await;
            client.head().await;
            until_left(client).await;
        }
    }
}

#[tokio::test]
async fn a_backend_that_fails_handshakes_by_itself_is_ejected_after_five_in_a_row() {
    for bad in [
        Backend::hanging_up().await,
        Backend::answering(WRONG_ACCEPT).await,
        Backend::answering(WRONG_UPGRADE).await,
    ] {
        let good = Backend::losing(CLOSE).await;
        let proxy = in_turn([&bad, &good]).start().await;
        ask(&proxy, 8).await;
        assert_eq!(states(&proxy), [State::Ready, State::Ready]);
        ask(&proxy, 12).await;
        assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
        assert_eq!(bad.visits(), 5);
    }
}

#[tokio::test]
async fn what_a_client_can_bring_about_ejects_nobody_however_often_it_does() {
    let protocol = Mood::Grants(&[("Sec-WebSocket-Protocol", "mqtt")], b"");
    let extension = Mood::Grants(&[("Sec-WebSocket-Extensions", "x-own")], b"");
    let too_much = Mood::Says("HTTP/1.1 200 OK\r\nContent-Length: none\r\n\r\n");
    for mood in [Mood::Says(BROKEN), protocol, extension, too_much] {
        let asked = [Moody::new(mood.clone()).await, Moody::new(mood).await];
        let proxy = Moody::fronting(&asked)
            .pool("balance = \"round-robin\"\nejection.failures = 1")
            .start()
            .await;
        ask(&proxy, 20).await;
        assert_eq!(states(&proxy), [State::Ready, State::Ready]);
        assert!(asked[0].visits().len() >= 10, "it is asked as before");
    }
    let losing = [Backend::losing(b"").await, Backend::losing(b"").await];
    let proxy = in_turn(&losing).pool("ejection.failures = 1").start().await;
    ask(&proxy, 20).await;
    ask_from(&proxy, 2, 10).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
}

#[tokio::test]
async fn what_most_client_networks_meet_is_the_backends_fault() {
    for bad in [
        Backend::answering(BROKEN).await,
        Backend::losing(b"").await,
        Backend::losing(HALF_A_FRAME).await,
    ] {
        let good = Backend::losing(CLOSE).await;
        let proxy = in_turn([&bad, &good]).start().await;
        ask_from(&proxy, 4, 2).await;
        assert_eq!(states(&proxy), [State::Ready, State::Ready]);
        ask_from(&proxy, 3, 6).await;
        assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    }
}

#[tokio::test]
async fn a_client_whose_requests_are_never_answered_is_not_believed_where_others_are_served() {
    let (picky, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&picky])
        .pool("ejection = { failures = 2, max_share = 100 }")
        .start()
        .await;
    let mut open = Vec::new();
    for network in 1..=3 {
        let mut client = proxy.raw_from([127, 0, network, 1]).await;
        client.ask_for_websocket("/").await;
        let mut backend = arrivals.recv().await.unwrap();
        backend.grant_websocket().await;
        client.head().await;
        open.push((client, backend));
    }
    for _ in 0..10 {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        drop(arrivals.recv().await.unwrap());
        assert!(client.head().await.starts_with("HTTP/1.1 502 "));
    }
    assert_eq!(states(&proxy), [State::Ready]);
}

/// Has the first backend ejected.
fn eject(proxy: &Proxy) {
    let pool = &proxy.pools[0];
    let client = IpAddr::from([127, 0, 0, 1]);
    for _ in 0..5 {
        pool.note(&pool.backends()[0], Seen::Unreachable, client);
    }
    assert_eq!(states(proxy)[0], State::Ejected);
}

/// The backend of a plain request with that header, and the cookie that it brought.
async fn visit(proxy: &Proxy, header: (&str, &str)) -> (String, Option<String>) {
    let answer = proxy.get_with("/", &[header]).await;
    let cookie = answer.header("set-cookie").map(str::to_owned);
    (answer.header("x-backend").unwrap().to_owned(), cookie)
}

#[tokio::test(start_paused = true)]
async fn a_sticky_client_of_an_ejected_backend_has_one_other_meanwhile_and_then_its_own() {
    in_slow_motion();
    let backends = naming_cluster(4).await;
    let own = backends[0].address.to_string();
    for (affinity, name) in [("cookie", "cookie"), ("ip", "x-forwarded-for")] {
        let proxy = Proxy::fronting(&backends)
            .affinity(&format!("\"{affinity}\""))
            .pool("balance = \"round-robin\"")
            .config("[server]\ntrusted_proxies = [\"127.0.0.1\"]")
            .start()
            .await;
        let mut own_client = None;
        for client in 0..100 {
            let address = format!("192.0.2.{client}");
            let (backend, cookie) = visit(&proxy, ("x-forwarded-for", &address)).await;
            if backend == own {
                let cookie = cookie.map(|cookie| cookie.split(';').next().unwrap().to_owned());
                own_client = Some(cookie.unwrap_or(address));
                break;
            }
        }
        let own_client = own_client.unwrap();
        let header = (name, &*own_client);
        eject(&proxy);
        let (other, _) = visit(&proxy, header).await;
        assert_ne!(other, own);
        for _ in 0..8 {
            let meanwhile = visit(&proxy, header).await;
            assert_eq!(meanwhile, (other.clone(), None), "by {affinity}");
            let websocket = proxy.connect_to("/", &[header]).await;
            assert_eq!(websocket.backend().to_string(), other);
            assert_eq!(websocket.cookie(), None);
        }
        advance(Duration::from_secs(31)).await;
        assert_eq!(visit(&proxy, header).await, (own.clone(), None));
    }
}

#[tokio::test]
async fn a_backend_that_refuses_connections_is_ejected_by_plain_requests_too() {
    let (bad, good) = (Backend::refusing().await, Backend::naming().await);
    let proxy = in_turn([&bad, &good]).start().await;
    for _ in 0..10 {
        assert_eq!(proxy.get("/").await.status, 200);
    }
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_never_speaks_is_ejected() {
    in_slow_motion();
    let (bad, good) = (Backend::silent().await, Backend::losing(CLOSE).await);
    let proxy = in_turn([&bad, &good]).start().await;
    ask(&proxy, 20).await;
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    assert_eq!(bad.visits(), 5);
}

#[tokio::test]
async fn an_answer_that_is_no_error_breaks_the_row() {
    let refusing = Backend::answering(FORBIDDEN).await;
    let good = Backend::losing(CLOSE).await;
    let proxy = in_turn([&refusing, &good]).start().await;
    ask(&proxy, 20).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
    assert_eq!(refusing.visits(), 10);
}

#[tokio::test]
async fn a_close_is_no_failure_nor_is_a_client_that_leaves() {
    let closing = Backend::losing(CLOSE).await;
    let left = Backend::naming().await;
    let proxy = in_turn([&closing, &left]).start().await;
    for _ in 0..20 {
        let mut client = proxy.raw().await;
        client.open_websocket().await;
        drop(client);
    }
    until(|| proxy.registry.is_empty()).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn tunnels_that_are_lost_late_are_no_failure() {
    in_slow_motion();
    let (bad, mut arrivals) = Backend::played().await;
    let spare = Backend::losing(CLOSE).await;
    let config = "balance = \"round-robin\"\nejection = { early_loss = \"1m\", networks = 1 }";
    let proxy = Proxy::fronting([&bad, &spare])
        .pool(config)
        .config("[keepalive]\ninterval = \"off\"")
        .start()
        .await;
    for age in [70, 1] {
        let mut open = Vec::new();
        for _ in 0..5 {
            open.push(proxy.open_to(&mut arrivals).await);
            ask(&proxy, 1).await;
        }
        advance(Duration::from_secs(age)).await;
        for (mut client, backend) in open {
            drop(backend);
            client.frame().await;
            until_left(client).await;
        }
        let expected = if age < 60 {
            State::Ejected
        } else {
            State::Ready
        };
        until(|| proxy.registry.is_empty()).await;
        all_is_quiet().await;
        assert_eq!(states(&proxy), [expected, State::Ready]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejected_backend_is_tried_again_and_goes_for_longer_each_time_it_fails() {
    in_slow_motion();
    let (bad, good) = (Backend::hanging_up().await, Backend::losing(CLOSE).await);
    let config = "balance = \"round-robin\"\nslow_start = \"off\"";
    let proxy = Proxy::fronting([&bad, &good]).pool(config).start().await;
    ask(&proxy, 10).await;
    for length in [30, 60, 120] {
        let visits = bad.visits();
        advance(Duration::from_secs(length - 2)).await;
        ask(&proxy, 4).await;
        assert_eq!(bad.visits(), visits, "it is still out");
        advance(Duration::from_secs(2)).await;
        ask(&proxy, 4).await;
        assert_eq!(bad.visits(), visits + 1, "once more, and it is out again");
        assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    }
}

#[tokio::test]
async fn no_more_than_a_share_of_the_pool_is_ejected() {
    let backends = [Backend::hanging_up().await, Backend::hanging_up().await];
    for (max_share, ejected) in [(49, 0), (50, 1), (99, 1), (100, 2)] {
        let proxy = in_turn(&backends)
            .pool(&format!("ejection.max_share = {max_share}"))
            .start()
            .await;
        ask(&proxy, 20).await;
        let out = states(&proxy)
            .into_iter()
            .filter(|state| *state == State::Ejected);
        assert_eq!(out.count(), ejected, "of at most {max_share} %");
    }
}

#[tokio::test]
async fn backends_that_are_out_for_another_reason_count_too() {
    let mut backends = vec![Backend::hanging_up().await];
    for _ in 0..3 {
        backends.push(Backend::losing(CLOSE).await);
    }
    let proxy = in_turn(&backends)
        .pool("ejection.failures = 1")
        .start()
        .await;
    let pool = &proxy.pools[0];
    for away in [1, 2] {
        pool.intend(&pool.backends()[away], Intent::Maintenance);
    }
    ask(&proxy, 4).await;
    assert_eq!(
        states(&proxy)[0],
        State::Ready,
        "half of the pool is away already"
    );
    pool.intend(&pool.backends()[1], Intent::Ready);
    ask(&proxy, 4).await;
    assert_eq!(states(&proxy)[0], State::Ejected);
}

#[tokio::test]
async fn nobody_is_ejected_where_it_is_off() {
    let backends = [Backend::hanging_up().await, Backend::losing(CLOSE).await];
    let proxy = in_turn(&backends).pool("ejection = \"off\"").start().await;
    ask(&proxy, 20).await;
    assert_eq!(backends[0].visits(), 10);
}

#[tokio::test]
async fn while_nobody_is_ready_clients_fail_at_once_or_try_whom_there_is() {
    for (none_ready, status, visits) in [("fail", "503", 5), ("try-all", "502", 9)] {
        let bad = Backend::hanging_up().await;
        let config = format!("none_ready = \"{none_ready}\"\nejection.max_share = 100");
        let proxy = Proxy::fronting([&bad]).pool(&config).start().await;
        ask(&proxy, 8).await;
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        let answer = client.head().await;
        assert!(answer.contains(status), "{none_ready}: {answer}");
        assert_eq!(bad.visits(), visits, "{none_ready}");
    }
}

#[tokio::test]
async fn a_backend_in_maintenance_is_not_tried_even_if_all_are() {
    let backends = naming_cluster(1).await;
    let proxy = in_turn(&backends)
        .pool("none_ready = \"try-all\"")
        .start()
        .await;
    let pool = &proxy.pools[0];
    pool.intend(&pool.backends()[0], Intent::Maintenance);
    let answer = proxy.get("/").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(backends[0].visits(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_comes_back_fills_up_slowly() {
    in_slow_motion();
    let backends = naming_cluster(3).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let pool = &proxy.pools[0];
    let back = &pool.backends()[0];
    pool.intend(back, Intent::Maintenance);
    let mut clients = open(&proxy, 40).await;
    pool.intend(back, Intent::Ready);
    clients.extend(open(&proxy, 10).await);
    assert_eq!(back.tunnels(), 2, "a tenth of what the others have");
    advance(Duration::from_secs(5)).await;
    clients.extend(open(&proxy, 30).await);
    let half = back.tunnels();
    assert!(
        (11..=16).contains(&half),
        "half of what the others have: {half}"
    );
    advance(Duration::from_secs(5)).await;
    clients.extend(open(&proxy, 40).await);
    let counts = pool.backends().iter().map(|backend| backend.tunnels());
    assert_eq!(counts.collect::<Vec<_>>(), [40, 40, 40]);
}

async fn open(proxy: &Proxy, count: usize) -> Vec<Client> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(proxy.connect().await);
    }
    clients
}

#[tokio::test]
async fn those_that_are_away_are_tried_only_while_nobody_is_ready() {
    let backends = naming_cluster(2).await;
    let config = "none_ready = \"try-all\"\nmax_tunnels = 1";
    let proxy = Proxy::fronting(&backends).pool(config).start().await;
    let pool = &proxy.pools[0];
    pool.goes_down(&pool.backends()[1], "its checks say so");
    let _full = proxy.connect().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert_eq!(backends[1].visits(), 0);
}

#[tokio::test]
async fn a_backend_that_drains_gets_nobody_new_even_if_it_is_down_and_all_are_tried() {
    let backends = naming_cluster(1).await;
    let proxy = Proxy::fronting(&backends).pool("none_ready = \"try-all\"");
    let proxy = proxy.start().await;
    let pool = &proxy.pools[0];
    pool.intend(&pool.backends()[0], Intent::Draining);
    pool.goes_down(&pool.backends()[0], "its checks say so");
    assert_eq!(proxy.get("/").await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn a_share_that_grows_is_the_same_wherever_the_backend_stands() {
    in_slow_motion();
    for balance in ["random-of-two", "round-robin"] {
        for back in [0, 1] {
            let backends = naming_cluster(2).await;
            let config = format!("balance = \"{balance}\"\nslow_start = \"10h\"");
            let proxy = Proxy::fronting(&backends).pool(&config).start().await;
            let pool = &proxy.pools[0];
            pool.intend(&pool.backends()[back], Intent::Maintenance);
            pool.intend(&pool.backends()[back], Intent::Ready);
            let own = backends[back].address.to_string();
            let mut visits = 0;
            for _ in 0..400 {
                let answer = proxy.get("/").await;
                visits += usize::from(answer.header("x-backend") == Some(&own));
            }
            // A tenth of its half are twenty.
            assert!((2..=60).contains(&visits), "{balance}, {back}: {visits}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn time_in_a_line_does_not_make_a_tunnel_old() {
    in_slow_motion();
    let bad = Backend::losing(b"").await;
    let proxy = Proxy::fronting([&bad])
        .pool("ejection = { failures = 3, networks = 1, max_share = 100, early_loss = \"2s\" }")
        .config("[admission]\nrate = 1\nburst = 1\nqueue_timeout = \"60s\"")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..8 {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        clients.push(client);
    }
    sleep(Duration::from_secs(15)).await;
    assert_eq!(states(&proxy), [State::Ejected]);
}
