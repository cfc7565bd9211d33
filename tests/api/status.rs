//! The process as a whole.

use std::{
    process,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::support::{Backend, Operator, Proxy, Raw, echo_cluster, in_slow_motion, until};

fn counts(open: usize, closing: usize, opened: u64, ended: u64) -> Value {
    json!({ "open": open, "closing": closing, "opened": opened, "ended": ended })
}

#[tokio::test]
async fn tunnels_are_counted_as_soon_as_they_open_and_end() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let status = operator.get("status").await;
    assert_eq!(status["tunnels"], counts(0, 0, 0, 0));
    assert_eq!(status["ends"], json!([]));

    let (first, _second) = (proxy.connect().await, proxy.connect().await);
    let status = operator.get("status").await;
    assert_eq!(status["tunnels"], counts(2, 0, 2, 0));
    assert_eq!(status["connections"], 2);

    drop(first);
    until(|| proxy.registry.len() == 1).await;
    let status = operator.get("status").await;
    assert_eq!(status["tunnels"], counts(1, 0, 2, 1));
    let end = json!({ "by": "client", "cause": "eof", "code": "none", "count": 1 });
    assert_eq!(status["ends"], json!([end]));
}

#[tokio::test]
async fn whoever_was_told_to_close_is_open_until_that_is_done() {
    let (server, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&server]).start().await;
    let operator = Operator::of(&proxy);
    let _open = proxy.open_to(&mut arrivals).await;
    let _other = proxy.open_to(&mut arrivals).await;
    operator.post("tunnels/1/close", &json!({})).await;
    let status = operator.get("status").await;
    assert_eq!(status["tunnels"], counts(2, 1, 2, 0));
}

#[tokio::test]
async fn the_process_says_who_it_is() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    let status = operator.get("status").await;
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(status["pid"], process::id());
    assert_eq!(status["readiness"], "ready");
    assert_eq!(status["workers"], 1);
    assert_eq!(status["connections"], 0);
    assert_eq!(status["log_level"], "info");
    assert_eq!(status["configuration"]["file"], Value::Null);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    for moment in [&status["started_at"], &status["configuration"]["loaded_at"]] {
        let ago = now.as_secs_f64() - moment.as_f64().unwrap();
        assert!((-0.1..60.0).contains(&ago), "{moment} is {ago} s ago");
    }
    let uptime = status["uptime_seconds"].as_f64().unwrap();
    assert!((0.0..60.0).contains(&uptime), "{uptime}");
}

#[tokio::test]
async fn a_proxy_that_stops_says_so() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).config("[stop]\ndelay = \"1h\"");
    let mut proxy = proxy.start().await;
    let operator = Operator::of(&proxy);
    let mut readiness = proxy.control.readiness();
    proxy.stop();
    readiness.changed().await.unwrap();
    assert_eq!(operator.get("status").await["readiness"], "stopping");
}

