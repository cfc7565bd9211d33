//! The tunnels of a backend that is to lose them are closed at a pace, and nobody new is sent there.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use longwire::{
    config::Intent,
    pool::backend::Backend as Member,
    tunnel::registry::CloseOrder,
    websocket::{CloseCode, Role},
};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    Backend, Client, Pair, Proxy, ProxyBuilder, echo_cluster, frame, handshake, in_slow_motion,
    switching,
};

const DRAINING: Option<(CloseCode, &str)> =
    Some((CloseCode::SERVICE_RESTART, "backend is draining"));

const TICK: Duration = Duration::from_secs(1);

/// What a client was told at its end, and when.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) at: Instant,
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) backend: SocketAddr,
}

fn member(proxy: &Proxy, index: usize) -> Arc<Member> {
    Arc::clone(&proxy.pools[0].backends()[index])
}

fn intend(proxy: &Proxy, index: usize, intent: Intent) {
    proxy.pools[0].intend(&member(proxy, index), intent);
}

/// As many clients, and whoever waits for each to be told that it is over.
pub(crate) async fn clients(proxy: &Proxy, count: usize) -> Vec<JoinHandle<Told>> {
    let mut clients = Vec::new();
    for _ in 0..count {
        clients.push(tokio::spawn(told(proxy.connect().await)));
    }
    clients
}

pub(crate) async fn told(mut client: Client) -> Told {
    let backend = client.backend();
    loop {
        if let Message::Close(close) = client.next().await.expect("a Close") {
            let at = Instant::now();
            let close = close.expect("a code");
            // The library has answered; reading on lets it say so.
            assert_eq!(client.next().await, None);
            return Told {
                at,
                code: close.code.into(),
                reason: close.reason.to_string(),
                backend,
            };
        }
    }
}

/// What those have been told that it is over for, in the order of time.
pub(crate) async fn finished(clients: &mut Vec<JoinHandle<Told>>) -> Vec<Told> {
    let (over, open): (Vec<_>, Vec<_>) = clients.drain(..).partition(JoinHandle::is_finished);
    *clients = open;
    let mut told = Vec::new();
    for client in over {
        told.push(client.await.unwrap());
    }
    told.sort_by_key(|told| told.at);
    told
}

/// Each was told in a slot of its own.
pub(crate) fn assert_paced(told: &[Told], began: Instant, slot: Duration) {
    for (place, told) in (0..).zip(told) {
        let at = told.at - began;
        let slack = Duration::from_millis(300);
        assert!(at + slack >= slot * place, "{place} at {at:?}");
        assert!(at <= slot * (place + 1) + slack, "{place} at {at:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_draining_backends_tunnels_are_closed_evenly_over_the_window() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).pool("drain.over = \"20s\"");
    let proxy = proxy.start().await;
    let mut clients = clients(&proxy, 20).await;

    let began = Instant::now();
    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_secs(21)).await;

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 10);
    for told in &told {
        assert_eq!(told.backend, backends[0].address);
        assert_eq!((told.code, &*told.reason), (1012, "backend is draining"));
    }
    assert_paced(&told, began, Duration::from_secs(2));
    assert_eq!(proxy.registry.len(), 10, "the others go on");
    assert_eq!(member(&proxy, 0).tunnels(), 0);
}

