//! New connections, one after the other: each is opened, has a message come back, and is closed.

use std::{
    cell::{Cell, RefCell},
    collections::BTreeMap,
    io,
    rc::Rc,
    time::{Duration, Instant},
};

use hdrhistogram::Histogram;
use serde_json::{Value, json};
use tokio::{
    task::{AbortHandle, spawn_local},
    time::{MissedTickBehavior, interval, timeout},
};

use crate::{
    client::{self, Answer},
    conversation::{reason, say},
    frames::Message,
    target::Target,
    words::Word,
};

/// A visit that has not come to its end by then has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// How visits went so far.
pub struct Visits {
    targets: Vec<Rc<Target>>,
    done: Cell<u64>,
    failed: RefCell<BTreeMap<String, u64>>,
    microseconds: RefCell<Histogram<u64>>,
    stream: RefCell<Option<AbortHandle>>,
}

impl Visits {
    /// They go to each of the targets in turn.
    pub fn new(targets: Vec<Rc<Target>>) -> Self {
        let longest = u64::try_from(PATIENCE.as_micros()).expect("it is short");
        let microseconds = Histogram::new_with_max(longest, 3).expect("three digits are allowed");
        Self {
            targets,
            done: Cell::default(),
            failed: RefCell::default(),
            microseconds: RefCell::new(microseconds),
            stream: RefCell::default(),
        }
    }

    /// From now on so many a second begin.
    pub fn pace(self: &Rc<Self>, rate: f64) {
        if let Some(stream) = self.stream.take() {
            stream.abort();
        }
        if rate > 0.0 {
            let stream = Rc::clone(self).stream(Duration::from_secs_f64(1.0 / rate));
            *self.stream.borrow_mut() = Some(spawn_local(stream).abort_handle());
        }
    }

    pub fn report(&self) -> Value {
        let took = self.microseconds.borrow();
        json!({
            "done": self.done.get(),
            "failed": *self.failed.borrow(),
            "p99_milliseconds": took.value_at_quantile(0.99) as f64 / 1e3,
            "longest_milliseconds": took.max() as f64 / 1e3,
        })
    }

    async fn stream(self: Rc<Self>, period: Duration) {
        let mut pace = interval(period);
        // However busy we are, the rate is kept.
        pace.set_missed_tick_behavior(MissedTickBehavior::Burst);
        for target in self.targets.iter().cycle() {
            pace.tick().await;
            spawn_local(Rc::clone(&self).visit(Rc::clone(target)));
        }
    }

    async fn visit(self: Rc<Self>, target: Rc<Target>) {
        let began = Instant::now();
        let outcome = timeout(PATIENCE, once(&target)).await;
        match outcome.unwrap_or_else(|_| Err("late".to_owned())) {
            Ok(()) => {
                self.done.set(self.done.get() + 1);
                let took = began.elapsed().as_micros();
                let took = u64::try_from(took).unwrap_or(u64::MAX);
                self.microseconds.borrow_mut().saturating_record(took);
            }
            Err(reason) => *self.failed.borrow_mut().entry(reason).or_default() += 1,
        }
    }
}

async fn once(target: &Target) -> Result<(), String> {
    let mut frames = match client::handshake(target).await {
        Ok(Answer::Open(frames)) => frames,
        Ok(Answer::Refused(head)) => return Err(format!("status {}", head.status)),
        Err(error) => return Err(reason(&error)),
    };
    let word = say(
        &frames,
        Word {
            number: 1,
            answers: 0,
        },
    );
    let echo = async {
        frames.send(&word).await?;
        loop {
            let payload = frames.next().await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            match Word::parse(&payload) {
                Some(word) if word.answers == 1 => break,
                Some(_) => {}
                None => return Err(io::Error::other("garbled")),
            }
        }
        frames.send(Message::close().frame()).await?;
        while frames.next().await?.is_some() {}
        Ok(())
    };
    echo.await.map_err(|error| reason(&error))
}
