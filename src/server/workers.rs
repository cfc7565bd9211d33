//! The threads that connections live on.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{AcqRel, Relaxed, Release},
        },
    },
    thread,
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::{oneshot, watch},
    time::{Instant, timeout_at},
};
use tracing::error;

/// Where connections are to live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// On threads of their own, as many as the configuration says, each with its own runtime: no
    /// connection ever moves, and no two threads share one.
    Threads,
    /// On the runtime that the server is bound on, for programs that embed it and for tests that
    /// drive its clock. What is counted of messages has one writer: on a runtime of several threads it
    /// may come out a little low.
    Current,
}

/// The share by which a worker may carry more connections than another before its clients are sent
/// there: one in so many. To send one costs two wake-ups.
const TOLERANCE: usize = 16;

/// Every worker.
#[derive(Debug)]
pub(super) struct Workers {
    workers: Vec<Worker>,
    pulse: Pulse,
}

/// Tells whether the workers still live, however the server goes on.
#[derive(Debug, Clone)]
pub struct Pulse(Arc<[Beat]>);

/// A worker that is asked whether it lives.
#[derive(Debug)]
struct Beat {
    worker: Handle,
    /// Whether it has been asked and has not answered.
    is_asked: Arc<AtomicBool>,
    answers: watch::Sender<()>,
}

/// A runtime of one thread, and how many connections live on it.
#[derive(Debug)]
pub(super) struct Worker {
    /// Its number.
    pub(super) index: usize,
    handle: Handle,
    load: Arc<AtomicUsize>,
    /// `None` if it has none of its own, or that was stopped.
    thread: Mutex<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<()>,
    /// Is ready when the thread has ended.
    ended: oneshot::Receiver<()>,
}

/// A connection's place on a worker, counted until dropped.
#[derive(Debug)]
pub(super) struct Seat {
    load: Arc<AtomicUsize>,
}

impl Workers {
    pub(super) fn start(count: usize, placement: Placement) -> io::Result<Self> {
        let workers = match placement {
            Placement::Threads => (0..count)
                .map(Worker::spawn)
                .collect::<io::Result<Vec<_>>>()?,
            Placement::Current => vec![Worker {
                index: 0,
                handle: Handle::current(),
                load: Arc::default(),
                thread: Mutex::default(),
            }],
        };
        let pulse = Pulse::of(&workers);
        Ok(Self { workers, pulse })
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Worker> + Clone {
        self.workers.iter()
    }

    /// The one with that number.
    pub(super) fn at(&self, index: usize) -> &Worker {
        &self.workers[index]
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    pub(super) fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// The worker that carries the fewest connections.
    pub(super) fn emptiest(&self) -> &Worker {
        let least = self.iter().min_by_key(|worker| worker.load());
        least.expect("there is a worker")
    }

    /// The worker for a client that the one with the number `here` has accepted: that one, unless
    /// it carries notably more connections than another. They stay where they begin, and long ones
    /// would else pile up.
    pub(super) fn host(&self, here: usize) -> &Worker {
        let here = &self.workers[here];
        let least = self.iter().min_by_key(|worker| worker.load());
        let crowded = |least: &&Worker| here.load() > least.load() + least.load() / TOLERANCE + 1;
        least.filter(crowded).unwrap_or(here)
    }

    /// Ends the threads, and with them all that still lives on them, though it holds the workers. One
    /// that has not ended within `patience` is left behind.
    pub(super) async fn stop(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let threads = self
            .iter()
            .map(|worker| (worker.index, worker.take_thread()));
        let stopping = threads.filter_map(|(worker, thread)| Some((worker, thread?.tell_to_end())));
        // All are told before one is waited for.
        for (worker, ended) in stopping.collect::<Vec<_>>() {
            match timeout_at(deadline, ended).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => error!(worker, "a worker thread panicked"),
                Err(_) => error!(worker, "a worker does not respond, and is left behind"),
            }
        }
    }
}

impl Pulse {
    fn of(workers: &[Worker]) -> Self {
        let beat = |worker: &Worker| Beat {
            worker: worker.handle.clone(),
            is_asked: Arc::default(),
            answers: watch::Sender::default(),
        };
        Self(workers.iter().map(beat).collect())
    }

    /// Returns whether every worker does something new before `deadline` has passed.
    pub async fn beats(&self, deadline: Duration) -> bool {
        self.silent(deadline).await.is_empty()
    }

