//! What requests are served under: the routes and policies of one configuration.

use std::sync::Arc;

use http::{Request, Response, Uri, request};
use hyper::{
    body::{Body, Incoming},
    upgrade::OnUpgrade,
};
use tracing::warn;

use super::{
    Arrival, Connection, Exchange,
    access::{AccessLog, Record},
    admission::Admission,
    body::ReplyBody,
    client::Client,
    counts::{Counts, RouteCounts},
    headers,
    later::RetryAfter,
    reply::Rejection,
    route::{Pools, Routes},
    target::Target,
    via::Via,
};
use crate::{
    config::{Config, Limits, Timeouts, TrustedProxies},
    pool::Pool,
    tunnel::registry::Registry,
    websocket::handshake::Offer,
};

/// The routes and policies of one configuration. A request is served under the same from its arrival
/// to its response; a tunnel takes along what it needs of them.
#[derive(Debug)]
pub(super) struct Terms {
    pub(super) routes: Routes,
    /// Those too that no route leads to.
    pub(super) pools: Box<[Arc<Pool>]>,
    pub(super) registry: Arc<Registry>,
    trusted: TrustedProxies,
    /// What tells this proxy from all others, whatever its configuration is.
    token: u64,
    pub(super) via: Option<Via>,
    pub(super) admission: Arc<Admission>,
    pub(super) retry_after: RetryAfter,
    pub(super) timeouts: Timeouts,
    pub(super) limits: Limits,
    pub(super) access: AccessLog,
    pub(super) counts: Arc<Counts>,
    /// What is counted of requests that find no route.
    pub(super) nowhere: Arc<RouteCounts>,
}

impl Terms {
    /// The terms of `config`, whose pools are `pools`, in its order, of which there are others in
    /// `now` after a reload.
    pub(super) fn new(
        config: &Config,
        pools: &[Arc<Pool>],
        now: &Pools,
        registry: Arc<Registry>,
        counts: Arc<Counts>,
    ) -> Self {
        let token = rand::random();
        counts.of_clients.set(config.limits.tunnels_per_client);
        Self {
            routes: Routes::new(config, pools, now, &registry, &counts),
            nowhere: counts.nowhere(),
            counts,
            pools: pools.into(),
            registry,
            trusted: config.server.trusted_proxies.clone(),
            token,
            via: via(config, token),
            admission: Admission::new(&config.admission),
            retry_after: RetryAfter::from(config.admission.retry_after),
            timeouts: config.timeouts,
            limits: config.limits,
            access: AccessLog::new(&config.log),
        }
    }

    /// The terms of `config` in place of those `before`: who waits to be let in, waits on.
    pub(super) fn after(before: &Self, config: &Config, pools: &[Arc<Pool>], now: &Pools) -> Self {
        let registry = Arc::clone(&before.registry);
        let mut terms = Self::new(config, pools, now, registry, Arc::clone(&before.counts));
        terms.token = before.token;
        terms.via = via(config, before.token);
        terms.admission = Admission::after(&before.admission, &config.admission);
        terms
    }

    /// The response to a request, whatever becomes of it.
    pub(super) async fn answer(
        &self,
        request: Request<Incoming>,
        connection: &Arc<Connection>,
    ) -> Response<ReplyBody> {
        let (parts, body) = request.into_parts();
        let keeps_body_back = headers::expects_continue(&parts.headers) && !body.is_end_stream();
        let target = bounded(&parts.uri, self.limits.uri).and_then(|()| Target::of(&parts));
        let client = Client::new(
            connection.peer,
            connection.over_tls,
            target.as_ref().map_or("", Target::authority),
            &parts.headers,
            &self.trusted,
        );
        let host = target.as_ref().map_or("", Target::host);
        let record = self.access.request(&parts, &client, host);
        let answered = match target {
            Ok(target) => {
                let arrival = Arrival {
                    connection,
                    client: &client,
                    target,
                    record: &record,
                };
                self.dispatch(parts, body, arrival).await
            }
            Err(rejection) => Err(rejection),
        };
        answered.unwrap_or_else(|rejection| {
            record.refused(rejection.reason(), rejection.status(), &self.nowhere);
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
        if self
            .via
            .as_ref()
            .is_some_and(|via| via.is_in(&parts.headers))
        {
            return Err(Rejection::Loop);
        }
        let offer = Offer::of(&parts);
        if !matches!(offer, Ok(None)) {
            arrival.record.asks_for_websocket();
        }
        let offer = offer?;
        let route = self.routes.find(arrival.target.host(), parts.uri.path())?;
        arrival.record.routed(route);
        let exchange = Exchange {
            terms: self,
            arrival,
            route,
        };
        match offer {
            Some(offer) => {
                exchange.arrival.connection.awaited.tunnel();
                let client = parts.extensions.get::<OnUpgrade>().cloned();
                let answered = exchange.upgrade(parts, &offer).await;
                answered.or_else(|rejection| exchange.refuse(rejection, &offer, client))
            }
            None => match exchange.asks_to_switch(&parts) {
                Some(protocol) => {
                    exchange.arrival.record.asks_for_websocket();
                    exchange.switch(parts, body, protocol).await
                }
                None => exchange.forward(parts, body).await,
            },
        }
    }
}

/// The element of `Via` that `config` asks for.
fn via(config: &Config, token: u64) -> Option<Via> {
    config.server.via.as_ref().map(|name| Via::new(name, token))
}

/// # Errors
/// If a target has more than `most` bytes.
fn bounded(target: &Uri, most: usize) -> Result<(), Rejection> {
    let path = target
        .path_and_query()
        .map_or(0, |path| path.as_str().len());
    let elsewhere = target.authority().map_or(0, |host| host.as_str().len());
    if path + elsewhere > most {
        return Err(Rejection::UriTooLong);
    }
    Ok(())
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
