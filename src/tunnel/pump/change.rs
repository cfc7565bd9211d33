//! A pump that has lost one of its sides between two messages, while another is looked for.

use std::task::{Context, Poll, ready};

use super::{Failure, Phase, Ping, Pump, SCRATCH_LEN};
use crate::{
    stream::Socket,
    tunnel::counts::{Here, Traffic},
};

/// The side of a pump that another may take the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tunnel) enum Spare {
    None,
    Source,
    Destination,
}

impl Pump {
    /// Says which side another may take the place of.
    pub(in crate::tunnel) fn set_spare(&mut self, spare: Spare) {
        self.spare = spare;
    }

    /// No other will come for the side that is lost, nor for one that is lost later.
    pub(in crate::tunnel) fn give_up(&mut self) {
        self.spare = Spare::None;
        match self.phase {
            // That it has none it will see.
            Phase::Bereft => self.phase = Phase::Passing,
            Phase::Keeping => self.lose_destination(),
            _ => {}
        }
    }

    /// Whether its source is lost and another may come.
    pub(in crate::tunnel) fn is_bereft(&self) -> bool {
        self.phase == Phase::Bereft
    }

    /// The source is lost. False if no other may take its place: there is none, or the stream does
    /// not stand between two messages.
    pub(in crate::tunnel) fn lose_source(&mut self) -> bool {
        let may_change = self.spare == Spare::Source
            && self.phase == Phase::Passing
            && self.watch.is_between_frames()
            && self.stands_between_messages();
        if may_change {
            self.phase = Phase::Bereft;
        }
        may_change
    }

    /// Goes on with another source, which had sent `glued` right behind its part of the handshake.
    pub(in crate::tunnel) fn change_source(&mut self, glued: &[u8], here: Here<'_>) {
        self.phase = Phase::Passing;
        self.watch.expect_short();
        self.begin_with(glued, here);
    }

    /// Whether its destination is lost, and what is read is kept for another.
    pub(in crate::tunnel) fn is_keeping(&self) -> bool {
        self.phase == Phase::Keeping
    }

    /// The destination is lost. False if no other may take its place: there is none, or what the
    /// lost one has taken does not end between two messages.
    pub(in crate::tunnel) fn keep(&mut self) -> bool {
        if self.outbox.is_empty() && self.watch.has_passed_whole_messages() {
            self.keep_on();
        }
        self.is_keeping()
    }

    /// The destination is lost, and the lost one has taken whole messages alone: what it has not
    /// taken is kept. False if no other may take its place.
    pub(super) fn keep_on(&mut self) -> bool {
        let may_change =
            self.spare == Spare::Destination && self.phase == Phase::Passing && self.has_no_close();
        if may_change {
            self.phase = Phase::Keeping;
            self.ping = Ping::None;
            self.outbox.change_destination();
        }
        may_change
    }

    /// Reads until the source has to be waited for, or until `most` bytes are kept.
    ///
    /// # Errors
    /// That of the source, once.
    pub(in crate::tunnel) fn poll_keeping<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        mut source: Option<&mut S>,
        most: usize,
        here: Here<'_>,
    ) -> Poll<Result<(), Failure>>
    where
        S: Socket + Unpin,
        D: Socket + Unpin,
    {
        while self.is_keeping() && self.has_no_close() && !self.is_full(most) {
            let room = (most - self.outbox.len()).min(SCRATCH_LEN);
            let from = source.as_deref_mut();
            ready!(self.poll_read::<_, D>(cx, from, None, room, here))?;
        }
        Poll::Pending
    }

    /// Whether it keeps `most` bytes, and so reads no more.
    pub(in crate::tunnel) fn is_full(&self, most: usize) -> bool {
        self.is_keeping() && self.outbox.len() >= most
    }

    pub(super) fn keep_released(&mut self, released: &[u8], passed: Traffic, here: Here<'_>) {
        here.count(passed);
        self.outbox.put(released);
    }

    /// Goes on with another destination, which gets what was kept.
    pub(in crate::tunnel) fn change_destination(&mut self) {
        self.phase = Phase::Passing;
    }

    fn stands_between_messages(&self) -> bool {
        self.watch.has_passed_whole_messages() && self.has_no_close()
    }

    pub(super) fn has_no_close(&self) -> bool {
        self.watch.close().is_none() && self.close.is_none()
    }
}
