//! The threads that connections live on.

use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use tokio::{
    runtime::{self, Handle},
    sync::oneshot,
    time::timeout,
};

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
}

/// Tells whether the workers still live, however the server goes on.
#[derive(Debug, Clone)]
pub struct Pulse {
    workers: Vec<Handle>,
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
    join: JoinHandle<()>,
}

/// A connection's place on a worker, counted until dropped.
#[derive(Debug)]
pub(super) struct Seat {
    load: Arc<AtomicUsize>,
}

impl Workers {
    pub(super) fn start(count: usize, placement: Placement) -> io::Result<Self> {
        let workers = match placement {
            Placement::Threads => (0..count).map(Worker::spawn).collect::<io::Result<_>>()?,
            Placement::Current => vec![Worker {
                index: 0,
                handle: Handle::current(),
                load: Arc::default(),
                thread: Mutex::default(),
            }],
        };
        Ok(Self { workers })
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
        let workers = self.iter().map(|worker| worker.handle.clone());
        Pulse {
            workers: workers.collect(),
        }
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

    /// Ends the threads, and with them all that still lives on them, though it holds the workers.
    pub(super) fn stop(&self) {
        let threads = self.iter().filter_map(Worker::take_thread);
        for Thread { _stop, join } in threads {
            drop(_stop);
            if join.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}

impl Pulse {
    /// Whether every worker does something new before `deadline` has passed.
    pub async fn beats(&self, deadline: Duration) -> bool {
        let done: Vec<_> = self.workers.iter().map(|w| w.spawn(async {})).collect();
        let all_done = async {
            for done in done {
                if done.await.is_err() {
                    return false;
                }
            }
            true
        };
        timeout(deadline, all_done).await.unwrap_or(false)
    }
}

impl Worker {
    fn spawn(index: usize) -> io::Result<Self> {
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let run = move || {
            // The sender is never used, only dropped.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        };
        let name = format!("worker-{index}");
        let join = thread::Builder::new().name(name).spawn(run)?;
        Ok(Self {
            index,
            handle,
            load: Arc::default(),
            thread: Mutex::new(Some(Thread { _stop: stop, join })),
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
        let workers = Workers {
            workers: workers.collect(),
        };
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
        assert!(!pulse.beats(Duration::from_millis(50)).await);
        drop(release);
        assert!(pulse.beats(Duration::from_secs(60)).await);

        workers.stop();
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
