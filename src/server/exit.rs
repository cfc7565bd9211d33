//! The way out for live tunnels, to whoever hands them to another process.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::sync::{
    mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel},
    watch,
};
use tracing::warn;

use super::{
    succession::Passage,
    upgrade,
    workers::{Seat, Workers},
};
use crate::{
    listener::Permit,
    proxy::{
        Proxy,
        moving::{Parcel, Residence},
    },
    tunnel::registry::{Handle, Registry},
};

/// An exit that is closed until somebody waits behind it.
#[derive(Debug)]
pub struct Exit {
    registry: Arc<Registry>,
    taker: Mutex<Option<UnboundedSender<Departing>>>,
    /// Tunnels that have left, and of which it is not known yet what has become.
    out: watch::Sender<usize>,
    /// Tunnels that had left, and have come back.
    returned: AtomicUsize,
}

/// A tunnel that leaves.
#[derive(Debug)]
pub struct Departing {
    parcel: Parcel,
    absent: Absent,
}

/// What a tunnel that has left would need to stay after all.
#[derive(Debug)]
pub struct Absent {
    resident: Arc<Resident>,
    _absence: Absence,
}

/// Counts a tunnel among those that are out until dropped.
#[derive(Debug)]
struct Absence(watch::Sender<usize>);

/// A connection's place among those of its listener and of its worker.
pub(super) struct Resident {
    pub(super) worker: usize,
    /// The address that it was accepted at: shared, for there is a resident for each tunnel.
    pub(super) listener: Arc<SocketAddr>,
    pub(super) proxy: Arc<Proxy>,
    pub(super) exit: Arc<Exit>,
    pub(super) workers: Arc<Workers>,
    pub(super) _permit: Permit,
    pub(super) _seat: Seat,
}

impl Exit {
    pub(super) fn of(registry: &Arc<Registry>) -> Self {
        Self {
            registry: Arc::clone(registry),
            taker: Mutex::default(),
            out: watch::Sender::new(0),
            returned: AtomicUsize::new(0),
        }
    }

    /// Gives whoever takes tunnels what leaves: those that come from now on, as soon as they can, and
    /// those that are here, which it gives too, when they are [told to](Handle::leave).
    pub fn open(&self) -> (Vec<Handle>, UnboundedReceiver<Departing>) {
        let (taker, taken) = unbounded_channel();
        *self.taker.lock().expect("no holder panics") = Some(taker);
        (self.registry.move_out(), taken)
    }

    /// Has those stay that have not left yet.
    pub fn close(&self) {
        self.registry.stay();
        *self.taker.lock().expect("no holder panics") = None;
    }

    /// Waits until it is known of all that have left what has become of them.
    pub(super) async fn settled(&self) {
        let mut out = self.out.subscribe();
        // The sender is here.
        let _ = out.wait_for(|out| *out == 0).await;
    }

    /// How many have left and come back so far.
    pub(super) fn returned(&self) -> usize {
        self.returned.load(Relaxed)
    }

    /// Gives a tunnel that leaves to who takes it.
    ///
    /// # Errors
    /// If nobody does, it is given back.
    fn take(&self, departing: Departing) -> Result<(), Departing> {
        match &*self.taker.lock().expect("no holder panics") {
            Some(taker) => taker.send(departing).map_err(|unsent| unsent.0),
            None => Err(departing),
        }
    }

    fn absence(&self) -> Absence {
        self.out.send_modify(|out| *out += 1);
        Absence(self.out.clone())
    }
}

impl Drop for Absence {
    fn drop(&mut self) {
        self.0.send_modify(|out| *out -= 1);
    }
}

impl Residence for Resident {
    fn send_off(self: Arc<Self>, parcel: Parcel) {
        let exit = Arc::clone(&self.exit);
        let absent = Absent {
            _absence: exit.absence(),
            resident: self,
        };
        if let Err(departing) = exit.take(Departing { parcel, absent }) {
            let (parcel, absent) = departing.packed();
            absent.stay(parcel);
        }
    }
}

impl Departing {
    /// It as another process can be given it, and what it needs if that does not take it.
    #[must_use]
    pub fn packed(self) -> (upgrade::Parcel<Passage>, Absent) {
        let Self { parcel, absent } = self;
        let parcel = upgrade::Parcel {
            client: parcel.client,
            backend: parcel.backend,
            dossier: Passage {
                listener: *absent.resident.listener,
                tunnel: parcel.dossier,
            },
        };
        (parcel, absent)
    }
}

impl Absent {
    /// Goes on where it was: nobody takes it.
    pub fn stay(self, parcel: upgrade::Parcel<Passage>) {
        let resident = self.resident;
        let tunnel = parcel.dossier.tunnel.number();
        let parcel = Parcel {
            client: parcel.client,
            backend: parcel.backend,
            dossier: parcel.dossier.tunnel,
        };
        let worker = resident.worker;
        let exit = Arc::clone(&resident.exit);
        let stayed = match resident.proxy.admit(parcel) {
            Ok(newcomer) => {
                let workers = Arc::clone(&resident.workers);
                let _on_worker = workers.at(worker).handle().enter();
                newcomer.go_on(worker, resident).map_err(|e| e.to_string())
            }
            Err((_, reason)) => Err(reason.to_string()),
        };
        match stayed {
            Ok(()) => {
                exit.returned.fetch_add(1, Relaxed);
            }
            Err(reason) => warn!(
                tunnel,
                reason, "a tunnel can neither leave nor stay: it is lost"
            ),
        }
    }
}

impl fmt::Debug for Resident {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resident")
            .field("listener", &self.listener)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
