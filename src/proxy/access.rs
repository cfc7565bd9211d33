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
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tracing::info;

use super::{
    client::Client,
    route::{Label, Route},
};
use crate::{
    config::{self, BackendAddress},
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
            label: OnceLock::new(),
            backend: Mutex::default(),
            affinity: OnceLock::new(),
            tunnel: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        })
    }
}

/// What is written down of a tunnel's record, so that its events go on in another process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Past {
    #[serde(default)]
    asked: Option<AskedThen>,
    /// How long ago the request arrived.
    age: Duration,
    pub(super) route: String,
    pub(super) pool: String,
    pub(super) backend: BackendAddress,
    /// How long the backend has had the tunnel.
    served_for: Duration,
    affinity: Outcome,
}

/// What a client had asked for that got a tunnel.
#[derive(Debug, Serialize, Deserialize)]
struct AskedThen {
    client: IpAddr,
    host: Box<str>,
    path: Box<str>,
    #[serde(default)]
    query: Option<Box<str>>,
}

/// What access events say of a request or of the tunnel that it became.
#[derive(Debug)]
pub(super) struct Record {
    /// `None` if no event is wanted: then it need not be kept.
    asked: Option<Box<Asked>>,
    arrived: Instant,
    label: OnceLock<Arc<Label>>,
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

impl AccessLog {
    /// The record of a tunnel that comes from another process.
    pub(super) fn resume(
        self,
        past: &Past,
        label: Arc<Label>,
        backend: &Arc<Backend>,
        tunnel: u64,
    ) -> Arc<Record> {
        let now = Instant::now();
        let asked = past.asked.as_ref().filter(|_| self.is_wanted);
        let since = past.age.saturating_sub(past.served_for);
        Arc::new(Record {
            asked: asked.map(|asked| {
                Box::new(Asked {
                    client: asked.client,
                    method: Method::GET,
                    host: asked.host.clone(),
                    path: asked.path.clone(),
                    query: asked.query.clone().filter(|_| self.with_query),
                })
            }),
            arrived: now.checked_sub(past.age).unwrap_or(now),
            label: label.into(),
            backend: Mutex::new(Some(Service {
                backend: Arc::clone(backend),
                since: Some(millis(since)),
            })),
            affinity: past.affinity.into(),
            tunnel: tunnel.into(),
            has_ended: AtomicBool::new(false),
        })
    }
}

impl Record {
    pub(super) fn routed(&self, route: &Arc<Route>) {
        self.label.get_or_init(|| Arc::clone(&route.label));
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
        millis(self.arrived.elapsed())
    }

    /// What goes along with a tunnel that has a backend.
    pub(super) fn write_down(&self) -> Option<Past> {
        let service = self.backend.lock().expect("no holder panics");
        let service = service.as_ref()?;
        let since = Duration::from_millis(service.since?.into());
        let label = self.label.get()?;
        let age = self.arrived.elapsed();
        Some(Past {
            asked: self.asked.as_ref().map(|asked| AskedThen {
                client: asked.client,
                host: asked.host.clone(),
                path: asked.path.clone(),
                query: asked.query.clone(),
            }),
            age,
            route: label.route.clone(),
            pool: label.pool.name().to_owned(),
            backend: service.backend.address().clone(),
            served_for: age.saturating_sub(since),
            affinity: self.affinity(),
        })
    }

    /// The tunnel goes on in another process, which will see its end.
    pub(super) fn goes_on_elsewhere(&self) {
        self.has_ended.store(true, Relaxed);
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
        let pool = self.label.get().and_then(|label| label.pool.now());
        let (Some(pool), Some(service)) = (pool, &mut *service) else {
            return;
        };
        if let Some(since) = service.since.take() {
            let age = Duration::from_millis(self.millis().saturating_sub(since).into());
            let age = age.saturating_sub(ago);
            // The backend may have become another version of itself, or left.
            if let Some(member) = pool.member_with(service.backend.id()) {
                pool.note(member, Seen::Lost(age));
            }
        }
    }

    fn route_name(&self) -> Option<&str> {
        self.label.get().map(|label| label.route.as_str())
    }

    fn pool_name(&self) -> Option<&str> {
        self.label.get().map(|label| label.pool.name())
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

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
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
