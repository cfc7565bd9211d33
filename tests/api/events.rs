//! What happens, as it happens.

use std::time::Duration;

use longwire::pool::standing::State;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::support::{Events, Log, Mood, Moody, Operator, Proxy, echo_cluster, in_slow_motion};

impl Events {
    /// What the journal has before anything else is told.
    async fn of_the_past(&mut self) -> Vec<Value> {
        let mut entries = Vec::new();
        loop {
            let event = self.next().await;
            match &*event.kind {
                "journal" => {
                    assert_eq!(event.data["id"].as_u64(), event.id);
                    entries.push(event.data);
                }
                _ => return entries,
            }
        }
    }
}

const CHECKED: &str = "health = { check = \"http\", interval = \"1s\", falls = 1, rises = 1 }";

#[tokio::test(start_paused = true)]
async fn first_comes_the_journal_and_then_a_look_at_everything_each_second() {
    in_slow_motion();
    let log = Log::begin();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::reading(&proxy, &log);
    proxy.control.rebalance("main", true).unwrap();
    proxy.control.rebalance("main", false).unwrap();

    let mut events = operator.events(None).await;
    let journal = events.of_the_past().await;
    let ids = journal.iter().map(|entry| entry["id"].as_u64().unwrap());
    assert!(ids.eq(1..=journal.len() as u64), "{journal:?}");
    let [.., begins, ends] = &*journal else {
        panic!("{journal:?}")
    };
    for (entry, message) in [
        (begins, "the rebalance begins"),
        (ends, "the rebalance ends"),
    ] {
        assert_eq!(entry["level"], "info");
        assert_eq!(entry["message"], message);
        assert_eq!(entry["fields"], json!({ "pool": "main" }));
        assert!(entry["at"].as_f64() > Some(1e9));
    }
    let mut last = Instant::now();
    for second in 0..3 {
        let event = events.next().await;
        assert_eq!((&*event.kind, event.id), ("now", None));
        let since = last.elapsed();
        last = Instant::now();
        let second_later = Duration::from_millis(900)..=Duration::from_millis(1_100);
        assert!(second == 0 || second_later.contains(&since), "{since:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_look_shows_the_process_its_pools_and_the_last_second() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let mut events = operator.events(None).await;
    events.next_of("now").await;
    let mut client = proxy.connect().await;
    client.echo("hello").await;
    let now = events.next_of("now").await.data;
    assert_eq!(
        now["status"]["tunnels"],
        operator.get("status").await["tunnels"]
    );
    assert_eq!(now["pools"], operator.get("pools").await["pools"]);
    assert_eq!(now["pools"][0]["tunnels"], 1);
    assert_eq!(now["sample"]["opened"], 1.0);
    assert_eq!(now["sample"]["client_messages"], 1.0);
    let history = operator.get("history?span=300").await;
    let last = history["at"].as_array().unwrap().last();
    assert_eq!(now["sample"]["at"], *last.unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_goes_down_is_told_of_when_it_does() {
    in_slow_motion();
    let log = Log::begin();
    let moody = Moody::new(Mood::Well).await;
    let proxy = Moody::fronting([&moody]).pool(CHECKED).start().await;
    let operator = Operator::reading(&proxy, &log);
    sleep(Duration::from_secs(3)).await;
    let mut events = operator.events(None).await;
    events.of_the_past().await;
    moody.is_now(Mood::Says(crate::support::BROKEN));
    let down = events.next_of("journal").await.data;
    assert_eq!(proxy.state(0), State::Down);
    assert_eq!(
        (&down["level"], &down["message"]),
        (&json!("warn"), &json!("the backend is down"))
    );
    assert_eq!(down["fields"]["pool"], "main");
    assert_eq!(down["fields"]["backend"], moody.address().to_string());
    let reason = down["fields"]["reason"].as_str().unwrap();
    assert!(reason.contains("500"), "{reason}");
    let now = events.next_of("now").await.data;
    assert_eq!(now["pools"][0]["backends"][0]["state"], "down");

    moody.is_now(Mood::Well);
    let up = events.next_of("journal").await;
    assert_eq!(up.id, down["id"].as_u64().map(|id| id + 1));
    assert_eq!(up.data["fields"]["backend"], moody.address().to_string());
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_back_gets_what_was_missed() {
    in_slow_motion();
    let log = Log::begin();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::reading(&proxy, &log);
    for running in [true, false, true, false] {
        proxy.control.rebalance("main", running).unwrap();
    }
    let all = operator.events(None).await.of_the_past().await;
    let last = all.len();
    assert!(last >= 4, "{all:?}");
    // This process has not come to the last of these numbers: it is another's.
    for (id, missed) in [
        (1, &all[1..]),
        (last - 2, &all[last - 2..]),
        (last, &[]),
        (last + 1_000, &all),
    ] {
        let mut events = operator.events(Some(id as u64)).await;
        assert_eq!(events.of_the_past().await, missed, "after {id}");
    }
}

#[tokio::test(start_paused = true)]
async fn requests_and_tunnels_are_not_told_one_by_one() {
    in_slow_motion();
    let log = Log::begin();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::reading(&proxy, &log);
    let mut events = operator.events(None).await;
    events.of_the_past().await;
    drop(proxy.connect().await);
    proxy.get("/").await;
    proxy.registry.emptied().await;
    assert_eq!(log.events("tunnel ended").len(), 1);
    let told = timeout(Duration::from_secs(5), events.next_of("journal")).await;
    assert!(told.is_err(), "{told:?}");
}
