//! The first process of a container inherits the children of all that end in it, and has to take
//! note of their ends, or the system keeps them as zombies.

use std::{io, process};

use rustix::process::{WaitOptions, wait};
use tokio::signal::unix::{SignalKind, signal};

/// Takes note of ended orphans for as long as the process runs, if they fall to it.
///
/// # Errors
/// If the system does not tell us of them.
pub(crate) fn look_after_orphans() -> io::Result<()> {
    if process::id() != 1 {
        return Ok(());
    }
    let mut ends = signal(SignalKind::child())?;
    tokio::spawn(async move {
        loop {
            // Ends that come close together are told by one signal.
            while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
            ends.recv().await;
        }
    });
    Ok(())
}