#[tokio::test(start_paused = true)]
async fn backends_that_drain_together_share_the_rate() {
    in_slow_motion();
    let backends = echo_cluster(3).await;
    let proxy = Proxy::fronting(&backends).pool("drain = { rate = 4, code = 1001 }");
    let proxy = proxy.start().await;
    let mut clients = clients(&proxy, 30).await;

    let began = Instant::now();
    intend(&proxy, 0, Intent::Draining);
    intend(&proxy, 1, Intent::Draining);
    sleep(Duration::from_millis(5_500)).await;

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 20);
    assert!(told.iter().all(|told| told.code == 1001));
    assert_paced(&told, began, Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn how_far_a_drain_is_can_be_seen_while_it_goes_on() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).pool("drain.over = \"20s\"");
    let proxy = proxy.start().await;
    let _clients = clients(&proxy, 20).await;
    let pool = &proxy.pools[0];
    assert_eq!(pool.drain_of(&member(&proxy, 0)), None);

    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_secs(11)).await;
    let half = pool.drain_of(&member(&proxy, 0)).unwrap();
    assert_eq!(half.total, 10);
    assert!((4..=6).contains(&half.untold), "{half:?}");
    assert!((half.untold..=6).contains(&half.left), "{half:?}");
    assert!(
        half.time_left(Instant::now())
            .abs_diff(Duration::from_secs(9))
            < TICK
    );
    assert_eq!(pool.drain_of(&member(&proxy, 1)), None, "it does not drain");

    sleep(Duration::from_secs(12)).await;
    let end = pool.drain_of(&member(&proxy, 0)).unwrap();
    assert_eq!((end.total, end.untold, end.left), (10, 0, 0));
    assert_eq!(proxy.registry.told().told[0], ("drain", 10));
    intend(&proxy, 0, Intent::Ready);
    sleep(TICK).await;
    assert_eq!(pool.drain_of(&member(&proxy, 0)), None, "it is over");
    assert_eq!(pool.totals().drains, 1);
}

#[tokio::test(start_paused = true)]
async fn an_operator_closes_those_he_chooses_in_his_own_words() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let mut clients = clients(&proxy, 10).await;
    let chosen = proxy.registry.served_by(|id| id == member(&proxy, 0).id());
    let order = CloseOrder::of_operator(CloseCode(4_321), "until tomorrow".to_owned());

    let began = Instant::now();
    let number = proxy.control.close(chosen, order, Duration::from_secs(10));
    assert_eq!(proxy.control.closing(number).unwrap().untold, 5);
    sleep(Duration::from_secs(12)).await;

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 5);
    for told in &told {
        assert_eq!((told.code, &*told.reason), (4_321, "until tomorrow"));
    }
    assert_paced(&told, began, Duration::from_secs(2));
    let end = proxy.control.closing(number).unwrap();
    assert_eq!((end.total, end.untold, end.left), (5, 0, 0));
    assert_eq!(proxy.registry.len(), 5, "the others go on");
}

