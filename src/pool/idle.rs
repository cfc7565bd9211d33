//! Connections to a backend that wait for the next plain request.

use std::{sync::Mutex, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::client::conn::http1::SendRequest;
use tokio::time::Instant;

/// An error of whatever makes a body.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request to a backend.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;

/// Idle HTTP/1.1 connections to one backend, by the worker that they live on.
#[derive(Debug)]
pub struct IdleConnections {
    workers: Box<[Mutex<Vec<Parked>>]>,
    /// The most that a worker keeps.
    max: usize,
    /// How long one is kept.
    timeout: Duration,
}

#[derive(Debug)]
struct Parked {
    connection: SendRequest<RequestBody>,
    since: Instant,
}

impl IdleConnections {
    /// Room for as many idle connections on each of as many workers.
    #[must_use]
    pub fn new(workers: usize, max: usize, timeout: Duration) -> Self {
        Self {
            workers: (0..workers).map(|_| Mutex::default()).collect(),
            max,
            timeout,
        }
    }

    /// A connection of that worker that is still open, the one used last.
    pub fn take(&self, worker: usize) -> Option<SendRequest<RequestBody>> {
        let mut parked = self.workers[worker].lock().expect("no holder panics");
        while let Some(Parked { connection, since }) = parked.pop() {
            if connection.is_ready() && since.elapsed() < self.timeout {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for that worker's next request, if there is room.
    pub fn park(&self, worker: usize, connection: SendRequest<RequestBody>) {
        let mut parked = self.workers[worker].lock().expect("no holder panics");
        if parked.len() < self.max {
            let since = Instant::now();
            parked.push(Parked { connection, since });
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
