//! Where the log goes: to stderr, or to a file.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::Path,
};

use anyhow::Context;

/// Who may read a log that is begun: its user, and those of the group.
const MODE: u32 = 0o640;

/// Where the log goes.
#[derive(Debug)]
pub(crate) struct Output(File);

impl Output {
    /// Opens the file at `path` to write behind what is there, or stderr.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        match path {
            // Not the one of the standard library, at whose lock a panic would wait.
            None => Ok(Self(io::stderr().as_fd().try_clone_to_owned()?.into())),
            Some(path) => {
                let mut options = OpenOptions::new();
                let opened = options.append(true).create(true).mode(MODE).open(path);
                let opened = opened.with_context(|| format!("cannot log to {}", path.display()));
                Ok(Self(opened?))
            }
        }
    }

    pub(super) fn write_all(&mut self, lines: &[u8]) -> io::Result<()> {
        self.0.write_all(lines)
    }
}
