//! Commands that ask the running proxy something, and what a user reads then.

use serde_json::{Value, json};

use crate::support::{Authority, FakeDoor, Folder, documented};

#[tokio::test]
async fn status_shows_the_process_its_pools_and_how_tunnels_have_ended() {
    let (folder, _door) = a_documented_proxy();
    let outcome = folder.ask(&["status"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    insta::assert_snapshot!(outcome.stdout, @r"
    longwire 0.1.0  ready, up 1d 0h, process 4711, 2 workers
    /etc/longwire.toml, read 1d 0h ago, logs info

    tunnels      1,200 open; 5,200 opened, 1.5/s; 4,000 ended, 1.4/s
    connections  1,204; 12 requests/s

                              clients               backends
    messages                  310/s                 1,251/s
    bytes                     20.5 kB/s             310 kB/s
    round trips, p50 p90 p99  24 ms, 80 ms, 310 ms  not measured

    chat  1,200 tunnels, least-tunnels, cookie affinity, rebalancing
      backend        state  tunnels  share  opened  requests  checks failed
      10.0.0.1:9001  ready      600  100 %   2,600         2     2 of 4,802
        failed last: the connection was refused

    ended by  cause  code  tunnels
    client    close  1001    3,100
    ");
}

#[tokio::test]
async fn status_says_what_ails_a_backend_and_how_far_it_is_drained() {
    let (folder, door) = FakeDoor::in_a_folder();
    let mut pool = documented("and `GET /api/v1/pools/{pool}`");
    let mut down = pool["backends"][0].clone();
    down["name"] = json!("10.0.0.2:9001");
    down["state"] = json!("down");
    let mut ejected = pool["backends"][0].clone();
    ejected["name"] = json!("10.0.0.3:9001");
    ejected["state"] = json!("ejected");
    ejected["checks"] = Value::Null;
    ejected["ejected"] = json!({"seconds_left": 28.5, "reason": "502 \u{1b}[2J five times"});
    pool["backends"][0]["state"] = json!("draining");
    pool["backends"][0]["drain"] =
        json!({"total": 600, "untold": 420, "left": 431, "seconds_left": 63.0});
    pool["backends"]
        .as_array_mut()
        .unwrap()
        .extend([down, ejected]);
    door.answers("GET /api/v1/status", documented("`GET /api/v1/status`"));
    door.answers("GET /api/v1/pools", json!({"pools": [pool]}));

    let outcome = folder.ask(&["status"]).await;
    let (_, backends) = outcome.stdout.split_once("\nchat").unwrap();
    let (backends, _) = backends.split_once("\n\n").unwrap();
    insta::assert_snapshot!(backends, @r"
    1,200 tunnels, least-tunnels, cookie affinity, rebalancing
    backend        state     tunnels  share  opened  requests  checks failed
    10.0.0.1:9001  draining      600  100 %   2,600         2     2 of 4,802
      169 of 600 are gone, all are told in 1m 3s
      failed last: the connection was refused
    10.0.0.2:9001  down          600  100 %   2,600         2     2 of 4,802
      failed last: the connection was refused
    10.0.0.3:9001  ejected       600  100 %   2,600         2    not checked
      for 29s more: 502 \u{1b}[2J five times
    ");
}

#[tokio::test]
async fn json_is_what_the_proxy_has_said_though_it_says_more_than_we_know() {
    let (folder, door) = FakeDoor::in_a_folder();
    let mut status = documented("`GET /api/v1/status`");
    status["news"] = json!([1, 2]);
    let pools = json!([documented("and `GET /api/v1/pools/{pool}`")]);
    door.answers("GET /api/v1/status", status.clone());
    door.answers("GET /api/v1/pools", json!({"pools": pools}));
    let outcome = folder.ask(&["status", "--json"]).await;
    assert_eq!(outcome.json(), json!({"status": status, "pools": pools}));
    assert!(
        outcome
            .stdout
            .starts_with(r#"{"status":{"version":"0.1.0","pid":4711"#)
    );
}

#[tokio::test]
async fn tunnels_are_asked_for_as_the_user_wants_them() {
    let (folder, door) = FakeDoor::in_a_folder();
    let line = "GET /api/v1/tunnels?route=%2Fchat&pool=a+b&backend=unix%3A%2Frun%2Fa.sock\
                &client=198.51.100.7&search=%2Froom&sort=client_round_trip&descending=true\
                &offset=0&limit=7";
    let tunnel = documented("`GET /api/v1/tunnels/{id}` gives one");
    door.answers(line, json!({"total": 40, "tunnels": [tunnel]}));
    let outcome = folder
        .ask(&[
            "tunnels",
            "--route=/chat",
            "--pool=a b",
            "--backend=unix:/run/a.sock",
            "--client=198.51.100.7",
            "--search=/room",
            "--sort=client_round_trip",
            "--desc",
            "--limit=7",
        ])
        .await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    insta::assert_snapshot!(outcome.stdout, @r"
    tunnel  client        path     backend        age  messages   bytes   trip
        17  198.51.100.7  /room/7  10.0.0.1:9001   1h     1,020  100 kB  31 ms
    1 of 40: --limit N shows more, --all shows all
    ");
}

#[tokio::test]
async fn tunnels_of_several_hosts_are_told_apart() {
    let (folder, door) = FakeDoor::in_a_folder();
    let mut other = tunnel(18);
    other["host"] = json!("other.example.com");
    other["is_closing"] = json!(true);
    let page = json!({"total": 2, "tunnels": [tunnel(17), other]});
    let line = "GET /api/v1/tunnels?sort=id&descending=false&offset=0";
    door.answers(line, page);
    let outcome = folder.ask(&["tunnels"]).await;
    outcome.is_success_with(&[
        "chat.example.com/room/7",
        "other.example.com/room/7",
        "closing",
    ]);
}

#[tokio::test]
async fn all_tunnels_are_shown_page_by_page_and_each_once() {
    let (folder, door) = FakeDoor::in_a_folder();
    let (first, second): (Vec<_>, Vec<_>) = ((1..=1000).collect(), (1000..=1200).collect());
    for (offset, ids) in [(0, first), (1000, second)] {
        let tunnels: Vec<_> = ids.into_iter().map(tunnel).collect();
        let line =
            format!("GET /api/v1/tunnels?sort=id&descending=false&offset={offset}&limit=1000");
        door.answers(&line, json!({"total": 1201, "tunnels": tunnels}));
    }
    let json = folder.ask(&["tunnels", "--all", "--json"]).await.json();
    assert_eq!(json["total"], 1200);
    let tunnels = json["tunnels"].as_array().unwrap();
    let ids = tunnels.iter().map(|tunnel| tunnel["id"].as_u64().unwrap());
    assert!(ids.eq(1..=1200));
}

#[tokio::test]
async fn one_tunnel_is_shown_in_detail() {
    let (folder, door) = FakeDoor::in_a_folder();
    let tunnel = documented("`GET /api/v1/tunnels/{id}` gives one");
    door.answers("GET /api/v1/tunnels/17", tunnel);
    let outcome = folder.ask(&["tunnels", "17"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    insta::assert_snapshot!(outcome.stdout, @r"
    tunnel 17, open for 1h 0m
      client     198.51.100.7
      asked for  chat.example.com/room/7
      route      chat.example.com/
      pool       chat
      backend    10.0.0.1:9001
      affinity   kept

                     client   backend
      messages from  120      900
      bytes from     10.2 kB  90.2 kB
      last heard     2s ago   now
      round trip     31 ms    not measured
    ");
}

#[tokio::test]
async fn the_configuration_in_force_and_what_is_logged_are_shown() {
    let (folder, door) = FakeDoor::in_a_folder();
    let text = "[log]\nlevel = \"info\"\n";
    door.answers("GET /api/v1/config", json!({"file": null, "text": text}));
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    door.answers("PUT /api/v1/log", json!({"level": "warn"}));
    assert_eq!(folder.ask(&["config"]).await.stdout, text);
    assert_eq!(folder.ask(&["log"]).await.stdout, "info\n");
    assert_eq!(folder.ask(&["log", "warn"]).await.stdout, "warn\n");
    assert_eq!(door.heard()[2].body, json!({"level": "warn"}));
}

#[tokio::test]
async fn a_proxy_that_is_far_away_is_shown_the_token() {
    let (door, url) = FakeDoor::on_loopback().await;
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    let folder = Folder::new();
    folder.write("token", "from-a-file\n");
    let asked = ["log", "--admin", &url];
    let outcome = folder.run_with(("LONGWIRE_TOKEN", "from-the-environment"), &asked);
    outcome.await.is_success_with(&["info"]);
    let named = ["log", "--admin", &url, "--token-file", "token"];
    let outcome = folder.run_with(("LONGWIRE_TOKEN", "from-the-environment"), &named);
    outcome.await.is_success_with(&["info"]);
    folder.run(&asked).await.is_success_with(&["info"]);
    let shown = door.heard().into_iter().map(|heard| heard.authorization);
    let shown: Vec<_> = shown.map(Option::unwrap_or_default).collect();
    assert_eq!(
        shown,
        ["Bearer from-the-environment", "Bearer from-a-file", ""]
    );
}

#[tokio::test]
async fn a_proxy_behind_tls_has_to_prove_its_name() {
    let authority = Authority::new();
    let (door, url) = FakeDoor::over_tls(&authority.certify(&["127.0.0.1"])).await;
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    let asked = ["log", "--admin", &url];
    let file = authority.file();
    let trusted = ("SSL_CERT_FILE", file.to_str().unwrap());
    let outcome = Folder::new().run_with(trusted, &asked).await;
    outcome.is_success_with(&["info"]);

    let other = Authority::new().file();
    let distrusted = ("SSL_CERT_FILE", other.to_str().unwrap());
    let outcome = Folder::new().run_with(distrusted, &asked).await;
    outcome.is_failure_with(1, &[&url, "is not to be trusted"]);
}

#[tokio::test]
async fn who_shows_no_token_is_told_how() {
    let (door, url) = FakeDoor::on_loopback().await;
    let refusal = json!({"error": "show the token"});
    door.answers_with("GET /api/v1/log", 401, refusal);
    let outcome = Folder::new().run(&["log", "--admin", &url]).await;
    outcome.is_failure_with(1, &["show the token\n", "--token-file", "$LONGWIRE_TOKEN"]);
}

#[tokio::test]
async fn an_answer_that_makes_no_sense_is_no_panic() {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers("GET /api/v1/log", json!({}));
    let outcome = folder.ask(&["log"]).await;
    outcome.is_failure_with(
        1,
        &["door.sock says of /api/v1/log", "missing field `level`"],
    );
}

#[tokio::test]
async fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let outcome = Folder::new().run(&["completions", shell]).await;
        outcome.is_success_with(&["tunnels", "maintenance", "older-than"]);
    }
}

/// The proxy that `docs/admin.md` tells of.
fn a_documented_proxy() -> (Folder, FakeDoor) {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers("GET /api/v1/status", documented("`GET /api/v1/status`"));
    let pool = documented("and `GET /api/v1/pools/{pool}`");
    door.answers("GET /api/v1/pools", json!({"pools": [pool]}));
    (folder, door)
}

fn tunnel(id: u64) -> Value {
    let mut tunnel = documented("`GET /api/v1/tunnels/{id}` gives one");
    tunnel["id"] = json!(id);
    tunnel
}
