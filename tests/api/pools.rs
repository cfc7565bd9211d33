//! Pools and backends, and what an operator wants of them.

use std::time::Duration;

use longwire::pool::standing::State;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::encoded;
use crate::support::{
    Backend, Mood, Moody, Operator, Proxy, all_is_quiet, echo_cluster, in_slow_motion,
    naming_cluster, until,
};

#[tokio::test]
async fn a_pool_says_how_it_is_configured_and_how_much_it_does() {
    let backends = echo_cluster(2).await;
    let entries = [
        backends[0].entry("weight = 3, max_tunnels = 7"),
        backends[1].entry("state = \"maintenance\""),
    ];
    let proxy = Proxy::fronting_entries(entries)
        .affinity("\"cookie\"")
        .pool("balance = \"round-robin\"\nrebalance = {}")
        .start()
        .await;
    let operator = Operator::of(&proxy);
    let _clients = [proxy.connect().await, proxy.connect().await];
    let pools = operator.get("pools").await;
    let pool = operator.get("pools/main").await;
    assert_eq!(pools, json!({ "pools": [pool] }));
    let backend = |index: usize, what: Value| {
        let mut backend = json!({
            "name": backends[index].address.to_string(), "state": "ready", "intent": "ready",
            "weight": 1, "share": 1.0, "tunnels": 0, "max_tunnels": null, "requests": 0, "max_requests": null,
            "opened": 0, "checks": null, "ejected": null, "drain": null, "trend": [],
        });
        let all = backend.as_object_mut().unwrap();
        all.extend(what.as_object().unwrap().clone());
        backend
    };
    let expected = json!({
        "name": "main", "balance": "round-robin", "affinity": "cookie", "tunnels": 2,
        "requests": 0, "queue": { "waiting": 0, "most": null },
        "rebalance": { "is_configured": true, "is_running": true, "is_paused": false },
        "backends": [
            backend(0, json!({ "weight": 3, "max_tunnels": 7, "tunnels": 2, "opened": 2 })),
            backend(1, json!({ "state": "maintenance", "intent": "maintenance" })),
        ],
    });
    assert_eq!(pool, expected);
}

