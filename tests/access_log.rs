//! What the log says of each request and each tunnel, and what it never says.

use rustix::process::Signal;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

use crate::support::{Backend, Client, Folder, Process, Raw, Response};

#[tokio::test]
async fn a_tunnel_has_an_event_when_it_opens_and_one_when_it_ends() {
    let backend = Backend::echo().await;
    let mut log = Logged::start(&backend, "affinity = \"cookie\"\n[log]\nformat = \"json\"").await;
    let mut client = Client::connect(log.address, "/chat?a=b", &[]).await;

    let opened = log.process.event("tunnel opened").await;
    assert_eq!(client.echo("hello").await, "hello");
    let normal = CloseFrame {
        code: CloseCode::Normal,
        reason: "bye".into(),
    };
    client.websocket.close(Some(normal)).await.unwrap();
    while client.next().await.is_some() {}
    drop(client);
    let ended = log.process.event("tunnel ended").await;

    let host = "127.0.0.1";
    for event in [&opened, &ended] {
        assert_eq!(event["target"], "longwire::access");
        assert_eq!(event["tunnel"], 1);
        assert_eq!(event["client"], "127.0.0.1");
        assert_eq!(event["host"], host);
        assert_eq!(event["path"], "/chat");
        assert_eq!(event["route"], "*/");
        assert_eq!(event["pool"], "main");
        assert_eq!(event["backend"], backend.address.to_string());
        assert_eq!(event["affinity"], "new");
    }
    assert_eq!(ended["ended_by"], "client");
    assert_eq!(ended["cause"], "close");
    assert_eq!(ended["close_code"], 1000);
    // A head of 2 bytes a frame and a mask of 4 for those of a client; a Close's code is 2 more.
    assert_eq!(ended["client_bytes"], (6 + 5) + (6 + 2 + 3));
    assert_eq!(ended["backend_bytes"], (2 + 5) + (2 + 2 + 3));
    assert_eq!(ended["client_messages"], 1);
    assert_eq!(ended["backend_messages"], 1);
    assert!(ended["duration_seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(log.access_events().await.len(), 2, "and no other");
}

#[tokio::test]
async fn a_tunnel_that_lives_long_leaves_a_line_now_and_then() {
    let backend = Backend::echo().await;
    let config = "[log]\nformat = \"json\"\ntunnel_interval = \"1s\"";
    let mut log = Logged::start(&backend, config).await;
    let mut client = Client::connect(log.address, "/chat", &[]).await;
    assert_eq!(client.echo("hello").await, "hello");
    for times in 1..=2 {
        let open = log.process.event("tunnel open").await;
        assert_eq!(
            (&open["tunnel"], &open["path"]),
            (&1.into(), &"/chat".into())
        );
        assert_eq!(open["client_bytes"], 6 + 5);
        assert_eq!(open["backend_messages"], 1);
        let age = open["duration_seconds"].as_f64().unwrap();
        assert!(age >= f64::from(times), "{age}");
    }
}

#[tokio::test]
async fn a_tunnel_that_is_cut_has_its_event_too() {
    let (server, mut arrivals) = Backend::played().await;
    let json = "[timeouts]\nclose = \"1h\"\n[stop]\ndeadline = \"1h\"\n[log]\nformat = \"json\"";
    let mut log = Logged::start(&server, json).await;
    let mut client = log.raw().await;
    client.ask_for_websocket("/").await;
    let mut backend = arrivals.recv().await.unwrap();
    backend.grant_websocket().await;
    client.head().await;
    log.process.event("tunnel opened").await;

    log.process.signal(Signal::TERM);
    client.frame().await.unwrap();
    log.process.signal(Signal::TERM);
    let ended = log.process.event("tunnel ended").await;
    assert_eq!(ended["ended_by"], "proxy");
    assert_eq!(ended["cause"], "shutdown");
    assert_eq!(ended["client_bytes"], 0);
    assert_eq!(log.process.ended().await.0, Some(0));
}

#[tokio::test]
async fn a_tunnel_that_moves_to_another_backend_has_an_event() {
    let (first, mut arrivals) = Backend::played().await;
    let (second, mut later) = Backend::played().await;
    let reconnecting = format!(
        "[[route]]\npath = \"/feed\"\npool = \"feed\"\non_backend_loss = \"reconnect\"\n\
         [pool.feed]\nbackends = [\"{}\", \"{}\"]\n[log]\nformat = \"json\"",
        first.address, second.address
    );
    let mut log = Logged::start(&first, &reconnecting).await;
    let mut client = log.raw().await;
    client.ask_for_websocket("/feed").await;
    let mut backend = arrivals.recv().await.unwrap();
    backend.grant_websocket().await;
    client.head().await;
    log.process.event("tunnel opened").await;

    drop(backend);
    let mut backend = later.recv().await.unwrap();
    backend.grant_websocket().await;
    let moved = log.process.event("tunnel moved").await;
    drop(client);
    let ended = log.process.event("tunnel ended").await;

    assert_eq!(moved["target"], "longwire::access");
    assert_eq!(moved["tunnel"], 1);
    assert_eq!(moved["client"], "127.0.0.1");
    assert_eq!(moved["path"], "/feed");
    assert_eq!(moved["pool"], "feed");
    assert_eq!(moved["from"], first.address.to_string());
    assert_eq!(moved["backend"], second.address.to_string());
    assert_eq!(ended["backend"], second.address.to_string());
    assert_eq!(ended["ended_by"], "client");
}

#[tokio::test]
async fn a_plain_request_has_one_event() {
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let mut log = Logged::start(&backend, "[log]\nformat = \"json\"").await;
    let mut client = log.raw().await;
    client
        .send("PUT /a/b HTTP/1.1\r\nHost: Shop.test:80\r\nContent-Length: 0\r\n\r\n")
        .await;
    client.head().await;

    let event = log.process.event("request").await;
    assert_eq!(event["method"], "PUT");
    assert_eq!(event["host"], "Shop.test");
    assert_eq!(event["path"], "/a/b");
    assert_eq!(event["status"], 200);
    assert_eq!(event["bytes"], 5);
    assert_eq!(event["complete"], true);
    assert_eq!(event["client"], "127.0.0.1");
    assert_eq!(event["route"], "*/");
    assert_eq!(event["pool"], "main");
    assert_eq!(event["backend"], backend.address.to_string());
    drop(client);
    assert_eq!(log.access_events().await.len(), 1);
}

#[tokio::test]
async fn a_handshake_that_becomes_no_tunnel_is_one_request() {
    let backend = Backend::http(|_| async {
        let mut response = Response::new("who are you?".into());
        *response.status_mut() = http::StatusCode::UNAUTHORIZED;
        response
    })
    .await;
    let mut log = Logged::start(&backend, "[log]\nformat = \"json\"").await;
    let mut client = log.raw().await;
    client.ask_for_websocket("/").await;
    client.head().await;
    let refused_by_backend = log.process.event("request").await;
    assert_eq!(refused_by_backend["status"], 401);

    let mut client = log.raw().await;
    let head = "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 8\r\n\r\n";
    client.send(head).await;
    client.head().await;
    let refused_by_us = log.process.event("request").await;
    assert_eq!(refused_by_us["status"], 426);
    assert_eq!(log.access_events().await.len(), 2);
}

#[tokio::test]
async fn a_client_that_leaves_before_its_answer_has_its_event_too() {
    let (server, mut arrivals) = Backend::played().await;
    let mut log = Logged::start(&server, "[log]\nformat = \"json\"").await;
    let mut client = log.raw().await;
    client
        .send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    let mut backend = arrivals.recv().await.unwrap();
    backend.head().await;
    drop(client);

    let event = log.process.event("request").await;
    assert_eq!(event["path"], "/slow");
    assert_eq!(event["status"], Value::Null);
    assert_eq!(event["complete"], false);
    assert_eq!(log.access_events().await.len(), 1);
}

#[tokio::test]
async fn tokens_appear_nowhere_in_the_loudest_log() {
    let backend = Backend::echo().await;
    for format in ["text", "json"] {
        let rest =
            format!("affinity = \"cookie\"\n[log]\nformat = \"{format}\"\nlevel = \"trace\"");
        let log = Logged::start(&backend, &rest).await;
        let headers = [
            ("authorization", "Bearer sesame"),
            ("cookie", "longwire=sesame; session=sesame"),
            ("sec-websocket-protocol", "sesame"),
            ("referer", "http://test/?token=sesame"),
        ];
        let mut client = Client::connect(log.address, "/chat?token=sesame", &headers[..2]).await;
        client.send("sesame").await;
        client.text().await;
        drop(client);
        // One that nobody can serve: what goes wrong is logged in more words.
        let mut client = log.raw().await;
        let mut head = "GET /chat?token=sesame HTTP/1.1\r\nHost: test\r\n".to_owned();
        for (name, value) in headers {
            head += &format!("{name}: {value}\r\n");
        }
        client.send(head + "\r\n").await;
        client.head().await;
        drop(client);

        let lines = log.process.stop().await;
        assert!(lines.iter().any(|line| line.contains("tunnel ended")));
        let leaks: Vec<_> = lines
            .iter()
            .filter(|line| line.contains("sesame"))
            .collect();
        assert!(leaks.is_empty(), "{leaks:#?}");
    }
}

#[tokio::test]
async fn query_strings_are_logged_where_they_are_wanted() {
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    let mut log = Logged::start(&backend, "[log]\nformat = \"json\"\nquery = true").await;
    let mut client = log.raw().await;
    client
        .send("GET /a?b=c HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    let event = log.process.event("request").await;
    assert_eq!(event["path"], "/a");
    assert_eq!(event["query"], "b=c");
}

#[tokio::test]
async fn access_events_can_be_turned_off() {
    let backend = Backend::echo().await;
    for off in ["access = false", "level = \"info,longwire::access=off\""] {
        let log = Logged::start(&backend, &format!("[log]\nformat = \"json\"\n{off}")).await;
        let mut client = Client::connect(log.address, "/", &[]).await;
        client.echo("hello").await;
        drop(client);
        assert_eq!(log.access_events().await, [Value::Null; 0]);
    }
}

#[tokio::test]
async fn a_failed_request_names_the_backend_that_failed_it() {
    let nobody = Backend::refusing().await;
    let mut log = Logged::start(&nobody, "[log]\nformat = \"json\"").await;
    let mut client = log.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    client.head().await;
    let request = log.process.event("request").await;
    assert_eq!(request["status"], 502);
    assert_eq!(request["backend"], nobody.address.to_string());
}

#[tokio::test]
async fn the_level_decides_how_much_is_said() {
    let nobody = Backend::refusing().await;
    for (level, is_said) in [("info", false), ("debug", true)] {
        let log = Logged::start(&nobody, &format!("[log]\nlevel = \"{level}\"")).await;
        let mut client = log.raw().await;
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        client.head().await;
        drop(client);
        let lines = log.process.stop().await;
        let mut debug = lines.iter().filter(|line| line.contains("DEBUG longwire"));
        assert_eq!(debug.next().is_some(), is_said, "{lines:#?}");
    }
}

#[tokio::test]
async fn text_is_a_line_an_event_without_colours() {
    let backend = Backend::echo().await;
    let mut log = Logged::start(&backend, "").await;
    let client = Client::connect(log.address, "/chat", &[]).await;
    let line = log.process.line("tunnel opened").await;
    drop(client);
    for part in [
        " INFO longwire::access: ",
        "path=\"/chat\"",
        "pool=\"main\"",
        "client=127.0.0.1",
    ] {
        assert!(line.contains(part), "{line}");
    }
    let ended = log.process.line("tunnel ended").await;
    assert!(ended.contains("cause="), "{ended}");
    assert!(log.process.log.iter().all(|line| !line.contains('\u{1b}')));
}

#[tokio::test]
async fn a_path_forges_no_line() {
    let backend = Backend::http(|_| async { Response::new("hello".into()) }).await;
    for format in ["text", "json"] {
        let rest = format!("[log]\nformat = \"{format}\"\nlevel = \"debug\"\nquery = true");
        let log = Logged::start(&backend, &rest).await;
        for path in [
            "/a\u{b}FORGED",
            "/a\u{1b}[31mFORGED",
            "/a\rFORGED",
            "/a%0d%0aFORGED",
            "/a\"FORGED\"=b",
            "/a\u{85}FORGED",
            "/a\u{2028}FORGED?\u{202e}FORGED",
        ] {
            let mut client = log.raw().await;
            client
                .send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
                .await;
            assert!(client.head().await.starts_with("HTTP/1.1 "));
        }
        let lines = log.process.stop().await;
        for line in lines {
            let is_event = match format {
                "json" => serde_json::from_str::<Value>(&line).is_ok_and(|e| e.is_object()),
                _ => line.starts_with("20"),
            };
            assert!(is_event, "{line:?}");
            assert!(
                line.is_ascii() && !line.contains(char::is_control),
                "{line:?}"
            );
        }
    }
}

/// The real program with its log.
struct Logged {
    process: Process,
    address: std::net::SocketAddr,
    _folder: Folder,
}

impl Logged {
    async fn start(backend: &Backend, rest: &str) -> Self {
        let folder = Folder::new();
        folder.configure(backend.address, rest);
        let mut process = folder.start(&[]);
        Self {
            address: process.address().await,
            process,
            _folder: folder,
        }
    }

    async fn raw(&self) -> Raw {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Every access event in the whole log, which is JSON.
    async fn access_events(self) -> Vec<Value> {
        let lines = self.process.stop().await;
        let events = lines.iter().map(|line| serde_json::from_str(line).unwrap());
        let is_access = |event: &Value| event["target"] == "longwire::access";
        events.filter(is_access).collect()
    }
}
