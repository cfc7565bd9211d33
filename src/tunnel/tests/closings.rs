//! How we end a tunnel: by its limits, and by order.

use std::{borrow::Cow, time::Duration};

use tokio::time::Instant;

use super::rig::{
    CLOSE, PINGING, QUIET, SHUTDOWN, close_all, open, pass, patiently, seconds_since, settle,
    talk_until_cut, traffic,
};
use crate::{
    tunnel::{Cause, Party, Policy, registry::CloseOrder},
    websocket::CloseCode,
};

#[tokio::test(start_paused = true)]
async fn an_idle_tunnel_is_closed() {
    let policy = Policy {
        idle: Some(Duration::from_secs(100)),
        ..QUIET
    };
    let (mut client, mut backend, tunnel) = open(policy);
    pass(60).await;
    client.say("not idle").await;
    assert_eq!(backend.hears_text().await, "not idle");
    let start = Instant::now();

    assert_eq!(
        client.hears_close().await,
        (1001, "idle for too long".into())
    );
    assert_eq!(
        backend.hears_close().await,
        (1001, "idle for too long".into())
    );

    assert!((100..=102).contains(&seconds_since(start)));
    assert_eq!(tunnel.end().await, (Party::Proxy, Cause::Idle, Some(1001)));
}

#[tokio::test(start_paused = true)]
async fn pings_and_their_answers_do_not_keep_an_idle_tunnel_open() {
    let policy = Policy {
        idle: Some(Duration::from_secs(100)),
        ..PINGING
    };
    let (client, backend, tunnel) = open(policy);
    let client = tokio::spawn(client.oblige());
    let backend = tokio::spawn(backend.oblige());

    assert_eq!(tunnel.end().await, (Party::Proxy, Cause::Idle, Some(1001)));
    assert_eq!(patiently(client).await.unwrap().len(), 1);
    assert_eq!(patiently(backend).await.unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_old_tunnel_is_closed_however_lively_it_is() {
    let policy = Policy {
        lifetime: Some(Duration::from_secs(100)),
        ..QUIET
    };
    let (mut client, mut backend, tunnel) = open(policy);
    for _ in 0..9 {
        pass(11).await;
        client.say("tick").await;
        assert_eq!(backend.hears_text().await, "tick");
    }

    assert_eq!(
        client.hears_close().await,
        (1001, "open for too long".into())
    );
    assert_eq!(
        backend.hears_close().await,
        (1001, "open for too long".into())
    );
    assert_eq!(
        tunnel.end().await,
        (Party::Proxy, Cause::Lifetime, Some(1001))
    );
}

#[tokio::test(start_paused = true)]
async fn an_order_closes_both_sides_and_their_answers_end_it_at_once() {
    let start = Instant::now();
    let (mut client, mut backend, tunnel) = open(QUIET);
    client.say("before").await;
    settle().await;

    close_all(&tunnel.registry, &SHUTDOWN);

    assert_eq!(backend.hears_text().await, "before");
    for peer in [&mut client, &mut backend] {
        assert_eq!(peer.hears_close().await, (1001, "the proxy stops".into()));
        peer.say("dropped").await;
        peer.close(1000).await;
    }
    assert_eq!(
        client.next().await,
        None,
        "what is sent after our Close is dropped"
    );
    assert_eq!(backend.next().await, None);
    let ended = tunnel.ended().await;
    assert_eq!(
        (ended.end.by, ended.end.cause),
        (Party::Proxy, Cause::Shutdown)
    );
    assert_eq!(ended.end.code.unwrap().0, 1001);
    assert_eq!(
        ended.from_client,
        traffic(12, 1),
        "what was dropped does not count"
    );
    assert_eq!(seconds_since(start), 0);
}

#[tokio::test(start_paused = true)]
async fn an_order_waits_for_the_end_of_a_frame() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    let message = client.message(b"in one piece");
    client.send(&message[..10]).await;
    settle().await;

    close_all(&tunnel.registry, &SHUTDOWN);
    assert_eq!(client.hears_close().await.0, 1001);
    client.send(&message[10..]).await;
    client.close(1001).await;

    assert_eq!(backend.hears_text().await, "in one piece");
    assert_eq!(
        backend.hears_close().await,
        (1001, "the proxy stops".into())
    );
    assert_eq!(backend.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn one_that_never_answers_our_close_is_cut() {
    let start = Instant::now();
    let (mut client, mut backend, tunnel) = open(QUIET);
    close_all(&tunnel.registry, &SHUTDOWN);

    client.hears_close().await;
    backend.hears_close().await;
    let talking = tokio::spawn(talk_until_cut(backend));

    assert_eq!(
        tunnel.end().await,
        (Party::Proxy, Cause::Shutdown, Some(1001))
    );
    assert!((CLOSE..=CLOSE + 2).contains(&seconds_since(start)));
    assert_eq!(client.next().await, None);
    patiently(talking).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_tunnel_is_closed_or_cut_on_account_of_its_order() {
    static DRAINING: CloseOrder = CloseOrder {
        cause: Cause::Draining,
        code: CloseCode::SERVICE_RESTART,
        reason: Cow::Borrowed("backend is draining"),
    };
    let (mut client, mut backend, tunnel) = open(QUIET);
    assert!(tunnel.registry.served_by(|_| true)[0].close(&DRAINING));
    for peer in [&mut client, &mut backend] {
        let told = peer.hears_close().await;
        assert_eq!(told, (1012, "backend is draining".into()));
        peer.close(1012).await;
    }
    let told = (Party::Proxy, Cause::Draining, Some(1012));
    assert_eq!(tunnel.end().await, told);

    let (mut client, _backend, tunnel) = open(QUIET);
    settle().await;
    tunnel.registry.served_by(|_| true)[0].cut(&DRAINING);
    assert_eq!(client.next().await, None, "without a word");
    let cut = (Party::Proxy, Cause::Draining, None);
    assert_eq!(tunnel.end().await, cut);
}

#[tokio::test(start_paused = true)]
async fn an_order_also_ends_a_half_closed_tunnel_in_which_bytes_still_move() {
    let (mut client, backend, tunnel) = open(QUIET);
    client.stop_sending().await;
    settle().await;
    let talking = tokio::spawn(talk_until_cut(backend));
    let listening = tokio::spawn(async move { client.hears_to_the_end().await });
    pass(10 * CLOSE).await;
    assert!(tunnel.is_running());

    let start = Instant::now();
    close_all(&tunnel.registry, &SHUTDOWN);

    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
    assert!(seconds_since(start) <= CLOSE + 2);
    patiently(talking).await.unwrap();
    patiently(listening).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn so_does_its_age() {
    let policy = Policy {
        lifetime: Some(Duration::from_secs(100)),
        ..QUIET
    };
    let start = Instant::now();
    let (mut client, backend, tunnel) = open(policy);
    client.stop_sending().await;
    let talking = tokio::spawn(talk_until_cut(backend));
    let listening = tokio::spawn(async move { client.hears_to_the_end().await });

    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
    assert!(seconds_since(start) <= 100 + CLOSE + 2);
    patiently(talking).await.unwrap();
    patiently(listening).await.unwrap();
}
