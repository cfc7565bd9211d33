//! How the tunnels that can move leave for the process that takes over.

use std::time::Duration;

use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot, watch,
    },
    task::JoinHandle,
    time::timeout,
};
use tracing::{info, warn};

use super::Passage;
use crate::{
    server::{
        Server,
        exit::{Departing, Exit},
        upgrade::{Answer, Given, Giving, Offer, UNANSWERED},
    },
    tunnel::registry::Handle,
};

/// How long a few tunnels may take to leave before those that are left are told to close.
const SETTLING: Duration = Duration::from_secs(10);

/// The hand-over of tunnels under way.
pub(in crate::server) struct Departures {
    /// Those that were here when it began.
    residents: Vec<Handle>,
    /// Dropped when nobody leaves any more.
    open: watch::Sender<()>,
    forwarding: JoinHandle<()>,
    giving: JoinHandle<Given>,
}

impl Server {
    /// Has the tunnels that can move leave for the other process.
    pub(in crate::server) fn depart(&self, giving: Giving) -> Departures {
        let (residents, leaving) = self.shared.exit.open();
        // Those that are on their way are counted there.
        let (offers, offered) = mpsc::channel(1);
        let (open, closed) = watch::channel(());
        Departures {
            residents,
            open,
            forwarding: tokio::spawn(forward(leaving, offers, closed)),
            giving: tokio::spawn(giving.give(offered)),
        }
    }

    /// Has those leave that can do so at once: no more at a time than there is room for on the way, as
    /// they stand still there.
    pub(in crate::server) async fn settle(&self, departures: &Departures) {
        let mut is_brisk = true;
        for some in departures.residents.chunks(UNANSWERED) {
            some.iter().for_each(Handle::leave);
            is_brisk = is_brisk && self.have_left().await;
        }
        if !is_brisk {
            warn!("the tunnels take their time to leave");
        }
    }

    /// Whether those that were told to leave, and could, have done so before long.
    async fn have_left(&self) -> bool {
        // What a worker is told now, it does after it has looked at the tunnels that were woken.
        let are_awake = self.workers.pulse().beats(SETTLING).await;
        are_awake && timeout(SETTLING, self.shared.exit.settled()).await.is_ok()
    }
}

impl Departures {
    /// Has nobody leave any more, and says what has become of those that did.
    pub(in crate::server) async fn end(self, exit: &Exit) -> usize {
        exit.close();
        drop(self.open);
        let (mut forwarding, mut giving) = (self.forwarding, self.giving);
        // It ends with what it forwards, unless that stands on a worker that hangs.
        if timeout(SETTLING, &mut forwarding).await.is_err() {
            forwarding.abort();
        }
        let given = timeout(SETTLING, &mut giving).await;
        // Whoever is on the way yet has been for too long.
        giving.abort();
        let _ = timeout(SETTLING, exit.settled()).await;
        match given {
            Ok(Ok(given)) => {
                if let Some(broken) = given.broken {
                    let error: &dyn std::error::Error = &broken;
                    warn!(error, "the new process has not taken all tunnels");
                }
                info!(
                    taken = given.taken,
                    refused = given.refused,
                    "tunnels were handed over"
                );
                given.taken
            }
            Ok(Err(_)) | Err(_) => {
                warn!("nobody knows which tunnels the new process has");
                0
            }
        }
    }
}

/// Offers each tunnel that leaves to the other process, until it is `closed`. Those that it does not
/// take stay.
async fn forward(
    mut leaving: UnboundedReceiver<Departing>,
    offers: mpsc::Sender<Offer<Passage>>,
    mut closed: watch::Receiver<()>,
) {
    while let Some(departing) = leaving.recv().await {
        let (parcel, absent) = departing.packed();
        let place = tokio::select! {
            place = offers.reserve() => place.ok(),
            _ = closed.changed() => None,
        };
        let Some(place) = place else {
            absent.stay(parcel);
            continue;
        };
        let (answer, answered) = oneshot::channel();
        place.send(Offer { parcel, answer });
        tokio::spawn(async move {
            if let Ok(Answer::Returned(parcel, reason)) = answered.await {
                let tunnel = parcel.dossier.tunnel.number();
                info!(tunnel, reason, "a tunnel stays with this process");
                absent.stay(parcel);
            }
        });
    }
}
