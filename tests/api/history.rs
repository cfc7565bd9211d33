//! What the last minutes and the last hour were like.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Operator, Proxy, echo_cluster, in_slow_motion};

const COLUMNS: [&str; 13] = [
    "at",
    "tunnels",
    "opened",
    "ended",
    "client_messages",
    "backend_messages",
    "client_bytes",
    "backend_bytes",
    "requests",
    "client_p50",
    "client_p99",
    "backend_p50",
    "backend_p99",
];

fn column<'h>(history: &'h Value, name: &str) -> &'h [Value] {
    history[name].as_array().unwrap()
}

fn sum(history: &Value, name: &str) -> f64 {
    let column = column(history, name).iter();
    column.map(|value| value.as_f64().unwrap()).sum()
}

#[tokio::test(start_paused = true)]
async fn it_grows_by_a_second_at_a_time_and_every_column_is_as_long() {
    in_slow_motion();
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    sleep(Duration::from_millis(500)).await;
    let mut before = column(&operator.get("history?span=300").await, "at").len();
    assert!(before <= 1, "{before}");
    for _ in 0..3 {
        sleep(Duration::from_secs(7)).await;
        let history = operator.get("history?span=300").await;
        assert_eq!(history["interval_seconds"], 1);
        let lengths = COLUMNS.map(|name| column(&history, name).len());
        assert_eq!(lengths, [before + 7; COLUMNS.len()]);
        before += 7;
        let keys = history.as_object().unwrap().len();
        assert_eq!(keys, COLUMNS.len() + 1, "and there is nothing else");
        assert!(column(&history, "at").is_sorted_by_key(|at| at.as_f64().unwrap()));
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_hour_is_there_in_steps_of_ten_seconds() {
    in_slow_motion();
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    sleep(Duration::from_millis(45_500)).await;
    for span in ["history?span=3600", "history"] {
        let history = operator.get(span).await;
        assert_eq!(history["interval_seconds"], 10);
        let lengths = COLUMNS.map(|name| column(&history, name).len());
        assert_eq!(lengths, [4; COLUMNS.len()]);
    }
}

#[tokio::test(start_paused = true)]
async fn whatever_happens_is_in_the_second_in_which_it_does() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    sleep(Duration::from_millis(2_500)).await;
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        client.echo("hello").await;
    }
    sleep(Duration::from_secs(2)).await;
    drop(client);
    proxy.get("/").await;
    sleep(Duration::from_secs(8)).await;

    let seconds = operator.get("history?span=300").await;
    // The library answers the Close that takes leave of it.
    let farewell = (2 + 2 + "client connection lost".len()) as f64;
    let sums = json!({
        "opened": 1.0, "ended": 1.0, "client_messages": 5.0, "backend_messages": 5.0,
        "client_bytes": 5.0 * 11.0, "backend_bytes": 5.0 * 7.0 + farewell, "requests": 1.0,
        "tunnels": 2.0,
    });
    for (name, expected) in sums.as_object().unwrap() {
        assert_eq!(json!(sum(&seconds, name)), *expected, "{name}");
    }
    let opened = column(&seconds, "opened")
        .iter()
        .position(|rate| *rate == 1.0);
    assert_eq!(opened, Some(3), "between the counts at 2 s and at 3 s");
    assert_eq!(
        column(&seconds, "tunnels")[3..6],
        [1.0, 1.0, 0.0].map(Value::from)
    );
    let hour = operator.get("history?span=3600").await;
    assert_eq!(column(&hour, "client_messages"), [0.5]);
}

#[tokio::test]
async fn other_spans_there_are_none() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    for query in ["span=60", "span=", "span", "spam=300", "span=300&spam=1"] {
        let refused = operator
            .refused("GET", &format!("history?{query}"), "")
            .await;
        assert_eq!(refused, (400, "expected span=300 or span=3600".to_owned()));
    }
}
