//! One request, from arrival to response.

pub mod access;
mod admission;
mod body;
mod client;
mod forward;
mod handshake;
mod headers;
mod later;
mod patience;
mod reconnect;
mod reply;
mod route;
mod target;
mod upgrade;

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc};

use http::{Request, Response, header::UPGRADE, request};
use hyper::{
    body::{Body, Incoming},
    server::conn::http1,
    service::service_fn,
    upgrade::OnUpgrade,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::{Mutex, watch};
use tracing::{debug, warn};

use self::{
    access::{AccessLog, Record},
    admission::Admission,
    body::ReplyBody,
    client::Client,
    later::RetryAfter,
    patience::Patience,
    reply::Rejection,
    route::{Route, Routes},
    target::Target,
};
use crate::{
    config::{Config, Limits, Timeouts, TrustedProxies},
    pool::{Pool, affinity::Asker},
    stream::Stream,
    tunnel::registry::Registry,
    websocket::handshake::Offer,
};

/// What all connections of a process share: where requests go, and under which policies.
#[derive(Debug)]
pub struct Proxy {
    routes: Routes,
    registry: Arc<Registry>,
    trusted: TrustedProxies,
    admission: Admission,
    retry_after: RetryAfter,
    timeouts: Timeouts,
    limits: Limits,
    access: AccessLog,
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
    pub permit: Arc<dyn Send + Sync>,
}

/// A request that has been read and checked.
struct Arrival<'r> {
    connection: &'r Arc<Connection>,
    client: Client,
    target: Target,
    record: &'r Arc<Record>,
}

/// A request that has found its route.
struct Exchange<'r> {
    proxy: &'r Proxy,
    arrival: Arrival<'r>,
    route: &'r Arc<Route>,
}

impl Proxy {
    /// A proxy with the routes of `config` to `pools`, which stand in the configuration's order.
    #[must_use]
    pub fn new(config: &Config, pools: &[Arc<Pool>], registry: Arc<Registry>) -> Self {
        Self {
            routes: Routes::new(config, pools),
            registry,
            trusted: config.server.trusted_proxies.clone(),
            admission: Admission::new(&config.admission),
            retry_after: RetryAfter::from(config.admission.retry_after),
            timeouts: config.timeouts,
            limits: config.limits,
            access: AccessLog::new(&config.log),
        }
    }

    /// Forgets clients that have not come for a while, and tells the log of crowds that are over.
    /// To be called now and then.
    pub fn forget_expired(&self) {
        self.admission.settle();
    }

    /// Serves the requests on a client's connection until it ends, or, once `stopping` changes,
    /// until the one under way is answered.
    pub async fn serve(
        self: Arc<Self>,
        stream: Stream,
        connection: Connection,
        mut stopping: watch::Receiver<()>,
    ) {
        let connection = Arc::new(connection);
        let peer = connection.peer;
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new())
            .header_read_timeout(self.timeouts.request_head)
            .max_buf_size(self.limits.request_head)
            .max_header_size(self.limits.request_head)
            .max_headers(self.limits.request_headers);
        let stream = Patience::with(stream, self.timeouts.stall);
        let switching = Arc::new(Mutex::new(()));
        let may_stop = Arc::clone(&switching);
        let service = service_fn(move |request: Request<Incoming>| {
            let (proxy, connection) = (Arc::clone(&self), Arc::clone(&connection));
            let switching = Arc::clone(&switching);
            async move {
                let _switching = match request.headers().get(UPGRADE) {
                    Some(_) => Some(switching.lock().await),
                    None => None,
                };
                Ok::<_, Infallible>(proxy.answer(request, &connection).await)
            }
        });
        let served = http
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        let mut served = pin!(served);
        let stop = async {
            // An error says the same: the server is gone.
            let _ = stopping.changed().await;
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

    /// The response to a request, whatever becomes of it.
    async fn answer(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> Response<ReplyBody> {
        let (parts, body) = request.into_parts();
        let keeps_body_back = headers::expects_continue(&parts.headers) && !body.is_end_stream();
        let client = Client::of(
            connection.peer,
            connection.over_tls,
            &parts.headers,
            &self.trusted,
        );
        let target = Target::of(&parts);
        let host = target.as_ref().map_or("", Target::host);
        let record = self.access.request(&parts, &client, host);
        let answered = match target {
            Ok(target) => {
                let arrival = Arrival {
                    connection,
                    client,
                    target,
                    record: &record,
                };
                self.dispatch(parts, body, arrival).await
            }
            Err(rejection) => Err(rejection),
        };
        answered.unwrap_or_else(|rejection| {
            let mut response = rejected(&rejection, &client, &record);
            if rejection.is_for_now() {
                self.retry_after.write(response.headers_mut());
            }
            if keeps_body_back {
                // Whether the body comes now, nobody can know.
                headers::announce_close(response.headers_mut());
            }
            response
        })
    }

    async fn dispatch(
        &self,
        parts: request::Parts,
        body: Incoming,
        arrival: Arrival<'_>,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let offer = Offer::of(&parts)?;
        let route = self.routes.find(arrival.target.host(), parts.uri.path());
        let route = route.ok_or(Rejection::NoRoute)?;
        arrival.record.routed(route);
        let exchange = Exchange {
            proxy: self,
            arrival,
            route,
        };
        match offer {
            Some(offer) => {
                let client = parts.extensions.get::<OnUpgrade>().cloned();
                let answered = exchange.upgrade(parts, &offer).await;
                answered.or_else(|rejection| exchange.refuse(rejection, &offer, client))
            }
            None => exchange.forward(parts, body).await,
        }
    }
}

impl Exchange<'_> {
    fn asker<'r>(&self, request: &'r request::Parts) -> Asker<'r> {
        Asker {
            ip: self.arrival.client.ip(),
            over_tls: self.arrival.connection.over_tls,
            headers: &request.headers,
            uri: &request.uri,
        }
    }
}

/// Our own response to a request that no backend has answered.
fn rejected(rejection: &Rejection, client: &Client, record: &Record) -> Response<ReplyBody> {
    if rejection.is_ours() {
        warn!(client = %client.ip(), error = %rejection, "a request failed");
    }
    let response = rejection.response();
    let bytes = response.body().size_hint().lower();
    record.answered(response.status(), bytes, true);
    response.map(ReplyBody::Own)
}