#[tokio::test(start_paused = true)]
async fn a_second_backend_begins_to_drain_at_once() {
    in_slow_motion();
    let backends = echo_cluster(3).await;
    let proxy = Proxy::fronting(&backends).pool("drain.rate = 1000");
    let proxy = proxy.start().await;
    let mut clients = clients(&proxy, 9).await;

    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_millis(1_500)).await;
    assert_eq!(finished(&mut clients).await.len(), 3);
    intend(&proxy, 1, Intent::Draining);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(finished(&mut clients).await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_has_begun_is_finished_before_the_close() {
    let mut pair = Pair::open_through(|proxy| proxy.pool("drain.over = \"1s\"")).await;
    let message = frame(0x82, &[7; 10_000], Role::Client);
    let (sent, unsent) = message.split_at(4_000);
    pair.client.send(sent).await;
    assert_eq!(pair.backend.bytes(sent.len()).await, sent);

    intend(&pair.proxy, 0, Intent::Draining);
    let told = pair.client.frame().await.unwrap();
    assert_eq!(told.close(), DRAINING, "the other way is at a boundary");
    assert!(pair.backend.is_silent().await);
    pair.client.send(unsent).await;

    assert_eq!(pair.backend.bytes(unsent.len()).await, unsent);
    assert_eq!(pair.backend.frame().await.unwrap().close(), DRAINING);
}

#[tokio::test(start_paused = true)]
async fn nobody_new_comes_to_a_draining_backend_and_whoever_returns_is_moved() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).affinity("\"cookie\"");
    let proxy = proxy.start().await;
    let client = proxy.connect().await;
    let home = backends.iter().position(|b| b.address == client.backend());
    intend(&proxy, home.unwrap(), Intent::Draining);

    let returning = proxy.connect_with_cookie(client.cookie().unwrap()).await;
    assert_ne!(returning.backend(), client.backend());
    let settled = proxy.connect_with_cookie(returning.cookie().unwrap()).await;
    assert_eq!(settled.backend(), returning.backend());
    for _ in 0..4 {
        assert_ne!(proxy.connect().await.backend(), client.backend());
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_is_kept_comes_back_to_a_draining_backend_and_is_told_again() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends)
        .pool("drain = { over = \"10s\", returning = \"keep\" }")
        .affinity("\"cookie\"");
    let proxy = proxy.start().await;
    let client = proxy.connect().await;
    let (home, cookie) = (client.backend(), client.cookie().unwrap().to_owned());
    let place = backends.iter().position(|b| b.address == home).unwrap();
    let client = tokio::spawn(told(client));
    intend(&proxy, place, Intent::Draining);
    client.await.unwrap();
    sleep(Duration::from_secs(20)).await;

    let returned = Instant::now();
    let again = proxy.connect_with_cookie(&cookie).await;
    assert_eq!(again.backend(), home);
    assert_ne!(proxy.connect().await.backend(), home, "a new one does not");
    let again = told(again).await;
    assert_eq!(again.reason, "backend is draining");
    let stayed = again.at - returned;
    assert!(stayed <= Duration::from_millis(11_500), "{stayed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_is_granted_during_a_drain_is_closed_too() {
    let request = handshake("/", &[]);
    let configure = |proxy: ProxyBuilder| proxy.pool("drain.over = \"2s\"");
    let mut pair = Pair::asking_through(configure, request).await;
    intend(&pair.proxy, 0, Intent::Draining);
    sleep(Duration::from_secs(5)).await;
    pair.backend.send(switching(&[])).await;
    pair.client.head().await;

    assert_eq!(pair.client.frame().await.unwrap().close(), DRAINING);
    assert_eq!(pair.backend.frame().await.unwrap().close(), DRAINING);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_at_the_deadline_is_cut_whether_it_was_told_or_not() {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&server])
        .pool("drain = { rate = 1, deadline = \"5500ms\" }")
        .config("[timeouts]\nclose = \"1h\"\n[keepalive]\ninterval = \"off\"");
    let proxy = proxy.start().await;
    // They never answer a Close.
    let mut stubborn = Vec::new();
    for _ in 0..20 {
        stubborn.push(proxy.open_to(&mut arrivals).await);
    }

    let began = Instant::now();
    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_millis(5_300)).await;
    assert_eq!(proxy.registry.len(), 20);
    proxy.registry.emptied().await;
    let took = began.elapsed();
    assert!((5_500..5_700).contains(&took.as_millis()), "{took:?}");

    let mut were_told = 0;
    for (mut client, _backend) in stubborn {
        if let Some(frame) = client.frame().await {
            assert_eq!(frame.close(), DRAINING);
            were_told += 1;
            assert_eq!(client.frame().await, None);
        }
    }
    assert!((5..=6).contains(&were_told), "{were_told}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_wanted_again_keeps_what_it_has_left() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).pool("drain.over = \"20s\"");
    let proxy = proxy.start().await;
    let _clients = clients(&proxy, 20).await;

    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_millis(10_200)).await;
    intend(&proxy, 0, Intent::Ready);
    let left = proxy.registry.len();
    assert!((9..=11).contains(&left), "{left}");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(proxy.registry.len(), left);

    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_secs(21)).await;
    assert_eq!(proxy.registry.len(), 0, "and it can drain again");
}

