//! A crowd of clients that come back whenever they lose their tunnels, and a journal of it.

use std::{
    cell::Cell,
    io,
    net::SocketAddr,
    path::Path,
    rc::Rc,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    runtime,
    sync::{Semaphore, watch},
    task::{LocalSet, spawn_local},
    time::{sleep, timeout},
};

use crate::{
    client::{self, Answer},
    comeback::Comeback,
    frames::{Closed, Framed, Message},
    journal::Journal,
    target::{Io, Speech, Target},
};

/// Who has no 101 after this long gives up, and the try has failed.
const PATIENCE: Duration = Duration::from_secs(2);
/// A tunnel that was open for this long was no failed try, whatever Close it ends with.
const LASTING: Duration = Duration::from_secs(1);
/// How many of those that nobody waits for to come back open at a time.
const OPENING: usize = 64;

/// What a line of standard input asks for.
enum Order {
    /// `open COUNT`: so many more clients, a few at a time. Answered when all are in.
    Open(u64),
    /// `arrive COUNT TIME`: so many more, spread over so many milliseconds. Answered at once.
    Arrive(u64, Duration),
    /// `drop`: all sockets at once, and their clients come back.
    Drop,
    /// `count`: how many tunnels are open.
    Count,
}

struct Crowd {
    target: Target,
    journal: Journal,
    seed: u64,
    /// Those that came so far.
    clients: Cell<u64>,
    open: Cell<u64>,
    /// Counts how often all had to drop their sockets.
    drops: watch::Sender<u64>,
}

/// Why a try came to nothing.
struct Failure {
    reason: String,
    retry_after: Option<Duration>,
}

pub fn run(target: SocketAddr, journal: &Path, seed: u64) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let crowd = Rc::new(Crowd {
        target: Target::new(target, Speech::Plain),
        journal: Journal::create(journal).context("the journal")?,
        seed,
        clients: Cell::default(),
        open: Cell::default(),
        drops: watch::Sender::default(),
    });
    LocalSet::new().block_on(&runtime, async {
        let mut lines = BufReader::new(stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            println!("{}", crowd.obey(line.parse()?).await);
        }
        Ok(())
    })
}

impl Crowd {
    async fn obey(self: &Rc<Self>, order: Order) -> Value {
        match order {
            Order::Open(count) => self.open(count).await,
            Order::Arrive(count, time) => self.arrive(count, time),
            Order::Drop => self.drops.send_modify(|drops| *drops += 1),
            Order::Count => {}
        }
        json!({"open": self.open.get()})
    }

    async fn open(self: &Rc<Self>, count: u64) {
        let wanted = self.open.get() + count;
        let room = Arc::new(Semaphore::new(OPENING));
        for _ in 0..count {
            // One that has its tunnel makes room for the next.
            let place = Arc::clone(&room).acquire_owned().await;
            let client = self.next_client();
            spawn_local(Rc::clone(self).live(client, Duration::ZERO, place.ok()));
        }
        while self.open.get() < wanted {
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn arrive(self: &Rc<Self>, count: u64, time: Duration) {
        for place in 0..count {
            let delay = time.mul_f64(place as f64 / count as f64);
            let client = self.next_client();
            spawn_local(Rc::clone(self).live(client, delay, None::<()>));
        }
    }

    fn next_client(&self) -> u64 {
        self.clients.replace(self.clients.get() + 1)
    }

    /// A client's life. It gives up what it has to hold until it has been in once.
    async fn live<T>(self: Rc<Self>, client: u64, mut delay: Duration, mut until_in: Option<T>) {
        let mut comeback = Comeback::new(self.seed, client);
        loop {
            sleep(delay).await;
            self.journal.note(format_args!("{client} try"));
            let mut tunnel = match self.connect().await {
                Ok(tunnel) => tunnel,
                Err(failure) => {
                    let reason = failure.reason;
                    self.journal.note(format_args!("{client} failed {reason}"));
                    delay = comeback.after_failure(failure.retry_after);
                    continue;
                }
            };
            self.journal.note(format_args!("{client} open"));
            self.open.set(self.open.get() + 1);
            drop(until_in.take());
            let since = Instant::now();
            let close = self.stay(&mut tunnel).await;
            self.open.set(self.open.get() - 1);
            let said = close.map_or("nothing".to_owned(), |code| code.to_string());
            self.journal.note(format_args!("{client} lost {said}"));
            if since.elapsed() > LASTING {
                comeback.forget_failures();
            }
            delay = match close {
                // Service restart, try again later: both ask for patience.
                Some(1012 | 1013) => comeback.after_failure(None),
                _ => comeback.after_loss(),
            };
        }
    }

    async fn connect(&self) -> Result<Framed<Box<dyn Io>>, Failure> {
        let failure = |reason: &str| Failure {
            reason: reason.to_owned(),
            retry_after: None,
        };
        match timeout(PATIENCE, client::handshake(&self.target)).await {
            Ok(Ok(Answer::Open(frames))) => Ok(frames),
            Ok(Ok(Answer::Refused(head))) => Err(Failure {
                reason: head.status.to_string(),
                retry_after: head.retry_after,
            }),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                Err(failure("refused"))
            }
            Ok(Err(_)) => Err(failure("broken")),
            Err(_) => Err(failure("late")),
        }
    }

    /// Waits until the tunnel ends. The code of the Close, if one said goodbye.
    async fn stay(&self, tunnel: &mut Framed<Box<dyn Io>>) -> Option<u16> {
        let mut drops = self.drops.subscribe();
        let end = async {
            loop {
                match tunnel.next_or_close().await {
                    Ok(Ok(_)) => {}
                    Ok(Err(Closed(code))) => return Some(code),
                    Err(_) => return None,
                }
            }
        };
        let code = tokio::select! {
            code = end => code?,
            _ = drops.changed() => return None,
        };
        // The other side may be gone already.
        let _ = tunnel.send(Message::close().frame()).await;
        Some(code)
    }
}

impl FromStr for Order {
    type Err = anyhow::Error;

    fn from_str(line: &str) -> anyhow::Result<Self> {
        Ok(match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["open", count] => Self::Open(count.parse()?),
            ["arrive", count, time] => {
                Self::Arrive(count.parse()?, Duration::from_millis(time.parse()?))
            }
            ["drop"] => Self::Drop,
            ["count"] => Self::Count,
            _ => bail!("no such order: {line}"),
        })
    }
}
