use longwire::{
    server::{Departing, Passage, upgrade::Parcel},
    tunnel::registry::Handle,
};
use tokio::{
    sync::mpsc::UnboundedReceiver,
    time::{Duration, timeout},
};

use super::Proxy;

impl Proxy {
    /// Has its tunnels, as many as that, go on in another proxy.
    pub(crate) async fn moves_to(&self, other: &Self, tunnels: usize) {
        for parcel in self.lets_go(tunnels).await {
            assert_eq!(other.receives(copied(&parcel)), Ok(()));
        }
    }

    /// Has its tunnels leave from now on, for whoever takes them.
    pub(crate) fn opens_exit(&self) -> UnboundedReceiver<Departing> {
        let (tunnels, leaving) = self.exit.open();
        tunnels.iter().for_each(Handle::leave);
        leaving
    }

    /// Has its tunnels leave, as many as that.
    pub(crate) async fn lets_go(&self, tunnels: usize) -> Vec<Parcel<Passage>> {
        let mut leaving = self.opens_exit();
        let mut left = Vec::new();
        while left.len() < tunnels {
            let departing = timeout(Duration::from_secs(10), leaving.recv()).await;
            let departing: Departing = departing.expect("nobody leaves").expect("it is open");
            let (parcel, _) = departing.packed();
            left.push(parcel);
        }
        self.exit.close();
        left
    }

    /// Has a tunnel go on here; says why if it cannot.
    pub(crate) fn receives(&self, parcel: Parcel<Passage>) -> Result<(), String> {
        self.arrivals.admit(parcel).map(|go_on| go_on())
    }
}

/// A parcel as another process gets it: its sockets copied, all else written and read.
pub(crate) fn copied(parcel: &Parcel<Passage>) -> Parcel<Passage> {
    let text = serde_json::to_string(&parcel.dossier).unwrap();
    Parcel {
        client: parcel.client.try_clone().unwrap(),
        backend: parcel.backend.try_clone().unwrap(),
        dossier: serde_json::from_str(&text).unwrap(),
    }
}
