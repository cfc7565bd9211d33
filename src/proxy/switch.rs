//! Other protocols than WebSocket, where a route lets connections switch to them: asked of a
//! backend, its 101 checked, a tunnel started whose bytes mean nothing to us.
//!
//! All that holds for a WebSocket handshake holds here: the same gates, the same choice of a backend,
//! nothing of the client's behind its request before the backend's checked 101. Such a request may
//! have a body, though, and cause something, so it is sent to one backend alone.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{
    HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{CONNECTION, CONTENT_LENGTH, EXPECT, SET_COOKIE, TE, TRAILER, UPGRADE},
    request,
};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::{
    Exchange,
    body::{Carrier, ReplyBody},
    handshake::{Answer, answer_to, seen_in_failure},
    headers,
    live::{Live, Tie},
    reply::Rejection,
    upgrade::{backend_end, client_end},
};
use crate::{
    pool::{
        Selection,
        admission::{Crowded, Kind, Scope},
        backend::{Lease, Use},
        idle::RequestBody,
        outlier::Seen,
    },
    tunnel::Tunnel,
    websocket::handshake::{has_token, switches_to, tokens},
};

/// The body of a request to switch is read before a backend is chosen, so that its end is certain
/// when what follows it becomes the tunnel's.
const MAX_BODY: usize = 64 * 1024;

impl Exchange<'_> {
    /// The protocol that a request asks to switch to, if its route allows it: of several, the one
    /// that the client likes best.
    pub(super) fn asks_to_switch(&self, request: &request::Parts) -> Option<HeaderValue> {
        let can_switch = request.version == Version::HTTP_11
            && [Method::GET, Method::POST].contains(&request.method)
            && has_token(&request.headers, &CONNECTION, "upgrade");
        let mut asked = tokens(&request.headers, &UPGRADE);
        let allowed = asked.find(|protocol| self.route.upgrades.allow(protocol));
        let allowed = allowed.filter(|_| can_switch)?;
        HeaderValue::from_bytes(allowed).ok()
    }

    /// Asks a backend to switch to `protocol`, and gives the client its answer, whatever it is. If
    /// it is a fitting 101, a tunnel begins.
    pub(super) async fn switch(
        &self,
        mut request: request::Parts,
        body: Incoming,
        protocol: HeaderValue,
    ) -> Result<Response<ReplyBody>, Rejection> {
        let body = whole(body, self.terms.timeouts.request_head).await?;
        // Until the answer is on its way.
        let _passes = self.admit().await?;
        let client = request.extensions.remove::<OnUpgrade>();
        let pool = &self.route.pool;
        let ip = self.arrival.client.ip();
        let mut selection = pool.select(&self.asker(&request), Use::Tunnel);
        let mut head = self.head_for_backend(request);
        for name in [TE, TRAILER, CONTENT_LENGTH, EXPECT] {
            head.headers.remove(name);
        }
        headers::switch_to(&mut head.headers, protocol.clone());
        let asked = Request::from_parts(head, body);
        let (lease, answer) = self.ask_to_switch(&mut selection, &asked).await?;
        let Answer {
            mut response,
            connection,
        } = answer;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            pool.note(lease.backend(), Seen::Answered, ip);
            let home = None;
            let carrier = Carrier { connection, home };
            return self.reply(response, selection.settle(lease), Some(carrier));
        }
        let backend = hyper::upgrade::on(&mut response);
        let switches = switches_to(response.headers(), protocol.as_bytes());
        let seen = if switches.is_ok() {
            Seen::Granted
        } else {
            // Who asks for a protocol may be asking for what nobody grants.
            Seen::Misfit
        };
        pool.note(lease.backend(), seen, ip);
        switches?;
        connection.let_go();
        let client = client.ok_or(Rejection::BadRequest("a connection that cannot switch"))?;
        let selected = selection.settle(lease);
        self.arrival.record.bound(selected.affinity);
        let (mut answer, _) = response.into_parts();
        headers::remove_hop_by_hop(&mut answer.headers);
        headers::switch_to(&mut answer.headers, protocol);
        answer.headers.remove(CONTENT_LENGTH);
        answer.extensions.clear();
        if let Some(cookie) = selected.cookie {
            answer.headers.append(SET_COOKIE, cookie);
        }
        self.begin_opaque(selected.lease, client, backend);
        Ok(Response::from_parts(
            answer,
            ReplyBody::Own(Full::default()),
        ))
    }

    /// The first backend that can be connected to, with what it has answered.
    async fn ask_to_switch(
        &self,
        selection: &mut Selection<'_>,
        asked: &Request<Bytes>,
    ) -> Result<(Lease, Answer), Rejection> {
        let timeouts = &self.route.timeouts;
        let deadline = Instant::now() + timeouts.handshake;
        let pool = &self.route.pool;
        let (ip, limits) = (self.arrival.client.ip(), pool.answer_limits());
        let mut last = None;
        for lease in selection.by_ref() {
            let backend = lease.backend();
            self.arrival.record.tries(backend);
            let crowded = Crowded {
                kind: Kind::Handshakes,
                scope: Scope::Backend,
            };
            let admitted = timeout_at(deadline, backend.admit()).await;
            let _pass = admitted.unwrap_or(Err(crowded))?;
            let stream =
                match timeout_at(deadline, pool.connect(backend, ip, timeouts.connect)).await {
                    Ok(Ok(stream)) => stream,
                    Ok(Err(error)) => {
                        debug!(backend = backend.name(), %error, "trying the next backend");
                        last = Some(error.into());
                        continue;
                    }
                    Err(_) => return Err(Rejection::TimedOut),
                };
            let request = asked.clone().map(|body| {
                let body = Full::new(body).map_err(|never| match never {});
                RequestBody::new(body)
            });
            let answered = timeout_at(deadline, answer_to(stream, request, limits)).await;
            let (seen, rejection) = match answered {
                Ok(Ok(answer)) => return Ok((lease, answer)),
                Ok(Err(error)) => {
                    let seen = seen_in_failure(&error);
                    (seen, Rejection::of_answer(error, limits))
                }
                Err(_) => (Seen::Silent, Rejection::TimedOut),
            };
            pool.note(backend, seen, ip);
            return Err(rejection);
        }
        Err(last.unwrap_or_else(|| Rejection::of_all(selection)))
    }

    /// Starts the tunnel once the 101 has gone out.
    fn begin_opaque(&self, lease: Lease, client: OnUpgrade, backend: OnUpgrade) {
        let place = self.place(&lease);
        let policy = Arc::clone(&self.route.opaque_policy);
        let record = Arc::clone(self.arrival.record);
        let residence = Arc::clone(&self.arrival.connection.residence);
        tokio::spawn(async move {
            match tokio::try_join!(client, backend) {
                Ok((client, backend)) => {
                    let tunnel =
                        Tunnel::opaque(client_end(client), backend_end(backend), policy, place);
                    record.tunnel_opened(tunnel.id());
                    tokio::spawn(Live::new(tunnel, Tie::Lease(lease), record, residence));
                }
                Err(error) => debug!(%error, "a client left before its tunnel began"),
            }
        });
    }
}

/// The whole body of a request, if it comes within `limit` and is no longer than it may be.
async fn whole(body: Incoming, limit: Duration) -> Result<Bytes, Rejection> {
    match timeout(limit, Limited::new(body, MAX_BODY).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Rejection::BadRequest(
            "a body of more than 64 KiB before a switch of protocols",
        )),
        Ok(Err(_)) => Err(Rejection::BadRequest("a body that breaks off")),
        Err(_) => Err(Rejection::BodyTimedOut),
    }
}
