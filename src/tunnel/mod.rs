//! A spliced pair of sockets after the 101: the two directions, their deadlines, and how it ended.

pub mod clock;
pub mod closing;
mod counts;
mod deadlines;
pub mod drain;
mod end;
pub mod keepalive;
mod leg;
pub mod moving;
mod outbox;
pub mod pacing;
mod pipe;
mod policy;
mod pump;
pub mod rebalance;
pub mod registry;
mod rescue;
mod returns;
mod watch;

use std::{
    borrow::Cow,
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use self::{
    clock::Tick,
    leg::Leg,
    moving::Outcome,
    pump::{Failure, Farewell, Pump},
    registry::{CloseOrder, Place},
    rescue::Rescuer,
    watch::Watch,
};
pub use self::{
    counts::{OPCODES, SideTotals, Totals, Traffic},
    end::{Cause, Ended, Party, TunnelEnd},
    policy::Policy,
    rescue::{Found, Rescue},
};
use crate::{
    stream::Socket,
    websocket::{CloseCode, Role},
};

/// A future that moves bytes between a client and a backend until the tunnel has ended, or is to go
/// on in another process.
#[derive(Debug)]
pub struct Tunnel<C, B> {
    client: Leg<C>,
    backend: Leg<B>,
    /// Client to backend.
    upward: Pump,
    /// Backend to client.
    downward: Pump,
    policy: Arc<Policy>,
    place: Place,
    /// When it is as old as it may become.
    expires: Tick,
    /// When something last passed.
    moved: Tick,
    ending: Option<Ending>,
    /// When we decided that it has to end: from then on nothing postpones that.
    closed: Option<Tick>,
    /// Who finds another backend, while one may take the place of this.
    rescue: Option<Box<Rescuer<B>>>,
}

/// The socket of one side.
#[derive(Debug)]
pub struct End<S> {
    /// The socket.
    pub socket: S,
    /// What the side had sent right behind its part of the handshake.
    pub glued: bytes::Bytes,
}

/// That a tunnel is about to end, and since when.
#[derive(Debug, Clone, Copy)]
struct Ending {
    end: TunnelEnd,
    since: Tick,
}

static CLIENT_LEFT: Farewell = (
    CloseCode::GOING_AWAY,
    Cow::Borrowed("client connection lost"),
);
static BACKEND_LEFT: Farewell = (
    CloseCode::BAD_GATEWAY,
    Cow::Borrowed("backend connection lost"),
);
static PEER_LOST: Farewell = (CloseCode::GOING_AWAY, Cow::Borrowed("peer lost"));

impl<C, B> Tunnel<C, B> {
    /// A tunnel between two sides whose handshake is complete.
    pub fn new(client: End<C>, backend: End<B>, policy: Arc<Policy>, place: Place) -> Self {
        Self::watching(Watch::default, client, backend, policy, place)
    }

    /// A tunnel between two sides that speak another protocol: its bytes pass as they are, nothing
    /// of ours goes among them, and where a WebSocket would get a Close the stream is ended. The
    /// policy is to ask for no pings.
    pub fn opaque(client: End<C>, backend: End<B>, policy: Arc<Policy>, place: Place) -> Self {
        Self::watching(Watch::opaque, client, backend, policy, place)
    }

    fn watching(
        watch: fn() -> Watch,
        client: End<C>,
        backend: End<B>,
        policy: Arc<Policy>,
        place: Place,
    ) -> Self {
        let now = place.now();
        // Towards the backend we play the client, and towards the client the server.
        let (to_backend, to_client) = (Role::Client, Role::Server);
        let (glued, here) = (&client.glued, place.client());
        let upward = Pump::new(to_backend, &CLIENT_LEFT, watch(), glued, here);
        let (glued, here) = (&backend.glued, place.backend());
        let downward = Pump::new(to_client, &BACKEND_LEFT, watch(), glued, here);
        Self {
            upward,
            downward,
            client: Leg::new(client.socket, now),
            backend: Leg::new(backend.socket, now),
            expires: policy.expiry(now, rand::random()),
            policy,
            place,
            moved: now,
            ending: None,
            closed: None,
            rescue: None,
        }
    }

    /// Its number, unique in the process.
    pub fn id(&self) -> u64 {
        self.place.id()
    }

    /// Notes the first cause of the end; later ones follow from it.
    fn end(&mut self, by: Party, cause: Cause, code: Option<CloseCode>, now: Tick) {
        let end = TunnelEnd { by, cause, code };
        self.ending.get_or_insert(Ending { end, since: now });
        self.forgo_rescue();
    }

    /// Closes both sides on our account, unless they are about to end by themselves; that they do
    /// before long is seen to here too.
    ///
    /// The client is told at once. The backend hears its answer, behind all that the client had sent
    /// before it knew; a Close of ours it hears only from a client that gives none in time. What the
    /// backend sends meanwhile is for nobody: after a Close the client gets no more (RFC 6455,
    /// section 5.5.1).
    fn close(&mut self, order: &CloseOrder, now: Tick) {
        if self.ending.is_none() {
            self.downward.want_close((order.code, order.reason.clone()));
            self.upward
                .prepare_close((order.code, order.reason.clone()));
            self.end(Party::Proxy, order.cause, Some(order.code), now);
        }
        self.closed = Some(now);
    }

    fn cut_client(&mut self, cause: Cause, now: Tick) -> bool {
        if cause == Cause::Dead {
            self.place.client().counts.died();
        }
        self.upward.set_farewell(&PEER_LOST);
        self.client.cut();
        self.end(Party::Client, cause, None, now);
        true
    }

    fn cut_backend(&mut self, cause: Cause, now: Tick) -> bool {
        self.downward.set_farewell(&PEER_LOST);
        self.backend.cut();
        if cause == Cause::Dead {
            self.place.backend().counts.died();
            if self.downward.lose_source() {
                self.seek_another(cause, now);
                return true;
            }
        }
        self.end(Party::Backend, cause, None, now);
        true
    }

    /// What has passed from the client and from the backend.
    fn traffic(&self) -> (Traffic, Traffic) {
        (
            self.place.client().traffic(),
            self.place.backend().traffic(),
        )
    }

    /// Takes note of what moving bytes has shown.
    fn observe(&mut self, before: (Traffic, Traffic), broken: Option<Party>, now: Tick) {
        // Before the pings sent are noted: an answer may be here before the rest of what the ping
        // was written with has been taken.
        if self.upward.has_heard() {
            self.client
                .heard(self.upward.has_answered(), self.place.client());
            self.downward.forget_ping();
        }
        if self.downward.has_heard() {
            let has_answered = self.downward.has_answered();
            self.backend.heard(has_answered, self.place.backend());
            self.upward.forget_ping();
        }
        if self.traffic() != before {
            self.moved = now;
        }
        if self.downward.has_sent_ping() {
            self.client.pinged(self.place.client());
        }
        if self.upward.has_sent_ping() {
            self.backend.pinged(self.place.backend());
        }
        if let Some(code) = self.upward.close() {
            self.end(Party::Client, Cause::Close, code, now);
        }
        if let Some(code) = self.downward.close() {
            self.end(Party::Backend, Cause::Close, code, now);
        }
        if let Some(party) = broken {
            self.end(party, Cause::Reset, None, now);
        }
        if self.upward.is_ending() {
            self.end(Party::Client, Cause::Eof, None, now);
        }
        if self.downward.is_ending() {
            self.end(Party::Backend, Cause::Eof, None, now);
        }
    }
}

impl<C, B> Tunnel<C, B>
where
    C: Socket + Unpin,
    B: Socket + Unpin,
{
    /// Moves bytes both ways as far as they go. Ready when both directions have ended.
    fn poll_pumps(&mut self, cx: &mut Context<'_>, now: Tick) -> Poll<()> {
        let before = self.traffic();
        let mut upward = self.poll_upward(cx);
        let mut downward = self.poll_downward(cx);
        let mut broken = None;
        while let Poll::Ready(Err(failure)) = &upward {
            broken = broken.or(match failure {
                Failure::Source => Some(Party::Client),
                Failure::Destination => {
                    let party = self.backend.takes_no_more(Party::Backend);
                    let is_loss = self.upward.keep() && self.note_loss(Cause::Reset, now);
                    (!is_loss).then_some(party)
                }
            });
            upward = self.poll_upward(cx);
        }
        while let Poll::Ready(Err(failure)) = &downward {
            broken = broken.or(match failure {
                Failure::Source => {
                    let is_loss = self.downward.is_bereft() && self.note_loss(Cause::Reset, now);
                    (!is_loss).then_some(Party::Backend)
                }
                Failure::Destination => Some(self.client.takes_no_more(Party::Client)),
            });
            downward = self.poll_downward(cx);
        }
        // A side that said Close and then broke has closed: what was read comes first.
        self.observe(before, broken, now);
        match (upward, downward) {
            (Poll::Ready(_), Poll::Ready(_)) => Poll::Ready(()),
            _ => Poll::Pending,
        }
    }

    fn poll_upward(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let (client, here) = (self.client.source(), self.place.client());
        match &self.rescue {
            Some(rescue) if self.upward.is_keeping() => {
                let most = rescue.buffer();
                self.upward.poll_keeping::<_, B>(cx, client, most, here)
            }
            _ => {
                let backend = self.backend.destination();
                self.upward.poll(cx, client, backend, here)
            }
        }
    }

    fn poll_downward(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let (backend, client) = (self.backend.source(), self.client.destination());
        self.downward
            .poll(cx, backend, client, self.place.backend())
    }

    fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<Ending> {
        loop {
            let now = self.place.now();
            let had_rescue = self.has_rescue();
            let pumps = self.poll_pumps(cx, now);
            let is_cut = self.place.is_cut();
            if is_cut {
                let cause = self
                    .place
                    .order()
                    .map_or(Cause::Shutdown, |order| order.cause);
                self.end(Party::Proxy, cause, None, now);
            }
            if self.closed.is_some() && self.downward.is_ending() && self.upward.end_after_close() {
                // Both have said their Close: what the client could still send is for nobody.
                continue;
            }
            if let Some(ending) = self.ending
                && (pumps.is_ready() || is_cut || now >= self.cut_at(ending))
            {
                return Poll::Ready(ending);
            }
            if self.place.is_to_leave() && self.can_move() {
                // Whatever is due here, it goes on elsewhere: an order that came too late as well.
                return Poll::Pending;
            }
            let has_given_up = had_rescue && !self.has_rescue();
            if !(has_given_up || self.poll_rescue(cx, now) || self.enforce(now)) {
                self.place.wake_at(self.next(now));
                return Poll::Pending;
            }
        }
    }
}

impl<C, B> Future for Tunnel<C, B>
where
    C: Socket + Unpin,
    B: Socket + Unpin,
{
    type Output = Outcome<C, B>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome<C, B>> {
        let tunnel = self.get_mut();
        tunnel.place.register(cx.waker());
        let Poll::Ready(ending) = tunnel.poll_end(cx) else {
            return tunnel.poll_leave(cx);
        };
        let lingered = tunnel.place.now().since(ending.since);
        let (from_client, from_backend) = tunnel.traffic();
        Poll::Ready(Outcome::Ended(Ended {
            end: ending.end,
            is_opaque: tunnel.downward.is_opaque(),
            from_client,
            from_backend,
            lingered: Duration::from_secs(lingered.into()),
        }))
    }
}

#[cfg(test)]
mod tests;
