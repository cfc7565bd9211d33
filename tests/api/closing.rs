//! Tunnels that an operator closes.

use std::time::Duration;

use longwire::websocket::{CloseCode, Role, frame};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::encoded;
use crate::{
    drain::{Told, assert_paced, clients, finished, told},
    support::{Backend, Operator, Proxy, echo_cluster, in_slow_motion},
};

/// As much as a reason may have.
const LONGEST: usize = 123;

#[tokio::test]
async fn both_sides_are_told_the_code_and_the_reason() {
    let (server, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&server]).start().await;
    let operator = Operator::of(&proxy);
    let longest = "é".repeat(LONGEST / 2) + "!";
    assert_eq!(longest.len(), LONGEST);
    for (id, wish, code, reason) in [
        (1, json!({}), 1001, "closed by the operator"),
        (2, json!({ "code": 4321 }), 4321, "closed by the operator"),
        (3, json!({ "reason": "tired" }), 1001, "tired"),
        (
            4,
            json!({ "code": 1000, "reason": longest }),
            1000,
            &*longest,
        ),
        (5, json!({ "code": 1012, "reason": "" }), 1012, ""),
    ] {
        let (mut client, mut backend) = proxy.open_to(&mut arrivals).await;
        let (_other, _one) = proxy.open_to(&mut arrivals).await;
        let own = 2 * id - 1;
        let closing = operator.post(&format!("tunnels/{own}/close"), &wish).await;
        assert_eq!(
            (&closing["total"], &closing["left"]),
            (&json!(1), &json!(1))
        );
        let told = Some((CloseCode(code), reason));
        assert_eq!(client.frame().await.unwrap().close(), told);
        assert_eq!(backend.frame().await.unwrap().close(), told);
        assert_eq!(
            operator.get(&format!("tunnels/{own}")).await["is_closing"],
            true
        );
        let other = own + 1;
        assert_eq!(
            operator.get(&format!("tunnels/{other}")).await["is_closing"],
            false
        );
    }
}

#[tokio::test]
async fn what_may_not_be_sent_is_refused_and_closes_nobody() {
    let (server, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&server]).start().await;
    let operator = Operator::of(&proxy);
    let _open = proxy.open_to(&mut arrivals).await;
    for path in ["tunnels/1/close", "tunnels/close"] {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535] {
            let mut wish = json!({ "code": code });
            means_all(path, &mut wish);
            let (status, words) = operator.refused("POST", path, &wish.to_string()).await;
            let expected = format!("{code} is no code that may be sent");
            assert_eq!(status, 400, "{code}");
            assert!(words.starts_with(&expected), "{words}");
        }
        for wish in [
            json!({ "reason": "a".repeat(LONGEST + 1) }),
            json!({ "reason": "é".repeat(LONGEST / 2 + 1) }),
            json!({ "reason": 7 }),
            json!({ "code": "1001" }),
            json!({ "code": 65536 }),
            json!({ "code": -1 }),
            json!({ "nonsense": true }),
        ] {
            let mut wish = wish;
            means_all(path, &mut wish);
            let (status, words) = operator.refused("POST", path, &wish.to_string()).await;
            assert_eq!(status, 400, "{words}");
        }
    }
    assert_eq!(operator.get("tunnels/1").await["is_closing"], false);
}

fn means_all(path: &str, wish: &mut Value) {
    if path == "tunnels/close" {
        wish["all"] = json!(true);
    }
}

#[tokio::test]
async fn whatever_may_be_sent_is_sent() {
    let (server, mut arrivals) = Backend::played().await;
    let proxy = Proxy::fronting([&server]).start().await;
    let operator = Operator::of(&proxy);
    let mut ids = 1..;
    for code in [1000, 1003, 1007, 1008, 1011, 1014, 3000, 3999, 4000, 4999] {
        let (mut client, _backend) = proxy.open_to(&mut arrivals).await;
        let path = format!("tunnels/{}/close", ids.next().unwrap());
        operator
            .post(&path, &json!({ "code": code, "reason": "" }))
            .await;
        let told = client.frame().await.unwrap();
        assert_eq!(told.close(), Some((CloseCode(code), "")));
    }
}

