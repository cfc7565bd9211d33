//! What is answered at the door, and to whom.

use std::{convert::Infallible, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE},
};
use http_body_util::Full;
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot, watch},
};
use tracing::debug;

use super::{Errand, Order, Readiness};

/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(10);

/// How large it may be.
const HEAD_SIZE: usize = 8 * 1024;

const HEADERS: usize = 32;

/// Answers requests, and passes orders on.
#[derive(Debug, Clone)]
pub(super) struct Desk {
    errands: mpsc::Sender<Errand>,
    readiness: watch::Receiver<Readiness>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guest {
    /// Somebody who may give orders.
    Operator,
    /// Anybody. An address can be reached by every user of the machine and by every page in a
    /// browser on it, often by the whole network: no order is ever taken there.
    Probe,
}

type Answer = Response<Full<Bytes>>;

impl Desk {
    pub(super) fn new(
        errands: mpsc::Sender<Errand>,
        readiness: watch::Receiver<Readiness>,
    ) -> Self {
        Self { errands, readiness }
    }

    /// Answers the one request of a connection.
    pub(super) async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin, guest: Guest) {
        let service = service_fn(async |request: Request<Incoming>| {
            Ok::<_, Infallible>(self.answer(&request, guest).await)
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(HEAD_SIZE)
            .max_headers(HEADERS)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = served.await {
            debug!(%error, "a connection to the operator's door ended early");
        }
    }

    async fn answer(&self, request: &Request<Incoming>, guest: Guest) -> Answer {
        if !request.body().is_end_stream() {
            return text(StatusCode::PAYLOAD_TOO_LARGE, "no body is wanted");
        }
        let method = request.method();
        match (guest, request.uri().path()) {
            (_, "/livez") => look(method, StatusCode::OK, "live"),
            (_, "/readyz") => {
                let (status, readiness) = self.readiness();
                look(method, status, readiness)
            }
            (Guest::Operator, "/reload") => self.order(method, Order::Reload).await,
            (Guest::Operator, "/upgrade") => self.order(method, Order::Upgrade).await,
            _ => text(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }

    fn readiness(&self) -> (StatusCode, &'static str) {
        match *self.readiness.borrow() {
            Readiness::Ready => (StatusCode::OK, "ready"),
            Readiness::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping"),
        }
    }

    /// Passes an order on, and says what came of it.
    async fn order(&self, method: &Method, order: Order) -> Answer {
        if method != Method::POST {
            return wrong_method("POST");
        }
        let (reply, outcome) = oneshot::channel();
        let sent = self.errands.send(Errand { order, reply }).await;
        let outcome = match sent {
            Ok(()) => outcome.await.ok(),
            Err(_) => None,
        };
        match outcome {
            Some(Ok(done)) => text(StatusCode::OK, &done),
            Some(Err(reason)) => text(StatusCode::CONFLICT, &reason),
            None => {
                let message = "the proxy has ended before it could be done";
                text(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}

/// An answer to whoever only looks.
fn look(method: &Method, status: StatusCode, message: &str) -> Answer {
    match *method {
        Method::GET | Method::HEAD => text(status, message),
        _ => wrong_method("GET, HEAD"),
    }
}

fn wrong_method(allowed: &'static str) -> Answer {
    let message = format!("allowed here: {allowed}");
    let mut answer = text(StatusCode::METHOD_NOT_ALLOWED, &message);
    let headers = answer.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(allowed));
    answer
}

fn text(status: StatusCode, message: &str) -> Answer {
    let mut answer = Response::new(format!("{message}\n").into());
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    headers.insert(CONTENT_TYPE, plain);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
