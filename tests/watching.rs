//! Commands on a terminal: what moves, what is asked, and what is left behind.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::support::{FakeDoor, Folder, documented};

const BUSIEST: &str = "GET /api/v1/tunnels?sort=messages&descending=true&offset=0&limit=100";

/// What brings back the screen as it was.
const BACK: &str = "\u{1b}[?1049l";

#[tokio::test]
async fn top_shows_the_proxy_and_leaves_the_terminal_as_it_was() {
    let (folder, _door) = a_documented_proxy();
    let mut terminal = folder.terminal((80, 24), &["top"]);
    for part in ["1,200", "10.0.0.1:9001", "/room/7", "messages/s"] {
        terminal.shows(part).await;
    }
    terminal.types("?");
    terminal.shows("Ctrl-C").await;
    terminal.types("q");
    assert_eq!(terminal.ended().await, Some(0));
    terminal.shows(BACK).await;
}

#[tokio::test]
async fn top_leaves_the_terminal_as_it_was_when_it_is_told_to_end() {
    let (folder, _door) = a_documented_proxy();
    let mut terminal = folder.terminal((40, 12), &["top"]);
    terminal.shows("1,200").await;
    let pid = Pid::from_raw(terminal.id().cast_signed()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(terminal.ended().await, Some(0));
    terminal.shows(BACK).await;
}

#[tokio::test]
async fn top_says_that_the_proxy_is_lost_and_finds_the_next_one() {
    let (folder, _door) = a_documented_proxy();
    let mut terminal = folder.terminal((80, 24), &["top"]);
    terminal.shows("1,200").await;
    let socket = folder.path().join("door.sock");
    fs::remove_file(&socket).unwrap();
    terminal.shows("lost for 0s, trying again: ").await;

    let next = FakeDoor::at(&socket);
    answer_as_documented(&next);
    let mut status = documented("`GET /api/v1/status`");
    status["pid"] = json!(8899);
    next.answers("GET /api/v1/status", status.clone());
    next.answers("GET /api/v1/status", status);
    terminal.shows("8899").await;
    terminal.types("\u{3}");
    assert_eq!(terminal.ended().await, Some(0));
}

#[tokio::test]
async fn top_asks_for_tunnels_in_the_order_that_the_user_wants() {
    let (folder, door) = a_documented_proxy();
    let mut terminal = folder.terminal((80, 24), &["top"]);
    terminal.shows("by messages").await;
    terminal.types("s");
    terminal.shows("bytes").await;
    let line = BUSIEST.replace("messages", "bytes");
    let asked = async {
        while !door.lines().contains(&line) {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(20), asked).await.unwrap();
}

#[tokio::test]
async fn top_needs_a_terminal_and_says_what_does_not() {
    let (folder, _door) = a_documented_proxy();
    let outcome = folder.ask(&["top"]).await;
    outcome.is_failure_with(1, &["needs a terminal", "top --json"]);
}

#[tokio::test]
async fn top_without_a_proxy_says_so_and_draws_nothing() {
    let folder = Folder::new();
    let mut terminal = folder.terminal((80, 24), &["top"]);
    terminal.shows("nobody listens at door.sock").await;
    assert_eq!(terminal.ended().await, Some(1));
    assert!(!terminal.shown().contains(BACK));
}

#[tokio::test]
async fn top_prints_a_line_of_json_each_second_until_nobody_reads_it() {
    let (folder, door) = a_documented_proxy();
    let script = "\"$@\" | head -n 2";
    let arguments = ["top", "--json", "--socket", "door.sock"];
    let lines = folder.run_by(script, &arguments).await;
    assert_eq!(lines.code, Some(0), "{lines:?}");
    assert_eq!(lines.stderr, "");
    let lines: Vec<Value> = lines
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert_eq!(line["status"]["pid"], 4711);
        assert_eq!(line["pools"][0]["name"], "chat");
        assert_eq!(line["sample"]["client_messages"], 310.0);
        assert_eq!(line["sample"]["client_p99"], Value::Null);
    }
    assert!(!door.lines().iter().any(|line| line.contains("tunnels")));
}

#[tokio::test]
async fn who_follows_tunnels_reads_what_opens_and_what_ends() {
    let (folder, door) = FakeDoor::in_a_folder();
    let every = "GET /api/v1/tunnels?pool=chat&sort=id&descending=false&offset=0&limit=1000";
    let tunnels = |ids: &[u64]| {
        let tunnels: Vec<_> = ids.iter().map(|id| tunnel(*id)).collect();
        json!({"total": ids.len(), "tunnels": tunnels})
    };
    for ids in [&[17, 18][..], &[17, 18], &[17, 19], &[17, 20]] {
        door.answers(every, tunnels(ids));
    }
    let script = "\"$@\" | head -n 2";
    let arguments = [
        "tunnels",
        "--follow",
        "--pool=chat",
        "--socket",
        "door.sock",
    ];
    let outcome = folder.run_by(script, &arguments).await;
    let lines: Vec<_> = outcome.stdout.lines().collect();
    let ended = "Z ended  18 198.51.100.7 chat.example.com/room/7 to 10.0.0.1:9001 after 1h 0m, \
                 1,020 messages, 100 kB";
    assert!(lines[0].ends_with(ended), "{outcome:?}");
    let opened = "Z opened 19 198.51.100.7 chat.example.com/room/7 to 10.0.0.1:9001";
    assert!(lines[1].ends_with(opened), "{outcome:?}");
}

#[tokio::test]
async fn a_set_of_tunnels_is_closed_when_the_user_is_sure_and_a_bar_shows_how_far_it_is() {
    let (folder, door) = FakeDoor::in_a_folder();
    let chat = "GET /api/v1/tunnels?pool=chat&sort=age&descending=true&offset=0&limit=1";
    door.answers(chat, json!({"total": 812, "tunnels": [tunnel(17)]}));
    door.answers("POST /api/v1/tunnels/close", closing(812));
    door.answers("GET /api/v1/closings/3", closing(400));
    door.answers("GET /api/v1/closings/3", closing(0));
    let arguments = ["close", "--pool=chat", "--over=60s"];
    let question = "close 812 tunnels of pool chat over 1m? [y/N] ";

    let mut terminal = folder.terminal((80, 24), &arguments);
    terminal.shows(question).await;
    terminal.types("\n");
    terminal.shows("nothing is closed").await;
    assert_eq!(terminal.ended().await, Some(1));
    assert_eq!(door.lines(), [chat]);

    let mut terminal = folder.terminal((80, 24), &arguments);
    terminal.shows(question).await;
    terminal.types("y\n");
    terminal.shows("412 of 812, all are told in 44s").await;
    terminal.shows("812 tunnels closed").await;
    assert_eq!(terminal.ended().await, Some(0));
}

#[tokio::test]
async fn old_tunnels_are_counted_before_the_user_is_asked() {
    let (folder, door) = FakeDoor::in_a_folder();
    let mut young = tunnel(18);
    young["age_seconds"] = json!(59.0);
    let by_age = "GET /api/v1/tunnels?sort=age&descending=true&offset=0&limit=1000";
    let page = json!({"total": 3, "tunnels": [tunnel(16), tunnel(17), young]});
    door.answers(by_age, page);
    let terminal = folder.terminal((80, 24), &["close", "--older-than=1m"]);
    terminal
        .shows("close 2 tunnels older than 1m at once? [y/N] ")
        .await;
}

#[tokio::test]
async fn colours_are_for_terminals_and_for_those_who_like_them() {
    let (folder, _door) = a_documented_proxy();
    let green = "\u{1b}[32mready\u{1b}[0m";
    let mut terminal = folder.terminal((80, 24), &["status"]);
    terminal.shows(green).await;
    terminal.ended().await;
    let outcome = folder.ask(&["status"]).await;
    assert!(!outcome.stdout.contains('\u{1b}'), "{outcome:?}");
    let mut terminal = folder.terminal_with(("NO_COLOR", "1"), &["status"]);
    terminal.shows("10.0.0.1:9001  ready").await;
    terminal.ended().await;
    assert!(!terminal.shown().contains("\u{1b}[32m"));
}

#[tokio::test]
async fn json_is_for_reading_on_a_terminal() {
    let (folder, door) = FakeDoor::in_a_folder();
    door.answers("GET /api/v1/log", json!({"level": "info"}));
    let mut terminal = folder.terminal((80, 24), &["log", "--json"]);
    terminal.shows("{\r\n  \"level\": \"info\"\r\n}").await;
    assert_eq!(terminal.ended().await, Some(0));
}

/// The proxy that `docs/admin.md` tells of.
fn a_documented_proxy() -> (Folder, FakeDoor) {
    let (folder, door) = FakeDoor::in_a_folder();
    answer_as_documented(&door);
    door.answers("GET /api/v1/status", documented("`GET /api/v1/status`"));
    (folder, door)
}

fn answer_as_documented(door: &FakeDoor) {
    let pool = documented("and `GET /api/v1/pools/{pool}`");
    door.answers("GET /api/v1/pools", json!({"pools": [pool]}));
    let history = documented("column by column");
    door.answers("GET /api/v1/history?span=300", history);
    for sort in ["messages", "bytes"] {
        let line = BUSIEST.replace("messages", sort);
        door.answers(&line, json!({"total": 1, "tunnels": [tunnel(17)]}));
    }
}

fn tunnel(id: u64) -> Value {
    let mut tunnel = documented("`GET /api/v1/tunnels/{id}` gives one");
    tunnel["id"] = json!(id);
    tunnel
}

fn closing(left: usize) -> Value {
    json!({"id": 3, "total": 812, "untold": left, "left": left, "seconds_left": 44.0})
}
