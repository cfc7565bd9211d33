//! What makes no sense is refused, with a status that fits and in words.

use serde_json::Value;

use crate::support::{Operator, Proxy, echo_cluster};

/// What there is to look at.
const LOOKS: [&str; 9] = [
    "status",
    "config",
    "pools",
    "pools/main",
    "tunnels",
    "tunnels/1",
    "closings/1",
    "history",
    "events",
];

/// What there is to be done.
const ACTS: [&str; 9] = [
    "pools/main/rebalance",
    "pools/main/backends/x/drain",
    "pools/main/backends/x/ready",
    "pools/main/backends/x/maintenance",
    "tunnels/close",
    "tunnels/1/close",
    "reload",
    "upgrade",
    "pools/other/rebalance",
];

#[tokio::test]
async fn another_method_is_told_which_would_do() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    let looks = LOOKS.map(|path| (path, "GET, HEAD", ["POST", "PUT", "DELETE", "OPTIONS"]));
    let acts = ACTS.map(|path| (path, "POST", ["GET", "HEAD", "PUT", "DELETE"]));
    let log = (
        "log",
        "GET, HEAD, PUT",
        ["POST", "DELETE", "PATCH", "TRACE"],
    );
    for (path, allowed, wrong) in looks.into_iter().chain(acts).chain([log]) {
        for method in wrong {
            let answer = operator.ask(method, path, "{}").await;
            assert_eq!(answer.status, 405, "{method} {path}");
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
            if method != "HEAD" {
                let refused: Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(refused["error"], format!("allowed here: {allowed}"));
            }
        }
    }
}

#[tokio::test]
async fn whoever_wants_the_head_alone_gets_that_of_the_answer() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let _client = proxy.connect().await;
    for path in ["config", "pools", "pools/main", "tunnels", "log"] {
        let (whole, head) = (
            operator.ask("GET", path, "").await,
            operator.ask("HEAD", path, "").await,
        );
        assert_eq!(head.status, 200, "{path}");
        assert_eq!(head.header("content-type"), Some("application/json"));
        assert!(head.body.is_empty() && !whole.body.is_empty());
    }
    // One that never ends has a head too, and nothing stays behind.
    let events = operator.ask("HEAD", "events", "").await;
    assert_eq!(events.header("content-type"), Some("text/event-stream"));
    let none = operator.ask("HEAD", "tunnels/7", "").await;
    assert_eq!(none.status, 404);
}

#[tokio::test]
async fn a_query_that_nobody_understands_is_refused() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    for query in [
        "nonsense=1",
        "Pool=main",
        "sort=colour",
        "sort=",
        "descending=yes",
        "limit=all",
        "limit=-1",
        "offset=1.5",
        "client=somebody",
        "client=127.0.0.1%2F8",
        "pool=a&pool=b",
    ] {
        let path = format!("tunnels?{query}");
        let (status, words) = operator.refused("GET", &path, "").await;
        assert_eq!(status, 400, "{query}");
        assert!(!words.is_empty());
    }
}

#[tokio::test]
async fn a_body_that_is_not_what_is_expected_is_refused_and_nothing_is_done() {
    let backends = echo_cluster(2).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let mut client = proxy.connect().await;
    for (method, path) in [
        ("POST", "tunnels/1/close"),
        ("POST", "tunnels/close"),
        ("POST", "pools/main/rebalance"),
        ("PUT", "log"),
    ] {
        for body in [
            "nonsense",
            "{",
            "[]",
            "null",
            "true",
            "{\"nonsense\": 1}",
            "{\"code\": 1000} {}",
            "code=1000",
            "{\"all\": true, \"all\": true}",
            "{\"level\": 7, \"running\": 7}",
        ] {
            let (status, words) = operator.refused(method, path, body).await;
            assert_eq!(status, 400, "{path}: {body}");
            assert!(
                words.starts_with("the body is not what is expected here"),
                "{words}"
            );
        }
    }
    assert_eq!(client.echo("still here").await, "still here");
    assert!(!proxy.pools[0].is_rebalanced());
}

#[tokio::test]
async fn elsewhere_there_is_nothing() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    for path in [
        "",
        "nothing",
        "status/more",
        "pools/main/backends",
        "pools/main/backends/x",
        "tunnels/1/close/now",
        "%73tatus%2F",
    ] {
        for method in ["GET", "POST"] {
            let (status, _) = operator.refused(method, path, "").await;
            assert_eq!(status, 404, "{method} {path}");
        }
    }
    // A part of a path may be encoded wherever.
    assert_eq!(operator.ask("GET", "%73tatus", "").await.status, 200);
}