#[tokio::test(start_paused = true)]
async fn only_a_draining_backend_loses_its_tunnels() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).pool("drain.over = \"1s\"");
    let proxy = proxy.start().await;
    let mut clients = clients(&proxy, 3).await;

    intend(&proxy, 0, Intent::Maintenance);
    proxy.pools[0].goes_down(&member(&proxy, 0), "no answer");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(proxy.registry.len(), 3);

    // Now it is both.
    intend(&proxy, 0, Intent::Draining);
    sleep(Duration::from_secs(2)).await;
    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|told| told.reason == "backend is down"));
}

#[tokio::test(start_paused = true)]
async fn a_sibling_that_flaps_does_not_postpone_the_deadline() {
    in_slow_motion();
    let backends = echo_cluster(3).await;
    let checks = "health = { check = \"tcp\", on_down = \"drain\", interval = \"1h\" }";
    let proxy = Proxy::fronting(&backends)
        .pool("drain = { over = \"20s\", deadline = \"30s\" }")
        .pool(checks)
        .config("[timeouts]\nclose = \"1h\"")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..9 {
        let mut client = proxy.raw().await;
        client.open_websocket().await;
        clients.push(client);
    }
    intend(&proxy, 0, Intent::Draining);
    for _ in 0..2 {
        proxy.pools[0].goes_down(&member(&proxy, 1), "it flaps");
        sleep(Duration::from_secs(8)).await;
        proxy.pools[0].comes_up(&member(&proxy, 1));
        sleep(Duration::from_secs(8)).await;
    }
    assert_eq!(member(&proxy, 0).tunnels(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_is_closed_in_maintenance_even_if_it_is_down() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let checks = "health = { check = \"tcp\", on_down = \"drain\", interval = \"1h\" }";
    let proxy = Proxy::fronting(&backends)
        .pool("drain.over = \"1s\"")
        .pool(checks)
        .start()
        .await;
    let mut client = proxy.connect().await;
    intend(&proxy, 0, Intent::Maintenance);
    proxy.pools[0].goes_down(&member(&proxy, 0), "it is being mended");
    sleep(Duration::from_secs(3)).await;
    assert_eq!(client.echo("still here").await, "still here");
}

#[tokio::test(start_paused = true)]
async fn what_a_client_sends_before_it_knows_reaches_its_backend_in_front_of_its_close() {
    let mut pair = Pair::open_through(|proxy| proxy.pool("drain.over = \"1s\"")).await;
    intend(&pair.proxy, 0, Intent::Draining);
    let told = pair.client.frame().await.unwrap();
    assert_eq!(told.close(), DRAINING);

    // A round trip's worth of messages that were on their way when it was told, and its answer.
    let numbered = (0..1_000).map(|number| format!("message {number}"));
    let mut under_way = Vec::new();
    for text in numbered.clone() {
        under_way.extend(frame(0x81, text.as_bytes(), Role::Client));
    }
    under_way.extend(frame(0x88, &1012_u16.to_be_bytes(), Role::Client));
    pair.client.send(&under_way).await;

    for text in numbered {
        let heard = pair.backend.frame().await.unwrap();
        assert_eq!(heard.payload, text.as_bytes());
    }
    let close = pair.backend.frame().await.unwrap();
    assert_eq!(close.close(), Some((CloseCode::SERVICE_RESTART, "")));
    let answer = [
        frame(0x81, b"nobody hears this", Role::Server),
        frame(0x88, &1012_u16.to_be_bytes(), Role::Server),
    ];
    pair.backend.send(answer.concat()).await;
    assert_eq!(pair.client.frame().await, None);
    assert_eq!(pair.backend.frame().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_answer_leaves_its_backend_a_close_of_ours() {
    let mut pair = Pair::open_through(|proxy| proxy.pool("drain.over = \"1s\"")).await;
    intend(&pair.proxy, 0, Intent::Draining);
    assert_eq!(pair.client.frame().await.unwrap().close(), DRAINING);
    pair.client
        .send(frame(0x81, b"one more", Role::Client))
        .await;
    assert_eq!(pair.backend.frame().await.unwrap().payload, b"one more");
    assert_eq!(pair.backend.frame().await.unwrap().close(), DRAINING);
}
