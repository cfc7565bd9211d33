//! Connections to a backend for plain requests, and those that wait for the next one.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http1::SendRequest},
};
use hyper_util::rt::TokioIo;
use tokio::{task::AbortHandle, time::Instant};
use tracing::debug;

use super::{
    AnswerLimits,
    means::Bounds,
    silence::{BackendSocket, Silence},
};
use crate::stream::Stream;

/// An error of whatever makes a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request to a backend.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// An HTTP/1.1 connection to a backend. Dropped, it is closed, whatever is under way on it.
#[derive(Debug)]
pub struct HttpConnection {
    sender: SendRequest<RequestBody>,
    /// `None` once it has been [let go](Self::let_go).
    task: Option<AbortHandle>,
    silence: Silence,
    /// Whether it has been given a request before.
    is_used: bool,
}

/// Idle HTTP/1.1 connections to one backend, by the worker that they live on.
#[derive(Debug)]
pub struct IdleConnections {
    workers: Box<[Mutex<Vec<Parked>>]>,
    /// The most that a worker keeps.
    max: usize,
    /// Whether none is kept any more.
    is_closed: AtomicBool,
    /// How long one is kept.
    timeout: Duration,
}

#[derive(Debug)]
struct Parked {
    connection: HttpConnection,
    since: Instant,
}

impl HttpConnection {
    /// Speaks HTTP/1.1 over a connected socket, and takes answers within `limits`.
    ///
    /// # Errors
    /// If the connection is lost at once.
    pub async fn over(stream: Stream, limits: AnswerLimits) -> Result<Self, hyper::Error> {
        let silence = Silence::default();
        let socket = BackendSocket::new(stream, silence.clone());
        let (sender, connection) = limits.client().handshake(TokioIo::new(socket)).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                debug!(%error, "a connection to a backend ended early");
            }
        });
        Ok(Self {
            sender,
            task: Some(task.abort_handle()),
            silence,
            is_used: false,
        })
    }

    /// Sends a request. An error has the request in it if none of it was sent. Where something has
    /// come since the last answer, nothing is sent.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        if std::mem::replace(&mut self.is_used, true) {
            self.silence.demand();
        }
        self.sender.try_send_request(request)
    }

    /// Leaves it to itself: it switches to another protocol, for whoever has its response.
    pub fn let_go(mut self) {
        self.task = None;
    }

    /// Whether it takes a request at once.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Waits until it takes a request.
    ///
    /// # Errors
    /// If it never will.
    pub async fn ready(&mut self) -> Result<(), hyper::Error> {
        self.sender.ready().await
    }

    fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }
}

impl Drop for HttpConnection {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl IdleConnections {
    /// Room for as many as `bounds` allow.
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            workers: (0..bounds.workers).map(|_| Mutex::default()).collect(),
            max: bounds.idle_connections,
            is_closed: AtomicBool::new(false),
            timeout: bounds.idle_timeout,
        }
    }

    /// A connection of that worker that is still open, the one used last.
    pub fn take(&self, worker: usize) -> Option<HttpConnection> {
        let mut parked = self.workers[worker].lock().expect("no holder panics");
        while let Some(Parked { connection, since }) = parked.pop() {
            if connection.is_ready() && since.elapsed() < self.timeout {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for that worker's next request, if there is room.
    pub fn park(&self, worker: usize, connection: HttpConnection) {
        let mut parked = self.workers[worker].lock().expect("no holder panics");
        // Under the lock: whoever closes them comes before, or finds this one.
        if parked.len() < self.max && !self.is_closed.load(Relaxed) {
            let since = Instant::now();
            parked.push(Parked { connection, since });
        }
    }

    /// Whether none is kept any more: the backend is no member now, or is reached in another way.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.is_closed.load(Relaxed)
    }

    /// Closes all of them, and keeps none from now on.
    pub(super) fn close(&self) {
        self.is_closed.store(true, Relaxed);
        for parked in &self.workers {
            parked.lock().expect("no holder panics").clear();
        }
    }

    /// Closes those whose time is over.
    pub fn close_expired(&self) {
        for parked in &self.workers {
            let mut parked = parked.lock().expect("no holder panics");
            parked.retain(|p| !p.connection.is_closed() && p.since.elapsed() < self.timeout);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{TcpListener, TcpStream},
    };

    use http_body_util::{BodyExt, Empty};
    use tokio::task::yield_now;

    use super::*;

    fn request() -> Request<RequestBody> {
        let body = Empty::new().map_err(|never| match never {});
        Request::post("/").body(RequestBody::new(body)).unwrap()
    }

    /// A connection that has answered one request, and the backend's side of it.
    async fn used() -> (HttpConnection, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = tokio::net::TcpStream::connect(address).await.unwrap();
        let (mut backend, _) = listener.accept().unwrap();
        backend.set_nonblocking(true).unwrap();
        let limits = AnswerLimits {
            head: 8192,
            headers: 100,
        };
        let over = HttpConnection::over(Stream::Tcp(socket), limits).await;
        let mut connection = over.unwrap();
        let answered = connection.send(request());
        let first = async {
            while backend.read(&mut [0; 1024]).is_err() {
                yield_now().await;
            }
            let first = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            backend.write_all(first).unwrap();
        };
        tokio::join!(answered, first).0.unwrap();
        connection.ready().await.unwrap();
        (connection, backend)
    }

    #[tokio::test]
    async fn a_request_is_not_sent_where_something_came_that_the_runtime_does_not_know_of() {
        for unasked in [
            &b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"[..],
            b"",
        ] {
            let (mut connection, mut backend) = used().await;
            // Nothing is awaited from here until the request is taken up.
            backend.write_all(unasked).unwrap();
            if unasked.is_empty() {
                backend.shutdown(std::net::Shutdown::Write).unwrap();
            }
            let mut error = connection.send(request()).await.unwrap_err();
            assert!(error.take_message().is_some(), "it can be sent elsewhere");
            drop(connection);
            let sent = backend.read(&mut [0; 1024]);
            assert!(!sent.is_ok_and(|count| count > 0), "something was sent");
        }
    }
}
