//! Access events: one for each plain request, two for each tunnel, and one each time that a tunnel
//! moves to another backend.

use std::{
    fmt::Write,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::{Method, StatusCode, request};
use tokio::time::Instant;
use tracing::info;

use super::{client::Client, route::Route};
use crate::{
    config,
    pool::{affinity::Outcome, backend::Backend, outlier::Seen},
    tunnel::{Cause, Ended, Party},
};

/// The target that access events carry.
pub const TARGET: &str = "longwire::access";

/// Which access events are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct AccessLog {
    is_wanted: bool,
    with_query: bool,
}

impl AccessLog {
    pub(super) fn new(config: &config::Log) -> Self {
        Self {
            is_wanted: config.access,
            with_query: config.query,
        }
    }

    /// What is known of a request at its arrival.
    pub(super) fn request(
        self,
        request: &request::Parts,
        client: &Client,
        host: &str,
    ) -> Arc<Record> {
        Arc::new(Record {
            asked: self.is_wanted.then(|| {
                Box::new(Asked {
                    client: client.ip(),
                    method: request.method.clone(),
                    host: host.into(),
                    path: in_ascii(request.uri.path()),
                    query: request
                        .uri
                        .query()
                        .filter(|_| self.with_query)
                        .map(in_ascii),
                })
            }),
            arrived: Instant::now(),
            route: OnceLock::new(),
            backend: Mutex::default(),
            affinity: OnceLock::new(),
            tunnel: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        })
    }
}

/// What access events say of a request or of the tunnel that it became.
#[derive(Debug)]
pub(super) struct Record {
    /// `None` if no event is wanted: then it need not be kept.
    asked: Option<Box<Asked>>,
    arrived: Instant,
    route: OnceLock<Arc<Route>>,
    /// The backend that was tried last.
    backend: Mutex<Option<Service>>,
    affinity: OnceLock<Outcome>,
    /// The tunnel that it became.
    tunnel: OnceLock<u64>,
    /// Whether its end has had its event.
    has_ended: AtomicBool,
}

/// A backend in use.
#[derive(Debug)]
struct Service {
    backend: Arc<Backend>,
    /// When its tunnel began, in milliseconds after the request's arrival; `None` before, and once
    /// it is lost.
    since: Option<u32>,
}

/// What a client has asked for.
#[derive(Debug)]
struct Asked {
    client: IpAddr,
    method: Method,
    host: Box<str>,
    path: Box<str>,
    query: Option<Box<str>>,
}

impl Record {
    pub(super) fn routed(&self, route: &Arc<Route>) {
        self.route.get_or_init(|| Arc::clone(route));
    }

    pub(super) fn tries(&self, backend: &Arc<Backend>) {
        let backend = Arc::clone(backend);
        let service = Service {
            backend,
            since: None,
        };
        *self.backend.lock().expect("no holder panics") = Some(service);
    }

    /// The tunnel begins, or goes on with another backend.
    fn begins_to_serve(&self) {
        let mut service = self.backend.lock().expect("no holder panics");
        if let Some(service) = &mut *service {
            service.since = Some(self.millis());
        }
    }

    /// Milliseconds since the request's arrival.
    fn millis(&self) -> u32 {
        u32::try_from(self.arrived.elapsed().as_millis()).unwrap_or(u32::MAX)
    }

    pub(super) fn bound(&self, affinity: Outcome) {
        self.affinity.get_or_init(|| affinity);
    }

    /// The event of a plain request, or of a handshake that became no tunnel.
    pub(super) fn answered(&self, status: StatusCode, bytes: u64, is_whole: bool) {
        self.request_ended(Some(status), bytes, is_whole);
    }

    fn request_ended(&self, status: Option<StatusCode>, bytes: u64, is_whole: bool) {
        self.has_ended.store(true, Relaxed);
        if let Some(asked) = &self.asked {
            info!(
                target: TARGET,
                client = %asked.client,
                method = %asked.method,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                status = status.map(|status| status.as_u16()),
                bytes,
                complete = is_whole,
                duration_seconds = self.arrived.elapsed().as_secs_f64(),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "request"
            );
        }
    }

