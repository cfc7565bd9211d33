//! What others may touch of a live tunnel.

use std::{
    borrow::Cow,
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::Relaxed},
    },
};

use atomic_waker::AtomicWaker;
use once_cell::race::OnceBox;

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
    pub(super) subject: Option<Arc<dyn Subject>>,
    pub(super) client: Meter,
    pub(super) backend: Meter,
    pub(super) opened: Tick,
    /// Boxed, since hardly any tunnel has one now.
    pub(super) order: OnceBox<Order>,
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
    pub(super) fn new(service: BackendId, opened: Tick, subject: Option<Arc<dyn Subject>>) -> Self {
        Self {
            due: AtomicU32::new(Tick::NEVER.to_bits()),
            waker: AtomicWaker::new(),
            service: AtomicU32::new(service.to_bits()),
            subject,
            client: Meter::since(opened),
            backend: Meter::since(opened),
            opened,
            order: OnceBox::new(),
            is_cut: AtomicBool::new(false),
            leaves: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(super) fn service(&self) -> BackendId {
        BackendId::from_bits(self.service.load(Relaxed))
    }

    pub(super) fn route(&self) -> RouteId {
        let subject = self.subject.as_ref();
        subject.map_or(RouteId::default(), |subject| subject.route())
    }

    /// Where the client comes from, if that is known.
    pub(super) fn client_address(&self) -> Option<IpAddr> {
        let subject = self.subject.as_ref();
        subject.map(|subject| subject.client())
    }

    /// Takes the order, unless there is one already, and says whether it did.
    pub(super) fn obey(&self, order: Order) -> bool {
        let is_first = self.order.set(Box::new(order)).is_ok();
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
        // With the counts of its Arc that makes 128 bytes, a size of the allocator's.
        assert!(size_of::<Live>() <= 112, "{}", size_of::<Live>());
    }
}
