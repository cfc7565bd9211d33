//! What is logged can be changed while the proxy runs.

use longwire::config::Log;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::support::{Backend, Folder, Operator, Process, Raw};

/// The real program, and somebody at its socket.
struct Running {
    process: Process,
    operator: Operator,
    address: std::net::SocketAddr,
    _folder: Folder,
}

impl Running {
    async fn start(backend: &Backend) -> Self {
        let folder = Folder::new();
        let door = "[admin]\nsocket = \"door.sock\"\n[log]\nformat = \"json\"";
        folder.configure(backend.address, door);
        let mut process = folder.start(&[]);
        let address = process.address().await;
        Self {
            operator: Operator::at(&folder.path().join("door.sock")),
            process,
            address,
            _folder: folder,
        }
    }

    /// Has something happen that is worth a line at `debug`.
    async fn fails_a_request(&self) {
        let mut client = Raw::new(TcpStream::connect(self.address).await.unwrap());
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        assert!(client.head().await.starts_with("HTTP/1.1 502"));
    }

    async fn put(&self, level: &str) -> (u16, Value) {
        let wish = json!({ "level": level }).to_string();
        let answer = self.operator.ask("PUT", "log", &wish).await;
        let said = serde_json::from_slice(&answer.body).unwrap();
        (answer.status.as_u16(), said)
    }
}

#[tokio::test]
async fn another_level_is_logged_at_from_then_on() {
    let nobody = Backend::refusing().await;
    let running = Running::start(&nobody).await;
    let level = running.operator.get("log").await;
    assert_eq!(level, json!({ "level": "info" }));
    running.fails_a_request().await;

    let loud = "info,longwire::proxy=debug";
    let (status, said) = running.put(loud).await;
    assert_eq!((status, said), (200, json!({ "level": loud })));
    assert_eq!(running.operator.get("log").await["level"], loud);
    assert_eq!(running.operator.get("status").await["log_level"], loud);
    running.fails_a_request().await;

    let lines = running.process.stop().await;
    let events = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    let events: Vec<Value> = events.collect();
    let level = |event: &Value| event["level"] == "DEBUG";
    let changed = events.iter().position(|event| {
        let message = event["message"].as_str();
        message.is_some_and(|message| message.contains("logging at"))
    });
    let first = events.iter().position(level);
    assert!(first.expect("a line at debug") > changed.expect("a line about it"));
}

#[tokio::test]
async fn what_is_no_level_is_refused_in_words_and_changes_nothing() {
    let nobody = Backend::refusing().await;
    let running = Running::start(&nobody).await;
    for wrong in [
        "",
        " ",
        "lond",
        "info,verbose",
        "longwire::pool=louder",
        "=",
        "[{",
    ] {
        let (status, said) = running.put(wrong).await;
        assert_eq!(status, 400, "{wrong:?}: {said}");
        let words = said["error"].as_str().unwrap();
        assert!(words.contains("level"), "{wrong:?}: {words}");
    }
    assert_eq!(running.operator.get("log").await["level"], "info");
    running.fails_a_request().await;
    let lines = running.process.stop().await;
    assert!(
        !lines.iter().any(|line| line.contains("\"DEBUG\"")),
        "{lines:#?}"
    );
    assert!(
        lines.iter().any(|line| line.contains("\"request\"")),
        "{lines:#?}"
    );
}

#[tokio::test]
async fn the_file_is_shown_by_its_name() {
    let nobody = Backend::refusing().await;
    let running = Running::start(&nobody).await;
    let config = running.operator.get("config").await;
    let file = config["file"].as_str().unwrap();
    assert!(file.ends_with("proxy.toml"), "{file}");
    let text = config["text"].as_str().unwrap();
    assert!(text.contains("socket = \"door.sock\""), "{text}");
    let status = running.operator.get("status").await;
    assert_eq!(status["configuration"]["file"], file);
    assert_eq!(status["pid"], running.process.id());
    assert!(Log::check_level(status["log_level"].as_str().unwrap()).is_ok());
}
