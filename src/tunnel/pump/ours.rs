//! Frames of ours in the stream of a pump: pings, and a Close, between two frames of the source's.

use super::{Farewell, Phase, Pump};
use crate::websocket::{frame, scanner::Token};

/// A ping of ours on its way to the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ping {
    None,
    /// It waits for a boundary.
    Wanted(Token),
    /// It is among the pending bytes.
    Pending,
    /// The destination has taken it.
    Sent,
}

impl Pump {
    /// Asks for a ping that carries `token`, at the next boundary.
    /// False if one is on its way already.
    pub(in crate::tunnel) fn want_ping(&mut self, token: Token) -> bool {
        let is_new = self.ping == Ping::None;
        if is_new {
            self.ping = Ping::Wanted(token);
        }
        is_new
    }

    /// Whether the destination has taken a ping since this was last asked.
    pub(in crate::tunnel) fn has_sent_ping(&mut self) -> bool {
        let sent = self.ping == Ping::Sent;
        if sent {
            self.ping = Ping::None;
        }
        sent
    }

    /// The peer has been heard: whatever ping is on its way, no answer to it is waited for.
    pub(in crate::tunnel) fn forget_ping(&mut self) {
        self.ping = Ping::None;
    }

    /// The token that pings to the source carry; pongs that bring it back are taken out.
    pub(in crate::tunnel) fn source_token(&mut self) -> Token {
        self.watch.token()
    }

    /// Asks for a Close at the next boundary. What the source sends after it is dropped, up to its
    /// own Close, with which it ends.
    pub(in crate::tunnel) fn want_close(&mut self, farewell: Farewell) {
        self.close = Some(Box::new(farewell));
    }

    /// Sets what the destination is told if the source ends without a Close.
    pub(in crate::tunnel) fn set_farewell(&mut self, farewell: &'static Farewell) {
        self.farewell = farewell;
    }

    pub(super) fn has_ours(&self) -> bool {
        self.close.is_some() || matches!(self.ping, Ping::Wanted(_))
    }

    /// Puts our frames into the stream, if it stands at a boundary and no Close has gone.
    pub(super) fn put_in_ours(&mut self) {
        let is_open = matches!(self.phase, Phase::Passing | Phase::Bereft);
        if !is_open || self.watch.scanner.is_inside_frame() {
            return;
        }
        if self.watch.close().is_some() {
            self.close = None;
            self.ping = Ping::None;
        } else if let Some(farewell) = self.close.take() {
            self.put_in_close(&farewell);
            self.phase = Phase::Dropping;
        } else if let Ping::Wanted(token) = self.ping {
            self.outbox.put(&frame::ping(&token, self.role));
            self.ping = Ping::Pending;
        }
    }

    pub(super) fn put_in_close(&mut self, (code, reason): &Farewell) {
        let close = frame::close(*code, reason, self.role);
        self.outbox.put(&close);
        self.ping = Ping::None;
    }
}
