//! One side of a tunnel.

use super::{
    clock::{Moment, Tick},
    counts::Here,
    end::Party,
    keepalive::Keepalive,
};
use crate::stream::Socket;

/// One side of a tunnel.
#[derive(Debug)]
pub(super) struct Leg<S> {
    /// `None` once it was cut.
    socket: Option<S>,
    /// Whether it still takes what is written to it.
    pub(super) takes: bool,
    pub(super) keepalive: Keepalive,
    /// When it was pinged last, if that is not answered yet.
    asked: Option<Moment>,
}

impl<S> Leg<S> {
    pub(super) fn new(socket: S, now: Tick) -> Self {
        Self {
            socket: Some(socket),
            takes: true,
            keepalive: Keepalive::new(now),
            asked: None,
        }
    }

    /// One that goes on with what was known of its peer's life.
    pub(super) fn resume(socket: S, keepalive: Keepalive) -> Self {
        Self {
            socket: Some(socket),
            takes: true,
            keepalive,
            asked: None,
        }
    }

    /// Bytes have come from it, and with them perhaps the answer to our ping.
    pub(super) fn heard(&mut self, has_answered: bool, here: Here<'_>) {
        self.keepalive.heard(here.now());
        here.heard();
        if has_answered && let Some(asked) = self.asked.take() {
            here.answered(here.clock.elapsed_since(asked));
        }
    }

    /// A ping of ours has gone to it.
    pub(super) fn pinged(&mut self, here: Here<'_>) {
        self.keepalive.pinged(here.now());
        self.asked = Some(here.clock.moment());
        here.pinged();
    }

    pub(super) fn source(&mut self) -> Option<&mut S> {
        self.socket.as_mut()
    }

    pub(super) fn destination(&mut self) -> Option<&mut S> {
        self.socket.as_mut().filter(|_| self.takes)
    }

    /// Notes that writing to it failed; what it had sent can still be read.
    pub(super) fn takes_no_more(&mut self, party: Party) -> Party {
        self.takes = false;
        party
    }

    pub(super) fn cut(&mut self) {
        self.take();
    }

    /// Gives the socket up, if it was not cut.
    pub(super) fn take(&mut self) -> Option<S> {
        self.takes = false;
        self.socket.take()
    }
}

impl<S: Socket> Leg<S> {
    /// Whether another process could go on with it.
    pub(super) fn can_move(&self) -> bool {
        self.takes && self.socket.as_ref().is_some_and(Socket::can_move)
    }
}
