//! What the old process has sent, and not had an answer to.

use std::{collections::HashMap, future::pending, time::Duration};

use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use super::{Broken, FromNew, Parcel};
use crate::handover::Receiver;

/// So many tunnels may be on their way at once: what is on its way stands still.
pub(in crate::server) const UNANSWERED: usize = 64;

/// A process that answers nothing for so long has no time for tunnels.
const PATIENCE: Duration = Duration::from_secs(5);

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

/// What is known of the tunnels that were sent.
#[derive(Debug)]
pub(super) struct Pending<D> {
    unanswered: HashMap<u64, Offer<D>>,
    /// When the other process has last answered, or was first expected to.
    heard: Instant,
    pub(super) taken: usize,
    pub(super) refused: usize,
}

impl<D> Offer<D> {
    pub(super) fn give_back(self, broken: &Broken) {
        self.answer(|parcel| Answer::Returned(parcel, broken.to_string()));
    }

    fn answer(self, answer: impl FnOnce(Parcel<D>) -> Answer<D>) {
        // Who does not wait for it any more has no use for the tunnel either.
        let _ = self.answer.send(answer(self.parcel));
    }
}

impl<D> Pending<D> {
    pub(super) fn new() -> Self {
        Self {
            unanswered: HashMap::new(),
            heard: Instant::now(),
            taken: 0,
            refused: 0,
        }
    }

    pub(super) fn has_room(&self) -> bool {
        self.unanswered.len() < UNANSWERED
    }

    pub(super) fn is_empty(&self) -> bool {
        self.unanswered.is_empty()
    }

    /// An offer was sent, and will be answered.
    pub(super) fn add(&mut self, id: u64, offer: Offer<D>) {
        self.unanswered.insert(id, offer);
    }

    /// An offer cannot be sent.
    pub(super) fn refuse(&mut self, offer: Offer<D>, broken: &Broken) {
        self.refused += 1;
        offer.give_back(broken);
    }

    /// Something is about to be said.
    pub(super) fn expect_answers(&mut self) {
        if self.is_empty() {
            self.heard = Instant::now();
        }
    }

    /// When the other process will have been silent for too long, if there is something to answer.
    pub(super) fn deadline(&self) -> Option<Instant> {
        (!self.is_empty()).then(|| self.patience_ends())
    }

    /// When it will have been, whatever there is.
    pub(super) fn patience_ends(&self) -> Instant {
        self.heard + PATIENCE
    }

    /// Takes note of an answer.
    pub(super) fn note(&mut self, heard: FromNew) -> Result<(), Broken> {
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

    pub(super) fn return_all(&mut self, broken: &Broken) {
        for (_, offer) in self.unanswered.drain() {
            offer.give_back(broken);
        }
    }
}

/// The next answer, which must come before the deadline, if there is one. May be given up at any
/// time.
pub(super) async fn hear(
    receiver: &mut Receiver,
    deadline: Option<Instant>,
) -> Result<FromNew, Broken> {
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
