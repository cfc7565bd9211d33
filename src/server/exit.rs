//! The way out for live tunnels, to whoever hands them to another process.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{proxy::moving::Parcel, tunnel::registry::Registry};

/// A door that is closed until somebody waits behind it.
#[derive(Debug)]
pub struct Exit {
    registry: Arc<Registry>,
    taker: Mutex<Option<UnboundedSender<Parcel>>>,
}

impl Exit {
    pub(super) fn of(registry: &Arc<Registry>) -> Self {
        Self {
            registry: Arc::clone(registry),
            taker: Mutex::default(),
        }
    }

    /// Has every tunnel that can move leave, and gives whoever takes them what leaves.
    pub fn open(&self) -> UnboundedReceiver<Parcel> {
        let (taker, taken) = unbounded_channel();
        *self.taker.lock().expect("no holder panics") = Some(taker);
        self.registry.move_out();
        taken
    }

    /// Has those stay that have not left yet.
    pub fn close(&self) {
        self.registry.stay();
        *self.taker.lock().expect("no holder panics") = None;
    }

    /// Gives a tunnel that leaves to who takes it.
    ///
    /// # Errors
    /// If nobody does, it is given back.
    pub fn take(&self, parcel: Parcel) -> Result<(), Parcel> {
        match &*self.taker.lock().expect("no holder panics") {
            Some(taker) => taker.send(parcel).map_err(|unsent| unsent.0),
            None => Err(parcel),
        }
    }
}