    /// Returns the numbers of those workers that do nothing new before `deadline` has passed.
    pub async fn silent(&self, deadline: Duration) -> Vec<usize> {
        let deadline = Instant::now() + deadline;
        let answers: Vec<_> = self.0.iter().map(Beat::ask).collect();
        let mut silent = Vec::new();
        for (worker, answer) in answers.into_iter().enumerate() {
            let answers = match answer {
                Some(mut answer) => timeout_at(deadline, answer.changed()).await.is_ok(),
                None => false,
            };
            if !answers {
                silent.push(worker);
            }
        }
        silent
    }
}

impl Beat {
    /// Asks the worker for a beat, unless it still owes one: one that hangs is not to be buried under
    /// questions. `None` if it has ended.
    fn ask(&self) -> Option<watch::Receiver<()>> {
        let answer = self.answers.subscribe();
        if self.is_asked.swap(true, AcqRel) {
            return Some(answer);
        }
        let (is_asked, answers) = (Arc::clone(&self.is_asked), self.answers.clone());
        let beat = self.worker.spawn(async move {
            is_asked.store(false, Release);
            answers.send_replace(());
        });
        let has_ended = beat.is_finished() && !answer.has_changed().unwrap_or(true);
        if has_ended {
            self.is_asked.store(false, Release);
        }
        (!has_ended).then_some(answer)
    }
}

impl Thread {
    /// Has the thread end, and returns what is ready when it has, or an error if it panicked.
    fn tell_to_end(self) -> oneshot::Receiver<()> {
        self.ended
    }
}

impl Worker {
    fn spawn(index: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let (end, ended) = oneshot::channel::<()>();
        let run = move || {
            // The sender is never used, only dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
            // Nobody may be waiting.
            let _ = end.send(());
        };
        let name = format!("worker-{index}");
        thread::Builder::new().name(name).spawn(run)?;
        Ok(Self {
            index,
            handle,
            load: Arc::default(),
            thread: Mutex::new(Some(Thread { _stop: stop, ended })),
        })
    }

    fn take_thread(&self) -> Option<Thread> {
        self.thread.lock().expect("no holder panics").take()
    }

    /// How many connections live on it.
    fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// The runtime itself.
    pub(super) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// A place for one more connection.
    pub(super) fn seat(&self) -> Seat {
        self.load.fetch_add(1, Relaxed);
        Seat {
            load: Arc::clone(&self.load),
        }
    }

    /// Runs a task on it.
    pub(super) fn spawn_task(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.load.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where a client goes that the first of workers with so many connections has accepted.
    fn host_of_the_first(loads: &[usize]) -> usize {
        let runtime = runtime::Builder::new_current_thread().build().unwrap();
        let workers = loads.iter().enumerate().map(|(index, load)| Worker {
            index,
            handle: runtime.handle().clone(),
            load: Arc::new(AtomicUsize::new(*load)),
            thread: Mutex::default(),
        });
        let workers: Vec<_> = workers.collect();
        let pulse = Pulse::of(&workers);
        let workers = Workers { workers, pulse };
        workers.host(0).index
    }

    #[tokio::test]
    async fn a_worker_that_is_stuck_has_no_pulse() {
        let workers = Workers::start(2, Placement::Threads).unwrap();
        let pulse = workers.pulse();
        assert!(pulse.beats(Duration::from_secs(60)).await);

        let (release, released) = std::sync::mpsc::channel::<()>();
        workers.workers[1].spawn_task(async move {
            let _ = released.recv();
        });
        for _ in 0..3 {
            assert_eq!(pulse.silent(Duration::from_millis(50)).await, [1]);
        }
        drop(release);
        assert!(pulse.beats(Duration::from_secs(60)).await);

        workers.stop(Duration::from_secs(60)).await;
        assert!(!pulse.beats(Duration::from_secs(60)).await);
    }

    #[test]
    fn a_client_stays_where_it_was_accepted_unless_it_is_notably_emptier_elsewhere() {
        assert_eq!(host_of_the_first(&[0]), 0);
        assert_eq!(host_of_the_first(&[1, 0]), 0);
        assert_eq!(host_of_the_first(&[2, 0]), 1);
        assert_eq!(host_of_the_first(&[1_063, 1_000]), 0);
        assert_eq!(host_of_the_first(&[1_064, 1_000, 1_010]), 1);
        assert_eq!(host_of_the_first(&[1_064, 1_010, 1_000]), 2);
    }
}
