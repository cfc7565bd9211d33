//! Another backend for a tunnel that has lost its own: the client's handshake is repeated.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{HeaderMap, Request, request};
use serde::{Deserialize, Serialize};
use tokio::time::{sleep, timeout};
use tracing::debug;

use super::{
    Exchange,
    access::Record,
    handshake::{Answer, answer, seen_in_answer, seen_in_failure, seen_in_grant},
    moving::Headers,
    reply::Rejection,
    route::Label,
    upgrade::{backend_end, granted},
};
use crate::{
    config::OnBackendLoss,
    pool::{
        Pool,
        affinity::Asker,
        backend::{Backend, Lease, Use},
        outlier::Seen,
    },
    stream::Stream,
    tunnel::{End, Found, Rescue},
    websocket::handshake::{Agreed, Offer},
};

/// How long backends that fail for the moment are left alone before they are tried again: about a
/// second, and for no two tunnels the same time.
fn pause() -> Duration {
    Duration::from_secs(1).mul_f64(rand::random_range(0.5..=1.5))
}

/// A tunnel's way to another backend. Holds the use of the one that it has.
pub(super) struct Reconnect {
    replay: Arc<Replay>,
    record: Arc<Record>,
    backend: Arc<Backend>,
    /// `None` while another is looked for.
    lease: Option<Lease>,
    search: Option<Search>,
}

/// A search under way.
type Search = Pin<Box<dyn Future<Output = Option<Taken>> + Send>>;

/// A backend that goes on where the lost one ended, in use.
struct Taken {
    lease: Lease,
    end: End<Stream>,
}

/// A handshake that can be repeated, and what has come of it.
pub(super) struct Replay {
    /// As backends get it.
    head: request::Parts,
    offer: Offer,
    agreed: Agreed,
    pub(super) ip: IpAddr,
    over_tls: bool,
    /// The pool that it is repeated in.
    label: Arc<Label>,
    /// How long connecting to a backend may take.
    connect: Duration,
    /// How long a search may take.
    limit: Duration,
    /// How much is kept of what the client sends meanwhile.
    pub(super) buffer: usize,
}

/// The same as it is written down. What was offered stands in the head.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Script {
    uri: String,
    headers: Headers,
    /// Headers of an answer that agrees on the same.
    agreed: Headers,
    ip: IpAddr,
    over_tls: bool,
    #[serde(default)]
    connect: Option<Duration>,
    limit: Duration,
    buffer: usize,
}

/// Why a round over the backends has found none.
enum Failure {
    /// One of them could not answer now.
    ForNow,
    /// All of them have answered, and none goes on as the lost one did.
    ForGood,
}

impl Exchange<'_> {
    /// What a tunnel has to keep so that it can be reconnected, if its route wants that.
    pub(super) fn replay(&self, head: &request::Parts, offer: &Offer) -> Option<Replay> {
        match self.route.on_backend_loss {
            OnBackendLoss::Close => None,
            OnBackendLoss::Reconnect { buffer } => Some(Replay {
                head: head.clone(),
                offer: offer.clone(),
                agreed: Agreed::default(),
                ip: self.arrival.client.ip(),
                over_tls: self.arrival.client.is_over_tls(),
                label: Arc::clone(&self.route.label),
                connect: self.route.timeouts.connect,
                limit: self.route.timeouts.handshake,
                buffer,
            }),
        }
    }
}

impl Replay {
    /// The same with what the backend's answer agreed on; `None` if no other could go on from there.
    pub(super) fn agreed(self, agreed: Agreed) -> Option<Self> {
        agreed
            .lets_client_change_endpoint()
            .then_some(Self { agreed, ..self })
    }

    pub(super) fn write_down(&self) -> Script {
        let mut agreed = HeaderMap::new();
        self.agreed.write(&mut agreed);
        Script {
            uri: self.head.uri.to_string(),
            headers: Headers::of(&self.head.headers),
            agreed: Headers::of(&agreed),
            ip: self.ip,
            over_tls: self.over_tls,
            connect: Some(self.connect),
            limit: self.limit,
            buffer: self.buffer,
        }
    }

    /// Looks for a backend in place of `lost`, which is tried last.
    async fn find(self: Arc<Self>, lost: Arc<Backend>) -> Option<Taken> {
        let search = async {
            loop {
                match self.ask_all(&lost).await {
                    Ok(found) => return Some(found),
                    Err(Failure::ForGood) => return None,
                    Err(Failure::ForNow) => sleep(pause()).await,
                }
            }
        };
        timeout(self.limit, search).await.ok().flatten()
    }

