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
    client::conn::{
        TrySendError,
        http1::{self, SendRequest},
    },
};
use hyper_util::rt::TokioIo;
use tokio::{task::AbortHandle, time::Instant};
use tracing::debug;

use super::means::Bounds;
use crate::stream::Stream;

/// An error of whatever makes a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request to a backend.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// An HTTP/1.1 connection to a backend. Dropped, it is closed, whatever is under way on it.
#[derive(Debug)]
pub struct HttpConnection {
    sender: SendRequest<RequestBody>,
    task: AbortHandle,
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
    /// Speaks HTTP/1.1 over a connected socket.
    ///
    /// # Errors
    /// If the connection is lost at once.
    pub async fn over(stream: Stream) -> Result<Self, hyper::Error> {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection to a backend ended early");
            }
        });
        Ok(Self {
            sender,
            task: task.abort_handle(),
        })
    }

    /// Sends a request. An error has the request in it if none of it was sent.
    pub fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.sender.try_send_request(request)
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
        self.task.abort();
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
