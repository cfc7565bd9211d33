//! A handshake that fails on one backend goes to the next before the client hears of it.

use std::time::Duration;

use futures_util::future::{join_all, select_all};
use tokio::time::{Instant, sleep};

use crate::support::{Backend, Proxy, ProxyBuilder, Raw, header, in_slow_motion, switching, until};

const UNAVAILABLE: &str =
    "HTTP/1.1 503 Service Unavailable\r\nX-Own: yes\r\nContent-Length: 3\r\n\r\nnow";
const FORBIDDEN: &str = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n";

/// A proxy whose backends take turns, the first one first, and are never ejected.
fn in_turn<'b>(backends: impl IntoIterator<Item = &'b Backend>) -> ProxyBuilder {
    Proxy::fronting(backends).pool("balance = \"round-robin\"\nejection = \"off\"")
}

/// The head of the answer to a handshake.
async fn answer(proxy: &Proxy) -> String {
    asking(proxy).await.head().await
}

async fn asking(proxy: &Proxy) -> Raw {
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    client
}

#[track_caller]
fn assert_status(answer: &str, status: u16) {
    assert!(
        answer.starts_with(&format!("HTTP/1.1 {status} ")),
        "{answer}"
    );
}

#[tokio::test]
async fn a_backend_that_fails_in_any_way_is_passed_over() {
    for bad in [
        Backend::refusing().await,
        Backend::hanging_up().await,
        Backend::answering(UNAVAILABLE).await,
    ] {
        let good = Backend::naming().await;
        let proxy = in_turn([&bad, &good]).start().await;
        let answer = answer(&proxy).await;
        assert_status(&answer, 101);
        assert_eq!(
            header(&answer, "x-backend"),
            Some(&*good.address.to_string())
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_connected_and_says_nothing_is_left_for_the_next() {
    in_slow_motion();
    let (bad, good) = (Backend::silent().await, Backend::naming().await);
    let proxy = in_turn([&bad, &good])
        .config("[timeouts]\nanswer = \"3s\"")
        .start()
        .await;
    let began = Instant::now();
    assert_status(&answer(&proxy).await, 101);
    assert_eq!(began.elapsed().as_secs(), 3);
    assert_eq!(bad.visits(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_backend_has_until_the_deadline() {
    in_slow_motion();
    let backends = [Backend::silent().await, Backend::silent().await];
    let proxy = in_turn(&backends)
        .config("[timeouts]\nanswer = \"3s\"\nhandshake = \"20s\"")
        .start()
        .await;
    let began = Instant::now();
    assert_status(&answer(&proxy).await, 504);
    assert_eq!(began.elapsed().as_secs(), 20);
    assert_eq!(backends.each_ref().map(Backend::visits), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_slow_backend_is_not_given_up_while_it_may_answer_however_many_there_are() {
    in_slow_motion();
    for (timeouts, asked) in [("", [1, 0]), ("answer = \"3s\"", [1, 1])] {
        let (slow, mut arrivals) = Backend::played().await;
        let silent = Backend::silent().await;
        let proxy = in_turn([&slow, &silent])
            .config(&format!("[timeouts]\n{timeouts}"))
            .start()
            .await;
        let mut client = asking(&proxy).await;
        let mut backend = arrivals.recv().await.unwrap();
        backend.head().await;
        sleep(Duration::from_secs(7)).await;
        backend.send(switching(&[])).await;
        assert_status(&client.head().await, 101);
        assert_eq!([slow.visits(), silent.visits()], asked, "{timeouts}");
        let counts = || proxy.pools[0].backends().iter().map(|b| b.tunnels());
        until(|| counts().eq([1, 0])).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_route_has_timeouts_of_its_own() {
    in_slow_motion();
    let silent = Backend::silent().await;
    let proxy = in_turn([&silent])
        .route("timeouts = { handshake = \"30s\", response = \"7s\" }")
        .start()
        .await;
    let began = Instant::now();
    assert_status(&answer(&proxy).await, 504);
    assert_eq!(began.elapsed().as_secs(), 30);
    assert_eq!(proxy.get("/").await.status, 504);
    assert_eq!(began.elapsed().as_secs(), 37);
}

#[tokio::test]
async fn an_answer_that_is_not_listed_is_the_clients() {
    for (unlisted, status) in [(FORBIDDEN, 403), (BROKEN, 500)] {
        let backends = [Backend::answering(unlisted).await, Backend::naming().await];
        let proxy = in_turn(&backends).start().await;
        assert_status(&answer(&proxy).await, status);
        assert_eq!(backends[1].visits(), 0);

        let list = format!("retries.statuses = [{status}]");
        let proxy = in_turn(&backends).pool(&list).start().await;
        assert_status(&answer(&proxy).await, 101);
    }
}

#[tokio::test]
async fn if_nobody_is_left_the_client_gets_the_last_answer_whole() {
    let backends = [
        Backend::refusing().await,
        Backend::answering(UNAVAILABLE).await,
    ];
    let proxy = in_turn(&backends).start().await;
    let (head, body) = asking(&proxy).await.response().await;
    assert_status(&head, 503);
    assert_eq!(header(&head, "x-own"), Some("yes"));
    assert_eq!(body, "now");
}

#[tokio::test]
async fn a_handshake_goes_to_so_many_further_backends_and_no_more() {
    for max in 0..3 {
        let mut backends = Vec::new();
        for _ in 0..4 {
            backends.push(Backend::hanging_up().await);
        }
        let proxy = in_turn(&backends).pool(&format!("retries.max = {max}"));
        let proxy = proxy.start().await;
        assert_status(&answer(&proxy).await, 502);
        let visits: usize = backends.iter().map(Backend::visits).sum();
        assert_eq!(visits, 1 + max);
    }
}

#[tokio::test]
async fn in_an_outage_only_a_share_of_the_handshakes_tries_again() {
    let (failing, mut arrivals) = Backend::played().await;
    let silent = Backend::silent().await;
    let proxy = in_turn([&failing, &silent])
        .pool("retries.budget = 30")
        .start()
        .await;
    let clients = join_all((0..40).map(|_| asking(&proxy))).await;
    let mut asked = Vec::new();
    for _ in 0..20 {
        let mut one = arrivals.recv().await.unwrap();
        one.head().await;
        asked.push(one);
    }
    until(|| silent.visits() == 20).await;
    for one in &mut asked {
        one.send(UNAVAILABLE).await;
    }

    // Twelve of them wait for the other backend, which 30 percent of forty may do.
    let mut waiting: Vec<_> = clients
        .into_iter()
        .map(|mut client| Box::pin(async move { client.head().await }))
        .collect();
    for _ in 0..8 {
        let (answer, _, rest) = select_all(waiting).await;
        assert_status(&answer, 503);
        waiting = rest;
    }
    until(|| silent.visits() == 32).await;
}

#[tokio::test]
async fn a_client_whose_backend_cannot_take_it_is_told_where_it_belongs_now() {
    let backends = [Backend::naming().await, Backend::naming().await];
    let proxy = in_turn(&backends).affinity("\"cookie\"").start().await;
    let first = proxy.connect().await;
    let cookie = first.cookie().unwrap().to_owned();
    for backend in &backends {
        if backend.address == first.backend() {
            backend.stop().await;
        }
    }

    let moved = proxy.connect_with_cookie(&cookie).await;
    assert_ne!(moved.backend(), first.backend());
    let again = proxy.connect_with_cookie(moved.cookie().unwrap()).await;
    assert_eq!(again.backend(), moved.backend());
    assert_eq!(again.cookie(), None, "nothing has changed since");
}

#[tokio::test]
async fn the_backend_that_failed_has_no_tunnel_counted() {
    let backends = [Backend::hanging_up().await, Backend::naming().await];
    let proxy = in_turn(&backends).start().await;
    let _client = proxy.connect().await;
    let counts = || {
        let backends = proxy.pools[0].backends().iter();
        backends
            .map(|backend| backend.tunnels())
            .collect::<Vec<_>>()
    };
    until(|| counts() == [0, 1]).await;
}
