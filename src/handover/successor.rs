//! A process that was started to take over from this one.

use std::{fmt, io, process::ExitStatus, time::Duration};

use tokio::{
    process::Child,
    spawn,
    sync::oneshot::{self, error::RecvError},
    time::timeout,
};

use super::program::Attempt;

/// How long a process that has failed is given to end by itself.
const GRACE: Duration = Duration::from_secs(1);

/// A process that was started to take over from this one. It is killed when this is dropped before
/// it was ready.
#[derive(Debug)]
pub struct Successor {
    id: u32,
    is_ready: bool,
    /// Has it killed.
    kill: Option<oneshot::Sender<()>>,
    ended: oneshot::Receiver<io::Result<ExitStatus>>,
    attempt: Attempt,
}

/// How a process ended that was given up.
#[derive(Debug)]
pub enum Fate {
    /// It had ended by itself.
    Ended(ExitStatus),
    /// It had to be killed.
    Killed,
    /// The system does not tell.
    Unknown(io::Error),
}

impl Successor {
    pub(super) fn new(child: Child, attempt: Attempt) -> Self {
        let (kill, killed) = oneshot::channel();
        let (tell, ended) = oneshot::channel();
        let id = child.id().unwrap_or_default();
        spawn(attend(child, killed, tell));
        Self {
            id,
            is_ready: false,
            kill: Some(kill),
            ended,
            attempt,
        }
    }

    /// Its process ID.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// It is ready: it lives on, whatever becomes of this process, which starts no other.
    pub fn let_live(&mut self) {
        self.is_ready = true;
        self.attempt.note_success();
    }

    /// It does not take over, or no more, and this process goes on; another may be started. To be
    /// called when the channel is closed: if the process does not end by itself before long, it is
    /// killed.
    pub async fn give_up(mut self) -> Fate {
        self.attempt.note_failure();
        if let Ok(ended) = timeout(GRACE, &mut self.ended).await {
            return Fate::of(ended);
        }
        self.kill();
        match Fate::of((&mut self.ended).await) {
            Fate::Ended(_) => Fate::Killed,
            unknown => unknown,
        }
    }

    fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            // If nobody hears it, the process has ended.
            let _ = kill.send(());
        }
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        if !self.is_ready {
            self.kill();
        }
    }
}

impl Fate {
    fn of(ended: Result<io::Result<ExitStatus>, RecvError>) -> Self {
        match ended {
            Ok(Ok(status)) => Self::Ended(status),
            Ok(Err(error)) => Self::Unknown(error),
            // The runtime shuts down.
            Err(_) => Self::Unknown(io::ErrorKind::Interrupted.into()),
        }
    }
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(status) => write!(f, "it has ended with {status}"),
            Self::Killed => f.write_str("it was killed"),
            Self::Unknown(error) => write!(f, "it has ended, nobody knows how: {error}"),
        }
    }
}

/// Waits for the end of a process, so that it does not remain as a zombie, and brings it about when
/// it is told to.
async fn attend(
    mut child: Child,
    killed: oneshot::Receiver<()>,
    tell: oneshot::Sender<io::Result<ExitStatus>>,
) {
    tokio::select! {
        _ = child.wait() => {}
        order = killed => if order.is_ok() {
            // It fails if the process has ended, which is as well.
            let _ = child.start_kill();
        },
    }
    // Asked a second time, it says the same. Maybe nobody wants to know.
    let _ = tell.send(child.wait().await);
}
