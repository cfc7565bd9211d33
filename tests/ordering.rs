//! Commands that tell the running proxy what to do, and what a user reads meanwhile.

use serde_json::{Value, json};

use crate::support::{FakeDoor, documented};

const BACKEND: &str = "/api/v1/pools/chat/backends/10.0.0.1%3A9001";

#[tokio::test]
async fn a_drain_says_how_long_it_takes_and_ends_with_the_last_tunnel() {
    let (folder, door) = FakeDoor::in_a_folder();
    let begun = draining(600, 600, 63.0);
    door.answers(&format!("POST {BACKEND}/drain"), begun);
    for left in [300, 0] {
        let pool = json!([draining(600, left, 30.0)]);
        door.answers("GET /api/v1/pools/chat", pool_with(&pool));
    }
    let outcome = folder.ask(&["drain", "chat/10.0.0.1:9001"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let outlook = "10.0.0.1:9001 drains: 600 tunnels, all are told in 1m 3s\n";
    assert_eq!(outcome.stderr, outlook);
    let end = "10.0.0.1:9001 is drained: 600 tunnels closed\n";
    assert_eq!(outcome.stdout, end);
}

#[tokio::test]
async fn a_drain_that_nobody_waits_for_is_only_begun() {
    let (folder, door) = FakeDoor::in_a_folder();
    let begun = draining(600, 600, 63.0);
    door.answers(&format!("POST {BACKEND}/drain"), begun.clone());
    let arguments = ["drain", "chat/10.0.0.1:9001", "--no-wait"];
    let outcome = folder.ask(&arguments).await;
    outcome.is_success_with(&["10.0.0.1:9001 drains: 600 tunnels, all are told in 1m 3s"]);
    let outcome = folder.ask(&[&arguments[..], &["--json"]].concat()).await;
    assert_eq!(outcome.json(), begun);
    assert_eq!(door.lines().len(), 2);
}

#[tokio::test]
async fn a_drain_that_somebody_takes_back_is_not_waited_for() {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers(&format!("POST {BACKEND}/drain"), draining(600, 600, 63.0));
    let mut ready = documented("and `GET /api/v1/pools/{pool}`");
    ready["backends"][0]["intent"] = json!("ready");
    door.answers("GET /api/v1/pools/chat", ready);
    let outcome = folder.ask(&["drain", "chat/10.0.0.1:9001"]).await;
    outcome.is_failure_with(1, &["drains no more: somebody wants it to be ready"]);
}

#[tokio::test]
async fn a_backend_is_made_ready_or_put_into_maintenance_at_once() {
    let (folder, door) = FakeDoor::in_a_folder();
    let mut backend = backend();
    door.answers(&format!("POST {BACKEND}/ready"), backend.clone());
    let outcome = folder.ask(&["ready", "chat/10.0.0.1:9001"]).await;
    assert_eq!(outcome.stdout, "10.0.0.1:9001 is ready, with 600 tunnels\n");

    backend["intent"] = json!("maintenance");
    backend["state"] = json!("maintenance");
    door.answers(&format!("POST {BACKEND}/maintenance"), backend);
    let outcome = folder.ask(&["maintenance", "chat/10.0.0.1:9001"]).await;
    let verdict = "10.0.0.1:9001 is in maintenance, with 600 tunnels\n";
    assert_eq!(outcome.stdout, verdict);
}

#[tokio::test]
async fn a_backend_that_is_wanted_but_down_is_said_to_be() {
    let (folder, door) = FakeDoor::in_a_folder();
    let mut backend = backend();
    backend["state"] = json!("down");
    door.answers(&format!("POST {BACKEND}/ready"), backend);
    let outcome = folder.ask(&["ready", "chat/10.0.0.1:9001"]).await;
    let verdict = "is to be ready, and is down: the connection was refused";
    outcome.is_success_with(&[verdict]);
}

#[tokio::test]
async fn a_wrong_name_is_answered_with_the_right_ones() {
    let (folder, door) = FakeDoor::in_a_folder();
    let pool = documented("and `GET /api/v1/pools/{pool}`");
    door.answers("GET /api/v1/pools", json!({"pools": [pool]}));
    for command in ["drain", "ready", "maintenance"] {
        let outcome = folder.ask(&[command, "chat/10.0.0.1:9002"]).await;
        let words = "there is no backend 10.0.0.1:9002; chat has 10.0.0.1:9001\n\
                     Is 10.0.0.1:9001 meant?";
        outcome.is_failure_with(1, &[words]);
    }
    let outcome = folder.ask(&["drain", "caht/10.0.0.1:9001"]).await;
    outcome.is_failure_with(
        1,
        &["there is no pool caht; there are chat\nIs chat meant?"],
    );
    let outcome = folder.ask(&["rebalance", "else", "--stop"]).await;
    outcome.is_failure_with(1, &["there is no pool else; there are chat\n"]);
    assert!(!outcome.stderr.contains("meant"), "{outcome:?}");
    let outcome = folder.ask(&["drain", "chat"]).await;
    outcome.is_failure_with(2, &["as chat/10.0.0.1:9001"]);
}

#[tokio::test]
async fn a_pool_is_rebalanced_or_not() {
    let (folder, door) = FakeDoor::in_a_folder();
    let pool = documented("and `GET /api/v1/pools/{pool}`");
    door.answers("POST /api/v1/pools/chat/rebalance", pool);
    let outcome = folder.ask(&["rebalance", "chat", "--start"]).await;
    assert_eq!(outcome.stdout, "chat is rebalanced\n", "{outcome:?}");
    assert_eq!(door.heard()[0].body, json!({"running": true}));
    folder.ask(&["rebalance", "chat", "--stop"]).await;
    assert_eq!(door.heard()[1].body, json!({"running": false}));
    let outcome = folder.ask(&["rebalance", "chat"]).await;
    outcome.is_failure_with(2, &["--start", "--stop"]);
}

#[tokio::test]
async fn a_tunnel_is_closed_by_its_number_and_waited_for() {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers("POST /api/v1/tunnels/17/close", closing(1, 1, 1));
    door.answers("GET /api/v1/closings/1", closing(1, 1, 0));
    let arguments = ["close", "17", "--code=1012", "--reason=come back"];
    let outcome = folder.ask(&arguments).await;
    assert_eq!(outcome.stdout, "1 tunnel closed\n", "{outcome:?}");
    let farewell = json!({"code": 1012, "reason": "come back"});
    assert_eq!(door.heard()[0].body, farewell);
    assert_eq!(outcome.stderr, "");
}

#[tokio::test]
async fn a_tunnel_that_is_gone_keeps_no_other_from_being_closed() {
    let (folder, door) = FakeDoor::in_a_folder();
    let gone = json!({"error": "there is no tunnel 16"});
    door.answers_with("POST /api/v1/tunnels/16/close", 404, gone);
    door.answers("POST /api/v1/tunnels/17/close", closing(1, 1, 0));
    let outcome = folder.ask(&["close", "16", "17"]).await;
    assert_eq!(outcome.code, Some(1));
    assert_eq!(outcome.stdout, "1 tunnel closed\n");
    assert_eq!(outcome.stderr, "there is no tunnel 16\n");
}

#[tokio::test]
async fn a_set_of_tunnels_is_closed_over_a_time() {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers("POST /api/v1/tunnels/close", closing(3, 812, 812));
    door.answers("GET /api/v1/closings/3", closing(3, 812, 400));
    door.answers("GET /api/v1/closings/3", closing(3, 812, 0));
    let arguments = [
        "close",
        "--pool=chat",
        "--older-than=24h",
        "--over=60s",
        "--yes",
    ];
    let outcome = folder.ask(&arguments).await;
    assert_eq!(outcome.stdout, "812 tunnels closed\n", "{outcome:?}");
    let outlook = "closing 812 tunnels, all are told in 44s\n";
    assert_eq!(outcome.stderr, outlook);
    let order = json!({
        "pool": "chat", "older_than_seconds": 86400.0, "all": false, "over_seconds": 60.0,
    });
    assert_eq!(door.heard()[0].body, order);
}

#[tokio::test]
async fn a_closing_that_nobody_waits_for_is_only_begun() {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers("POST /api/v1/tunnels/close", closing(3, 812, 812));
    let arguments = ["close", "--all", "--yes", "--no-wait"];
    let outcome = folder.ask(&arguments).await;
    assert_eq!(outcome.stdout, "closing 812 tunnels, all are told in 44s\n");
    let outcome = folder.ask(&[&arguments[..], &["--json"]].concat()).await;
    assert_eq!(outcome.json(), closing(3, 812, 812));
    assert_eq!(door.heard()[0].body, json!({"all": true}));
    assert_eq!(door.lines().len(), 2);
}

#[tokio::test]
async fn nothing_is_closed_that_nobody_can_be_asked_about() {
    let (folder, door) = FakeDoor::in_a_folder();
    let outcome = folder.ask(&["close", "--pool=chat"]).await;
    outcome.is_failure_with(2, &["nobody can be asked", "--yes", "--help"]);
    for wrong in [
        &["close"][..],
        &["close", "17", "--pool=chat"],
        &["close", "17", "--yes"],
        &["close", "--all", "--pool=chat", "--yes"],
        &["close", "--yes"],
    ] {
        folder.ask(wrong).await.is_failure_with(2, &["--help"]);
    }
    assert_eq!(door.lines(), [""; 0]);
}

fn backend() -> Value {
    documented("and `GET /api/v1/pools/{pool}`")["backends"][0].clone()
}

/// A backend that loses its tunnels.
fn draining(total: usize, left: usize, seconds: f64) -> Value {
    let mut backend = backend();
    backend["state"] = json!("draining");
    backend["intent"] = json!("draining");
    backend["tunnels"] = json!(left);
    backend["drain"] = match left {
        0 => Value::Null,
        _ => json!({"total": total, "untold": left, "left": left, "seconds_left": seconds}),
    };
    backend
}

fn pool_with(backends: &Value) -> Value {
    let mut pool = documented("and `GET /api/v1/pools/{pool}`");
    pool["backends"] = backends.clone();
    pool
}

fn closing(id: u64, total: usize, left: usize) -> Value {
    json!({"id": id, "total": total, "untold": left, "left": left, "seconds_left": 44.0})
}
