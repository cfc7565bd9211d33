//! The old process's part.

use std::{
    iter,
    os::fd::{AsFd, BorrowedFd},
    pin::pin,
    time::Duration,
};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::{sync::mpsc, time::timeout};
use tracing::warn;

use super::{
    Broken, FromNew, FromOld, Parcel,
    pending::{Offer, Pending, hear},
};
use crate::handover::{self, Channel, MAX_DESCRIPTORS, Receiver, Sender};

/// A process that is about to be succeeded: the other one is ready.
#[derive(Debug)]
pub struct Giving {
    sender: Sender,
    receiver: Receiver,
    version: String,
    takes_parts: bool,
}

/// What the other process is to know before it serves.
pub struct Bequest {
    /// What pools remember, their clients apart.
    pub memory: Value,
    /// What they remember of their clients, in parts that fit into a frame.
    pub clients: Box<dyn Iterator<Item = Value> + Send>,
}

/// What has become of all offers.
#[derive(Debug)]
pub struct Given {
    /// Tunnels that the other process has.
    pub taken: usize,
    /// Tunnels that it has not, for reasons of their own.
    pub refused: usize,
    /// Why the giving ended early, if it did. Tunnels of which nothing was heard were returned.
    pub broken: Option<Broken>,
}

/// Why the other process does not take over.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// It says why: in several lines, if its configuration is at fault.
    #[error("the new process cannot serve: {0}")]
    Failed(String),
    /// This process does not run any more, or is about to end.
    #[error("the proxy stops")]
    Stopping,
    /// It takes too long.
    #[error("the new process is not ready after {0:?}")]
    TooSlow(Duration),
    /// It cannot be talked to.
    #[error("the new process cannot be talked to")]
    Broken(#[from] Broken),
}

impl From<Value> for Bequest {
    /// With this memory, and no clients.
    fn from(memory: Value) -> Self {
        Self {
            memory,
            clients: Box::new(iter::empty()),
        }
    }
}

