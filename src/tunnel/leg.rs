//! One side of a tunnel.

use super::{clock::Tick, end::Party, keepalive::Keepalive};
use crate::stream::Socket;

/// One side of a tunnel.
#[derive(Debug)]
pub(super) struct Leg<S> {
    /// `None` once it was cut.
    socket: Option<S>,
    /// Whether it still takes what is written to it.
    pub(super) takes: bool,
    pub(super) keepalive: Keepalive,
}

impl<S> Leg<S> {
    pub(super) fn new(socket: S, now: Tick) -> Self {
        Self {
            socket: Some(socket),
            takes: true,
            keepalive: Keepalive::new(now),
        }
    }

    /// One that goes on with what was known of its peer's life.
    pub(super) fn resume(socket: S, keepalive: Keepalive) -> Self {
        Self {
            socket: Some(socket),
            takes: true,
            keepalive,
        }
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
