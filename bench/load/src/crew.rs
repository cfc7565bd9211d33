//! The clients that stay open from one order to the next.

use std::{
    io, iter,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinHandle, JoinSet, spawn_local},
};

use crate::{client::Client, frames::Message, tally::Tally, target::Target};

/// How many clients open at a time.
const OPENING: usize = 32;

/// The clients that are open.
#[derive(Default)]
pub struct Crew {
    members: Vec<Member>,
}

struct Member {
    jobs: mpsc::UnboundedSender<Task>,
    at_work: JoinHandle<()>,
}

/// A job, and whom to tell when it is done.
type Task = (Job, oneshot::Sender<io::Result<()>>);

/// Something for a client to do.
pub enum Job {
    /// Have a message echoed once.
    Once { message: Message },
    /// Have messages echoed, one after the other.
    Loop {
        message: Message,
        end: Instant,
        tally: Rc<Tally>,
    },
    /// Have a message echoed at every interval.
    Paced {
        message: Message,
        first: Instant,
        interval: Duration,
        end: Instant,
        tally: Rc<Tally>,
    },
    /// Take messages of this size from the backend.
    Take {
        size: usize,
        end: Instant,
        tally: Rc<Tally>,
    },
}

impl Crew {
    /// Opens clients, each of which has a message of 32 bytes echoed.
    pub async fn open(&mut self, count: usize, target: &Rc<Target>) -> anyhow::Result<()> {
        let message = Message::of(32);
        let mut opening = JoinSet::new();
        for _ in 0..count {
            if opening.len() == OPENING {
                self.welcome(&mut opening).await?;
            }
            let (target, message) = (Rc::clone(target), message.clone());
            opening.spawn_local(async move {
                let mut client = Client::connect(&target).await?;
                client.echo(&message).await?;
                io::Result::Ok(client)
            });
        }
        while !opening.is_empty() {
            self.welcome(&mut opening).await?;
        }
        Ok(())
    }

    /// Waits for the next one that has opened.
    async fn welcome(&mut self, opening: &mut JoinSet<io::Result<Client>>) -> anyhow::Result<()> {
        let Some(opened) = opening.join_next().await else {
            return Ok(());
        };
        let client = opened??;
        let (jobs, orders) = mpsc::unbounded_channel();
        let at_work = spawn_local(work(client, orders));
        self.members.push(Member { jobs, at_work });
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Gives every client a job, and waits until all have done theirs.
    pub async fn all(&self, tally: &Tally, job: impl Fn(usize) -> Job) {
        let mut answers = Vec::with_capacity(self.len());
        for (index, member) in self.members.iter().enumerate() {
            let (done, answer) = oneshot::channel();
            // One that is gone gives no answer.
            let _ = member.jobs.send((job(index), done));
            answers.push(answer);
        }
        for answer in answers {
            let gone = |_| Err(io::Error::other("a client had lost its connection"));
            tally.judge(answer.await.unwrap_or_else(gone));
        }
    }

    /// Closes every client with a Close.
    pub async fn close(&mut self) {
        let at_work: Vec<_> = self
            .members
            .drain(..)
            .map(|leaving| leaving.at_work)
            .collect();
        for end in at_work {
            // One that is gone needs no Close.
            let _ = end.await;
        }
    }
}

/// A client's life: it answers pings until there is a job, and closes when there will be none.
async fn work(mut client: Client, mut jobs: mpsc::UnboundedReceiver<Task>) {
    loop {
        let job = tokio::select! {
            job = jobs.recv() => job,
            _ = client.idle() => return,
        };
        let Some((job, done)) = job else {
            let _ = client.close().await;
            return;
        };
        let outcome = job.run(&mut client).await;
        let has_failed = outcome.is_err();
        // Nobody waits any more if the whole is at its end.
        let _ = done.send(outcome);
        if has_failed {
            return;
        }
    }
}

impl Job {
    async fn run(self, client: &mut Client) -> io::Result<()> {
        match self {
            Self::Once { message } => client.echo(&message).await,
            Self::Loop {
                message,
                end,
                tally,
            } => client.echo_until(end, &message, &tally).await,
            Self::Paced {
                message,
                first,
                interval,
                end,
                tally,
            } => {
                let due = iter::successors(Some(first), |last| Some(*last + interval));
                let due = due.take_while(|due| *due < end);
                client.echo_at(due, &message, &tally).await
            }
            Self::Take { size, end, tally } => client.take_until(end, size, &tally).await,
        }
    }
}