#[tokio::test]
async fn a_tunnel_that_is_not_there_cannot_be_closed() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let mut client = proxy.connect().await;
    for id in ["2", "one", "-1"] {
        let path = format!("tunnels/{id}/close");
        let (status, words) = operator.refused("POST", &path, "").await;
        let expected = format!("no live tunnel has the number {id}");
        assert_eq!((status, words), (404, expected));
    }
    assert_eq!(client.echo("hello").await, "hello");
}

/// Six tunnels by two routes to two pools, half of them old.
struct Six {
    operator: Operator,
    proxy: Proxy,
    backends: Vec<Backend>,
}

impl Six {
    async fn open() -> Self {
        in_slow_motion();
        let backends = echo_cluster(2).await;
        let proxy = Proxy::with_config(&format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[keepalive]\ninterval = \"off\"\n\
             [[route]]\npath = \"/chat\"\npool = \"chat\"\n[[route]]\npool = \"main\"\n\
             [pool.chat]\nbackends = [\"{}\"]\n[pool.main]\nbackends = [\"{}\"]",
            backends[0].address, backends[1].address
        ))
        .await;
        let six = Self {
            operator: Operator::of(&proxy),
            proxy,
            backends,
        };
        six.two_more().await;
        sleep(Duration::from_secs(60)).await;
        six.two_more().await;
        let mut late = six.proxy.raw_from([127, 0, 0, 2]).await;
        late.open_websocket().await;
        tokio::spawn(async move { late.rest().await });
        six
    }

    async fn two_more(&self) {
        for path in ["/chat", "/"] {
            tokio::spawn(told(self.proxy.connect_to(path, &[]).await));
        }
    }

    /// Those that are closed when that is wanted.
    async fn closed_by(&self, wish: &Value) -> Vec<u64> {
        let before = self.operator.ids("").await;
        let closing = self.operator.post("tunnels/close", wish).await;
        let closes = |tunnel: &Value| tunnel["is_closing"] == true;
        let page = self.operator.get("tunnels").await;
        let open = page["tunnels"].as_array().unwrap().iter();
        let open = open.filter(|tunnel| !closes(tunnel));
        let open: Vec<_> = open.map(|tunnel| tunnel["id"].as_u64().unwrap()).collect();
        let closed: Vec<_> = before.into_iter().filter(|id| !open.contains(id)).collect();
        assert_eq!(closing["total"], closed.len(), "{wish}");
        closed
    }
}

