//! One side of a tunnel.

use super::{clock::Tick, end::Party, keepalive::Keepalive};

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
        self.socket = None;
        self.takes = false;
    }
}
