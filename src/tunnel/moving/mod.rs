//! A live tunnel is taken apart, to be put together again in another process.
//!
//! It goes at a moment at which both of its pumps wait for a socket. What they have read and not
//! written goes along; what they have not read is the sockets' own and goes with these.

mod base64;
mod state;

use std::{
    sync::Arc,
    task::{Context, Poll},
};

pub(super) use self::state::{Flow, Life, Ping, Sight};
pub use self::{base64::Base64, state::State};
use super::{
    BACKEND_LEFT, CLIENT_LEFT, Cause, Ended, Party, Policy, Tunnel,
    counts::Here,
    keepalive::Keepalive,
    leg::Leg,
    pump::Pump,
    registry::{FormerPlace, Place},
};
use crate::{stream::Socket, websocket::Role};

/// What becomes of a tunnel that runs no more.
#[derive(Debug)]
pub enum Outcome<C, B> {
    /// It has ended.
    Ended(Ended),
    /// It is to go on elsewhere.
    Left(Box<Packed<C, B>>),
}

/// A tunnel that was taken apart.
#[derive(Debug)]
pub struct Packed<C, B> {
    /// The client's socket.
    pub client: C,
    /// The backend's socket.
    pub backend: B,
    /// Where it stands.
    pub state: State,
    /// The policy that it has had, and is to have.
    pub policy: Arc<Policy>,
    /// What place it had.
    pub place: FormerPlace,
}

impl<C, B> Tunnel<C, B> {
    /// A tunnel that goes on where one that was taken apart stood.
    pub fn resume(client: C, backend: B, policy: Arc<Policy>, place: Place, state: &State) -> Self {
        let clock = place.clock();
        let resume = |here: Here<'_>, flow: &Flow, life: &Life| {
            here.meter
                .resume(flow.sight.passed(), clock.back(life.heard_ago));
        };
        resume(place.client(), &state.upward, &state.client);
        resume(place.backend(), &state.downward, &state.backend);
        let leg = |life| Keepalive::resume(life, clock);
        Self {
            upward: Pump::resume(Role::Client, &CLIENT_LEFT, &state.upward, clock),
            downward: Pump::resume(Role::Server, &BACKEND_LEFT, &state.downward, clock),
            client: Leg::resume(client, leg(&state.client)),
            backend: Leg::resume(backend, leg(&state.backend)),
            expires: clock.ahead(state.expires_in),
            moved: clock.back(state.moved_ago),
            policy,
            place,
            ending: None,
            closed: None,
            rescue: None,
        }
    }

    fn write_down(&self) -> State {
        let clock = self.place.clock();
        let (from_client, from_backend) = self.traffic();
        State {
            upward: self.upward.write_down(from_client, clock),
            downward: self.downward.write_down(from_backend, clock),
            client: self.client.keepalive.write_down(clock),
            backend: self.backend.keepalive.write_down(clock),
            expires_in: clock.until(self.expires),
            moved_ago: clock.since(self.moved),
            changes_ago: self.changes_ago(),
        }
    }
}

impl<C: Socket, B: Socket> Tunnel<C, B> {
    /// Leaves for another process, if it is to and can.
    pub(super) fn poll_leave(&mut self, cx: &Context<'_>) -> Poll<Outcome<C, B>> {
        if !self.place.is_to_leave() {
            return Poll::Pending;
        }
        let was_ending = self.ending.is_some();
        if let Some(packed) = self.pack() {
            return Poll::Ready(Outcome::Left(packed));
        }
        if self.ending.is_some() && !was_ending {
            // It has just failed to: nothing else would wake it for its end.
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Takes it apart, if it can move. It is not to be polled any more then.
    fn pack(&mut self) -> Option<Box<Packed<C, B>>> {
        if !self.can_move() {
            return None;
        }
        let now = self.place.now();
        if self.upward.fetch().is_err() {
            let party = self.backend.takes_no_more(Party::Backend);
            self.end(party, Cause::Reset, None, now);
        }
        if self.downward.fetch().is_err() {
            let party = self.client.takes_no_more(Party::Client);
            self.end(party, Cause::Reset, None, now);
        }
        if self.ending.is_some() {
            return None;
        }
        let state = self.write_down();
        Some(Box::new(Packed {
            client: self.client.take()?,
            backend: self.backend.take()?,
            state,
            policy: Arc::clone(&self.policy),
            place: self.place.leave(),
        }))
    }

    /// Whether nothing is about to end, and nobody lost: while another backend is looked for, the
    /// pumps do not pass on what they read.
    pub(super) fn can_move(&self) -> bool {
        self.ending.is_none()
            && self.client.can_move()
            && self.backend.can_move()
            && self.upward.can_move()
            && self.downward.can_move()
    }
}