#[tokio::test(start_paused = true)]
async fn a_set_is_said_by_what_its_tunnels_have_in_common() {
    for (mut wish, closed) in [
        (json!({ "route": "*/chat" }), vec![1, 3]),
        (json!({ "pool": "main" }), vec![2, 4, 5]),
        (json!({ "backend": "chat" }), vec![1, 3]),
        (json!({ "client": "127.0.0.2" }), vec![5]),
        (json!({ "older_than_seconds": 30 }), vec![1, 2]),
        (
            json!({ "older_than_seconds": 30.5, "pool": "chat" }),
            vec![1],
        ),
        (json!({ "pool": "chat", "client": "127.0.0.2" }), vec![]),
        (json!({ "all": true }), vec![1, 2, 3, 4, 5]),
        (json!({ "all": true, "pool": "chat" }), vec![1, 3]),
    ] {
        let six = Six::open().await;
        if wish["backend"] == "chat" {
            wish["backend"] = json!(six.backends[0].address.to_string());
        }
        assert_eq!(six.closed_by(&wish).await, closed, "{wish}");
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_does_not_say_which_closes_nobody() {
    let six = Six::open().await;
    for body in [
        "",
        "{}",
        r#"{"all": false}"#,
        r#"{"code": 1001, "reason": "all of you", "over_seconds": 1}"#,
        r#"{"pool": null}"#,
    ] {
        let (status, words) = six.operator.refused("POST", "tunnels/close", body).await;
        assert_eq!(status, 400, "{body}");
        assert!(words.starts_with("say which: `route`, `pool`"), "{words}");
    }
    assert_eq!(six.operator.get("status").await["tunnels"]["closing"], 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_length_of_time_closes_nobody() {
    let six = Six::open().await;
    for wrong in ["-1", "-0.001", "1e12", "1e19", "1e300", "\"10s\""] {
        for key in ["over_seconds", "older_than_seconds"] {
            let body = format!("{{\"all\": true, \"{key}\": {wrong}}}");
            let (status, words) = six.operator.refused("POST", "tunnels/close", &body).await;
            assert_eq!(status, 400, "{body}: {words}");
        }
    }
    assert_eq!(six.operator.get("status").await["tunnels"]["closing"], 0);
}

#[tokio::test(start_paused = true)]
async fn many_are_told_one_after_the_other_and_it_can_be_seen_how_far_that_is() {
    in_slow_motion();
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let operator = Operator::of(&proxy);
    let mut clients = clients(&proxy, 20).await;
    let began = Instant::now();
    let wish = json!({
        "pool": "main", "code": 1012, "reason": "come back, please", "over_seconds": 20,
    });
    let closing = operator.post("tunnels/close", &wish).await;
    let path = format!("closings/{}", closing["id"]);
    assert_eq!(closing["total"], 20);
    assert!(closing["left"].as_u64() >= Some(19), "{closing}");
    let mut before = 20;
    for seconds_left in [15.0, 10.0, 5.0, 0.0] {
        sleep(Duration::from_millis(5_100)).await;
        let now = operator.get(&path).await;
        let left = now["left"].as_u64().unwrap();
        assert_eq!((&now["id"], &now["total"]), (&closing["id"], &json!(20)));
        assert!(
            left < before && now["untold"].as_u64() <= Some(left),
            "{now}"
        );
        before = left;
        let seconds = now["seconds_left"].as_f64().unwrap();
        assert!((seconds - seconds_left).abs() < 2.1, "{now}");
    }
    let end =
        json!({ "id": closing["id"], "total": 20, "untold": 0, "left": 0, "seconds_left": 0.0 });
    assert_eq!(operator.get(&path).await, end);

    let told = finished(&mut clients).await;
    assert_eq!(told.len(), 20);
    let is_as_wanted = |told: &Told| (told.code, &*told.reason) == (1012, "come back, please");
    assert!(told.iter().all(is_as_wanted), "{told:?}");
    assert_paced(&told, began, Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_closing_is_not_over_before_its_last_tunnel_has_ended() {
    in_slow_motion();
    let (server, mut arrivals) = Backend::played().await;
    let patient = "[timeouts]\nclose = \"1h\"\n[keepalive]\ninterval = \"off\"";
    let proxy = Proxy::fronting([&server]).config(patient).start().await;
    let operator = Operator::of(&proxy);
    let (mut client, mut backend) = proxy.open_to(&mut arrivals).await;
    let closing = operator.post("tunnels/1/close", &json!({})).await;
    let path = format!("closings/{}", closing["id"]);
    sleep(Duration::from_secs(30)).await;
    let now = operator.get(&path).await;
    assert_eq!((&now["untold"], &now["left"]), (&json!(0), &json!(1)));

    let answer = |role| frame::close(CloseCode::GOING_AWAY, "", role);
    client.send(answer(Role::Client)).await;
    backend.send(answer(Role::Server)).await;
    proxy.registry.emptied().await;
    assert_eq!(operator.get(&path).await["left"], 0);
}

#[tokio::test]
async fn a_closing_that_never_was_is_not_known() {
    let proxy = Proxy::fronting_addresses(["127.0.0.1:1"]).start().await;
    let operator = Operator::of(&proxy);
    for id in ["1", "nonsense", "-3"] {
        let refused = operator.refused("GET", &format!("closings/{id}"), "").await;
        let words = format!("no closing of late has the number {id}");
        assert_eq!(refused, (404, words));
    }
    let nobody = operator
        .post("tunnels/close", &json!({ "pool": encoded(&"x") }))
        .await;
    assert_eq!((&nobody["total"], &nobody["left"]), (&json!(0), &json!(0)));
}
