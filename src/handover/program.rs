//! The program that runs, and that is to be started again.

use std::{
    env,
    ffi::OsString,
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{fs::MetadataExt, net},
    },
    path::{Path, PathBuf, absolute},
    process::{self, Stdio},
    sync::{Arc, Mutex, MutexGuard},
};

use tokio::{net::UnixStream, process::Command};

use super::{Channel, Successor};

/// Tells the new process which socket its standard input has to be, if it is to take over. To other
/// programs that inherit it, it says nothing: theirs is another.
pub(super) const VARIABLE: &str = "LONGWIRE_HANDOVER";

/// The program that runs, as it was started.
#[derive(Debug)]
pub struct Program {
    pub(super) path: PathBuf,
    name: OsString,
    pub(super) arguments: Vec<OsString>,
    stage: Arc<Mutex<Stage>>,
}

/// Whether a successor may be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// There is none.
    Alone,
    /// There is one that is not ready yet.
    Succeeding,
    /// There is one that is ready.
    Succeeded,
    /// There will be none.
    Stopping,
}

/// An attempt to be succeeded. If it is dropped before it has succeeded, another may be made.
#[derive(Debug)]
pub(super) struct Attempt {
    stage: Arc<Mutex<Stage>>,
}

/// Why no successor can be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This is the first process.
    #[error(
        "longwire is the first process (PID 1) of its container, which ends with it: no other can \
         take over inside; start another container instead"
    )]
    First,
    /// One was started and has not taken over yet.
    #[error("another process is taking over already")]
    UnderWay,
    /// One has taken over.
    #[error("another process has taken over already")]
    Succeeded,
    /// This process stops.
    #[error("longwire is stopping")]
    Stopping,
    /// The system does not start it.
    #[error("cannot start {path}", path = path.display())]
    Start {
        /// The program.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Program {
    /// The program that runs. To be asked for at the start, before the working directory changes or
    /// a new version takes the program's place.
    ///
    /// # Errors
    /// If the system does not tell where the program is.
    pub fn running() -> io::Result<Self> {
        let file = env::current_exe()?;
        let mut arguments = env::args_os();
        let name = arguments.next().unwrap_or_else(|| file.clone().into());
        Ok(Self {
            path: path_of(file, Path::new(&name)),
            name,
            ..Self::new("", arguments)
        })
    }

    /// Another program, with these arguments.
    pub fn new(
        path: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let path = path.into();
        Self {
            name: path.clone().into(),
            path,
            arguments: arguments.into_iter().map(Into::into).collect(),
            stage: Arc::new(Mutex::new(Stage::Alone)),
        }
    }

    /// Starts it again, to take over from this process: with the same arguments, environment and
    /// working directory, but the watchdog's, which is to be its own, and with the other end of the
    /// channel as its standard input. To be called
    /// on a Tokio runtime.
    ///
    /// # Errors
    /// If it cannot be started, or there can be no successor now.
    pub fn start_again(&self) -> Result<(Channel, Successor), StartError> {
        let attempt = self.attempt(process::id())?;
        let started = self.start(attempt);
        started.map_err(|source| StartError::Start {
            path: self.path.clone(),
            source,
        })
    }

    /// This process stops: from now on no successor is started.
    pub fn retire(&self) {
        *locked(&self.stage) = Stage::Stopping;
    }

    pub(super) fn attempt(&self, own_id: u32) -> Result<Attempt, StartError> {
        if own_id == 1 {
            return Err(StartError::First);
        }
        let mut stage = locked(&self.stage);
        match *stage {
            Stage::Alone => *stage = Stage::Succeeding,
            Stage::Succeeding => return Err(StartError::UnderWay),
            Stage::Succeeded => return Err(StartError::Succeeded),
            Stage::Stopping => return Err(StartError::Stopping),
        }
        Ok(Attempt {
            stage: Arc::clone(&self.stage),
        })
    }

    fn start(&self, attempt: Attempt) -> io::Result<(Channel, Successor)> {
        let (own, other) = net::UnixStream::pair()?;
        own.set_nonblocking(true)?;
        let channel = Channel::from(UnixStream::from_std(own)?);
        let mut command = Command::new(&self.path);
        command
            .arg0(&self.name)
            .args(&self.arguments)
            .env(VARIABLE, name_of(other.as_fd())?)
            // It names this process as the one whose life the service manager wants to hear of.
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::from(OwnedFd::from(other)));
        let child = command.spawn()?;
        // It holds the socket that belongs to the other process alone.
        drop(command);
        Ok((channel, Successor::new(child, attempt)))
    }
}

impl Attempt {
    pub(super) fn note_success(&self) {
        self.go_on(Stage::Succeeding, Stage::Succeeded);
    }

    /// It fails after all.
    pub(super) fn note_failure(&self) {
        self.go_on(Stage::Succeeded, Stage::Succeeding);
    }

    fn go_on(&self, from: Stage, to: Stage) {
        let mut stage = locked(&self.stage);
        if *stage == from {
            *stage = to;
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.go_on(Stage::Succeeding, Stage::Alone);
    }
}

fn locked(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().expect("no holder panics")
}

/// Where the next version will be: where the program was called by a path, there, since this may
/// lead through a link that is set anew; else where its file is.
pub(super) fn path_of(file: PathBuf, name: &Path) -> PathBuf {
    let is_path = name.components().count() > 1;
    let called = is_path.then(|| absolute(name).ok()).flatten();
    let leads_here = |path: &PathBuf| fs::canonicalize(path).is_ok_and(|path| path == file);
    called.filter(leads_here).unwrap_or(file)
}

/// A name that no other open socket has.
pub(super) fn name_of(socket: BorrowedFd<'_>) -> io::Result<String> {
    let file = fs::File::from(socket.try_clone_to_owned()?);
    let metadata = file.metadata()?;
    Ok(format!("{}:{}", metadata.dev(), metadata.ino()))
}
