//! What others may touch of a live tunnel.

use std::{
    borrow::Cow,
    ops::Deref,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use atomic_waker::AtomicWaker;

use super::{Subject, routes::RouteId};
use crate::{
    pool::backend::BackendId,
    tunnel::{Cause, clock::Tick, counts::Meter},
    websocket::CloseCode,
};

/// What others may touch of a live tunnel.
#[derive(Debug)]
pub(super) struct Live {
    /// The tick at which it wants to be woken.
    pub(super) due: AtomicU32,
    pub(super) waker: AtomicWaker,
    /// Which backend serves it.
    pub(super) service: AtomicU32,
    /// What it was opened for.
    pub(super) subject: OnceLock<Arc<dyn Subject>>,
    pub(super) client: Meter,
    pub(super) backend: Meter,
    pub(super) opened: Tick,
    pub(super) order: OnceLock<Order>,
    /// Whether it is to end without a word.
    pub(super) is_cut: AtomicBool,
    /// Whether it is to leave for another process.
    pub(super) leaves: AtomicBool,
    pub(super) has_ended: AtomicBool,
}

/// A wish that a tunnel be closed by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseOrder {
    /// Why, for the log.
    pub cause: Cause,
    /// What its peers are told.
    pub code: CloseCode,
    /// The same in words. At most 123 bytes.
    pub reason: Cow<'static, str>,
}

/// A close order as many tunnels may have it.
#[derive(Debug, Clone)]
pub enum Order {
    /// One of ours.
    Fixed(&'static CloseOrder),
    /// An operator's own.
    Own(Arc<CloseOrder>),
}

impl CloseOrder {
    /// That of an operator, with what the tunnels' peers are to be told.
    #[must_use]
    pub fn of_operator(code: CloseCode, reason: String) -> Self {
        Self {
            cause: Cause::Closed,
            code,
            reason: Cow::Owned(reason),
        }
    }
}

impl Deref for Order {
    type Target = CloseOrder;

    fn deref(&self) -> &CloseOrder {
        match self {
            Self::Fixed(order) => order,
            Self::Own(order) => order,
        }
    }
}

impl From<&'static CloseOrder> for Order {
    fn from(order: &'static CloseOrder) -> Self {
        Self::Fixed(order)
    }
}

impl From<CloseOrder> for Order {
    fn from(order: CloseOrder) -> Self {
        Self::Own(Arc::new(order))
    }
}

impl Live {
    pub(super) fn new(service: BackendId, opened: Tick) -> Self {
        Self {
            due: AtomicU32::new(Tick::NEVER.to_bits()),
            waker: AtomicWaker::new(),
            service: AtomicU32::new(service.to_bits()),
            subject: OnceLock::new(),
            client: Meter::since(opened),
            backend: Meter::since(opened),
            opened,
            order: OnceLock::new(),
            is_cut: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(super) fn service(&self) -> BackendId {
        BackendId::from_bits(self.service.load(Relaxed))
    }

    pub(super) fn route(&self) -> RouteId {
        let subject = self.subject.get();
        subject.map_or(RouteId::default(), |subject| subject.route())
    }

    /// Takes the order, unless there is one already, and says whether it did.
    pub(super) fn obey(&self, order: Order) -> bool {
        let is_first = self.order.set(order).is_ok();
        if is_first {
            self.waker.wake();
        }
        is_first
    }

    pub(super) fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_may_touch_of_a_tunnel_is_small() {
        // With the counts of its Arc it fits into 160 bytes, a size of the allocator's.
        assert!(size_of::<Live>() <= 144, "{}", size_of::<Live>());
    }
}
