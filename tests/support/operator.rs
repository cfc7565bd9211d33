use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, body::Incoming};
use longwire::{
    admin::{Door, Journal},
    config::{Admin, AdminSocket},
    listener::Inherited,
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{net::UnixStream, sync::mpsc, task::AbortHandle};

use super::{Answer, Log, Proxy, Scrape, desk::desk_with, http};

/// Somebody who asks the proxy at its door, and gives orders.
pub(crate) struct Operator {
    socket: PathBuf,
    /// The door, if it is this operator's alone.
    _open: Option<Open>,
}

/// A door that is open until it is dropped.
struct Open {
    serving: AbortHandle,
    _folder: TempDir,
}

/// What happens, as it is told at the door.
pub(crate) struct Events {
    coming: Incoming,
    heard: String,
}

/// Something that has happened.
#[derive(Debug)]
pub(crate) struct Event {
    pub(crate) kind: String,
    pub(crate) id: Option<u64>,
    pub(crate) data: Value,
}

impl Operator {
    /// At a door of that proxy, where nothing is known of its past.
    pub(crate) fn of(proxy: &Proxy) -> Self {
        Self::with(proxy, Arc::new(Journal::new()))
    }

    /// At a door where what the log says is known.
    pub(crate) fn reading(proxy: &Proxy, log: &Log) -> Self {
        Self::with(proxy, Arc::clone(&log.journal))
    }

    /// At the socket of another process.
    pub(crate) fn at(socket: &Path) -> Self {
        Self {
            socket: socket.to_owned(),
            _open: None,
        }
    }

    fn with(proxy: &Proxy, journal: Arc<Journal>) -> Self {
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("door.sock");
        let config = Admin {
            socket: AdminSocket::At(socket.clone()),
            ..Admin::default()
        };
        let door = Door::bind(&config, None, &mut Inherited::default()).unwrap();
        // Nobody carries errands out.
        let (errands, _) = mpsc::channel(1);
        let serving = tokio::spawn(door.serve(desk_with(proxy, journal, errands)));
        Self {
            socket,
            _open: Some(Open {
                serving: serving.abort_handle(),
                _folder: folder,
            }),
        }
    }

    /// What is answered to somebody who looks at that path below `/api/v1/`.
    pub(crate) async fn get(&self, path: &str) -> Value {
        done(&self.ask("GET", path, "").await)
    }

    /// What is answered to somebody who wants that done.
    pub(crate) async fn post(&self, path: &str, wish: &Value) -> Value {
        done(&self.ask("POST", path, &wish.to_string()).await)
    }

    /// With which status that is refused, and in which words.
    pub(crate) async fn refused(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let answer = self.ask(method, path, body).await;
        let refused: Value = serde_json::from_slice(&answer.body).unwrap();
        let error = refused["error"].as_str().expect("a reason").to_owned();
        (answer.status.as_u16(), error)
    }

    /// The whole answer.
    pub(crate) async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        self.asked(method, &format!("/api/v1/{path}"), body).await
    }

    /// What is counted.
    pub(crate) async fn scrape(&self) -> Scrape {
        Scrape::of(self.asked("GET", "/metrics", "").await.text())
    }

    /// What happens from now on, and what has happened after the event with the number `last`.
    pub(crate) async fn events(&self, last: Option<u64>) -> Events {
        let mut request = Request::get("/api/v1/events").header("host", "longwire");
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Full::default()).unwrap();
        let response = http::response(self.connect().await, request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events {
            coming: response.into_body(),
            heard: String::new(),
        }
    }

    async fn asked(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let body = Bytes::copy_from_slice(body.as_bytes());
        let request = request.header("host", "longwire").body(Full::new(body));
        Answer::to(self.connect().await, request.unwrap()).await
    }

    async fn connect(&self) -> UnixStream {
        UnixStream::connect(&self.socket).await.unwrap()
    }
}

fn done(answer: &Answer) -> Value {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

impl Drop for Open {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Events {
    /// The next one, whatever it is.
    pub(crate) async fn next(&mut self) -> Event {
        loop {
            if let Some((event, rest)) = self.heard.split_once("\n\n") {
                let event = Event::read(event);
                self.heard = rest.to_owned();
                return event;
            }
            let frame = self.coming.frame().await.expect("no end").unwrap();
            let data = frame.into_data().unwrap();
            self.heard += std::str::from_utf8(&data).unwrap();
        }
    }

    /// The next one of that kind.
    pub(crate) async fn next_of(&mut self, kind: &str) -> Event {
        loop {
            let event = self.next().await;
            if event.kind == kind {
                return event;
            }
        }
    }
}

impl Event {
    fn read(lines: &str) -> Self {
        let field = |name: &str| {
            let mut fields = lines.lines().filter_map(|line| line.split_once(": "));
            fields.find(|(own, _)| *own == name).map(|(_, value)| value)
        };
        Self {
            kind: field("event").expect("a kind").to_owned(),
            id: field("id").map(|id| id.parse().unwrap()),
            data: serde_json::from_str(field("data").expect("data")).unwrap(),
        }
    }
}