    /// Asks one backend after the other until one agrees.
    async fn ask_all(&self, lost: &Arc<Backend>) -> Result<Taken, Failure> {
        // Under this name there may be another version of it than when the tunnel began, or none.
        let pool = self.label.pool.now().ok_or(Failure::ForGood)?;
        let asker = Asker {
            ip: self.ip,
            over_tls: self.over_tls,
            headers: &self.head.headers,
            uri: &self.head.uri,
        };
        // Those that lose their backend together are a crowd too.
        let _pass = pool.admit().await.map_err(|_| Failure::ForNow)?;
        let mut selection = pool.select(&asker, Use::Tunnel).avoiding(lost);
        let mut failure = None;
        while let Some(lease) = selection.next() {
            // Or else one that hangs would leave the others no time.
            match self.ask_in_time(&pool, lease.backend()).await {
                Ok(Some(end)) => {
                    let lease = selection.settle(lease).lease;
                    return Ok(Taken { lease, end });
                }
                Ok(None) => failure = failure.or(Some(Failure::ForGood)),
                Err(error) => {
                    debug!(%error, backend = lease.backend().name(), "trying the next backend");
                    failure = Some(Failure::ForNow);
                }
            }
        }
        match failure {
            Some(failure) if !selection.was_held_back() => Err(failure),
            _ => Err(Failure::ForNow),
        }
    }

    /// The same as [`ask_one`](Self::ask_one), once the backend has let it in, within half of the
    /// time.
    async fn ask_in_time(
        &self,
        pool: &Pool,
        backend: &Backend,
    ) -> Result<Option<End<Stream>>, Rejection> {
        let _pass = backend.admit().await?;
        let asked = timeout(self.limit / 2, self.ask_one(pool, backend)).await;
        asked.unwrap_or_else(|_| {
            pool.note(backend, Seen::Silent, self.ip);
            Err(Rejection::TimedOut)
        })
    }

    /// The way to a backend that agrees on what was agreed on before; `None` if it does not.
    async fn ask_one(
        &self,
        pool: &Pool,
        backend: &Backend,
    ) -> Result<Option<End<Stream>>, Rejection> {
        let stream = pool.connect(backend, self.ip, self.connect).await?;
        let limits = pool.answer_limits();
        let answered = answer(stream, self.head.clone(), limits).await;
        let note = |seen| pool.note(backend, seen, self.ip);
        let Answer {
            response,
            connection,
        } = answered.inspect_err(|error| note(seen_in_failure(error)))?;
        let status = response.status();
        if let Some(seen) = seen_in_answer(status) {
            note(seen);
            return match seen {
                Seen::Erred => Err(Rejection::Unwilling(status)),
                _ => Ok(None),
            };
        }
        let granted = granted(response, &self.offer);
        note(seen_in_grant(&granted));
        let (answer, socket) = granted?;
        if Agreed::on(answer.headers()) != self.agreed {
            return Ok(None);
        }
        connection.let_go();
        Ok(Some(backend_end(socket.await?)))
    }
}

impl Script {
    /// The handshake to a backend of the pool on that label; `None` if it is not one.
    pub(super) fn replay(&self, label: &Arc<Label>) -> Option<Replay> {
        let (mut head, ()) = Request::get(&self.uri).body(()).ok()?.into_parts();
        head.headers = self.headers.read()?;
        Some(Replay {
            offer: Offer::of(&head).ok().flatten()?,
            head,
            agreed: Agreed::on(&self.agreed.read()?),
            ip: self.ip,
            over_tls: self.over_tls,
            label: Arc::clone(label),
            connect: self.connect.unwrap_or(self.limit / 2),
            limit: self.limit,
            buffer: self.buffer,
        })
    }
}

impl Reconnect {
    /// The way on from the backend that `lease` is for.
    pub(super) fn new(replay: &Arc<Replay>, record: &Arc<Record>, lease: Lease) -> Box<Self> {
        Box::new(Self {
            replay: Arc::clone(replay),
            record: Arc::clone(record),
            backend: Arc::clone(lease.backend()),
            lease: Some(lease),
            search: None,
        })
    }
}

impl Rescue<Stream> for Reconnect {
    fn begin(&mut self) {
        self.record.lost(Duration::ZERO);
        self.lease = None;
        let replay = Arc::clone(&self.replay);
        self.search = Some(Box::pin(replay.find(Arc::clone(&self.backend))));
    }

    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Option<Found<Stream>>> {
        let Some(search) = &mut self.search else {
            return Poll::Ready(None);
        };
        let found = ready!(search.as_mut().poll(cx));
        self.search = None;
        Poll::Ready(found.map(|Taken { lease, end }| {
            let backend = Arc::clone(lease.backend());
            self.record.tunnel_moved(&self.backend, &backend);
            self.backend = backend;
            self.lease = Some(lease);
            let backend = self.backend.id();
            Found { end, backend }
        }))
    }
}
