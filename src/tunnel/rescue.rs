//! A tunnel that outlives its backend: while another is looked for, the client's side goes on.
//!
//! A backend that is lost between two messages can be replaced without a trace in either stream:
//! what the client sends meanwhile is kept, whole messages from the first byte on, and goes to the
//! other backend alone. What the lost one had taken is lost with it.

use std::{
    borrow::Cow,
    fmt,
    task::{Context, Poll},
    time::Duration,
};

use super::{
    BACKEND_LEFT, Cause, End, Party, Tunnel,
    clock::Tick,
    leg::Leg,
    moving::State,
    pump::{Farewell, Spare},
};
use crate::{pool::backend::BackendId, websocket::CloseCode};

/// Finds another backend for a tunnel that has lost its own.
pub trait Rescue<B>: Send {
    /// The backend is lost: the search for another begins.
    fn begin(&mut self);

    /// The backend that was found, its handshake complete; `None` if the search has failed. To be
    /// polled only while a search is under way.
    fn poll_found(&mut self, cx: &mut Context<'_>) -> Poll<Option<Found<B>>>;
}

/// Another backend for a tunnel.
#[derive(Debug)]
pub struct Found<B> {
    /// Its socket.
    pub end: End<B>,
    /// Which one it is.
    pub backend: BackendId,
}

/// A tunnel's rescue, and how far it is.
pub(super) struct Rescuer<B> {
    rescue: Box<dyn Rescue<B>>,
    /// How much is kept of what the client sends meanwhile.
    buffer: usize,
    /// How the backend was lost, and since when it has been known.
    loss: Option<(Cause, Tick)>,
    stage: Stage,
    changes: Changes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The tunnel has a backend.
    Ready,
    /// Another is looked for.
    Searching,
    /// The tunnel is about to end. What the rescue keeps alive for its backend lives on till then.
    Over,
}

/// When the last changes of the backend were, the oldest first.
#[derive(Debug, Default)]
struct Changes([Option<Tick>; 3]);

/// In this time a tunnel changes its backend three times at the most: backends that let it in and
/// fail at once would keep us busy for ever.
const CHANGES_WITHIN: Duration = Duration::from_secs(60);

static CLOSED: Farewell = (CloseCode::NORMAL, Cow::Borrowed(""));
static NO_OTHER: Farewell = (
    CloseCode::SERVICE_RESTART,
    Cow::Borrowed("backend connection lost"),
);

impl<C, B> Tunnel<C, B> {
    /// Has `rescue` find another backend when this one is lost between two messages. Of what the
    /// client sends meanwhile about `buffer` bytes are kept; then no more is read.
    #[must_use]
    pub fn rescued_by(mut self, rescue: Box<dyn Rescue<B>>, buffer: usize) -> Self {
        self.upward.set_spare(Spare::Destination);
        self.downward.set_spare(Spare::Source);
        self.rescue = Some(Box::new(Rescuer {
            rescue,
            buffer,
            loss: None,
            stage: Stage::Ready,
            changes: Changes::default(),
        }));
        self
    }

    /// The same for a tunnel that has moved, and has changed its backend before.
    #[must_use]
    pub fn rescued_again_by(
        self,
        rescue: Box<dyn Rescue<B>>,
        buffer: usize,
        state: &State,
    ) -> Self {
        let mut tunnel = self.rescued_by(rescue, buffer);
        let clock = tunnel.place.clock();
        if let Some(rescuer) = &mut tunnel.rescue {
            for ago in &state.changes_ago {
                rescuer.changes.note(clock.back(*ago));
            }
        }
        tunnel
    }

    /// How long ago its changes of the backend were, as far as they still count.
    pub(super) fn changes_ago(&self) -> Vec<Duration> {
        let changes = self.rescue.as_ref().map(|rescuer| rescuer.changes.0);
        let changes = changes.into_iter().flatten().flatten();
        changes
            .map(|change| self.place.clock().since(change))
            .collect()
    }

    /// Notes how the backend was lost, if another may take its place; says whether one may.
    pub(super) fn note_loss(&mut self, cause: Cause, now: Tick) -> bool {
        let rescuer = self.rescue.as_mut().filter(|rescuer| rescuer.is_of_use());
        rescuer
            .map(|rescuer| rescuer.loss.get_or_insert((cause, now)))
            .is_some()
    }

    /// Whether another backend may take the place of this.
    pub(super) fn has_rescue(&self) -> bool {
        self.rescue
            .as_ref()
            .is_some_and(|rescuer| rescuer.is_of_use())
    }

