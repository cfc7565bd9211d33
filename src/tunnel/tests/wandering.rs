//! A tunnel that moves from one process to another and back, as far as it can tell.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use tokio::{task::JoinHandle, time::Instant};

use super::rig::{patiently, registry_ticking_from, settle, ticking_registry};
use crate::{
    pool::backend::BackendId,
    stream::Socket,
    tunnel::{
        End, Ended, Policy, Tunnel,
        moving::{Outcome, Packed},
        registry::Registry,
    },
};

/// A tunnel that goes where it is told to.
pub(super) struct Wandering {
    homes: [Arc<Registry>; 2],
    moves: Arc<AtomicUsize>,
    task: JoinHandle<Ended>,
}

impl Wandering {
    pub(super) fn between<C, B>(client: End<C>, backend: End<B>, policy: Policy) -> Self
    where
        C: Socket + Unpin + Send + 'static,
        B: Socket + Unpin + Send + 'static,
    {
        // Their clocks do not tick at the same time.
        let first = Instant::now() + Duration::from_millis(600);
        let homes = [ticking_registry(), registry_ticking_from(first)];
        let place = homes[0].enter(0, BackendId::next());
        let tunnel = Tunnel::new(client, backend, Arc::new(policy), place);
        let moves = Arc::<AtomicUsize>::default();
        let task = tokio::spawn(wander(tunnel, homes.clone(), Arc::clone(&moves)));
        Self { homes, moves, task }
    }

    /// Tells it to move, and says whether it has.
    pub(super) async fn moves(&self) -> bool {
        let (here, before) = (self.home(), self.moves.load(Relaxed));
        here.let_all_leave();
        settle().await;
        here.stay();
        self.moves.load(Relaxed) > before
    }

    /// Where it is.
    pub(super) fn home(&self) -> &Registry {
        &self.homes[self.moves.load(Relaxed) % 2]
    }

    pub(super) fn is_running(&self) -> bool {
        !self.task.is_finished()
    }

    pub(super) async fn ended(self) -> Ended {
        patiently(self.task).await.unwrap()
    }
}

async fn wander<C, B>(
    mut tunnel: Tunnel<C, B>,
    homes: [Arc<Registry>; 2],
    moves: Arc<AtomicUsize>,
) -> Ended
where
    C: Socket + Unpin,
    B: Socket + Unpin,
{
    loop {
        let packed = match (&mut tunnel).await {
            Outcome::Ended(ended) => return ended,
            Outcome::Left(packed) => packed,
        };
        let home = &homes[(moves.fetch_add(1, Relaxed) + 1) % 2];
        tunnel = unpacked(*packed, home);
    }
}

/// A tunnel that goes on elsewhere, after all of it but its sockets has been written and read.
pub(super) fn unpacked<C, B>(packed: Packed<C, B>, home: &Registry) -> Tunnel<C, B> {
    let place = home.enter_again(0, BackendId::next(), &carried(&packed.place), None);
    let policy = Arc::new(carried(&*packed.policy));
    let state = carried(&packed.state);
    Tunnel::resume(packed.client, packed.backend, policy, place, &state)
}

/// What is read of what is written of `value`.
pub(super) fn carried<T: Serialize + DeserializeOwned>(value: &T) -> T {
    let text = serde_json::to_string(value).unwrap();
    serde_json::from_str(&text).unwrap()
}
