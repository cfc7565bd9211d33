//! The Unix socket at which orders are taken.

use std::{
    fs::{self, Metadata},
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::{
            fs::{FileTypeExt, MetadataExt},
            net,
        },
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use rustix::{
    fs::{Mode, fchmod},
    net::{listen, sockopt::socket_peercred},
    process::{Pid, geteuid},
};
use socket2::{Domain, SockAddr, Socket, Type};
use tokio::{
    net::{UnixListener, UnixStream},
    time::sleep,
};
use tracing::{debug, warn};

use super::{desk::Desk, guard::Guard, guests::Guests};
use crate::listener::Inherited;

/// Connections that the system completes before we accept them.
const BACKLOG: i32 = 128;

/// How long to wait for what is short before trying to accept again.
const BACK_OFF: Duration = Duration::from_millis(100);

/// A listening Unix socket, and its file.
#[derive(Debug)]
pub(super) struct CommandSocket {
    listener: UnixListener,
    path: PathBuf,
    file: FileId,
    /// Whether whoever has left the socket to us keeps the file, whatever becomes of us.
    is_lent: bool,
    /// Whether somebody else still needs the file when we do not.
    leaves_file: AtomicBool,
}

/// What tells a file from every other, whatever its name.
#[derive(Debug, PartialEq, Eq)]
struct FileId {
    device: u64,
    inode: u64,
}

/// Why there is no socket for orders.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Another process has it.
    #[error("{} takes orders at {} already", who(*holder), path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
        /// The process, if the system says which.
        holder: Option<Pid>,
    },
    /// The system, or what lies there, stands against it.
    #[error("cannot take orders at {}", path.display())]
    Refused {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

fn who(process: Option<Pid>) -> String {
    match process {
        Some(pid) => format!("the process {pid}"),
        None => "another process".to_owned(),
    }
}

impl CommandSocket {
    /// The socket at `path`: the inherited one, or a new one in the place of one that nobody
    /// answers.
    pub(super) fn open(path: &Path, inherited: &mut Inherited) -> Result<Self, SocketError> {
        let refused = |source| SocketError::Refused {
            path: path.to_owned(),
            source,
        };
        let (listener, is_inherited) = match inherited.take_unix(path) {
            Some(listener) => {
                // To listen again makes the system name this process, no longer the one before.
                listen(&listener, BACKLOG).map_err(|errno| refused(errno.into()))?;
                (listener, true)
            }
            None => {
                make_room(path)?;
                (bind(path).map_err(refused)?, false)
            }
        };
        let file = fs::symlink_metadata(path).map_err(refused)?;
        Ok(Self {
            listener: UnixListener::from_std(listener).map_err(refused)?,
            path: path.to_owned(),
            file: FileId::of(&file),
            is_lent: is_inherited && inherited.is_lent(),
            // As long as the process before may go on after all.
            leaves_file: AtomicBool::new(is_inherited),
        })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Nobody else needs the file from now on, unless the socket is lent.
    pub(super) fn take_file(&self) {
        self.leaves_file.store(self.is_lent, Relaxed);
    }

    /// Somebody else needs the file from now on.
    pub(super) fn leave_file(&self) {
        self.leaves_file.store(true, Relaxed);
    }

    /// Accepts operators, and has the desk answer them.
    pub(super) async fn receive(&self, desk: &Desk) {
        let mut guests = Guests::default();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if is_operator(&stream) => {
                    let desk = desk.clone();
                    guests.welcome(|pass| desk.serve(stream, Guard::Open, pass));
                }
                Ok(_) => {}
                Err(error) => {
                    debug!(%error, "cannot accept an operator for now");
                    sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Whether its file is still there, and no other has taken the file's place.
    fn has_its_file(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|file| FileId::of(&file) == self.file)
    }
}

impl AsFd for CommandSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

impl Drop for CommandSocket {
    fn drop(&mut self) {
        if !self.leaves_file.load(Relaxed)
            && self.has_its_file()
            && let Err(error) = fs::remove_file(&self.path)
        {
            warn!(path = %self.path.display(), %error, "cannot remove the socket for orders");
        }
    }
}

impl FileId {
    fn of(file: &Metadata) -> Self {
        Self {
            device: file.dev(),
            inode: file.ino(),
        }
    }
}

/// Whether the proxy's own user or root is at the other end. The file's mode says the same, but
/// whoever has lent the socket may have given it another.
fn is_operator(stream: &UnixStream) -> bool {
    let peer = stream.peer_cred().map(|peer| peer.uid());
    let is_operator = peer
        .as_ref()
        .is_ok_and(|uid| *uid == 0 || *uid == geteuid().as_raw());
    if !is_operator {
        warn!(uid = ?peer.ok(), "a stranger at the socket for orders was turned away");
    }
    is_operator
}

/// Removes a socket that nobody answers.
fn make_room(path: &Path) -> Result<(), SocketError> {
    let refused = |source| SocketError::Refused {
        path: path.to_owned(),
        source,
    };
    match fs::symlink_metadata(path) {
        Ok(file) if file.file_type().is_socket() => {}
        Ok(_) => {
            let message = "something else than a socket lies there";
            return Err(refused(io::Error::new(
                io::ErrorKind::AlreadyExists,
                message,
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(refused(error)),
    }
    match holder(path) {
        Ok(holder) => Err(SocketError::Taken {
            path: path.to_owned(),
            holder,
        }),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(refused)
        }
        Err(error) => Err(refused(error)),
    }
}

/// Who listens at `path`, if the system says it; an error if nobody does.
fn holder(path: &Path) -> io::Result<Option<Pid>> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // One that is too busy to be asked is there all the same.
    socket.set_nonblocking(true)?;
    match socket.connect(&SockAddr::unix(path)?) {
        Ok(()) => Ok(socket_peercred(&socket).ok().map(|peer| peer.pid)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new socket that its user alone can open.
fn bind(path: &Path) -> io::Result<net::UnixListener> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // Before it has a name: the file then begins with this mode, and nobody else can get in between.
    fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    socket.bind(&SockAddr::unix(path)?)?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(OwnedFd::from(socket).into())
}
