//! How many are answered at once.

use std::{
    collections::VecDeque,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use tokio::{sync::Notify, task::AbortHandle, time::sleep};
use tracing::debug;

/// Strangers who are answered at once. An answer takes a moment.
const STRANGERS: usize = 64;

/// Operators who are answered at once: those who watch stay.
const OPERATORS: usize = 64;

/// How long a stranger may stay, TLS handshake and answer included.
const PATIENCE: Duration = Duration::from_secs(5);

/// Those who are being answered: operators, who have shown that they may come in, and strangers, who
/// have not yet. Where there are too many of either, the one of them gives way that has been there
/// for the longest: so nobody can keep others out by being slow, and no stranger sends an operator
/// away.
#[derive(Debug, Default)]
pub(super) struct Guests(VecDeque<Guest>);

#[derive(Debug)]
struct Guest {
    pass: Pass,
    answering: AbortHandle,
}

/// Says of a guest whether it may come in. Its clones are one pass.
#[derive(Debug, Clone, Default)]
pub(super) struct Pass(Arc<Shown>);

#[derive(Debug, Default)]
struct Shown {
    is_operator: AtomicBool,
    changed: Notify,
}

impl Guests {
    /// Lets the answering of one more go on by itself, unless it has to give way. It is given the
    /// pass that it notes an operator on.
    pub(super) fn welcome<A>(&mut self, answering: impl FnOnce(Pass) -> A)
    where
        A: Future<Output = ()> + Send + 'static,
    {
        self.make_room();
        let pass = Pass::default();
        let answering = tokio::spawn(answered(pass.clone(), answering(pass.clone())));
        let answering = answering.abort_handle();
        self.0.push_back(Guest { pass, answering });
    }

    /// Sends away the stranger that has been here for the longest, if there is one.
    fn send_a_stranger_away(&mut self) {
        self.send_away_first(|guest| !guest.pass.is_operator());
    }

    fn make_room(&mut self) {
        self.0.retain(|guest| !guest.answering.is_finished());
        let operators = self.0.iter().filter(|guest| guest.pass.is_operator());
        let operators = operators.count();
        let strangers = self.0.len() - operators;
        if operators > OPERATORS {
            self.send_away_first(|guest| guest.pass.is_operator());
        }
        if strangers >= STRANGERS {
            self.send_a_stranger_away();
        }
    }

    fn send_away_first(&mut self, is_one: impl FnMut(&Guest) -> bool) {
        if let Some(guest) = self.0.iter().position(is_one)
            && let Some(guest) = self.0.remove(guest)
        {
            guest.answering.abort();
        }
    }
}

impl Pass {
    /// Its bearer has shown that it may come in.
    pub(super) fn note_operator(&self) {
        self.0.is_operator.store(true, Relaxed);
        self.0.changed.notify_one();
    }

    fn is_operator(&self) -> bool {
        self.0.is_operator.load(Relaxed)
    }

    /// Ends when a stranger has been here for too long.
    async fn expired(&self) {
        tokio::select! {
            () = sleep(PATIENCE) => {}
            () = self.0.changed.notified() => pending().await,
        }
    }
}

async fn answered(pass: Pass, answering: impl Future<Output = ()>) {
    tokio::select! {
        () = answering => {}
        () = pass.expired() => debug!("somebody who has shown nothing was at the operator's door for too long"),
    }
}

#[cfg(test)]
mod tests {
    use tokio::{sync::oneshot, time::advance};

    use super::*;

    /// A guest who stays as long as it is let, and its pass.
    fn guest(guests: &mut Guests) -> (Pass, oneshot::Receiver<()>) {
        let (here, gone) = oneshot::channel::<()>();
        let mut own = None;
        guests.welcome(|pass| {
            own = Some(pass);
            async move {
                let _here = here;
                pending().await
            }
        });
        (own.unwrap(), gone)
    }

    async fn is_gone(gone: &mut oneshot::Receiver<()>) -> bool {
        // Whoever is sent away goes at its next turn.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        gone.try_recv() != Err(oneshot::error::TryRecvError::Empty)
    }

    #[tokio::test]
    async fn strangers_give_way_to_strangers_and_never_does_an_operator() {
        let mut guests = Guests::default();
        let (pass, mut operator) = guest(&mut guests);
        pass.note_operator();
        let (_, mut first) = guest(&mut guests);
        let mut others: Vec<_> = (1..STRANGERS).map(|_| guest(&mut guests).1).collect();
        assert!(!is_gone(&mut first).await);
        let (_, mut last) = guest(&mut guests);
        assert!(is_gone(&mut first).await);
        for other in &mut others {
            assert!(!is_gone(other).await);
        }
        others.extend((0..STRANGERS).map(|_| guest(&mut guests).1));
        assert!(is_gone(&mut last).await);
        assert!(!is_gone(&mut operator).await);
        assert_eq!(guests.0.len(), 1 + STRANGERS);
    }

    #[tokio::test]
    async fn of_too_many_operators_the_one_gives_way_that_has_been_here_for_the_longest() {
        let mut guests = Guests::default();
        let mut operators = Vec::new();
        for _ in 0..=OPERATORS {
            let (pass, gone) = guest(&mut guests);
            pass.note_operator();
            operators.push(gone);
        }
        let (_, mut stranger) = guest(&mut guests);
        assert!(is_gone(&mut operators[0]).await);
        assert!(!is_gone(&mut operators[1]).await);
        assert!(!is_gone(&mut stranger).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stranger_has_seconds_and_an_operator_all_the_time_that_it_wants() {
        let mut guests = Guests::default();
        let (_, mut stranger) = guest(&mut guests);
        let (pass, mut operator) = guest(&mut guests);
        assert!(!is_gone(&mut stranger).await);
        pass.note_operator();
        assert!(!is_gone(&mut operator).await);
        advance(PATIENCE).await;
        assert!(is_gone(&mut stranger).await);
        advance(100 * PATIENCE).await;
        assert!(!is_gone(&mut operator).await);
    }
}
