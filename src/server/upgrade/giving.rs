//! The old process's part.

use std::{
    collections::HashMap,
    future::pending,
    os::fd::{AsFd, BorrowedFd},
    pin::pin,
    time::Duration,
};

use serde::Serialize;
use serde_json::Value;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{Broken, FromNew, FromOld, Parcel};
use crate::handover::{self, Channel, MAX_DESCRIPTORS, Receiver, Sender};

/// So many tunnels may be on their way at once: what is on its way stands still.
pub(in crate::server) const UNANSWERED: usize = 64;

/// A process that answers nothing for so long has no time for tunnels.
const PATIENCE: Duration = Duration::from_secs(5);

/// A process that is about to be succeeded: the other one is ready.
#[derive(Debug)]
pub struct Giving {
    sender: Sender,
    receiver: Receiver,
    version: String,
}

/// A tunnel for the other process.
#[derive(Debug)]
pub struct Offer<D> {
    /// The tunnel.
    pub parcel: Parcel<D>,
    /// Where its fate is told.
    pub answer: oneshot::Sender<Answer<D>>,
}

/// What has become of an offer.
#[derive(Debug)]
pub enum Answer<D> {
    /// The other process has the tunnel.
    Taken,
    /// It has not, for this reason, and never will.
    Returned(Parcel<D>, String),
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

/// What is known of the tunnels that were sent.
#[derive(Debug)]
struct Pending<D> {
    unanswered: HashMap<u64, Offer<D>>,
    /// When the other process has last answered, or was first expected to.
    heard: Instant,
    taken: usize,
    refused: usize,
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
        memory: Value,
        within: Duration,
    ) -> Result<Self, NotReady> {
        let ready = async {
            let (sender, receiver, hello) = channel.greet().await.map_err(Broken::from)?;
            let mut giving = Self {
                sender,
                receiver,
                version: hello.version,
            };
            let bequeathed = giving.bequeath(sockets, memory).await;
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
        memory: Value,
    ) -> Result<(), handover::Error> {
        for some in sockets.chunks(MAX_DESCRIPTORS) {
            self.sender.send(&FromOld::<()>::Sockets {}, some).await?;
        }
        self.sender.send(&FromOld::<()>::Memory(memory), &[]).await
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
        while !pending.unanswered.is_empty() {
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
                pending.refused += 1;
                offer.give_back(&error.into());
                Ok(())
            }
            sent => {
                pending.unanswered.insert(id, offer);
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
            let deadline = Some(pending.heard + PATIENCE);
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

impl<D> Offer<D> {
    fn give_back(self, broken: &Broken) {
        self.answer(|parcel| Answer::Returned(parcel, broken.to_string()));
    }

    fn answer(self, answer: impl FnOnce(Parcel<D>) -> Answer<D>) {
        // Who does not wait for it any more has no use for the tunnel either.
        let _ = self.answer.send(answer(self.parcel));
    }
}

impl<D> Pending<D> {
    fn new() -> Self {
        Self {
            unanswered: HashMap::new(),
            heard: Instant::now(),
            taken: 0,
            refused: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.unanswered.len() < UNANSWERED
    }

    /// Something is about to be said.
    fn expect_answers(&mut self) {
        if self.unanswered.is_empty() {
            self.heard = Instant::now();
        }
    }

    /// When the other process will have been silent for too long.
    fn deadline(&self) -> Option<Instant> {
        (!self.unanswered.is_empty()).then_some(self.heard + PATIENCE)
    }

    fn note(&mut self, heard: FromNew) -> Result<(), Broken> {
        self.heard = Instant::now();
        let confused = Broken::Confused(heard.name());
        let (id, refusal) = match heard {
            FromNew::Taken { id } => (id, None),
            FromNew::Refused { id, reason } => (id, Some(reason)),
            FromNew::Ready {} | FromNew::Failed { .. } => return Err(confused),
        };
        let offer = self.unanswered.remove(&id).ok_or(confused)?;
        match refusal {
            None => {
                self.taken += 1;
                offer.answer(|_| Answer::Taken);
            }
            Some(reason) => {
                self.refused += 1;
                offer.answer(|parcel| Answer::Returned(parcel, reason));
            }
        }
        Ok(())
    }

    fn return_all(&mut self, broken: &Broken) {
        for (_, offer) in self.unanswered.drain() {
            offer.give_back(broken);
        }
    }
}

/// The next answer, which must come before the deadline, if there is one. May be given up at any
/// time.
async fn hear(receiver: &mut Receiver, deadline: Option<Instant>) -> Result<FromNew, Broken> {
    let silence = async {
        match deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => pending().await,
        }
    };
    tokio::select! {
        received = receiver.receive() => Ok(received?.ok_or(Broken::Left)?.value),
        () = silence => Err(Broken::Silent),
    }
}
