//! Frames of ours in the stream of a pump: pings, and a Close, between two frames of the source's.

use super::{Farewell, Phase, Pump};
use crate::websocket::{frame, scanner::Token};

/// A Close of ours on its way to the destination.
#[derive(Debug)]
pub(super) struct OwnClose {
    farewell: Farewell,
    /// Whether it goes in at the next boundary. Until then it only stands in for a Close of the
    /// source's own, should the source end without one.
    is_due: bool,
}

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
        let is_due = true;
        self.close = Some(Box::new(OwnClose { farewell, is_due }));
    }

    /// Has a Close ready for a source that ends without one of its own, or is given
    /// [no more time](Self::hurry_close) for that. Until then what the source sends passes.
    pub(in crate::tunnel) fn prepare_close(&mut self, farewell: Farewell) {
        let is_due = false;
        self.close = Some(Box::new(OwnClose { farewell, is_due }));
    }

    /// Waits no longer for the source's own Close. False if none of ours is
    /// [ready](Self::prepare_close).
    pub(in crate::tunnel) fn hurry_close(&mut self) -> bool {
        let prepared = self.close.as_mut().filter(|close| !close.is_due);
        prepared.map(|close| close.is_due = true).is_some()
    }

    /// Whether a Close of ours waits for the source's own.
    pub(in crate::tunnel) fn has_prepared_close(&self) -> bool {
        self.close.as_ref().is_some_and(|close| !close.is_due)
    }

    /// Ends the stream of a source that has said its Close, without waiting for its end. False if
    /// it has not, or the stream is ending already.
    pub(in crate::tunnel) fn end_after_close(&mut self) -> bool {
        let ends = self.phase == Phase::Passing && self.watch.close().is_some();
        if ends {
            self.phase = Phase::Ending;
        }
        ends
    }

    /// Sets what the destination is told if the source ends without a Close.
    pub(in crate::tunnel) fn set_farewell(&mut self, farewell: &'static Farewell) {
        self.farewell = farewell;
    }

    pub(super) fn has_ours(&self) -> bool {
        let is_close_due = self.close.as_ref().is_some_and(|close| close.is_due);
        is_close_due || matches!(self.ping, Ping::Wanted(_))
    }

    /// Puts our frames into the stream, if it stands at a boundary and no Close has gone. A stream
    /// without frames ends where it stands instead of a Close.
    pub(super) fn put_in_ours(&mut self) {
        let is_open = matches!(self.phase, Phase::Passing | Phase::Bereft);
        if is_open && self.is_opaque() && self.close.take_if(|close| close.is_due).is_some() {
            self.phase = Phase::Ending;
        }
        if !is_open || self.watch.scanner.is_inside_frame() {
            return;
        }
        if self.watch.close().is_some() {
            self.close = None;
            self.ping = Ping::None;
        } else if let Some(close) = self.close.take_if(|close| close.is_due) {
            self.put_in_close(&close.farewell);
            self.phase = Phase::Dropping;
        } else if let Ping::Wanted(token) = self.ping {
            self.outbox.put(&frame::ping(&token, self.role));
            self.ping = Ping::Pending;
        }
    }

    /// Puts in the Close of a stream that has ended without one.
    pub(super) fn put_in_last_close(&mut self) {
        match self.close.take() {
            Some(close) => self.put_in_close(&close.farewell),
            None => self.put_in_close(self.farewell),
        }
    }

    fn put_in_close(&mut self, (code, reason): &Farewell) {
        let close = frame::close(*code, reason, self.role);
        self.outbox.put(&close);
        self.ping = Ping::None;
    }
}
