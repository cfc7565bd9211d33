//! Clients are kept from backends that their checks find ill.

use std::time::Duration;

use longwire::{
    pool::standing::State,
    websocket::{CloseCode, Role},
};
use tokio::time::{Instant, sleep};

use crate::support::{
    BROKEN, Backend, Log, Mood, Moody, Proxy, Raw, frame, in_slow_motion, switching,
};

const HTTP: &str = "health = { check = \"http\" }";

#[tokio::test(start_paused = true)]
async fn a_backend_that_hangs_is_down_after_three_checks() {
    in_slow_motion();
    let moody = Moody::new(Mood::Hangs).await;
    let began = Instant::now();
    let proxy = Moody::fronting([&moody]).pool(HTTP).start().await;
    proxy.becomes(0, State::Down).await;
    assert_eq!(moody.visits().len(), 3);
    // Three times two seconds of patience, and two waits of about five between them.
    let taken = began.elapsed().as_secs_f64();
    assert!((15.0..17.5).contains(&taken), "{taken}");
}

#[tokio::test(start_paused = true)]
async fn a_backend_is_up_until_its_checks_say_otherwise() {
    in_slow_motion();
    let moody = Moody::new(Mood::Says(BROKEN)).await;
    let proxy = Moody::fronting([&moody]).pool(HTTP).start().await;
    moody.visited(2).await;
    assert_eq!(proxy.state(0), State::Ready);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_works_again_gets_clients_again() {
    in_slow_motion();
    let (ill, well) = (Moody::new(Mood::Hangs).await, Moody::new(Mood::Well).await);
    let proxy = Moody::fronting([&ill, &well])
        .pool(HTTP)
        .pool("slow_start = \"off\"");
    let proxy = proxy.start().await;
    proxy.becomes(0, State::Down).await;
    let mut clients = Vec::new();
    for _ in 0..4 {
        let client = proxy.connect().await;
        assert_eq!(client.backend(), well.address());
        clients.push(client);
    }

    let before = ill.visits().len();
    ill.is_now(Mood::Well);
    proxy.becomes(0, State::Ready).await;
    assert_eq!(
        ill.visits().len() - before,
        2,
        "two checks in a row are needed"
    );
    for _ in 0..4 {
        let client = proxy.connect().await;
        assert_eq!(client.backend(), ill.address());
        clients.push(client);
    }
}

#[tokio::test(start_paused = true)]
async fn only_results_in_a_row_turn_a_backend_and_each_turn_is_logged_once() {
    in_slow_motion();
    let log = Log::begin();
    let moody = Moody::new(Mood::Says(BROKEN)).await;
    let proxy = Moody::fronting([&moody]).pool(HTTP).start().await;
    let mut seen = 0;
    for ill in [2, 2, 1] {
        moody.is_now(Mood::Says(BROKEN));
        moody.visited(seen + ill).await;
        moody.is_now(Mood::Well);
        moody.visited(seen + ill + 1).await;
        seen += ill + 1;
    }
    assert_eq!(proxy.state(0), State::Ready);
    assert_eq!(log.events("the backend is down").len(), 0);

    moody.is_now(Mood::Says(BROKEN));
    moody.visited(seen + 5).await;
    moody.is_now(Mood::Well);
    moody.visited(seen + 6).await;
    assert_eq!(proxy.state(0), State::Down);
    moody.visited(seen + 9).await;
    assert_eq!(proxy.state(0), State::Ready);
    let downs = log.events("the backend is down");
    assert_eq!(downs.len(), 1, "{downs:?}");
    assert_eq!(downs[0]["pool"], "main");
    assert_eq!(downs[0]["backend"], moody.address().to_string());
    assert_eq!(
        downs[0]["reason"],
        "3 checks in a row failed; in the last it answered 500 instead of 200-399"
    );
    assert_eq!(log.events("the backend is up again").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_its_checks_find_up_again_is_no_longer_ejected() {
    in_slow_motion();
    let (ill, well) = (
        Moody::new(Mood::Says(BROKEN)).await,
        Moody::new(Mood::Well).await,
    );
    let proxy = Moody::fronting([&ill, &well])
        .pool(HTTP)
        .pool("balance = \"round-robin\"\nejection = { failures = 1, networks = 1, time = \"1h\", max_time = \"1h\" }")
        .start()
        .await;
    for _ in 0..2 {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        client.head().await;
    }
    assert_eq!(proxy.state(0), State::Ejected);
    proxy.becomes(0, State::Down).await;
    ill.is_now(Mood::Well);
    proxy.becomes(0, State::Ready).await;
}

#[tokio::test(start_paused = true)]
async fn checks_that_do_what_has_failed_end_an_ejection_and_others_do_not() {
    in_slow_motion();
    for (check, ends) in [("websocket", true), ("tcp", false)] {
        let (ill, well) = (
            Moody::new(Mood::Says(BROKEN)).await,
            Moody::new(Mood::Well).await,
        );
        let lines = format!(
            "balance = \"round-robin\"\nejection = {{ failures = 1, networks = 1, time = \"1m\" }}\n\
             health = {{ check = \"{check}\", rises = 2, falls = 100 }}"
        );
        let proxy = Moody::fronting([&ill, &well]).pool(&lines).start().await;
        for _ in 0..2 {
            let mut client = proxy.raw().await;
            client.ask_for_websocket("/").await;
            client.head().await;
        }
        assert_eq!(proxy.state(0), State::Ejected);
        ill.is_now(Mood::Well);
        sleep(Duration::from_secs(20)).await;
        let expected = if ends { State::Ready } else { State::Ejected };
        assert_eq!(proxy.state(0), expected, "{check}");
    }
}

#[tokio::test(start_paused = true)]
async fn new_clients_avoid_a_backend_that_is_down_whatever_the_balance() {
    in_slow_motion();
    let (ill, well) = (Moody::new(Mood::Hangs).await, Moody::new(Mood::Well).await);
    for balance in ["least-tunnels", "round-robin", "random-of-two"] {
        let proxy = Moody::fronting([&ill, &well]).pool(HTTP);
        let proxy = proxy
            .pool(&format!("balance = \"{balance}\""))
            .start()
            .await;
        proxy.becomes(0, State::Down).await;
        for _ in 0..6 {
            let answer = proxy.get("/").await;
            assert_eq!(
                answer.header("x-backend"),
                Some(&*well.address().to_string())
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_cookie_of_a_backend_that_is_down_moves_its_bearer_and_is_renewed() {
    in_slow_motion();
    let pool = [Moody::new(Mood::Well).await, Moody::new(Mood::Well).await];
    let proxy = Moody::fronting(&pool)
        .pool(HTTP)
        .affinity("\"cookie\"")
        .start()
        .await;
    let first = proxy.connect().await;
    let home = pool
        .iter()
        .position(|moody| moody.address() == first.backend());
    let home = home.unwrap();
    pool[home].is_now(Mood::Hangs);
    proxy.becomes(home, State::Down).await;

    let moved = proxy.connect_with_cookie(first.cookie().unwrap()).await;
    assert_eq!(moved.backend(), pool[1 - home].address());
    let renewed = moved.cookie().expect("a new cookie").to_owned();

    // The new cookie holds, also when the first home is back.
    pool[home].is_now(Mood::Well);
    proxy.becomes(home, State::Ready).await;
    let again = proxy.connect_with_cookie(&renewed).await;
    assert_eq!(again.backend(), moved.backend());
    assert_eq!(again.cookie(), None);
}

/// A client whose backend, which the test plays, is down since.
async fn with_backend_down(on_down: &str) -> (Proxy, Raw, Raw) {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let keys =
        format!("health = {{ check = \"http\", timeout = \"1s\", on_down = \"{on_down}\" }}");
    let proxy = Proxy::fronting([&server])
        .pool(&keys)
        .pool("drain.over = \"5s\"")
        .start()
        .await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = loop {
        let mut arrival = arrivals.recv().await.unwrap();
        if arrival
            .next_head()
            .await
            .is_some_and(|head| head.contains("pgrade"))
        {
            break arrival;
        }
    };
    backend.send(switching(&[])).await;
    client.head().await;
    proxy.becomes(0, State::Down).await;
    (proxy, client, backend)
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_backend_that_goes_down_go_on() {
    let (_proxy, mut client, mut backend) = with_backend_down("keep").await;
    sleep(Duration::from_secs(6)).await;
    backend.send(frame(0x81, b"still here", Role::Server)).await;
    assert_eq!(client.frame().await.unwrap().payload, b"still here");
}

#[tokio::test(start_paused = true)]
async fn tunnels_of_a_backend_that_goes_down_are_drained_where_that_is_wanted() {
    let (_proxy, mut client, _backend) = with_backend_down("drain").await;
    let close = client.frame().await.unwrap();
    let told = (CloseCode::SERVICE_RESTART, "backend is down");
    assert_eq!(close.close(), Some(told));
}

#[tokio::test(start_paused = true)]
async fn where_all_are_down_clients_are_refused_at_once() {
    in_slow_motion();
    let pool = [Moody::new(Mood::Hangs).await, Moody::new(Mood::Hangs).await];
    let proxy = Moody::fronting(&pool).pool(HTTP).start().await;
    proxy.becomes(0, State::Down).await;
    proxy.becomes(1, State::Down).await;
    let began = Instant::now();
    assert_eq!(proxy.get("/").await.status, 503);
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn where_all_are_down_they_can_be_tried_all_the_same() {
    in_slow_motion();
    let backend = Backend::naming().await;
    let separate = Backend::refusing().await;
    let health = format!(
        "health = {{ check = \"tcp\", port = {} }}",
        separate.address.port()
    );
    let proxy = Proxy::fronting([&backend]).pool(&health);
    let proxy = proxy.pool("none_ready = \"try-all\"").start().await;
    proxy.becomes(0, State::Down).await;
    assert_eq!(proxy.get("/").await.status, 200);
}
