//! Whether a backend is ready, down, ejected or drained, a reload does not forget.

use std::time::Duration;

use longwire::{config::Intent, pool::standing::State};
use tokio::time::{Instant, sleep};

use crate::{
    drain,
    support::{BROKEN, Mood, Moody, Proxy, ProxyBuilder, echo_cluster, in_slow_motion},
};

const HTTP: &str = "health = { check = \"http\" }";

const OTHERWISE: &str = "balance = \"random-of-two\"";

fn intend(proxy: &Proxy, index: usize, intent: Intent) {
    proxy.control.pools()[0].intend(&proxy.members()[index], intent);
}

/// The status of the answer to a handshake.
async fn answer(proxy: &Proxy) -> String {
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let head = client.head().await;
    head.split(' ').nth(1).unwrap().to_owned()
}

fn states(proxy: &Proxy) -> Vec<State> {
    let members = proxy.members();
    let members = members.iter();
    members.map(|member| member.state(Instant::now())).collect()
}

#[tokio::test(start_paused = true)]
async fn failed_checks_count_on_and_so_do_those_that_succeed() {
    in_slow_motion();
    let moody = Moody::new(Mood::Says(BROKEN)).await;
    let configured = |lines: &str| Moody::fronting([&moody]).pool(HTTP).pool(lines);
    let proxy = configured("").start().await;
    for (checks, lines) in [(1, OTHERWISE), (2, "slow_start = \"1s\"")] {
        moody.visited(checks).await;
        assert_eq!(states(&proxy), [State::Ready]);
        proxy.reload(configured(lines)).await.unwrap();
    }
    moody.visited(3).await;
    assert_eq!(states(&proxy), [State::Down]);

    moody.is_now(Mood::Well);
    moody.visited(4).await;
    proxy.reload(configured("")).await.unwrap();
    assert_eq!(states(&proxy), [State::Down]);
    moody.visited(5).await;
    assert_eq!(states(&proxy), [State::Ready]);
    // They were as far from each other as ever.
    for pair in moody.visits().windows(2) {
        let wait = (pair[1] - pair[0]).as_secs_f64();
        assert!((4.4..5.7).contains(&wait), "{wait}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_down_stays_so_and_comes_up_by_the_new_checks() {
    in_slow_motion();
    let moody = Moody::new(Mood::Says(BROKEN)).await;
    let proxy = Moody::fronting([&moody]).pool(HTTP).start().await;
    proxy.becomes(0, State::Down).await;

    let one = "health = { check = \"http\", rises = 1, interval = \"20s\" }";
    proxy
        .reload(Moody::fronting([&moody]).pool(one))
        .await
        .unwrap();
    assert_eq!(states(&proxy), [State::Down]);
    moody.is_now(Mood::Well);
    moody.visited(moody.visits().len() + 1).await;
    assert_eq!(states(&proxy), [State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn checks_begin_and_end_as_they_are_configured_and_nobody_is_down_without() {
    in_slow_motion();
    let moody = Moody::new(Mood::Says(BROKEN)).await;
    let unchecked = || Moody::fronting([&moody]);
    let proxy = unchecked().start().await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(moody.visits().len(), 0);

    proxy.reload(unchecked().pool(HTTP)).await.unwrap();
    proxy.becomes(0, State::Down).await;
    proxy.reload(unchecked()).await.unwrap();
    assert_eq!(states(&proxy), [State::Ready]);
    let visits = moody.visits().len();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(moody.visits().len(), visits);

    proxy.reload(unchecked().pool(HTTP)).await.unwrap();
    moody.visited(visits + 2).await;
    assert_eq!(states(&proxy), [State::Ready], "it is counted anew");
    moody.visited(visits + 3).await;
    assert_eq!(states(&proxy), [State::Down]);
}

/// A proxy whose backends take turns, in which one failure is enough to be ejected.
fn strict(moody: [&Moody; 2], lines: &str) -> ProxyBuilder {
    Moody::fronting(moody)
        .pool("balance = \"round-robin\"\nslow_start = \"off\"")
        .pool(lines)
}

/// One handshake for each of two backends, whatever becomes of them.
async fn ask_both(proxy: &Proxy) {
    for _ in 0..2 {
        answer(proxy).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_ejection_goes_on_until_its_end_or_until_nobody_is_ejected() {
    in_slow_motion();
    let (ill, well) = (
        Moody::new(Mood::Says(BROKEN)).await,
        Moody::new(Mood::Well).await,
    );
    let ejecting = "ejection = { failures = 1, networks = 1, time = \"30s\" }";
    let both = [&ill, &well];
    let proxy = strict(both, ejecting).start().await;
    ask_both(&proxy).await;
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    sleep(Duration::from_secs(10)).await;
    let changed = format!("{ejecting}\nmax_tunnels = 100");
    proxy.reload(strict(both, &changed)).await.unwrap();
    sleep(Duration::from_secs(19)).await;
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);

    ask_both(&proxy).await;
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    proxy
        .reload(strict(both, "ejection = \"off\""))
        .await
        .unwrap();
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
    ask_both(&proxy).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn an_ejection_ends_even_while_maintenance_hides_it() {
    in_slow_motion();
    let (ill, well) = (
        Moody::new(Mood::Says(BROKEN)).await,
        Moody::new(Mood::Well).await,
    );
    let proxy = strict([&ill, &well], "ejection = { failures = 1, networks = 1 }");
    let proxy = proxy.start().await;
    ask_both(&proxy).await;
    intend(&proxy, 0, Intent::Maintenance);
    let off = strict([&ill, &well], "ejection = \"off\"");
    proxy.reload(off).await.unwrap();
    intend(&proxy, 0, Intent::Ready);
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn checks_end_an_ejection_that_began_under_other_rules() {
    in_slow_motion();
    let (ill, well) = (
        Moody::new(Mood::Says(BROKEN)).await,
        Moody::new(Mood::Well).await,
    );
    let lines = |failures: usize| {
        format!(
            "ejection = {{ failures = {failures}, networks = 1, time = \"5m\" }}\n\
             health = {{ check = \"websocket\", falls = 100 }}"
        )
    };
    let proxy = strict([&ill, &well], &lines(1)).start().await;
    ask_both(&proxy).await;
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
    proxy
        .reload(strict([&ill, &well], &lines(2)))
        .await
        .unwrap();
    ill.is_now(Mood::Well);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_count_on() {
    in_slow_motion();
    let (ill, well) = (
        Moody::new(Mood::Says(BROKEN)).await,
        Moody::new(Mood::Well).await,
    );
    let lines = "ejection = { failures = 2, networks = 1 }";
    let proxy = strict([&ill, &well], lines).start().await;
    ask_both(&proxy).await;
    assert_eq!(states(&proxy), [State::Ready, State::Ready]);
    let changed = format!("{lines}\nmax_tunnels = 100");
    proxy.reload(strict([&ill, &well], &changed)).await.unwrap();
    ask_both(&proxy).await;
    assert_eq!(states(&proxy), [State::Ejected, State::Ready]);
}

#[tokio::test(start_paused = true)]
async fn a_state_in_the_file_counts_when_it_changes_there_and_else_what_was_wanted_last() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let [one, two] = [&backends[0], &backends[1]];
    let configured = |state: &str, lines: &str| {
        let entries = [one.entry(&format!("state = \"{state}\"")), two.entry("")];
        Proxy::fronting_entries(entries)
            .pool("drain.over = \"1s\"")
            .pool(lines)
    };
    let proxy = configured("ready", "").start().await;
    let mut open = drain::clients(&proxy, 2).await;
    let (first, second) = (State::Draining, State::Maintenance);

    proxy.reload(configured("draining", "")).await.unwrap();
    assert_eq!(states(&proxy), [first, State::Ready]);
    sleep(Duration::from_secs(2)).await;
    let told = drain::finished(&mut open).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].backend, one.address);
    assert_eq!(told[0].reason, "backend is draining");

    proxy.reload(configured("maintenance", "")).await.unwrap();
    assert_eq!(states(&proxy), [second, State::Ready]);
    intend(&proxy, 0, Intent::Ready);
    intend(&proxy, 1, Intent::Draining);
    proxy
        .reload(configured("maintenance", OTHERWISE))
        .await
        .unwrap();
    assert_eq!(states(&proxy), [State::Ready, first]);
    proxy
        .reload(configured("draining", OTHERWISE))
        .await
        .unwrap();
    assert_eq!(states(&proxy), [first, first]);
}
