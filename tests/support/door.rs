use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    path::Path,
    sync::{Arc, Mutex},
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, UnixListener},
    spawn,
};

use super::{Certificate, Folder};

/// An operator's door without a proxy behind it, which answers as it was told to.
#[derive(Clone, Default)]
pub(crate) struct FakeDoor {
    script: Arc<Mutex<HashMap<String, Answers>>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

/// Statuses and bodies, in their order.
type Answers = VecDeque<(u16, Value)>;

/// A request that came to it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Heard {
    /// Method and path, query included.
    pub(crate) line: String,
    /// `null` if there was none.
    pub(crate) body: Value,
    pub(crate) authorization: Option<String>,
}

impl FakeDoor {
    /// One at `door.sock` in a folder of its own.
    pub(crate) fn in_a_folder() -> (Folder, Self) {
        let folder = Folder::new();
        let door = Self::at(&folder.path().join("door.sock"));
        (folder, door)
    }

    /// One at a Unix socket.
    pub(crate) fn at(path: &Path) -> Self {
        let door = Self::default();
        let listener = UnixListener::bind(path).unwrap();
        let served = door.clone();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn(served.clone().serve(stream));
            }
        });
        door
    }

    /// One at an address, and its URL.
    pub(crate) async fn on_loopback() -> (Self, String) {
        let door = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = door.clone();
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                spawn(served.clone().serve(stream));
            }
        });
        (door, url)
    }

    /// One that speaks TLS, and its URL.
    pub(crate) async fn over_tls(certificate: &Certificate) -> (Self, String) {
        let door = Self::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap());
        let (served, acceptor) = (door.clone(), certificate.acceptor());
        spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                if let Ok(stream) = acceptor.accept(stream).await {
                    spawn(served.clone().serve(stream));
                }
            }
        });
        (door, url)
    }

    /// What it answers to requests with this line. Said again, it is what it answers after that;
    /// the last answer stays.
    pub(crate) fn answers(&self, line: &str, answer: Value) -> &Self {
        self.answers_with(line, 200, answer)
    }

    /// The same with a status.
    pub(crate) fn answers_with(&self, line: &str, status: u16, answer: Value) -> &Self {
        let mut script = self.script.lock().unwrap();
        let answers = script.entry(line.to_owned()).or_default();
        answers.push_back((status, answer));
        self
    }

    /// Everything that was asked.
    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }

    /// The lines of everything that was asked.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heard = self.heard();
        heard.into_iter().map(|heard| heard.line).collect()
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let service = service_fn(async |request| Ok::<_, Infallible>(self.answer(request).await));
        let served = http1::Builder::new()
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        // A client that leaves early does so on purpose.
        let _ = served.await;
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let line = format!("{} {}", head.method, head.uri);
        let (status, answer) = self.next(&line);
        let authorization = head.headers.get(AUTHORIZATION);
        self.heard.lock().unwrap().push(Heard {
            line,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            authorization: authorization.map(|value| value.to_str().unwrap().to_owned()),
        });
        let text = answer.to_string();
        Response::builder()
            .status(status)
            .body(text.into())
            .unwrap()
    }

    fn next(&self, line: &str) -> (u16, Value) {
        let mut script = self.script.lock().unwrap();
        match script.get_mut(line) {
            Some(answers) if answers.len() > 1 => answers.pop_front().unwrap(),
            Some(answers) => answers[0].clone(),
            None => (404, json!({"error": format!("there is no {line}")})),
        }
    }
}

/// The example that `docs/admin.md` gives after these words.
pub(crate) fn documented(words: &str) -> Value {
    let text = include_str!("../../docs/admin.md");
    let (_, rest) = text.split_once(words).expect("it says so");
    let (_, rest) = rest.split_once("```json\n").unwrap();
    let (example, _) = rest.split_once("```").unwrap();
    serde_json::from_str(example).unwrap()
}
