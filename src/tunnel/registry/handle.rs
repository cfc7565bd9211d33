//! How others have a live tunnel close or leave.

use std::{
    net::IpAddr,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use super::{
    Description, Sketch,
    live::{Live, Order},
    routes::RouteId,
};
use crate::{
    pool::backend::BackendId,
    tunnel::{Traffic, clock::Tick, counts::Meter},
};

/// A live tunnel in the hands of who may want it to end here.
#[derive(Debug)]
pub struct Handle {
    pub(super) id: u64,
    pub(super) live: Arc<Live>,
    /// The time on its worker when it was listed.
    pub(super) now: Tick,
}

/// What is known of one side of a live tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What has passed from it.
    pub passed: Traffic,
    /// How long ago it was heard, to the second.
    pub heard_ago: Duration,
    /// How long its last pong took, if it ever was pinged.
    pub round_trip: Option<Duration>,
}

impl Handle {
    /// The tunnel's number.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What the tunnel was opened for, if that was said.
    #[must_use]
    pub fn describe(&self) -> Option<Description> {
        self.look(|sketch| Description::from(sketch))
    }

    /// What `look` makes of what the tunnel was opened for, if that was said.
    pub fn look<R>(&self, look: impl FnOnce(&Sketch<'_>) -> R) -> Option<R> {
        let subject = self.live.subject.as_ref()?;
        let mut look = Some(look);
        let mut seen = None;
        subject.show(&mut |sketch| seen = look.take().map(|look| look(sketch)));
        seen
    }

    /// Where the client comes from, if that is known.
    #[must_use]
    pub fn client_address(&self) -> Option<IpAddr> {
        self.live.client_address()
    }

    /// What is known of the client's side.
    #[must_use]
    pub fn client(&self) -> Reading {
        self.read(&self.live.client)
    }

    /// What is known of the backend's side.
    #[must_use]
    pub fn backend(&self) -> Reading {
        self.read(&self.live.backend)
    }

    fn read(&self, meter: &Meter) -> Reading {
        Reading {
            passed: meter.traffic(),
            heard_ago: Duration::from_secs(self.now.since(meter.heard()).into()),
            round_trip: meter.round_trip(),
        }
    }

    /// The backend that serves it now.
    #[must_use]
    pub fn service(&self) -> BackendId {
        self.live.service()
    }

    /// The route that it came by.
    #[must_use]
    pub fn route(&self) -> RouteId {
        self.live.route()
    }

    /// How long it had been open at least when it was listed, in whole seconds.
    #[must_use]
    pub fn age(&self) -> Duration {
        // It was opened up to a second after the tick that stands for that.
        let age = self.now.since(self.live.opened);
        Duration::from_secs(age.saturating_sub(1).into())
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        !self.live.has_ended.load(Relaxed)
    }

    /// Whether it has been told to close.
    #[must_use]
    pub fn is_closing(&self) -> bool {
        self.live.order.get().is_some()
    }

    /// Tells it to close, and says whether that is news to it.
    pub fn close(&self, order: impl Into<Order>) -> bool {
        self.is_alive() && self.live.obey(order.into())
    }

    /// Has it end as [left](crate::tunnel::moving::Outcome::Left) for another process, as soon as it
    /// can move; until then it stays, or ends here.
    pub fn leave(&self) {
        self.live.leaves.store(true, Relaxed);
        self.live.waker.wake();
    }

    /// Ends it at once, on account of the first order that it got.
    pub fn cut(&self, order: impl Into<Order>) {
        self.live.obey(order.into());
        self.live.cut();
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::{
        tunnel::{
            Cause,
            registry::{CloseOrder, Registry},
        },
        websocket::CloseCode,
    };

    static FIRST: CloseOrder = CloseOrder {
        cause: Cause::Shutdown,
        code: CloseCode::GOING_AWAY,
        reason: Cow::Borrowed("first"),
    };
    static SECOND: CloseOrder = CloseOrder {
        reason: Cow::Borrowed("second"),
        ..FIRST
    };

    #[tokio::test(start_paused = true)]
    async fn a_handle_says_how_old_its_tunnel_is() {
        let registry = Registry::new(1);
        let backend = BackendId::next();
        let _old = registry.enter(0, backend);
        tokio::time::advance(Duration::from_secs(60)).await;
        registry.tick(0);
        let _young = registry.enter(0, backend);
        tokio::time::advance(Duration::from_secs(5)).await;
        registry.tick(0);
        let handles = registry.served_by(|of| of == backend);
        let mut ages: Vec<_> = handles
            .iter()
            .map(|handle| handle.age().as_secs())
            .collect();
        ages.sort_unstable();
        assert_eq!(ages, [4, 64]);
    }

    #[test]
    fn a_handle_closes_once_and_nobody_who_is_gone() {
        let registry = Registry::new(1);
        let backend = BackendId::next();
        let place = registry.enter(0, backend);
        let handle = registry.served_by(|of| of == backend).remove(0);
        assert!(handle.is_alive() && !handle.is_closing());
        assert!(handle.close(&FIRST));
        assert!(!handle.close(&SECOND), "it knows already");
        assert_eq!(place.order().as_deref(), Some(&FIRST));
        assert!(handle.is_alive() && handle.is_closing());

        let place = registry.enter(0, backend);
        let handles = registry.served_by(|of| of == backend);
        drop(place);
        let gone = handles.iter().find(|handle| !handle.is_closing()).unwrap();
        assert!(!gone.is_alive());
        assert!(!gone.close(&FIRST));
    }
}
