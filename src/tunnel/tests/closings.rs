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
    assert!((100..=102).contains(&seconds_since(start)));
    client.close(1001).await;
    assert_eq!(backend.hears_close().await, (1001, String::new()));
    backend.close(1001).await;

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
async fn an_order_closes_the_client_whose_answer_closes_the_backend_and_that_ends_it_at_once() {
    let start = Instant::now();
    let (mut client, mut backend, tunnel) = open(QUIET);
    client.say("before").await;
    settle().await;

    close_all(&tunnel.registry, &SHUTDOWN);

    assert_eq!(client.hears_close().await, (1001, "the proxy stops".into()));
    for text in ["under", "way"] {
        client.say(text).await;
    }
    client.close(1000).await;
    for text in ["before", "under", "way"] {
        assert_eq!(backend.hears_text().await, text);
    }
    assert_eq!(
        backend.hears_close().await,
        (1000, String::new()),
        "the client's own"
    );
    backend.say("dropped").await;
    backend.close(1000).await;
    assert_eq!(
        client.next().await,
        None,
        "after our Close nothing follows it"
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
        traffic(12 + 11 + 9 + 8, 3),
        "its Close, too"
    );
    assert_eq!(
        ended.from_backend,
        traffic(0, 0),
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
    pass(CLOSE - 1).await;
    client.send(&message[10..]).await;
    client.say("too late").await;

    assert_eq!(backend.hears_text().await, "in one piece");
    assert_eq!(
        backend.hears_close().await,
        (1001, "the proxy stops".into())
    );
    assert_eq!(backend.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_late_is_passed_on_until_the_backend_has_to_be_told() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    close_all(&tunnel.registry, &SHUTDOWN);
    client.hears_close().await;

    pass(CLOSE / 2 - 1).await;
    client.say("just in time").await;
    assert_eq!(backend.hears_text().await, "just in time");
    assert_eq!(
        backend.hears_close().await,
        (1001, "the proxy stops".into())
    );
    client.say("too late").await;
    client.close(1001).await;
    backend.close(1001).await;

    assert_eq!(backend.next().await, None);
    let stopped = (Party::Proxy, Cause::Shutdown, Some(1001));
    assert_eq!(tunnel.end().await, stopped);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_without_an_answer_leaves_the_backend_our_close() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    close_all(&tunnel.registry, &SHUTDOWN);
    client.hears_close().await;
    client.say("last words").await;
    drop(client);

    assert_eq!(backend.hears_text().await, "last words");
    assert_eq!(
        backend.hears_close().await,
        (1001, "the proxy stops".into())
    );
    drop(backend);
    let stopped = (Party::Proxy, Cause::Shutdown, Some(1001));
    assert_eq!(tunnel.end().await, stopped);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_closes_by_itself_meanwhile_hears_the_client_out() {
    let (mut client, mut backend, tunnel) = open(QUIET);
    close_all(&tunnel.registry, &SHUTDOWN);
    client.hears_close().await;
    backend.close(1000).await;
    settle().await;
    client.say("still under way").await;
    client.close(1001).await;

    assert_eq!(backend.hears_text().await, "still under way");
    assert_eq!(backend.hears_close().await.0, 1001);
    assert_eq!(backend.next().await, None);
    assert_eq!(client.next().await, None);
    let stopped = (Party::Proxy, Cause::Shutdown, Some(1001));
    assert_eq!(tunnel.end().await, stopped);
}

#[tokio::test(start_paused = true)]
async fn a_close_of_ours_is_in_time_however_short_that_is() {
    for seconds in [1, 2, 3] {
        let policy = Policy {
            close: Duration::from_secs(seconds),
            ..QUIET
        };
        let (mut client, mut backend, tunnel) = open(policy);
        close_all(&tunnel.registry, &SHUTDOWN);
        client.hears_close().await;
        assert_eq!(backend.hears_close().await.0, 1001, "{seconds}");
        assert!(tunnel.is_running());
    }
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
    let told = client.hears_close().await;
    assert_eq!(told, (1012, "backend is draining".into()));
    client.close(1012).await;
    assert_eq!(backend.hears_close().await.0, 1012);
    backend.close(1012).await;
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