    /// Begins or goes on with the search for another backend, if this one is lost. Says whether
    /// that gave the pumps something to do.
    pub(super) fn poll_rescue(&mut self, cx: &mut Context<'_>, now: Tick) -> bool {
        let Some(rescuer) = &mut self.rescue else {
            return false;
        };
        if rescuer.stage != Stage::Searching {
            let is_lost = self.downward.is_bereft();
            if is_lost {
                self.seek_another(Cause::Eof, now);
            }
            return is_lost;
        }
        match rescuer.rescue.poll_found(cx) {
            Poll::Pending => return false,
            Poll::Ready(Some(Found { end, backend })) => {
                self.place.serve(backend);
                self.change_backend(end, now);
            }
            Poll::Ready(None) => {
                self.downward.set_farewell(&NO_OTHER);
                self.lose_backend(now);
            }
        }
        true
    }

    /// The backend has said all that it will: the search for another begins, unless what it has
    /// taken ends inside a message, or it was changed too often.
    pub(super) fn seek_another(&mut self, cause: Cause, now: Tick) {
        self.note_loss(cause, now);
        let can_change = self.upward.keep();
        match &mut self.rescue {
            Some(rescuer) if can_change && rescuer.changes.may_follow(now) => {
                self.backend.cut();
                rescuer.changes.note(now);
                rescuer.stage = Stage::Searching;
                rescuer.rescue.begin();
            }
            _ => self.lose_backend(now),
        }
    }

    fn change_backend(&mut self, backend: End<B>, now: Tick) {
        self.backend = Leg::new(backend.socket, now);
        self.upward.change_destination();
        self.downward
            .change_source(&backend.glued, self.place.backend());
        self.downward.set_farewell(&BACKEND_LEFT);
        if let Some(rescuer) = &mut self.rescue {
            rescuer.loss = None;
            rescuer.stage = Stage::Ready;
        }
    }

    /// The backend is lost, and no other will come.
    pub(super) fn lose_backend(&mut self, now: Tick) {
        let loss = self.rescue.as_ref().and_then(|rescuer| rescuer.loss);
        let cause = loss.map_or(Cause::Eof, |(cause, _)| cause);
        self.end(Party::Backend, cause, None, now);
    }

    /// The tunnel is about to end: no other backend is wanted any more.
    pub(super) fn forgo_rescue(&mut self) {
        let rescuer = self.rescue.as_mut().filter(|rescuer| rescuer.is_of_use());
        let Some(rescuer) = rescuer else {
            return;
        };
        if rescuer.stage == Stage::Searching {
            self.rescue = None;
            if self.upward.close().is_some() {
                // Nobody else will answer it.
                self.downward.set_farewell(&CLOSED);
            }
        } else {
            rescuer.stage = Stage::Over;
        }
        self.upward.give_up();
        self.downward.give_up();
    }

    /// Until when a backend that takes nothing any more is listened to.
    pub(super) fn lingers_until(&self) -> Tick {
        let rescuer = self.rescue.as_ref();
        let rescuer = rescuer.filter(|rescuer| rescuer.stage == Stage::Ready);
        match rescuer.and_then(|rescuer| rescuer.loss) {
            Some((_, since)) => since.after(self.policy.close),
            None => Tick::NEVER,
        }
    }

    /// Whether the client is not read from any more, since enough of it waits for another backend.
    pub(super) fn keeps_all_it_may(&self) -> bool {
        let buffer = self.rescue.as_ref().map(|rescuer| rescuer.buffer);
        buffer.is_some_and(|buffer| self.upward.is_full(buffer))
    }
}

impl<B> Rescuer<B> {
    fn is_of_use(&self) -> bool {
        self.stage != Stage::Over
    }

    pub(super) fn buffer(&self) -> usize {
        self.buffer
    }
}

impl Changes {
    /// Whether another may follow at `now`.
    fn may_follow(&self, now: Tick) -> bool {
        let [oldest, ..] = self.0;
        oldest.is_none_or(|oldest| now >= oldest.after(CHANGES_WITHIN))
    }

    fn note(&mut self, now: Tick) {
        let [_, second, third] = self.0;
        self.0 = [second, third, Some(now)];
    }
}

impl<B> fmt::Debug for Rescuer<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rescuer")
            .field("buffer", &self.buffer)
            .field("loss", &self.loss)
            .field("stage", &self.stage)
            .field("changes", &self.changes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fourth_change_within_a_minute_of_the_first_is_too_much() {
        let second = |n| Tick::default().after(Duration::from_secs(n));
        let mut changes = Changes::default();
        for now in [10, 20, 30] {
            assert!(changes.may_follow(second(now)));
            changes.note(second(now));
        }
        assert!(!changes.may_follow(second(70)));
        assert!(changes.may_follow(second(71)));
        changes.note(second(71));
        assert!(!changes.may_follow(second(80)), "the second was at 20");
        assert!(changes.may_follow(second(81)));
    }
}
