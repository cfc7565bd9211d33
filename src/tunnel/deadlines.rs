//! What is due in a tunnel, and when: pings, closes and cuts.

use std::{borrow::Cow, time::Duration};

use super::{Cause, Ending, Party, Tunnel, clock::Tick, keepalive::Due, registry::CloseOrder};
use crate::websocket::CloseCode;

static IDLE: CloseOrder = CloseOrder {
    cause: Cause::Idle,
    code: CloseCode::GOING_AWAY,
    reason: Cow::Borrowed("idle for too long"),
};
static LIFETIME: CloseOrder = CloseOrder {
    cause: Cause::Lifetime,
    code: CloseCode::GOING_AWAY,
    reason: Cow::Borrowed("open for too long"),
};

impl<C, B> Tunnel<C, B> {
    /// Does what is due at `now`, and says whether that gave the pumps something to do.
    pub(super) fn enforce(&mut self, now: Tick) -> bool {
        if is_past(self.downward.blocked(), self.policy.stall, now) && self.client.takes {
            return self.cut_client(Cause::Stalled, now);
        }
        if is_past(self.upward.blocked(), self.policy.stall, now) && self.backend.takes {
            return self.cut_backend(Cause::Stalled, now);
        }
        if self.gives_up_pipes(now) {
            return true;
        }
        if let Some(closed) = self.closed {
            return now >= self.closes_backend_at(closed) && self.upward.hurry_close();
        }
        if now >= self.lingers_until() {
            self.lose_backend(now);
            return true;
        }
        if let Some(order) = self.place.order() {
            self.close(&order, now);
        } else if now >= self.expires {
            self.close(&LIFETIME, now);
        } else if self.ending.is_some() {
            return false;
        } else if now >= after(self.moved, self.policy.idle) {
            self.close(&IDLE, now);
        } else {
            return self.keep_alive(now);
        }
        true
    }

    /// Pings the idle and gives up the dead.
    fn keep_alive(&mut self, now: Tick) -> bool {
        // A side that we do not read from, since the other takes nothing, cannot be heard.
        if self.upward.blocked().is_some() || self.keeps_all_it_may() {
            self.client.keepalive.heard(now);
        }
        if self.downward.blocked().is_some() || self.upward.is_keeping() {
            self.backend.keepalive.heard(now);
        }
        let client = match self.client.keepalive.due(&self.policy.keepalive, now) {
            Due::Nothing => false,
            Due::Ping => self.downward.want_ping(self.upward.source_token()),
            Due::Dead => self.cut_client(Cause::Dead, now),
        };
        let backend = match self.backend.keepalive.due(&self.policy.keepalive, now) {
            Due::Nothing => false,
            Due::Ping => self.upward.want_ping(self.downward.source_token()),
            Due::Dead => self.cut_backend(Cause::Dead, now),
        };
        client || backend
    }

    /// When something is due next.
    pub(super) fn next(&self, now: Tick) -> Tick {
        let lifetime = match self.closed {
            Some(_) => Tick::NEVER,
            None => self.expires,
        };
        let deadlines = match self.ending {
            Some(ending) => [self.cut_at(ending), Tick::NEVER, Tick::NEVER],
            None => [
                after(self.moved, self.policy.idle),
                self.client.keepalive.next(&self.policy.keepalive),
                self.backend.keepalive.next(&self.policy.keepalive),
            ],
        };
        let stalls = [self.upward.blocked(), self.downward.blocked()];
        let stalls = stalls.map(|since| since.map_or(Tick::NEVER, |s| s.after(self.policy.stall)));
        let next = deadlines.into_iter().chain(stalls).min();
        // A ping that waits for a boundary is due already; it is looked at again in a second.
        let next = next.unwrap_or(Tick::NEVER).min(self.lingers_until());
        let pipes = self.upward.pipe_due().min(self.downward.pipe_due());
        let close = match self.closed {
            Some(closed) if self.upward.has_prepared_close() => self.closes_backend_at(closed),
            _ => Tick::NEVER,
        };
        next.min(lifetime).min(pipes).min(close).max(now)
    }

    /// When the backend of a tunnel that we close hears so from us, if the client has not said its
    /// Close by then: halfway to the cut, so that both have as much time.
    fn closes_backend_at(&self, closed: Tick) -> Tick {
        closed.halfway(self.policy.close)
    }

    /// Gives up the pipes that stand still, and says whether that gave the pumps something to do.
    fn gives_up_pipes(&mut self, now: Tick) -> bool {
        let upward = now >= self.upward.pipe_due();
        if upward && self.upward.give_up_pipe().is_err() {
            let party = self.backend.takes_no_more(Party::Backend);
            self.end(party, Cause::Reset, None, now);
        }
        let downward = now >= self.downward.pipe_due();
        if downward && self.downward.give_up_pipe().is_err() {
            let party = self.client.takes_no_more(Party::Client);
            self.end(party, Cause::Reset, None, now);
        }
        upward || downward
    }

    /// When an ending tunnel is cut: what its peers still send postpones it, unless we closed.
    pub(super) fn cut_at(&self, ending: Ending) -> Tick {
        let since = self.closed.unwrap_or(ending.since.max(self.moved));
        since.after(self.policy.close)
    }
}

/// When `duration` has passed since `since`, if there is such a limit.
fn after(since: Tick, duration: Option<Duration>) -> Tick {
    duration.map_or(Tick::NEVER, |duration| since.after(duration))
}

fn is_past(since: Option<Tick>, limit: Duration, now: Tick) -> bool {
    since.is_some_and(|since| now >= since.after(limit))
}