impl Giving {
    /// Gives the other process the listening sockets and what pools remember, and waits until it is
    /// ready. From then on both accept, until this one does not any more.
    ///
    /// # Errors
    /// If it is not ready `within` that time. Then it must be seen to that it never will be.
    pub async fn begin(
        channel: Channel,
        sockets: &[BorrowedFd<'_>],
        bequest: impl Into<Bequest>,
        within: Duration,
    ) -> Result<Self, NotReady> {
        let bequest = bequest.into();
        let ready = async {
            let (sender, receiver, hello) = channel.greet().await.map_err(Broken::from)?;
            let mut giving = Self {
                sender,
                receiver,
                version: hello.version,
                takes_parts: hello.takes_parts,
            };
            let bequeathed = giving.bequeath(sockets, bequest).await;
            giving.await_readiness(bequeathed).await?;
            Ok(giving)
        };
        let ready = timeout(within, ready).await;
        ready.unwrap_or(Err(NotReady::TooSlow(within)))
    }

    /// The other process's version of longwire.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Gives tunnels to the other process, until there are no more offers and all are answered.
    /// After that the other one expects nothing more.
    pub async fn give<D: Serialize>(mut self, mut offers: mpsc::Receiver<Offer<D>>) -> Given {
        let mut pending = Pending::new();
        let given = self.give_all(&mut offers, &mut pending).await;
        let broken = given.err();
        if let Some(broken) = &broken {
            self.break_off(&mut pending).await;
            pending.return_all(broken);
            offers.close();
            while let Some(offer) = offers.recv().await {
                offer.give_back(broken);
            }
        }
        Given {
            taken: pending.taken,
            refused: pending.refused,
            broken,
        }
    }

    async fn bequeath(
        &mut self,
        sockets: &[BorrowedFd<'_>],
        bequest: Bequest,
    ) -> Result<(), handover::Error> {
        for some in sockets.chunks(MAX_DESCRIPTORS) {
            self.sender.send(&FromOld::<()>::Sockets {}, some).await?;
        }
        let Bequest {
            memory,
            mut clients,
        } = bequest;
        if self.takes_parts {
            for part in clients {
                self.bequeath_or_warn(FromOld::Clients(part)).await?;
            }
        } else if clients.next().is_some() {
            warn!(
                "longwire {} does not take what is remembered of clients by their address",
                self.version
            );
        }
        if !self.bequeath_or_warn(FromOld::Memory(memory)).await? {
            let nothing = FromOld::<()>::Memory(Value::Object(Map::new()));
            self.sender.send(&nothing, &[]).await?;
        }
        Ok(())
    }

    /// Sends what the other process can do without, if it can be sent at all; whether it was.
    async fn bequeath_or_warn(&mut self, memory: FromOld<()>) -> Result<bool, handover::Error> {
        match self.sender.send(&memory, &[]).await {
            Err(error) if error.is_unsendable() => {
                let error: &dyn std::error::Error = &error;
                warn!(error, "the new process begins without what pools remember");
                Ok(false)
            }
            sent => sent.map(|()| true),
        }
    }

    /// Hears whether the other process is ready. One that has failed early may not have taken all
    /// that was for it, but has said why.
    async fn await_readiness(
        &mut self,
        bequeathed: Result<(), handover::Error>,
    ) -> Result<(), NotReady> {
        let heard = match self.receiver.receive().await {
            Ok(Some(received)) => match received.value {
                FromNew::Ready {} => Ok(()),
                FromNew::Failed { reason } => return Err(NotReady::Failed(reason)),
                other => Err(Broken::Confused(other.name())),
            },
            Ok(None) => Err(Broken::Left),
            Err(error) => Err(error.into()),
        };
        bequeathed.map_err(Broken::from)?;
        Ok(heard?)
    }

    async fn give_all<D: Serialize>(
        &mut self,
        offers: &mut mpsc::Receiver<Offer<D>>,
        pending: &mut Pending<D>,
    ) -> Result<(), Broken> {
        let mut ids = 0..;
        loop {
            tokio::select! {
                offer = offers.recv(), if pending.has_room() => match offer {
                    Some(offer) => {
                        let id = ids.next().unwrap_or_default();
                        self.send(id, offer, pending).await?;
                    }
                    None => break,
                },
                heard = hear(&mut self.receiver, pending.deadline()) => pending.note(heard?)?,
            }
        }
        self.say(&FromOld::<()>::Done {}, &[], pending).await?;
        while !pending.is_empty() {
            pending.note(hear(&mut self.receiver, pending.deadline()).await?)?;
        }
        Ok(())
    }

    async fn send<D: Serialize>(
        &mut self,
        id: u64,
        offer: Offer<D>,
        pending: &mut Pending<D>,
    ) -> Result<(), Broken> {
        let Parcel {
            client,
            backend,
            dossier,
        } = &offer.parcel;
        let tunnel = FromOld::Tunnel { id, dossier };
        let sockets = [client.as_fd(), backend.as_fd()];
        match self.say(&tunnel, &sockets, pending).await {
            Err(Broken::Channel(error)) if error.is_unsendable() => {
                pending.refuse(offer, &error.into());
                Ok(())
            }
            sent => {
                pending.add(id, offer);
                sent
            }
        }
    }

    /// Says something and hears answers meanwhile: the other process may have to be rid of them
    /// before it listens.
    async fn say<D>(
        &mut self,
        message: &FromOld<impl Serialize>,
        sockets: &[BorrowedFd<'_>],
        pending: &mut Pending<D>,
    ) -> Result<(), Broken> {
        pending.expect_answers();
        let mut saying = pin!(self.sender.send(message, sockets));
        loop {
            let deadline = Some(pending.patience_ends());
            tokio::select! {
                said = &mut saying => return Ok(said?),
                heard = hear(&mut self.receiver, deadline) => pending.note(heard?)?,
            }
        }
    }

    /// Ends the conversation. What the other process has said up to now counts; it cannot say that
    /// it has taken any more.
    async fn break_off<D>(&mut self, pending: &mut Pending<D>) {
        self.receiver.close();
        loop {
            match self.receiver.receive().await {
                // Whatever else it says, what it has taken is its own.
                Ok(Some(received)) => {
                    let _ = pending.note(received.value);
                }
                Err(handover::Error::Unexpected(_)) => {}
                Ok(None) | Err(_) => return,
            }
        }
    }
}
