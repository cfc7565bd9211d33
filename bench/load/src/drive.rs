//! Does as clients what the lines of standard input say.

use std::{
    io,
    net::SocketAddr,
    rc::Rc,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    runtime,
    task::{JoinSet, LocalSet},
};

use crate::{
    backend,
    client::{self, Client},
    crew::{Crew, Job},
    frames::Message,
    order::{Order, Resumption},
    tally::Tally,
    target::{Speech, Target},
};

struct Driver {
    /// What clients connect to, and the same without the tickets that it gives.
    target: Rc<Target>,
    afresh: Rc<Target>,
    crew: Crew,
}

pub fn run(backend: SocketAddr, address: SocketAddr, tls: bool) -> anyhow::Result<()> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    LocalSet::new().block_on(&runtime, async {
        backend::serve(backend).context("the backend")?;
        let mut driver = Driver::new(address, tls);
        let mut lines = BufReader::new(stdin()).lines();
        while let Some(line) = lines.next_line().await? {
            let answer = driver.answer(&line).await.with_context(|| line.clone());
            let failure = |error: anyhow::Error| json!({"error": format!("{error:#}")});
            println!("{}", answer.unwrap_or_else(failure));
        }
        Ok(())
    })
}

impl Driver {
    fn new(address: SocketAddr, tls: bool) -> Self {
        let (speech, afresh) = if tls {
            (Speech::ResumedTls, Speech::Tls)
        } else {
            (Speech::Plain, Speech::Plain)
        };
        Self {
            target: Rc::new(Target::new(address, speech)),
            afresh: Rc::new(Target::new(address, afresh)),
            crew: Crew::default(),
        }
    }

    async fn answer(&mut self, line: &str) -> anyhow::Result<Value> {
        let order = line.parse()?;
        let tally = Rc::new(Tally::default());
        let (began, offered) = (Instant::now(), self.target.offered());
        self.obey(order, began, &tally).await?;
        let mut report = tally.report(began.elapsed());
        report["offered"] = json!(self.target.offered() - offered);
        Ok(report)
    }

    async fn obey(&mut self, order: Order, now: Instant, tally: &Rc<Tally>) -> anyhow::Result<()> {
        match order {
            Order::Open(count) => self.crew.open(count, &self.target).await?,
            Order::Close => self.crew.close().await,
            Order::Once(size) => {
                let message = Message::of(size);
                let job = |_| Job::Once {
                    message: message.clone(),
                };
                self.crew.all(tally, job).await;
            }
            Order::Loop(size, time) => {
                let message = Message::of(size);
                let job = |_| Job::Loop {
                    message: message.clone(),
                    end: now + time,
                    tally: Rc::clone(tally),
                };
                self.crew.all(tally, job).await;
            }
            Order::Paced(size, rate, time) => {
                ensure!(rate > 0, "no rate");
                let message = Message::of(size);
                let interval = Duration::from_secs(1).mul_f64(self.crew.len() as f64) / rate;
                let job = |index| Job::Paced {
                    message: message.clone(),
                    first: now + interval.mul_f64(scattered(index)),
                    interval,
                    end: now + time,
                    tally: Rc::clone(tally),
                };
                self.crew.all(tally, job).await;
            }
            Order::Take(size, time) => {
                let job = |_| Job::Take {
                    size,
                    end: now + time,
                    tally: Rc::clone(tally),
                };
                self.crew.all(tally, job).await;
            }
            Order::Handshakes(resumption, clients, time) => {
                let target = match resumption {
                    Resumption::Full => &self.afresh,
                    Resumption::Resumed => &self.target,
                };
                let work = || handshake_until(Rc::clone(target), now + time, Rc::clone(tally));
                together(clients, tally, work).await?;
            }
            Order::Get(clients, time) => {
                let work =
                    || client::get_until(Rc::clone(&self.target), now + time, Rc::clone(tally));
                together(clients, tally, work).await?;
            }
        }
        Ok(())
    }
}

/// Runs as many of the same at a time.
async fn together<F>(count: usize, tally: &Tally, work: impl Fn() -> F) -> anyhow::Result<()>
where
    F: Future<Output = io::Result<()>> + 'static,
{
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn_local(work());
    }
    while let Some(outcome) = clients.join_next().await {
        tally.judge(outcome?);
    }
    Ok(())
}

/// Connects, upgrades, has a message echoed and closes, again and again.
async fn handshake_until(target: Rc<Target>, end: Instant, tally: Rc<Tally>) -> io::Result<()> {
    let message = Message::of(32);
    while Instant::now() < end {
        let began = Instant::now();
        let mut client = Client::connect(&target).await?;
        client.echo(&message).await?;
        if client.is_resumed {
            tally.add_resumed();
        }
        client.close().await?;
        tally.add(1, began.elapsed());
    }
    Ok(())
}

/// A number from 0 to 1 for each index, such that neighbours are far from each other (multiples of
/// the golden ratio).
fn scattered(index: usize) -> f64 {
    (index as f64 * 0.618_033_988_749_895).fract()
}
