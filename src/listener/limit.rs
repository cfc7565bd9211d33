//! A number of connections that may be open at once.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::Notify;

use crate::metrics::{Count, Counter};

/// A limit of connections at once, which a reload may change while there are some.
#[derive(Debug)]
pub struct Limit {
    most: AtomicUsize,
    taken: AtomicUsize,
    freed: Notify,
    accepted: Counter,
    held_back: Counter,
    refused: Counter,
}

/// How many connections there are, and what became of those that came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// How many are open.
    pub open: usize,
    /// How many may be; `None` is no limit.
    pub most: Option<usize>,
    /// How many were accepted.
    pub accepted: u64,
    /// How many of these had to wait, since as many were open as may be.
    pub held_back: u64,
    /// How many were closed at once, since their clients had as many as they may.
    pub refused: u64,
}

/// A connection's place in a limit, kept until dropped.
#[derive(Debug)]
pub(super) struct Place {
    limit: Arc<Limit>,
}

impl Limit {
    /// A limit of so many; `None` is none.
    #[must_use]
    pub fn new(most: Option<NonZeroUsize>) -> Arc<Self> {
        let limit = Self {
            most: AtomicUsize::new(0),
            taken: AtomicUsize::new(0),
            freed: Notify::new(),
            accepted: Counter::default(),
            held_back: Counter::default(),
            refused: Counter::default(),
        };
        limit.set(most);
        Arc::new(limit)
    }

    /// Changes the limit. Those that are open stay, be it more than are allowed from now on.
    pub fn set(&self, most: Option<NonZeroUsize>) {
        let most = most.map_or(usize::MAX, NonZeroUsize::get);
        self.most.store(most, Relaxed);
        self.freed.notify_waiters();
    }

    /// How many connections there are, and what became of those that came.
    #[must_use]
    pub fn connections(&self) -> Connections {
        let most = self.most.load(Relaxed);
        Connections {
            open: self.taken.load(Relaxed),
            most: (most < usize::MAX).then_some(most),
            accepted: self.accepted.value(),
            held_back: self.held_back.value(),
            refused: self.refused.value(),
        }
    }

    /// A connection that has a place in it was accepted.
    pub(super) fn has_accepted(&self) {
        self.accepted.add(1);
    }

    /// A connection was refused for its client's sake.
    pub(super) fn record_refusal(&self) {
        self.refused.add(1);
    }

    /// A place, if there is one.
    pub(super) fn try_place(self: &Arc<Self>) -> Option<Place> {
        let most = self.most.load(Relaxed);
        let take = |taken: usize| (taken < most).then_some(taken + 1);
        let taken = self.taken.fetch_update(Relaxed, Relaxed, take);
        taken.ok().map(|_| Place {
            limit: Arc::clone(self),
        })
    }

    /// A place, as soon as there is one.
    pub(super) async fn place(self: &Arc<Self>) -> Place {
        if let Some(place) = self.try_place() {
            return place;
        }
        self.held_back.add(1);
        loop {
            // Before the look, so that none that is freed meanwhile is missed.
            let freed = self.freed.notified();
            if let Some(place) = self.try_place() {
                return place;
            }
            freed.await;
        }
    }

    /// A place for a connection that is open already, whatever the limit.
    pub(super) fn place_beyond(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Relaxed);
        Place {
            limit: Arc::clone(self),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let taken = self.limit.taken.fetch_sub(1, Relaxed);
        if taken >= self.limit.most.load(Relaxed) {
            self.limit.freed.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::poll;
    use std::pin::pin;

    use super::*;

    fn most(most: usize) -> Option<NonZeroUsize> {
        NonZeroUsize::new(most)
    }

    #[tokio::test]
    async fn who_finds_no_place_gets_the_next_that_is_freed() {
        let limit = Limit::new(most(1));
        let first = limit.place().await;
        assert!(limit.try_place().is_none());
        let mut waiting = pin!(limit.place());
        assert!(poll!(&mut waiting).is_pending());
        drop(first);
        let _second = waiting.await;
        assert!(limit.try_place().is_none());
    }

    #[tokio::test]
    async fn a_limit_that_grows_lets_those_in_who_wait() {
        let limit = Limit::new(most(1));
        let _first = limit.place().await;
        let mut waiting = pin!(limit.place());
        assert!(poll!(&mut waiting).is_pending());
        limit.set(None);
        waiting.await;
    }

    #[tokio::test]
    async fn a_limit_that_shrinks_waits_until_few_enough_are_left() {
        let limit = Limit::new(most(3));
        let (one, two) = (limit.place().await, limit.place().await);
        limit.set(most(1));
        let mut waiting = pin!(limit.place());
        drop(one);
        assert!(poll!(&mut waiting).is_pending());
        drop(two);
        waiting.await;
    }

    #[tokio::test]
    async fn what_is_open_already_counts_beyond_the_limit() {
        let limit = Limit::new(most(1));
        let (one, two) = (limit.place_beyond(), limit.place_beyond());
        drop(one);
        assert!(limit.try_place().is_none());
        drop(two);
        assert!(limit.try_place().is_some());
    }
}