#[tokio::test]
async fn reloads_are_counted_and_the_configuration_in_force_is_shown_without_its_secrets() {
    let backends = echo_cluster(1).await;
    let with = |secret: &str| {
        let secret = format!("{{ by = \"cookie\", secret = \"{secret}\" }}");
        Proxy::fronting(&backends).affinity(&secret)
    };
    let proxy = with("a secret of at least thirty-two bytes").start().await;
    let operator = Operator::of(&proxy);
    let config = operator.get("config").await;
    let text = config["text"].as_str().unwrap();
    assert!(!text.contains("thirty-two"), "{text}");
    assert!(
        text.contains(&format!("secret = \"{}\"", "*".repeat(37))),
        "{text}"
    );
    assert!(text.contains(&backends[0].address.to_string()), "{text}");
    assert_eq!(config["file"], Value::Null);

    let before = operator.get("status").await["configuration"].clone();
    assert_eq!(
        (&before["reloads"], &before["refused_reloads"]),
        (&json!(0), &json!(0))
    );
    let other = with("another of at least thirty-two bytes").pool("slow_start = \"off\"");
    proxy.reload(other).await.unwrap();
    let after = operator.get("status").await["configuration"].clone();
    assert_eq!(
        (&after["reloads"], &after["refused_reloads"]),
        (&json!(1), &json!(0))
    );
    assert!(after["loaded_at"].as_f64() >= before["loaded_at"].as_f64());
    let text = operator.get("config").await["text"].to_string();
    assert!(text.contains("slow_start"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn rates_are_those_of_the_last_ten_seconds() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    sleep(Duration::from_secs(12)).await;
    let mut client = proxy.connect().await;
    let _other = proxy.connect().await;
    for _ in 0..50 {
        client.echo("hello").await;
    }
    sleep(Duration::from_secs(2)).await;
    let rates = operator.get("status").await["rates"].clone();
    let one_way = json!({
        "opened": 0.2, "ended": 0.0, "requests": 0.0,
        "client_messages": 5.0, "backend_messages": 5.0,
        "client_bytes": 5.0 * (2.0 + 4.0 + 5.0), "backend_bytes": 5.0 * (2.0 + 5.0),
    });
    assert_eq!(rates, one_way);

    drop(client);
    sleep(Duration::from_secs(12)).await;
    let rates = operator.get("status").await["rates"].clone();
    assert_eq!(
        (&rates["client_bytes"], &rates["opened"]),
        (&json!(0.0), &json!(0.0))
    );
}

#[tokio::test(start_paused = true)]
async fn round_trips_are_those_of_the_last_minute() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let often = "keepalive = { interval = \"5s\", timeout = \"5s\" }";
    let proxy = Proxy::fronting(&backends).route(often).start().await;
    let operator = Operator::of(&proxy);
    sleep(Duration::from_secs(2)).await;
    let none = json!({ "client": null, "backend": null });
    assert_eq!(operator.get("status").await["round_trips"], none);

    // Both sides answer pings as long as they listen.
    let mut client = proxy.connect().await;
    let listening = tokio::spawn(async move { while client.next().await.is_some() {} });
    sleep(Duration::from_secs(20)).await;
    let round_trips = operator.get("status").await["round_trips"].clone();
    for side in ["client", "backend"] {
        let [p50, p90, p99] = ["p50", "p90", "p99"].map(|p| round_trips[side][p].as_f64().unwrap());
        assert!(
            0.0 < p50 && p50 <= p90 && p90 <= p99 && p99 < 5.0,
            "{round_trips}"
        );
    }
    listening.abort();
    proxy.registry.emptied().await;
    sleep(Duration::from_secs(62)).await;
    assert_eq!(operator.get("status").await["round_trips"], none);
}

#[tokio::test]
async fn what_was_counted_stays_counted_when_a_route_is_removed() {
    let backends = echo_cluster(1).await;
    let config = |routes: &str| {
        format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/kept\"\npool = \"main\"\n\
             {routes}\n[pool.main]\nbackends = [\"{}\"]",
            backends[0].address
        )
    };
    let both = config("[[route]]\npath = \"/removed\"\npool = \"main\"");
    let proxy = Proxy::with_config(&both).await;
    let operator = Operator::of(&proxy);
    for path in ["/kept", "/removed"] {
        drop(proxy.connect_to(path, &[]).await);
        proxy.registry.emptied().await;
    }
    let before = operator.get("status").await;
    assert_eq!(before["tunnels"], counts(0, 0, 2, 2));

    proxy.reload_as(&config("")).await.unwrap();
    let after = operator.get("status").await;
    assert_eq!(after["tunnels"], before["tunnels"]);
    assert_eq!(after["ends"], before["ends"]);
    let backend = operator.backend(0).await;
    assert_eq!(backend["opened"], 2);
}

#[tokio::test]
async fn a_request_is_no_tunnel() {
    let backend = Backend::naming().await;
    let proxy = Proxy::fronting([&backend]).start().await;
    let operator = Operator::of(&proxy);
    assert_eq!(proxy.get("/").await.status, 200);
    let mut refused: Raw = proxy.raw().await;
    refused.send("GET /\r\n\r\n").await;
    refused.rest().await;
    let status = operator.get("status").await;
    assert_eq!(status["tunnels"], counts(0, 0, 0, 0));
}