    pub(super) fn tunnel_opened(&self, tunnel: u64) {
        self.tunnel.get_or_init(|| tunnel);
        self.begins_to_serve();
        if let Some(asked) = &self.asked {
            info!(
                target: TARGET,
                tunnel,
                client = %asked.client,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                handshake_seconds = self.arrived.elapsed().as_secs_f64(),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "tunnel opened"
            );
        }
    }

    /// The event of a tunnel that has lost the backend `from` and goes on with `to`.
    pub(super) fn tunnel_moved(&self, from: &Backend, to: &Arc<Backend>) {
        self.tries(to);
        self.begins_to_serve();
        if let Some(asked) = &self.asked {
            info!(
                target: TARGET,
                tunnel = self.tunnel.get(),
                client = %asked.client,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                route = self.route_name(),
                pool = self.pool_name(),
                from = from.name(),
                backend = to.name(),
                "tunnel moved"
            );
        }
    }

    pub(super) fn tunnel_ended(&self, tunnel: u64, ended: &Ended) {
        self.end_of_tunnel(tunnel, Some(ended));
    }

    /// The event of a tunnel's end. One that was cut with its worker can say no more.
    fn end_of_tunnel(&self, tunnel: u64, ended: Option<&Ended>) {
        self.has_ended.store(true, Relaxed);
        let (by, cause) = ended.map_or((Party::Proxy, Cause::Shutdown), |ended| {
            (ended.end.by, ended.end.cause)
        });
        let code = ended.and_then(|ended| ended.end.code);
        if let Some(asked) = &self.asked {
            info!(
                target: TARGET,
                tunnel,
                client = %asked.client,
                host = asked.host,
                path = asked.path,
                query = asked.query,
                ended_by = %by,
                cause = %cause,
                close_code = code.map(|code| code.0),
                duration_seconds = self.arrived.elapsed().as_secs_f64(),
                client_bytes = ended.map(|ended| ended.from_client.bytes),
                client_messages = ended.map(|ended| ended.from_client.messages),
                backend_bytes = ended.map(|ended| ended.from_backend.bytes),
                backend_messages = ended.map(|ended| ended.from_backend.messages),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "tunnel ended"
            );
        }
    }

    /// Notes, once, that the backend has left the tunnel without a Close, so long ago.
    pub(super) fn lost(&self, ago: Duration) {
        let mut service = self.backend.lock().expect("no holder panics");
        let (Some(route), Some(service)) = (self.route.get(), &mut *service) else {
            return;
        };
        if let Some(since) = service.since.take() {
            let age = Duration::from_millis(self.millis().saturating_sub(since).into());
            let age = age.saturating_sub(ago);
            route.pool.note(&service.backend, Seen::Lost(age));
        }
    }

    fn route_name(&self) -> Option<&str> {
        self.route.get().map(|route| route.name.as_str())
    }

    fn pool_name(&self) -> Option<&str> {
        self.route.get().map(|route| route.pool.name())
    }

    fn backend_name(&self) -> Option<String> {
        let service = self.backend.lock().expect("no holder panics");
        service
            .as_ref()
            .map(|service| service.backend.name().to_owned())
    }

    fn affinity(&self) -> Outcome {
        self.affinity.get().copied().unwrap_or(Outcome::None)
    }
}

impl Drop for Record {
    /// A client that left before its answer, and a tunnel that was cut, have their event too.
    fn drop(&mut self) {
        if *self.has_ended.get_mut() {
            return;
        }
        match self.tunnel.get() {
            Some(tunnel) => self.end_of_tunnel(*tunnel, None),
            None => self.request_ended(None, 0, false),
        }
    }
}

/// A part of a target with percent-encoding for all that is not visible ASCII (RFC 3987, section
/// 3.1): the controls and directions of Unicode cannot break or disguise a line of the log.
fn in_ascii(part: &str) -> Box<str> {
    let mut ascii = String::with_capacity(part.len());
    for byte in part.bytes() {
        if byte.is_ascii_graphic() {
            ascii.push(char::from(byte));
        } else {
            // A String takes everything.
            let _ = write!(ascii, "%{byte:02X}");
        }
    }
    ascii.into()
}
