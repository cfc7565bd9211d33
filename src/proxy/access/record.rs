//! What access events say of a request or of the tunnel that it became.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use http::Method;
use tokio::time::Instant;

use crate::{
    clients::Full,
    pool::{affinity::Outcome, backend::Backend, outlier::Seen},
    proxy::{
        counts::RouteCounts,
        route::{Label, Route},
    },
    tunnel::registry::{RouteId, Sketch, Subject},
};

/// What access events say of a request or of the tunnel that it became.
#[derive(Debug)]
pub(in crate::proxy) struct Record {
    pub(super) asked: Box<Asked>,
    /// Whether events are wanted.
    pub(super) is_logged: bool,
    /// Whether it asks for a WebSocket.
    pub(super) is_handshake: AtomicBool,
    /// Whether it was counted when it was refused.
    pub(super) is_counted: AtomicBool,
    /// Whether it counts among what its client has.
    pub(super) has_share: AtomicBool,
    pub(super) arrived: Instant,
    pub(super) label: OnceLock<Arc<Label>>,
    /// The backend that was tried last.
    pub(super) backend: Mutex<Option<Service>>,
    pub(super) affinity: OnceLock<Outcome>,
    /// The tunnel that it became.
    pub(super) tunnel: OnceLock<u64>,
    /// Whether its end has had its event.
    pub(super) has_ended: AtomicBool,
}

/// A backend in use.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) backend: Arc<Backend>,
    /// When its tunnel began, in milliseconds after the request's arrival; `None` before, and once
    /// it is lost.
    pub(super) since: Option<u32>,
}

/// What a client has asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) client: IpAddr,
    pub(super) method: Method,
    pub(super) host: Box<str>,
    pub(super) path: Box<str>,
    pub(super) query: Option<Box<str>>,
}

impl Record {
    /// It asks for a WebSocket, or for another protocol that its route allows.
    pub(in crate::proxy) fn asks_for_websocket(&self) {
        self.is_handshake.store(true, Relaxed);
    }

    pub(in crate::proxy) fn routed(&self, route: &Arc<Route>) {
        self.label.get_or_init(|| Arc::clone(&route.label));
    }

    /// Counts it among the tunnels of its client, until it is dropped.
    ///
    /// # Errors
    /// If the client has as many as it may.
    pub(in crate::proxy) fn take_share(&self) -> Result<(), Full> {
        if let Some(label) = self.label.get() {
            let is_counted = label.of_clients.take(self.asked.client)?;
            self.has_share.store(is_counted, Relaxed);
        }
        Ok(())
    }

    /// Ends what [`take_share`](Self::take_share) began.
    pub(super) fn give_back_share(&mut self) {
        if let (true, Some(label)) = (*self.has_share.get_mut(), self.label.get()) {
            label.of_clients.give_back(self.asked.client);
        }
    }

    pub(in crate::proxy) fn tries(&self, backend: &Arc<Backend>) {
        let backend = Arc::clone(backend);
        let service = Service {
            backend,
            since: None,
        };
        *self.backend.lock().expect("no holder panics") = Some(service);
    }

    pub(in crate::proxy) fn bound(&self, affinity: Outcome) {
        self.affinity.get_or_init(|| affinity);
        self.counts().inspect(|counts| counts.bound(affinity));
    }

    /// The tunnel begins, or goes on with another backend.
    pub(super) fn begins_to_serve(&self) {
        let mut service = self.backend.lock().expect("no holder panics");
        if let Some(service) = &mut *service {
            service.since = Some(self.millis());
        }
    }

    /// The tunnel goes on in another process, which will see its end.
    pub(in crate::proxy) fn goes_on_elsewhere(&self) {
        self.has_ended.store(true, Relaxed);
        self.count(RouteCounts::left);
    }

    /// Notes, once, that the backend has left the tunnel without a Close, so long ago.
    pub(in crate::proxy) fn lost(&self, ago: Duration) {
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
                pool.note(member, Seen::Lost(age), self.asked.client);
            }
        }
    }

    /// Milliseconds since the request's arrival.
    fn millis(&self) -> u32 {
        millis(self.arrived.elapsed())
    }

    /// Where it is counted, once it has found its route.
    pub(super) fn counts(&self) -> Option<&RouteCounts> {
        self.label.get().map(|label| &*label.counts)
    }

    /// Counts something of the backend that was tried last.
    pub(super) fn count(&self, count: impl FnOnce(&RouteCounts, &str)) {
        let service = self.backend.lock().expect("no holder panics");
        if let (Some(counts), Some(service)) = (self.counts(), &*service) {
            count(counts, service.backend.name());
        }
    }

    pub(super) fn route_name(&self) -> Option<&str> {
        self.label.get().map(|label| &*label.route)
    }

    pub(super) fn pool_name(&self) -> Option<&str> {
        self.label.get().map(|label| label.pool.name())
    }

    pub(super) fn backend_name(&self) -> Option<String> {
        let service = self.backend.lock().expect("no holder panics");
        service
            .as_ref()
            .map(|service| service.backend.name().to_owned())
    }

    pub(super) fn affinity(&self) -> Outcome {
        self.affinity.get().copied().unwrap_or(Outcome::None)
    }
}

impl Subject for Record {
    fn route(&self) -> RouteId {
        let label = self.label.get();
        label.map_or(RouteId::default(), |label| label.id)
    }

    fn client(&self) -> IpAddr {
        self.asked.client
    }

    fn show(&self, look: &mut dyn FnMut(&Sketch<'_>)) {
        let backend = self.backend.lock().expect("no holder panics");
        let backend = backend.as_ref().map(|service| Arc::clone(&service.backend));
        look(&Sketch {
            client: self.asked.client,
            host: &self.asked.host,
            path: &self.asked.path,
            route: self.route_name().unwrap_or_default(),
            pool: self.pool_name().unwrap_or_default(),
            backend: backend.as_ref().map_or("", |backend| backend.name()),
            affinity: self.affinity().name(),
            age: self.arrived.elapsed(),
        });
    }
}

pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
