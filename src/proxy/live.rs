//! A tunnel that lives, and what it keeps alive.

use std::{
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tracing::{debug, warn};

use super::{
    access::Record,
    moving::{Dossier, Parcel, Residence},
    reconnect::Replay,
};
use crate::{
    pool::backend::Lease,
    stream::Stream,
    tunnel::{
        Ended, Tunnel,
        moving::{Outcome, Packed},
    },
};

/// A tunnel and what it keeps alive. A future written by hand, since one that the compiler makes of
/// an `async fn` has room for the tunnel several times.
pub(super) struct Live {
    tunnel: Tunnel<Stream, Stream>,
    keep: Keep,
}

/// What a tunnel keeps alive as long as it lives, and tells at its end.
struct Keep {
    record: Arc<Record>,
    tie: Tie,
    residence: Arc<dyn Residence>,
}

/// What ties a tunnel to its backend.
pub(super) enum Tie {
    /// The use of that one.
    Lease(Lease),
    /// What it takes to go on with another; the tunnel's rescue has the lease.
    Replay(Arc<Replay>),
}

impl Live {
    pub(super) fn new(
        tunnel: Tunnel<Stream, Stream>,
        tie: Tie,
        record: Arc<Record>,
        residence: Arc<dyn Residence>,
    ) -> Self {
        Self {
            tunnel,
            keep: Keep {
                record,
                tie,
                residence,
            },
        }
    }
}

impl Future for Live {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let Self { tunnel, keep } = self.get_mut();
        match ready!(Pin::new(&mut *tunnel).poll(cx)) {
            Outcome::Ended(ended) => keep.tell(tunnel.id(), &ended),
            Outcome::Left(packed) => keep.send_off(*packed),
        }
        Poll::Ready(())
    }
}

impl Keep {
    fn tell(&self, tunnel: u64, ended: &Ended) {
        self.record.tunnel_ended(tunnel, ended);
        if ended.is_loss_of_backend() {
            self.record.lost(ended.lingered);
        }
    }

    fn send_off(&self, packed: Packed<Stream, Stream>) {
        let tunnel = packed.place.number();
        match self.parcel(packed) {
            Ok(parcel) => {
                debug!(tunnel, "a tunnel leaves for another process");
                self.record.goes_on_elsewhere();
                Arc::clone(&self.residence).send_off(parcel);
            }
            Err(error) => warn!(tunnel, %error, "a tunnel is lost on its way to another process"),
        }
    }

    fn parcel(&self, packed: Packed<Stream, Stream>) -> io::Result<Parcel> {
        let past = self.record.write_down();
        let dossier = Dossier {
            place: packed.place,
            policy: *packed.policy,
            state: packed.state,
            past: past.ok_or_else(|| io::Error::other("it has no backend"))?,
            remembered: self.tie.client(),
            reconnect: self.tie.replay().map(Replay::write_down),
        };
        Ok(Parcel {
            client: packed.client.into_descriptor()?,
            backend: packed.backend.into_descriptor()?,
            dossier: Box::new(dossier),
        })
    }
}

impl Tie {
    /// The client, as far as its pool may remember it.
    fn client(&self) -> Option<IpAddr> {
        match self {
            Self::Lease(lease) => lease.client(),
            Self::Replay(replay) => Some(replay.ip),
        }
    }

    fn replay(&self) -> Option<&Replay> {
        match self {
            Self::Lease(_) => None,
            Self::Replay(replay) => Some(replay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tunnel_is_small() {
        let size = size_of::<Live>();
        // What the runtime adds makes 640 bytes of that, and the next size would be 768.
        assert!(size <= 536, "{size} bytes");
    }
}
