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
    pool::{affinity::Outcome, backend::Backend, outlier::Seen},
    proxy::route::{Label, Route},
};

/// What access events say of a request or of the tunnel that it became.
#[derive(Debug)]
pub(in crate::proxy) struct Record {
    /// `None` if no event is wanted: then it need not be kept.
    pub(super) asked: Option<Box<Asked>>,
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
    pub(in crate::proxy) fn routed(&self, route: &Arc<Route>) {
        self.label.get_or_init(|| Arc::clone(&route.label));
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
                pool.note(member, Seen::Lost(age));
            }
        }
    }

    /// Milliseconds since the request's arrival.
    fn millis(&self) -> u32 {
        millis(self.arrived.elapsed())
    }

    pub(super) fn affinity(&self) -> Outcome {
        self.affinity.get().copied().unwrap_or(Outcome::None)
    }
}

pub(super) fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
