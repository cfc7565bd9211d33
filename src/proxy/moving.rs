//! Live tunnels on their way to another process, and their arrival there.

use std::{fmt, io, net::IpAddr, os::fd::OwnedFd, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use tracing::debug;

use super::{
    Proxy,
    access::Past,
    live::{Live, Tie},
    reconnect::{Reconnect, Replay, Script},
    route::{Label, Pools},
    terms::Terms,
};
use crate::{
    pool::backend::{Backend, Lease},
    stream::Stream,
    tunnel::{
        Policy, Tunnel,
        moving::{Base64, State},
        registry::FormerPlace,
    },
};

/// What a client's connection keeps until it, or the tunnel that it became, has ended.
pub trait Residence: Send + Sync {
    /// Its tunnel leaves. Tunnels are only to be told to if somebody takes them.
    fn send_off(self: Arc<Self>, parcel: Parcel);
}

/// A live tunnel that nobody serves: it is on its way.
#[derive(Debug)]
pub struct Parcel {
    /// The client's socket.
    pub client: OwnedFd,
    /// The backend's socket.
    pub backend: OwnedFd,
    /// All else.
    pub dossier: Box<Dossier>,
}

/// What a tunnel is but for its sockets.
///
/// Who writes and who reads may be of different versions: what is unknown is passed over, and what
/// comes to be added must have a default.
#[derive(Debug, Serialize, Deserialize)]
pub struct Dossier {
    pub(super) place: FormerPlace,
    pub(super) policy: Policy,
    pub(super) state: State,
    pub(super) past: Past,
    /// The client, if its pool may remember which backend it has.
    #[serde(default)]
    pub(super) remembered: Option<IpAddr>,
    /// What it takes to go on with another backend, where that is wanted.
    #[serde(default)]
    pub(super) reconnect: Option<Script>,
}

/// Headers as they are written down. Their `Debug` does not show what they say.
#[derive(Serialize, Deserialize)]
pub(super) struct Headers(Vec<(String, Base64<Vec<u8>>)>);

/// Why a tunnel cannot go on here.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// What should be a socket is none.
    #[error("its sockets are none")]
    Socket,
    /// There is no such pool.
    #[error("its pool is unknown")]
    Pool,
    /// The pool has no such backend.
    #[error("its backend is unknown")]
    Backend,
    /// What is to be repeated for another backend cannot be.
    #[error("the handshake to repeat is not one")]
    Handshake,
}

/// What a tunnel goes on with.
struct Means {
    backend: Arc<Backend>,
    /// Counts it before the other process is told that it may end.
    lease: Lease,
    label: Arc<Label>,
    /// The handshake to repeat, if it may be.
    replay: Option<Arc<Replay>>,
}

/// A tunnel from another process that could go on here. Nothing is read from its sockets or written
/// to them before it does; dropped, it leaves them as they are.
pub struct Newcomer {
    terms: Arc<Terms>,
    parcel: Parcel,
    means: Means,
}

impl Proxy {
    /// Lets a tunnel in that comes from another process.
    ///
    /// # Errors
    /// If it cannot go on here, it is given back as it came, with the reason.
    pub fn admit(&self, parcel: Parcel) -> Result<Newcomer, (Parcel, Unfit)> {
        let terms = self.terms.load_full();
        match terms.means(&parcel, &self.pools) {
            Ok(means) => Ok(Newcomer {
                terms,
                parcel,
                means,
            }),
            Err(reason) => Err((parcel, reason)),
        }
    }
}

impl Terms {
    fn means(&self, parcel: &Parcel, now: &Pools) -> Result<Means, Unfit> {
        if ![&parcel.client, &parcel.backend]
            .into_iter()
            .all(Stream::can_be)
        {
            return Err(Unfit::Socket);
        }
        let Dossier {
            past, reconnect, ..
        } = &*parcel.dossier;
        let mut pools = self.pools.iter();
        let pool = pools.find(|pool| pool.name() == past.pool);
        let pool = pool.ok_or(Unfit::Pool)?;
        let name = self.registry.route(&past.route);
        let label = self.routes.label(name, pool, now, &self.counts);
        let replay = reconnect.as_ref().map(|script| {
            let replay = script.replay(&label).ok_or(Unfit::Handshake)?;
            Ok::<_, Unfit>(Arc::new(replay))
        });
        let backend = pool.find(&past.backend).ok_or(Unfit::Backend)?;
        let replay = replay.transpose()?;
        let lease = pool.resume(&backend, parcel.dossier.remembered);
        Ok(Means {
            backend,
            lease,
            label,
            replay,
        })
    }
}

impl fmt::Debug for Newcomer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Newcomer")
            .field("parcel", &self.parcel)
            .finish_non_exhaustive()
    }
}

impl Newcomer {
    /// Goes on. To be called on the runtime of the worker with that number.
    ///
    /// # Errors
    /// If a socket cannot be used. Then the tunnel is lost.
    pub fn go_on(self, worker: usize, residence: Arc<dyn Residence>) -> io::Result<()> {
        let Self {
            terms,
            parcel,
            means,
        } = self;
        let Means {
            backend,
            lease,
            label,
            replay,
        } = means;
        let Dossier { past, state, .. } = &*parcel.dossier;
        let client_socket = Stream::of_descriptor(parcel.client)?;
        let backend_socket = Stream::of_descriptor(parcel.backend)?;
        let place = &parcel.dossier.place;
        let record = terms.access.resume(past, label, &backend);
        let subject = Arc::clone(&record) as _;
        let registry = &terms.registry;
        let place = registry.enter_again(worker, backend.id(), place, Some(subject));
        record.goes_on_as(place.id());
        let policy = terms.routes.policy(&parcel.dossier.policy);
        let tunnel = Tunnel::resume(client_socket, backend_socket, policy, place, state);
        debug!(tunnel = tunnel.id(), "a tunnel goes on here");
        let live = match replay {
            None => Live::new(tunnel, Tie::Lease(lease), record, residence),
            Some(replay) => {
                let reconnect = Reconnect::new(&replay, &record, lease);
                let tunnel = tunnel.rescued_again_by(reconnect, replay.buffer, state);
                Live::new(tunnel, Tie::Replay(replay), record, residence)
            }
        };
        tokio::spawn(live);
        Ok(())
    }
}

impl Dossier {
    /// The number that the tunnel has had.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.place.number()
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.0.iter().map(|(name, _)| name);
        f.debug_list().entries(names).finish()
    }
}

impl Headers {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let written = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), Base64(value.as_bytes().to_vec()))
        };
        Self(headers.iter().map(written).collect())
    }

    /// The same headers; `None` if they are none.
    pub(super) fn read(&self) -> Option<HeaderMap> {
        let read = |(name, value): &(String, Base64<Vec<u8>>)| {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            Some((name, HeaderValue::from_bytes(&value.0).ok()?))
        };
        let mut headers = HeaderMap::new();
        for header in &self.0 {
            let (name, value) = read(header)?;
            headers.append(name, value);
        }
        Some(headers)
    }
}
