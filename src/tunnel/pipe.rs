//! Long frames between bare sockets: the system moves their bytes through a pipe, and nobody copies
//! them.

use std::{
    cell::RefCell,
    io,
    os::fd::OwnedFd,
    task::{Context, Poll, ready},
};

use rustix::{
    io::{Errno, read},
    pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice},
};

use crate::stream::{BareSocket, some_bytes};

/// What a pipe is to hold, if the system lets it. More at a time costs as much CPU, or more.
const CAPACITY: usize = 128 * 1024;

/// Empty pipes that a worker keeps for its tunnels.
const MAX_SPARE: usize = 16;

const FLAGS: SpliceFlags = SpliceFlags::NONBLOCK.union(SpliceFlags::MOVE);

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

/// Pipes that wait on this worker for a tunnel that needs one.
#[cfg(test)]
pub(super) fn spare() -> usize {
    SPARE.with_borrow(Vec::len)
}

/// A pipe, and how much is in it: never more than its [capacity](CAPACITY).
#[derive(Debug)]
pub(super) struct Pipe {
    out: OwnedFd,
    into: OwnedFd,
    filled: u32,
}

impl Pipe {
    /// An empty pipe of this worker.
    ///
    /// # Errors
    /// If there is none, and the system makes none.
    pub(super) fn take() -> io::Result<Self> {
        if let Some(spare) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(spare);
        }
        let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // The system allows a user only so much in large pipes; a small one does it too.
        let _ = fcntl_setpipe_size(&into, CAPACITY);
        let filled = 0;
        Ok(Self { out, into, filled })
    }

    /// Gives a pipe back for other tunnels, unless something is left in it.
    pub(super) fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if self.filled == 0 && spare.len() < MAX_SPARE {
                spare.push(self);
            }
        });
    }

    /// Moves up to `most` bytes from a socket into the pipe, behind what is in it, and says how many;
    /// none at the end of the stream. `None` if there are none now, or no room for them: what is in
    /// the pipe is to be taken out first.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        from: BareSocket<'_>,
        most: u64,
    ) -> Poll<io::Result<Option<u64>>> {
        let room = CAPACITY.saturating_sub(self.filled());
        if room == 0 {
            return Poll::Ready(Ok(None));
        }
        let most = usize::try_from(most).map_or(room, |most| most.min(room));
        let moved = ready!(from.poll_reading(cx, |socket| {
            match splice(socket, None, &self.into, None, most, FLAGS) {
                // Whether the socket is empty or the pipe full, nobody can know.
                Err(Errno::AGAIN) if !self.is_empty() => Ok(None),
                moved => Ok(Some(moved?)),
            }
        }))?;
        self.filled += moved.unwrap_or(0) as u32;
        Poll::Ready(Ok(moved.map(|moved| moved as u64)))
    }

    /// Moves bytes from the pipe to a socket, and says how many.
    ///
    /// # Errors
    /// Those of the socket.
    pub(super) fn poll_drain(
        &mut self,
        cx: &mut Context<'_>,
        to: BareSocket<'_>,
    ) -> Poll<io::Result<usize>> {
        let moved = ready!(to.poll_writing(cx, |socket| {
            Ok(splice(&self.out, None, socket, None, self.filled(), FLAGS)?)
        }))?;
        self.filled -= moved as u32;
        Poll::Ready(Ok(moved))
    }

    /// Reads all that is in the pipe.
    ///
    /// # Errors
    /// If the system does not give it back.
    pub(super) fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.filled()];
        while self.filled > 0 {
            let start = bytes.len() - self.filled();
            self.filled -= some_bytes(read(&self.out, &mut bytes[start..])?)? as u32;
        }
        Ok(bytes)
    }

    /// Bytes that are in it.
    pub(super) fn filled(&self) -> usize {
        self.filled as usize
    }

    pub(super) fn is_empty(&self) -> bool {
        self.filled == 0
    }
}
