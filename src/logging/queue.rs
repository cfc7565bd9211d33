//! Lines on their way to the log: whoever logs puts them here and goes on, and a thread of its own
//! writes them. Where nobody reads the log, lines are dropped, and nothing else stands still.

use std::{
    io::{self, Write},
    mem,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::{Duration, Instant},
};

use longwire::admin::Journal;
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

use super::output::Output;

/// Lines that may wait.
const LINES: usize = 8192;

/// Bytes that may wait.
const BYTES: usize = 4 << 20;

/// Bytes that are written with one call, if so many wait.
const BATCH: usize = 64 << 10;

/// How often it is looked whether all is written, when that is waited for.
const LOOK: Duration = Duration::from_millis(2);

/// Takes lines, and drops those for which there is no room. Its clones are one.
#[derive(Debug, Clone)]
pub(super) struct Queue {
    lines: SyncSender<Vec<u8>>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    /// Bytes that have come and are not written yet.
    waiting: AtomicUsize,
    /// What is to be written to from now on.
    next: Mutex<Option<Output>>,
    /// Counts what is dropped.
    journal: Arc<Journal>,
}

/// Writes what was queued.
struct Writer {
    lines: Receiver<Vec<u8>>,
    shared: Arc<Shared>,
    output: Output,
    /// Dropped lines that the log has told of.
    told: u64,
}

impl Queue {
    /// Begins to write to `output`.
    ///
    /// # Errors
    /// If there can be no thread that writes.
    pub(super) fn begin(output: Output, journal: Arc<Journal>) -> io::Result<Self> {
        let (sender, lines) = sync_channel(LINES);
        let shared = Arc::new(Shared {
            waiting: AtomicUsize::new(0),
            next: Mutex::default(),
            journal,
        });
        let writer = Writer {
            lines,
            shared: Arc::clone(&shared),
            output,
            told: 0,
        };
        let thread = thread::Builder::new().name("log".to_owned());
        thread.spawn(|| writer.run())?;
        Ok(Self {
            lines: sender,
            shared,
        })
    }

    /// Writes to `output` from now on.
    pub(super) fn write_to(&self, output: Output) {
        *self.shared.next() = Some(output);
    }

    /// Waits until all that has come is written, for so long at the most: maybe nobody reads it.
    pub(super) fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        while self.shared.waiting.load(Relaxed) > 0 && Instant::now() < deadline {
            thread::sleep(LOOK);
        }
    }

    /// Takes a line, if there is room for it.
    pub(super) fn put(&self, line: &[u8]) {
        let waiting = self.shared.waiting.fetch_add(line.len(), Relaxed);
        let is_taken = waiting + line.len() <= BYTES && self.lines.try_send(line.to_vec()).is_ok();
        if !is_taken {
            self.shared.waiting.fetch_sub(line.len(), Relaxed);
            self.shared.journal.note_dropped_lines(1);
        }
    }
}

impl Shared {
    fn next(&self) -> MutexGuard<'_, Option<Output>> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn run(mut self) {
        while let Ok(line) = self.lines.recv() {
            let (mut batch, mut lines) = (line, 1);
            while batch.len() < BATCH
                && let Ok(line) = self.lines.try_recv()
            {
                batch.extend_from_slice(&line);
                lines += 1;
            }
            self.write(&batch, lines);
        }
    }

    fn write(&mut self, batch: &[u8], lines: u64) {
        let next = mem::take(&mut *self.shared.next());
        if let Some(next) = next {
            self.output = next;
        }
        // Whoever has closed the other end does not want to read it; a disk may have room again.
        let is_written = self.output.write_all(batch).is_ok();
        if !is_written {
            self.shared.journal.note_dropped_lines(lines);
        }
        let waiting = self.shared.waiting.fetch_sub(batch.len(), Relaxed) - batch.len();
        // While many wait, there may be no room for a line about those that found none.
        if is_written && waiting < BATCH {
            self.tell_of_dropped();
        }
    }

    /// Says how many lines are missing, once the log flows again.
    fn tell_of_dropped(&mut self) {
        let dropped = self.shared.journal.dropped_lines();
        if dropped > self.told {
            let lines = dropped - self.told;
            self.told = dropped;
            warn!(
                lines,
                "the log was not read fast enough: lines are missing here"
            );
        }
    }
}

impl<'a> MakeWriter<'a> for Queue {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl Write for &Queue {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
