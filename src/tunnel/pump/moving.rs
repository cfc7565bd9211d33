//! A pump that is taken apart in one process and put together again in another.

use std::io;

use super::{Farewell, Phase, Ping, Pump};
use crate::{
    tunnel::{
        clock::Clock,
        counts::Traffic,
        moving::{self, Base64, Flow},
        outbox::Outbox,
        watch::Watch,
    },
    websocket::Role,
};

impl Pump {
    /// Whether it can be [written down](Self::write_down): it passes on what it reads, and neither
    /// side has been told of an end.
    pub(in crate::tunnel) fn can_move(&self) -> bool {
        self.phase == Phase::Passing && self.has_no_close()
    }

    /// Has nothing of its own but what can be written down.
    ///
    /// # Errors
    /// If that fails. Then its destination is lost.
    pub(in crate::tunnel) fn fetch(&mut self) -> io::Result<()> {
        let fetched = self.outbox.fetch();
        if fetched.is_err() {
            self.lose_destination();
        }
        fetched
    }

    pub(in crate::tunnel) fn write_down(&self, passed: Traffic, clock: &Clock) -> Flow {
        Flow {
            sight: self.watch.write_down(passed),
            unsent: Base64(self.outbox.waiting().to_vec()),
            blocked_for: self.outbox.blocked().map(|since| clock.since(since)),
            ping: match self.ping {
                // One that was sent is the keepalive's.
                Ping::None | Ping::Sent => moving::Ping::None,
                Ping::Wanted(token) => moving::Ping::Wanted(Base64(token)),
                Ping::Pending => moving::Ping::Pending,
            },
        }
    }

    /// A pump that goes on where another one was written down.
    pub(in crate::tunnel) fn resume(
        role: Role,
        farewell: &'static Farewell,
        flow: &Flow,
        clock: &Clock,
    ) -> Self {
        let blocked = flow.blocked_for.map(|ago| clock.back(ago));
        let outbox = Outbox::resume(&flow.unsent.0, blocked);
        let ping = match &flow.ping {
            moving::Ping::None => Ping::None,
            moving::Ping::Wanted(token) => Ping::Wanted(token.0),
            moving::Ping::Pending => Ping::Pending,
        };
        Self {
            ping,
            ..Self::passing(role, farewell, Watch::resume(&flow.sight), outbox)
        }
    }
}
