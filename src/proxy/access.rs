//! Access events: one for each plain request, two for each tunnel.

use std::{
    net::IpAddr,
    sync::{Arc, OnceLock},
};

use http::{Method, StatusCode, request};
use tokio::time::Instant;
use tracing::info;

use super::{client::Client, route::Route};
use crate::{
    config,
    pool::{Selected, affinity::Outcome, backend::Backend},
    tunnel::Ended,
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
            is_wanted: self.is_wanted,
            arrived: Instant::now(),
            client: client.ip(),
            method: request.method.clone(),
            host: host.to_owned(),
            path: request.uri.path().to_owned(),
            query: request
                .uri
                .query()
                .filter(|_| self.with_query)
                .map(str::to_owned),
            route: OnceLock::new(),
            backend: OnceLock::new(),
        })
    }
}

/// What access events say of a request or of the tunnel that it became.
#[derive(Debug)]
pub(super) struct Record {
    is_wanted: bool,
    arrived: Instant,
    client: IpAddr,
    method: Method,
    host: String,
    path: String,
    query: Option<String>,
    route: OnceLock<Arc<Route>>,
    backend: OnceLock<(Arc<Backend>, Outcome)>,
}

impl Record {
    pub(super) fn routed(&self, route: &Arc<Route>) {
        self.route.get_or_init(|| Arc::clone(route));
    }

    pub(super) fn selected(&self, selected: &Selected) {
        let backend = selected.lease.backend();
        self.backend
            .get_or_init(|| (Arc::clone(backend), selected.affinity));
    }

    /// The event of a plain request, or of a handshake that became no tunnel.
    pub(super) fn answered(&self, status: StatusCode, bytes: u64, is_whole: bool) {
        if self.is_wanted {
            info!(
                target: TARGET,
                client = %self.client,
                method = %self.method,
                host = self.host,
                path = self.path,
                query = self.query,
                status = status.as_u16(),
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
        if self.is_wanted {
            info!(
                target: TARGET,
                tunnel,
                client = %self.client,
                host = self.host,
                path = self.path,
                query = self.query,
                handshake_seconds = self.arrived.elapsed().as_secs_f64(),
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "tunnel opened"
            );
        }
    }

    pub(super) fn tunnel_ended(&self, tunnel: u64, ended: &Ended) {
        if self.is_wanted {
            info!(
                target: TARGET,
                tunnel,
                client = %self.client,
                host = self.host,
                path = self.path,
                query = self.query,
                ended_by = %ended.end.by,
                cause = %ended.end.cause,
                close_code = ended.end.code.map(|code| code.0),
                duration_seconds = self.arrived.elapsed().as_secs_f64(),
                client_bytes = ended.from_client.bytes,
                client_messages = ended.from_client.messages,
                backend_bytes = ended.from_backend.bytes,
                backend_messages = ended.from_backend.messages,
                route = self.route_name(),
                pool = self.pool_name(),
                backend = self.backend_name(),
                affinity = %self.affinity(),
                "tunnel ended"
            );
        }
    }

    fn route_name(&self) -> Option<&str> {
        self.route.get().map(|route| route.name.as_str())
    }

    fn pool_name(&self) -> Option<&str> {
        self.route.get().map(|route| route.pool.name())
    }

    fn backend_name(&self) -> Option<&str> {
        self.backend.get().map(|(backend, _)| backend.name())
    }

    fn affinity(&self) -> Outcome {
        self.backend
            .get()
            .map_or(Outcome::None, |(_, outcome)| *outcome)
    }
}
