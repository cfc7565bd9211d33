//! What of a record goes along with a tunnel to another process.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, OnceLock, atomic::AtomicBool},
    time::Duration,
};

use http::Method;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{
    AccessLog, MOST, MOST_OF_HOST, Record, cut,
    record::{Asked, Service, millis},
};
use crate::{
    config::BackendAddress,
    pool::{affinity::Outcome, backend::Backend},
    proxy::route::Label,
};

/// What is written down of a tunnel's record, so that its events go on in another process.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::proxy) struct Past {
    asked: AskedThen,
    /// How long ago the request arrived.
    age: Duration,
    pub(in crate::proxy) route: String,
    pub(in crate::proxy) pool: String,
    pub(in crate::proxy) backend: BackendAddress,
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

impl AccessLog {
    /// The record of a tunnel that comes from another process.
    pub(in crate::proxy) fn resume(
        self,
        past: &Past,
        label: Arc<Label>,
        backend: &Arc<Backend>,
    ) -> Arc<Record> {
        let now = Instant::now();
        let asked = &past.asked;
        label.counts.came(backend.name());
        let since = past.age.saturating_sub(past.served_for);
        Arc::new(Record {
            asked: Box::new(Asked {
                client: asked.client,
                method: Method::GET,
                host: cut(&asked.host, MOST_OF_HOST).into(),
                path: cut(&asked.path, MOST).into(),
                query: asked
                    .query
                    .as_deref()
                    .filter(|_| self.with_query)
                    .map(|query| cut(query, MOST).into()),
            }),
            is_logged: self.is_wanted,
            is_handshake: AtomicBool::new(true),
            arrived: now.checked_sub(past.age).unwrap_or(now),
            is_counted: AtomicBool::new(false),
            has_share: AtomicBool::new(label.of_clients.take_beyond(asked.client)),
            label: label.into(),
            backend: Mutex::new(Some(Service {
                backend: Arc::clone(backend),
                since: Some(millis(since)),
            })),
            affinity: past.affinity.into(),
            tunnel: OnceLock::new(),
            has_ended: AtomicBool::new(false),
        })
    }
}

impl Record {
    /// The tunnel has this number here.
    pub(in crate::proxy) fn goes_on_as(&self, tunnel: u64) {
        self.tunnel.get_or_init(|| tunnel);
    }

    /// What goes along with a tunnel that has a backend.
    pub(in crate::proxy) fn write_down(&self) -> Option<Past> {
        let service = self.backend.lock().expect("no holder panics");
        let service = service.as_ref()?;
        let since = Duration::from_millis(service.since?.into());
        let label = self.label.get()?;
        let age = self.arrived.elapsed();
        Some(Past {
            asked: AskedThen {
                client: self.asked.client,
                host: self.asked.host.clone(),
                path: self.asked.path.clone(),
                query: self.asked.query.clone(),
            },
            age,
            route: label.route.to_string(),
            pool: label.pool.name().to_owned(),
            backend: service.backend.address().clone(),
            served_for: age.saturating_sub(since),
            affinity: self.affinity(),
        })
    }
}