#[tokio::test(start_paused = true)]
async fn checks_say_how_often_they_failed_and_why_last() {
    in_slow_motion();
    let moody = Moody::new(Mood::Well).await;
    let health = "health = { check = \"http\", interval = \"1s\", falls = 2 }";
    let proxy = Moody::fronting([&moody]).pool(health).start().await;
    let operator = Operator::of(&proxy);
    sleep(Duration::from_secs(5)).await;
    let backend = operator.backend(0).await;
    assert_eq!(backend["state"], "ready");
    assert!(backend["checks"]["passed"].as_u64() >= Some(3), "{backend}");
    assert_eq!(backend["checks"]["failed"], 0);
    assert_eq!(backend["checks"]["last_failure"], Value::Null);

    moody.is_now(Mood::Says(crate::support::BROKEN));
    proxy.becomes(0, State::Down).await;
    let backend = operator.backend(0).await;
    assert_eq!(backend["state"], "down");
    assert_eq!(backend["intent"], "ready", "nobody wanted that");
    assert!(backend["checks"]["failed"].as_u64() >= Some(2), "{backend}");
    assert!(
        backend["checks"]["last_at"].as_f64() > Some(1e9),
        "{backend}"
    );
    let why = backend["checks"]["last_failure"].as_str().unwrap();
    assert!(why.contains("500"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn an_ejected_backend_says_for_how_long_and_why() {
    in_slow_motion();
    let (bad, good) = (Backend::refusing().await, Backend::naming().await);
    let proxy = Proxy::fronting([&bad, &good])
        .pool("balance = \"round-robin\"\nejection.time = \"20s\"")
        .start()
        .await;
    let operator = Operator::of(&proxy);
    for _ in 0..10 {
        proxy.get("/").await;
    }
    let backend = operator.backend(0).await;
    assert_eq!(backend["state"], "ejected");
    let ejected = &backend["ejected"];
    let left = ejected["seconds_left"].as_f64().unwrap();
    assert!((15.0..=20.0).contains(&left), "{left}");
    let why = ejected["reason"].as_str().unwrap();
    assert!(why.contains("connect"), "{why}");
    assert_eq!(operator.backend(1).await["ejected"], Value::Null);

    sleep(Duration::from_secs(21)).await;
    let backend = operator.backend(0).await;
    assert_eq!(
        (&backend["state"], &backend["ejected"]),
        (&json!("ready"), &Value::Null)
    );
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_to_be_let_in_is_seen_to_wait() {
    in_slow_motion();
    let silent = Backend::silent().await;
    let proxy = Proxy::fronting([&silent])
        .pool("[pool.main.admission]\nhandshakes = 1\nqueue = 5")
        .start()
        .await;
    let operator = Operator::of(&proxy);
    let mut crowd = Vec::new();
    for _ in 0..3 {
        let mut client = proxy.raw().await;
        client.ask_for_websocket("/").await;
        crowd.push(client);
    }
    all_is_quiet().await;
    let pool = operator.get("pools/main").await;
    assert_eq!(pool["queue"], json!({ "waiting": 2, "most": 5 }));
    assert_eq!(pool["tunnels"], 1, "a handshake under way");
    assert_eq!(pool["backends"][0]["opened"], 0);
}

#[tokio::test(start_paused = true)]
async fn requests_under_way_are_not_tunnels() {
    in_slow_motion();
    let silent = Backend::silent().await;
    let proxy = Proxy::fronting([&silent]).start().await;
    let operator = Operator::of(&proxy);
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    all_is_quiet().await;
    let pool = operator.get("pools/main").await;
    assert_eq!(
        (&pool["requests"], &pool["tunnels"]),
        (&json!(1), &json!(0))
    );
    assert_eq!(pool["backends"][0]["requests"], 1);
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_is_drained_loses_its_tunnels_and_it_can_be_seen_how_far_it_is() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).pool("drain.over = \"20s\"");
    let proxy = proxy.start().await;
    let operator = Operator::of(&proxy);
    for _ in 0..20 {
        let mut client = proxy.connect().await;
        tokio::spawn(async move { while client.next().await.is_some() {} });
    }

    let own = encoded(&backends[0].address);
    let path = |wish: &str| format!("pools/main/backends/{own}/{wish}");
    let backend = operator.post(&path("drain"), &json!({})).await;
    assert_eq!(backend["name"], backends[0].address.to_string());
    assert_eq!(
        (&backend["intent"], &backend["state"]),
        (&json!("draining"), &json!("draining"))
    );
    let mut before = 10;
    for seconds_left in [15.0, 10.0, 5.0, 0.0] {
        sleep(Duration::from_millis(5_100)).await;
        let drain = operator.backend(0).await["drain"].clone();
        let number = |name: &str| drain[name].as_u64().unwrap();
        assert_eq!(number("total"), 10);
        let left = number("left");
        assert!(
            left < before && number("untold") <= left,
            "{drain} after {before}"
        );
        before = left;
        let seconds = drain["seconds_left"].as_f64().unwrap();
        assert!((seconds - seconds_left).abs() < 2.1, "{drain}");
    }
    assert_eq!(before, 0);
    let backend = operator.backend(0).await;
    assert_eq!(
        (&backend["tunnels"], &backend["opened"]),
        (&json!(0), &json!(10))
    );
    assert_eq!(operator.backend(1).await["tunnels"], 10);
    let client = proxy.connect().await;
    assert_eq!(client.backend(), backends[1].address, "no new ones");

    let backend = operator.post(&path("ready"), &json!({})).await;
    assert_eq!(
        (&backend["intent"], &backend["state"]),
        (&json!("ready"), &json!("ready"))
    );
    sleep(Duration::from_secs(2)).await;
    assert_eq!(operator.backend(0).await["drain"], Value::Null);
    assert_eq!(proxy.connect().await.backend(), backends[0].address);
}

#[tokio::test(start_paused = true)]
async fn a_backend_in_maintenance_gets_nobody_and_keeps_its_tunnels() {
    in_slow_motion();
    let backends = echo_cluster(2).await;
    let quiet = "[keepalive]\ninterval = \"off\"";
    let proxy = Proxy::fronting(&backends).config(quiet).start().await;
    let operator = Operator::of(&proxy);
    let (mut one, mut other) = (proxy.connect().await, proxy.connect().await);
    let path = format!(
        "pools/main/backends/{}/maintenance",
        encoded(&backends[0].address)
    );
    let backend = operator.post(&path, &json!({})).await;
    assert_eq!(
        (&backend["intent"], &backend["state"]),
        (&json!("maintenance"), &json!("maintenance"))
    );
    for _ in 0..4 {
        assert_eq!(proxy.connect().await.backend(), backends[1].address);
    }
    sleep(Duration::from_secs(120)).await;
    for client in [&mut one, &mut other] {
        assert_eq!(client.echo("still here").await, "still here");
    }
    assert_eq!(operator.backend(0).await["tunnels"], 1);
}

#[tokio::test]
async fn whoever_errs_in_a_name_is_told_which_there_are() {
    let backends = naming_cluster(2).await;
    let names: Vec<_> = backends.iter().map(|b| b.address.to_string()).collect();
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let known = encoded(&names[0]);
    for (method, path) in [
        ("GET", "pools/other".to_owned()),
        ("POST", format!("pools/other/backends/{known}/drain")),
        ("POST", "pools/other/rebalance".to_owned()),
    ] {
        let refused = operator
            .refused(method, &path, r#"{"running": true}"#)
            .await;
        let words = "there is no pool called `other`, but main";
        assert_eq!(refused, (404, words.to_owned()), "{path}");
    }
    let refused = operator
        .refused("POST", "pools/main/backends/10.0.0.1%3A9001/drain", "")
        .await;
    let words = format!(
        "there is no backend in main called `10.0.0.1:9001`, but {}",
        names.join(", ")
    );
    assert_eq!(refused, (404, words));
    let path = format!("pools/main/backends/{known}/nonsense");
    assert_eq!(operator.refused("POST", &path, "").await.0, 404);
    for index in 0..2 {
        assert_eq!(operator.backend(index).await["intent"], "ready");
    }
}

#[tokio::test]
async fn a_backend_at_a_unix_socket_is_called_by_its_encoded_name() {
    let proxy = Proxy::fronting_addresses(["unix:/run/chat.sock", "127.0.0.1:1"]);
    let proxy = proxy.start().await;
    let operator = Operator::of(&proxy);
    let path = "pools/main/backends/unix%3A%2Frun%2Fchat.sock/drain";
    let backend = operator.post(path, &json!({})).await;
    assert_eq!(backend["name"], "unix:/run/chat.sock");
    assert_eq!(backend["intent"], "draining");
    assert_eq!(operator.backend(1).await["intent"], "ready");
}

#[tokio::test]
async fn a_rebalance_starts_and_stops() {
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    for running in [true, false, false, true] {
        let wish = json!({ "running": running });
        let pool = operator.post("pools/main/rebalance", &wish).await;
        let rebalance =
            json!({ "is_configured": false, "is_running": running, "is_paused": false });
        assert_eq!(
            (&pool["name"], &pool["rebalance"]),
            (&json!("main"), &rebalance)
        );
        assert_eq!(proxy.pools[0].is_rebalanced(), running);
    }
    let (status, words) = operator.refused("POST", "pools/main/rebalance", "{}").await;
    assert_eq!(status, 400);
    assert!(words.contains("running"), "{words}");
    assert!(proxy.pools[0].is_rebalanced());
}

#[tokio::test]
async fn a_rebalance_that_would_move_nobody_is_refused() {
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).affinity("\"ip\"").start().await;
    let operator = Operator::of(&proxy);
    let (status, words) = operator
        .refused("POST", "pools/main/rebalance", r#"{"running": true}"#)
        .await;
    let reason = "clients with affinity by ip would come back to the same backend";
    assert_eq!((status, &*words), (409, reason));
    assert!(!proxy.pools[0].is_rebalanced());
}

#[tokio::test(start_paused = true)]
async fn a_trend_has_a_count_a_minute() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let quiet = "[keepalive]\ninterval = \"off\"";
    let proxy = Proxy::fronting(&backends).config(quiet).start().await;
    let operator = Operator::of(&proxy);
    let _first = proxy.connect().await;
    sleep(Duration::from_secs(61)).await;
    let second = proxy.connect().await;
    sleep(Duration::from_secs(60)).await;
    drop(second);
    until(|| proxy.registry.len() == 1).await;
    assert_eq!(operator.backend(0).await["trend"], json!([1, 2]));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(operator.backend(0).await["trend"], json!([1, 2, 1]));
}
