//! Where the tunnels of another process arrive.

use std::{
    net::SocketAddr,
    sync::{Arc, Weak},
};

use socket2::SockRef;
use tokio::sync::watch;
use tracing::warn;

use super::Passage;
use crate::{
    listener::{Limit, Listener, Permit},
    proxy::{
        Proxy,
        moving::{Newcomer, Parcel},
    },
    server::{
        Readiness, Server,
        exit::{Exit, Resident},
        upgrade,
        workers::Workers,
    },
};

/// Where the tunnels of another process arrive.
#[derive(Debug)]
pub struct Arrivals {
    proxy: Arc<Proxy>,
    workers: Arc<Workers>,
    exit: Arc<Exit>,
    total: Arc<Limit>,
    listeners: Vec<Weak<Listener>>,
    readiness: watch::Receiver<Readiness>,
}

/// A tunnel that has arrived, and is not begun yet.
struct Arrived {
    newcomer: Newcomer,
    resident: Arc<Resident>,
}

impl Server {
    /// Where the tunnels of another process arrive.
    #[must_use]
    pub fn arrivals(&self) -> Arrivals {
        let listeners = self.doors.iter().flat_map(|door| door.listeners());
        Arrivals {
            proxy: Arc::clone(&self.shared.proxy),
            workers: Arc::clone(&self.workers),
            exit: Arc::clone(&self.shared.exit),
            total: Arc::clone(&self.shared.total),
            listeners: listeners.map(Arc::downgrade).collect(),
            readiness: self.readiness.subscribe(),
        }
    }
}

impl Arrivals {
    /// Takes a tunnel in, and gives the word that has it go on.
    ///
    /// # Errors
    /// If it cannot go on here, with the reason.
    pub fn admit(&self, parcel: upgrade::Parcel<Passage>) -> Result<impl FnOnce() + use<>, String> {
        if *self.readiness.borrow() == Readiness::Stopping {
            // It has more time where it was.
            return Err("this process stops as well".to_owned());
        }
        let Passage { listener, tunnel } = parcel.dossier;
        let parcel = Parcel {
            client: parcel.client,
            backend: parcel.backend,
            dossier: tunnel,
        };
        let client = SockRef::from(&parcel.client).peer_addr();
        let client = client.ok().and_then(|client| client.as_socket());
        let admitted = self.proxy.admit(parcel);
        let newcomer = admitted.map_err(|(_, reason)| reason.to_string())?;
        let worker = self.workers.emptiest();
        let resident = Resident {
            worker: worker.index,
            listener: Arc::new(listener),
            proxy: Arc::clone(&self.proxy),
            exit: Arc::clone(&self.exit),
            workers: Arc::clone(&self.workers),
            _permit: self.permit(listener, client),
            _seat: worker.seat(),
        };
        let arrived = Arrived {
            newcomer,
            resident: Arc::new(resident),
        };
        Ok(move || arrived.go_on())
    }

    fn permit(&self, address: SocketAddr, client: Option<SocketAddr>) -> Permit {
        let mut listeners = self.listeners.iter().filter_map(Weak::upgrade);
        match listeners.find(|listener| listener.address() == address) {
            Some(listener) => listener.permit_beyond(client),
            None => Permit::of_none(&self.total),
        }
    }
}

impl Arrived {
    fn go_on(self) {
        let Self { newcomer, resident } = self;
        let workers = Arc::clone(&resident.workers);
        let worker = resident.worker;
        let _on_worker = workers.at(worker).handle().enter();
        if let Err(error) = newcomer.go_on(worker, resident) {
            warn!(%error, "a tunnel is lost that was taken over");
        }
    }
}
