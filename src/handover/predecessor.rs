//! The process that this one was started by to take over from it.

use std::{
    env,
    fs::File,
    io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net,
    },
};

use rustix::{net::sockopt::socket_peercred, process::geteuid, stdio::dup2_stdin};
use socket2::{Domain, Socket, Type};
use tokio::net::UnixStream;

use super::{
    Channel,
    program::{VARIABLE, name_of},
};

/// Why this process cannot take over as it was told to.
#[derive(Debug, thiserror::Error)]
pub enum PredecessorError {
    /// What it was given is no channel.
    #[error("{VARIABLE} names the standard input, but that is no connected Unix stream socket")]
    NoChannel,
    /// Somebody else is at the other end.
    #[error("{VARIABLE} names a channel of user {0}, who may not hand over to this process")]
    Stranger(u32),
    /// The system says so.
    #[error("cannot take the channel to the old process from the standard input")]
    Io(#[from] io::Error),
}

/// The channel to the process from which this one is to take over; `None` if it was started in any
/// other way. To be asked for once, on a Tokio runtime, before anything reads from the standard
/// input: that is empty from then on.
///
/// # Errors
/// If this process is to take over, but the channel cannot be one, or is a stranger's.
pub fn predecessor() -> Result<Option<Channel>, PredecessorError> {
    let Some(name) = env::var_os(VARIABLE) else {
        return Ok(None);
    };
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    if *name != *name_of(stdin.as_fd())? {
        // The variable was meant for the process that started this one.
        return Ok(None);
    }
    let socket = checked(stdin)?;
    dup2_stdin(File::open("/dev/null")?).map_err(io::Error::from)?;
    socket.set_nonblocking(true)?;
    Ok(Some(UnixStream::from_std(socket)?.into()))
}

/// The socket, if it can be a channel to somebody who may hand over to us.
pub(super) fn checked(descriptor: OwnedFd) -> Result<net::UnixStream, PredecessorError> {
    let socket = Socket::from(descriptor);
    let is_channel = socket.domain().is_ok_and(|domain| domain == Domain::UNIX)
        && socket.r#type().is_ok_and(|kind| kind == Type::STREAM)
        && socket.peer_addr().is_ok();
    if !is_channel {
        return Err(PredecessorError::NoChannel);
    }
    let peer = socket_peercred(&socket).map_err(io::Error::from)?;
    let peer = peer.uid.as_raw();
    if !is_trusted(peer, geteuid().as_raw()) {
        return Err(PredecessorError::Stranger(peer));
    }
    Ok(OwnedFd::from(socket).into())
}

/// Whether one user may hand over to a process of the other: the same, or root.
pub(super) fn is_trusted(peer: u32, own: u32) -> bool {
    peer == own || peer == 0
}
