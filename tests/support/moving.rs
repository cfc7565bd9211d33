use std::sync::Arc;

use longwire::{
    proxy::moving::{Parcel, Residence},
    server::Exit,
};
use tokio::time::{Duration, timeout};

use super::Proxy;

/// What a tunnel keeps that has come from another proxy.
struct Guest {
    exit: Arc<Exit>,
}

impl Residence for Guest {
    fn send_off(self: Arc<Self>, parcel: Parcel) {
        assert!(self.exit.take(parcel).is_ok(), "nobody takes it");
    }
}

impl Proxy {
    /// Has its tunnels, as many as that, go on in another proxy.
    pub(crate) async fn moves_to(&self, other: &Self, tunnels: usize) {
        for parcel in self.lets_go(tunnels).await {
            assert!(other.receives(carried(parcel)).is_ok());
        }
    }

    /// Has its tunnels leave, as many as that.
    pub(crate) async fn lets_go(&self, tunnels: usize) -> Vec<Parcel> {
        let mut leaving = self.exit.open();
        let mut left = Vec::new();
        while left.len() < tunnels {
            let parcel = timeout(Duration::from_secs(10), leaving.recv()).await;
            left.push(parcel.expect("nobody leaves").expect("the exit is open"));
        }
        self.exit.close();
        left
    }

    /// Has a tunnel go on here; gives it back if it cannot.
    pub(crate) fn receives(&self, parcel: Parcel) -> Result<(), Parcel> {
        let exit = Arc::clone(&self.exit);
        self.inner.receive(parcel, 0, Arc::new(Guest { exit }))
    }
}

/// A parcel after all of it but its sockets has been written and read.
pub(crate) fn carried(parcel: Parcel) -> Parcel {
    let text = serde_json::to_string(&parcel.dossier).unwrap();
    Parcel {
        dossier: serde_json::from_str(&text).unwrap(),
        ..parcel
    }
}
