//! What happened when: a line an event, in a file that outlives the process however it ends.

use std::{
    cell::RefCell,
    fmt::Arguments,
    fs::File,
    io::{self, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

/// Lines that begin with the time in microseconds, by the clock that all processes share.
pub struct Journal(RefCell<File>);

impl Journal {
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(RefCell::new(File::create(path)?)))
    }

    /// Writes a line at once: a process that is killed has written all it saw.
    pub fn note(&self, event: Arguments<'_>) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let line = format!("{} {event}\n", now.unwrap_or_default().as_micros());
        if let Err(error) = self.0.borrow_mut().write_all(line.as_bytes()) {
            eprintln!("the journal cannot be written: {error}");
        }
    }
}
