//! The WebSocket handshake through us: asked of a backend, its 101 checked, the tunnel started.

use std::sync::Arc;

use http::{
    Response, StatusCode,
    header::{SET_COOKIE, TE},
    request,
};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tracing::debug;

use super::{
    Arrival, Exchange,
    access::Record,
    body::{Carrier, ReplyBody},
    handshake::{Answer, Handshake, seen_in_grant},
    headers,
    live::{Live, Tie},
    login,
    moving::Residence,
    presence::Attended,
    reconnect::{Reconnect, Replay},
    reply::Rejection,
};
use crate::{
    pool::{
        backend::{Lease, Use},
        silence::BackendSocket,
    },
    stream::Stream,
    tunnel::{End, Policy, Tunnel, registry::Place},
    websocket::handshake::{Agreed, BadAnswer, Offer},
};

/// A tunnel whose sides are still in hyper's hands.
struct Nascent {
    policy: Arc<Policy>,
    place: Place,
    lease: Lease,
    /// What it takes to go on with another backend, where that is wanted.
    replay: Option<Arc<Replay>>,
    record: Arc<Record>,
    residence: Arc<dyn Residence>,
}

impl Exchange<'_> {
    /// Asks a backend for a WebSocket, and gives the client its answer, whatever it is. If it is a
    /// fitting 101, a tunnel begins.
    pub(super) async fn upgrade(
        &self,
        mut request: request::Parts,
        offer: &Offer,
    ) -> Result<Response<ReplyBody>, Rejection> {
        // Until the answer is on its way.
        let _passes = self.admit().await?;
        let client = request.extensions.remove::<OnUpgrade>();
        let logs_in = login::is_in_request(&request.headers);
        let mut selection = self.route.pool.select(&self.asker(&request), Use::Tunnel);
        let mut head = self.head_for_backend(request);
        head.headers.remove(TE);
        headers::switch_to_websocket(&mut head.headers);
        let replay = self.replay(&head, offer);

        let pool = &self.route.pool;
        let ip = self.arrival.client.ip();
        let handshake = Handshake {
            pool,
            timeouts: &self.route.timeouts,
            record: self.arrival.record,
            client: ip,
        };
        let login = self.login().await?;
        let is_bound = logs_in || login.is_some();
        let asked = match login {
            Some(login) => handshake.ask_over(login, &head).await?,
            None => None,
        };
        let (lease, answer) = match asked {
            Some(asked) => asked,
            None => handshake.ask(&mut selection, &head).await?,
        };
        let Answer {
            response,
            connection,
        } = answer;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let carrier = Carrier {
                connection,
                // A login may go on over it; for other requests it is new.
                home: self.home_of_login(&response, lease.backend(), is_bound),
            };
            return self.reply(response, selection.settle(lease), Some(carrier));
        }
        let granted = granted(response, offer);
        pool.note(lease.backend(), seen_in_grant(&granted), ip);
        let (mut answer, backend) = granted?;
        connection.let_go();
        let client = client.ok_or(Rejection::BadRequest("a connection that cannot switch"))?;
        let selected = selection.settle(lease);
        self.arrival.record.bound(selected.affinity);
        if let Some(cookie) = &selected.cookie {
            answer.headers_mut().append(SET_COOKIE, cookie.clone());
        }
        let replay = replay.and_then(|replay| replay.agreed(Agreed::on(answer.headers())));
        let nascent = self.nascent(selected.lease, replay);
        tokio::spawn(nascent.begin(client, backend));
        Ok(answer)
    }

    fn nascent(&self, lease: Lease, replay: Option<Replay>) -> Nascent {
        Nascent {
            policy: Arc::clone(&self.route.policy),
            place: self.place(&lease),
            lease,
            replay: replay.map(Arc::new),
            record: Arc::clone(self.arrival.record),
            residence: Arc::clone(&self.arrival.connection.residence),
        }
    }

    /// A place for the tunnel that the request becomes.
    pub(super) fn place(&self, lease: &Lease) -> Place {
        let Arrival {
            connection, record, ..
        } = &self.arrival;
        let subject = Arc::clone(record);
        let registry = &self.terms.registry;
        registry.enter_for(connection.worker, lease.backend().id(), subject)
    }
}

/// A 101 that fits the offer as the client gets it, and the way to the backend's socket.
pub(super) fn granted(
    mut response: Response<Incoming>,
    offer: &Offer,
) -> Result<(Response<ReplyBody>, OnUpgrade), BadAnswer> {
    let backend = hyper::upgrade::on(&mut response);
    let (mut answer, _) = response.into_parts();
    offer.check(&answer)?;
    headers::remove_hop_by_hop(&mut answer.headers);
    headers::switch_to_websocket(&mut answer.headers);
    answer.extensions.clear();
    let answer = Response::from_parts(answer, ReplyBody::Own(Full::default()));
    Ok((answer, backend))
}

impl Nascent {
    /// Takes both sides out of hyper's hands once the 101 has gone out, and starts the tunnel: a
    /// small task of its own, so that what the handshake needed is given back.
    async fn begin(self, client: OnUpgrade, backend: OnUpgrade) {
        match tokio::try_join!(client, backend) {
            Ok((client, backend)) => {
                let (client, backend) = (client_end(client), backend_end(backend));
                let tunnel = Tunnel::new(client, backend, self.policy, self.place);
                let Self {
                    lease,
                    replay,
                    record,
                    residence,
                    ..
                } = self;
                record.tunnel_opened(tunnel.id());
                let live = match replay {
                    None => Live::new(tunnel, Tie::Lease(lease), record, residence),
                    Some(replay) => {
                        let reconnect = Reconnect::new(&replay, &record, lease);
                        let tunnel = tunnel.rescued_by(reconnect, replay.buffer);
                        Live::new(tunnel, Tie::Replay(replay), record, residence)
                    }
                };
                tokio::spawn(live);
            }
            Err(error) => debug!(%error, "a client left before its tunnel began"),
        }
    }
}

/// The socket under an upgraded connection of a client.
pub(super) fn client_end(upgraded: Upgraded) -> End<Stream> {
    let End { socket, glued } = end::<Attended>(upgraded);
    End {
        socket: socket.into_inner(),
        glued,
    }
}

/// The socket under an upgraded connection to a backend.
pub(super) fn backend_end(upgraded: Upgraded) -> End<Stream> {
    let End { socket, glued } = end::<BackendSocket>(upgraded);
    End {
        socket: socket.into_inner(),
        glued,
    }
}

/// The socket under an upgraded connection, with what hyper had read of it already.
fn end<S: AsyncRead + AsyncWrite + Unpin + 'static>(upgraded: Upgraded) -> End<S> {
    let parts = upgraded
        .downcast::<TokioIo<S>>()
        .expect("we gave hyper no other kind of socket");
    End {
        socket: parts.io.into_inner(),
        glued: parts.read_buf,
    }
}
