//! One request, from arrival to response.

pub mod access;
mod admission;
mod body;
mod caching;
mod claims;
pub mod client;
pub mod counts;
mod forward;
mod handshake;
mod headers;
mod later;
mod live;
mod login;
pub mod moving;
mod pace;
mod patience;
mod presence;
mod reconnect;
mod reply;
mod route;
mod switch;
mod target;
mod terms;
mod upgrade;
mod via;

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use http::{Request, StatusCode, header::UPGRADE, request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    sync::{Mutex, watch},
    time::sleep,
};
use tracing::debug;

use self::{
    access::Record,
    client::Client,
    counts::Counts,
    moving::Residence,
    presence::Attended,
    reply::Unanswered,
    route::{Pools, Route},
    target::Target,
    terms::Terms,
};
pub use self::{login::Logins, presence::Awaited};
use crate::{
    config::Config,
    pool::{Pool, affinity::Asker},
    stream::Stream,
    tunnel::registry::Registry,
};

/// What all connections of a process share: the terms that requests are served under, which a reload
/// changes, and the tunnels.
#[derive(Debug)]
pub struct Proxy {
    terms: ArcSwap<Terms>,
    pools: Pools,
}

/// A client's connection, until it or the tunnel that it became has ended.
pub struct Connection {
    /// Where it came from.
    pub peer: SocketAddr,
    /// Whether it came over TLS.
    pub over_tls: bool,
    /// The number of the worker that it lives on.
    pub worker: usize,
    /// What is given back when it has ended.
    pub residence: Arc<dyn Residence>,
    /// The connections to backends that its client has logged in over; none at first.
    pub logins: Arc<Logins>,
    /// What its client waits for; nothing at first.
    pub awaited: Arc<Awaited>,
}

/// How long a connection without a request is kept when the server stops: the client may have sent
/// one already, which nobody would answer.
pub const LAST_CALL: Duration = Duration::from_secs(1);

/// A request that has been read and checked.
struct Arrival<'r> {
    connection: &'r Arc<Connection>,
    client: &'r Client,
    target: Target,
    record: &'r Arc<Record>,
}

/// A request that has found its route.
struct Exchange<'r> {
    terms: &'r Terms,
    arrival: Arrival<'r>,
    route: &'r Arc<Route>,
}

impl Proxy {
    /// A proxy with the routes of `config` to `pools`, which stand in the configuration's order, and
    /// of which a reload puts others in their place.
    #[must_use]
    pub fn new(
        config: &Config,
        pools: &Arc<ArcSwap<Vec<Arc<Pool>>>>,
        registry: Arc<Registry>,
    ) -> Self {
        let terms = Terms::new(config, &pools.load(), pools, registry, Arc::default());
        Self {
            terms: ArcSwap::from_pointee(terms),
            pools: Arc::clone(pools),
        }
    }

    /// Has all requests that come from now on served as `config` says, whose pools are `pools`.
    pub fn reload(&self, config: &Config, pools: &[Arc<Pool>]) {
        let terms = Terms::after(&self.terms.load(), config, pools, &self.pools);
        let counts = Arc::clone(&terms.counts);
        self.terms.store(Arc::new(terms));
        counts.forget_unused();
    }

    /// What was counted of requests and tunnels, by route.
    #[must_use]
    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.terms.load().counts)
    }

    /// Forgets clients that have not come for a while, and tells the log of crowds that are over.
    /// To be called now and then.
    pub fn forget_expired(&self) {
        self.terms.load().admission.settle();
    }

    /// Serves the requests on a client's connection until it ends, or, once `stopping` changes,
    /// until the one under way is answered, or one that was on its way already.
    pub async fn serve(
        self: Arc<Self>,
        stream: Stream,
        connection: Connection,
        mut stopping: watch::Receiver<()>,
    ) {
        let connection = Arc::new(connection);
        let peer = connection.peer;
        // For what is asked before there is a request; each request has its own.
        let Terms {
            timeouts, limits, ..
        } = **self.terms.load();
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(timeouts.request_head)
            .max_buf_size(limits.request_head)
            .max_header_size(limits.request_head)
            .max_headers(limits.request_headers)
            // The end of the client's side is seen to below hyper, where unread bytes hide nothing.
            .half_close(true);
        let (stall, half_closed) = (timeouts.stall, timeouts.half_closed);
        let stream = Attended::new(stream, stall, half_closed, &connection.awaited);
        let switching = Arc::new(Mutex::new(()));
        let may_stop = Arc::clone(&switching);
        let is_last = Arc::new(AtomicBool::new(false));
        let is_leaving = Arc::clone(&is_last);
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, connection) = (Arc::clone(&self), Arc::clone(&connection));
            let (switching, is_last) = (Arc::clone(&switching), Arc::clone(&is_last));
            async move {
                let _switching = match request.headers().get(UPGRADE) {
                    Some(_) => Some(switching.lock().await),
                    None => None,
                };
                connection.awaited.answer();
                let terms = proxy.terms.load_full();
                let mut response = terms.answer(request, &connection).await;
                if response.status() != StatusCode::SWITCHING_PROTOCOLS {
                    connection.awaited.answer();
                    if is_last.load(Relaxed) {
                        headers::announce_close(response.headers_mut());
                    }
                }
                match response.extensions().get::<Unanswered>() {
                    Some(unanswered) => Err(*unanswered),
                    None => Ok(response),
                }
            }
        });
        let served = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut served = pin!(served);
        let stop = async {
            // An error says the same: the server is gone.
            let _ = stopping.changed().await;
            is_leaving.store(true, Relaxed);
            sleep(LAST_CALL).await;
            // From then on hyper writes `Connection: close` into its answers; in a 101 many clients
            // take `Upgrade` alone.
            drop(may_stop.lock().await);
        };
        let ended = tokio::select! {
            ended = served.as_mut() => ended,
            () = stop => {
                served.as_mut().graceful_shutdown();
                served.await
            }
        };
        if let Err(error) = ended {
            debug!(%peer, %error, "a client's connection ended early");
        }
    }
}

impl Exchange<'_> {
    fn asker<'r>(&self, request: &'r request::Parts) -> Asker<'r> {
        Asker {
            ip: self.arrival.client.ip(),
            over_tls: self.arrival.client.is_over_tls(),
            headers: &request.headers,
            uri: &request.uri,
        }
    }
}
