//! Who is answered at the door, and what is asked where.

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, request};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, watch},
};
use tracing::debug;

use super::{
    Errand,
    answer::{Answer, Wrong, refusal, text, whole, wrong_method},
    exposition::{self, exposition},
    guard::Guard,
    guests::Pass,
    journal::Journal,
    observer::Observer,
    page,
};
use crate::server::{Control, Readiness};

/// How long a request's body may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a worker may take to respond to a probe, which has a second for its answer where nobody
/// has said otherwise.
const LIVELY: Duration = Duration::from_millis(800);

/// How large a request's head may be.
const HEAD_SIZE: usize = 16 * 1024;

const HEADERS: usize = 64;

/// How large its body may be.
const BODY_SIZE: usize = 64 * 1024;

/// Answers whoever comes to the door, and passes orders on. Its clones are one desk.
#[derive(Debug, Clone)]
pub struct Desk {
    pub(super) office: Arc<Office>,
    pub(super) errands: mpsc::Sender<Errand>,
}

/// What answers are made of.
#[derive(Debug)]
pub(super) struct Office {
    pub(super) control: Control,
    pub(super) observer: Observer,
    pub(super) journal: Arc<Journal>,
    /// Sent to when streams are to end.
    pub(super) streams: watch::Sender<()>,
}

/// What is asked, below `/api/v1/`.
pub(super) struct Question<'r> {
    pub(super) method: &'r Method,
    /// The parts of the path, decoded.
    pub(super) path: &'r [&'r str],
    pub(super) query: &'r str,
    pub(super) head: &'r request::Parts,
    pub(super) body: &'r Bytes,
}

impl Desk {
    /// A desk for the server that `control` is a hand on, which runs with that `file`, if with any.
    /// Orders that are not for the server alone go to `errands`. To be called on a Tokio runtime.
    #[must_use]
    pub fn new(
        control: &Control,
        journal: Arc<Journal>,
        errands: mpsc::Sender<Errand>,
        file: Option<PathBuf>,
        log_level: String,
    ) -> Self {
        Self {
            office: Arc::new(Office {
                control: control.clone(),
                observer: Observer::begin(control, file, log_level),
                journal,
                streams: watch::Sender::default(),
            }),
            errands,
        }
    }

    /// Something else is logged from now on.
    pub fn set_log_level(&self, level: String) {
        self.office.observer.set_log_level(level);
    }

    /// Ends the streams of events that are read now: whoever reads them is to come again, or there is
    /// nothing more to come.
    pub fn end_streams(&self) {
        self.office.streams.send_replace(());
    }

    /// Answers the one request of a connection. If it may come in, its pass says so.
    pub(super) async fn serve(
        self,
        stream: impl AsyncRead + AsyncWrite + Unpin,
        guard: Guard,
        pass: Pass,
    ) {
        let service = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(self.answer(request, &guard, &pass).await)
        });
        let served = http1::Builder::new()
            // Guests have their own time for it.
            .header_read_timeout(None)
            .max_buf_size(HEAD_SIZE)
            .max_headers(HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            debug!(%error, "a connection to the operator's door ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>, guard: &Guard, pass: &Pass) -> Answer {
        let (head, body) = request.into_parts();
        let admitted = guard.admit(&head);
        if admitted.is_ok() {
            pass.note_operator();
        }
        let body = match read(body).await {
            Ok(body) => body,
            Err(wrong) => return wrong.answer(),
        };
        let decoded = decoded(head.uri.path());
        let path: Vec<_> = decoded.iter().map(String::as_str).collect();
        match *path {
            ["livez" | "readyz"] | [""] | ["assets", _] if !is_look(&head.method) => {
                wrong_method("GET, HEAD")
            }
            ["livez"] => self.liveness().await,
            ["readyz"] => self.readiness(),
            [""] => page::index(),
            ["assets", file] => page::asset(file),
            _ => match admitted {
                Ok(()) => self.inside(&head, &path, &body).await,
                Err(stopped) => refusal(stopped.status(), stopped.to_string()),
            },
        }
    }

    /// What is answered to those alone who may come in.
    async fn inside(&self, head: &request::Parts, path: &[&str], body: &Bytes) -> Answer {
        match path {
            ["metrics"] if !is_look(&head.method) => wrong_method("GET, HEAD"),
            ["metrics"] => {
                let text = exposition(&self.office.control, &self.office.journal);
                whole(StatusCode::OK, exposition::CONTENT_TYPE, text)
            }
            ["api", "v1", path @ ..] => {
                self.reply(Question {
                    method: &head.method,
                    path,
                    query: head.uri.query().unwrap_or_default(),
                    head,
                    body,
                })
                .await
            }
            _ => refusal(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    /// Whether the workers respond: what the service manager's watchdog is told, too.
    async fn liveness(&self) -> Answer {
        let silent = self.office.control.pulse().silent(LIVELY).await;
        match silent.first() {
            None => text(StatusCode::OK, "live"),
            Some(worker) => {
                let words = format!("worker {worker} does not respond");
                text(StatusCode::SERVICE_UNAVAILABLE, &words)
            }
        }
    }

    fn readiness(&self) -> Answer {
        match *self.office.control.readiness().borrow() {
            Readiness::Ready => text(StatusCode::OK, "ready"),
            Readiness::Stopping => text(StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }
}

/// Whether nothing is wanted but to look (RFC 9110, section 9.1: a server knows both).
pub(super) fn is_look(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The parts of a path.
fn decoded(path: &str) -> Vec<String> {
    let parts = path.trim_start_matches('/').split('/');
    let decoded = parts.map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned());
    decoded.collect()
}

/// A body, or why it is not taken.
async fn read(body: Incoming) -> Result<Bytes, Wrong> {
    if body.size_hint().lower() > BODY_SIZE as u64 {
        return Err(too_large());
    }
    let whole = Limited::new(body, BODY_SIZE).collect();
    match tokio::time::timeout(PATIENCE, whole).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) => Err(Wrong::request(error.to_string())),
        Err(_) => {
            let error = "the body takes too long";
            Err(Wrong::new(StatusCode::REQUEST_TIMEOUT, error))
        }
    }
}

fn too_large() -> Wrong {
    let error = format!("a body is {BODY_SIZE} bytes at most");
    Wrong::new(StatusCode::PAYLOAD_TOO_LARGE, error)
}
