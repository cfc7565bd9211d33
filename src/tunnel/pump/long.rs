//! Long frames between bare sockets. Where one ends is known from its header, so the header alone is
//! looked at, and the system moves the rest.

use std::{
    io,
    task::{Context, Poll, ready},
    time::Duration,
};

use rustix::net::{RecvFlags, recv};

use super::{Failure, Phase, Pump, SCRATCH_LEN};
use crate::{
    stream::{BareSocket, Socket},
    tunnel::{clock::Tick, counts::Here, pipe::Pipe, watch::LONG},
    websocket::frame::{FrameHeader, MAX_HEADER_LEN},
};

/// How long a pipe may wait until its destination has taken all that is in it.
const STANDS_STILL: Duration = Duration::from_secs(1);

/// What is to be done with the bytes that come next.
pub(super) enum Step {
    /// Read up to so many, and look at them.
    Read(usize),
    /// Have them moved: they belong to a long frame.
    Move,
}

impl Pump {
    /// What comes next.
    pub(super) fn poll_step<S: Socket, D: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        source: Option<&S>,
        destination: Option<&D>,
        here: Here<'_>,
    ) -> Poll<Step> {
        let read = Poll::Ready(Step::Read(SCRATCH_LEN));
        if self.phase != Phase::Passing || !self.watch.expects_long() {
            return read;
        }
        let (from, to) = (
            source.and_then(Socket::bare),
            destination.and_then(Socket::bare),
        );
        let (Some(from), Some(_)) = (from, to) else {
            return read;
        };
        if self.watch.is_between_frames() && !ready!(self.poll_begin(cx, from, here)) {
            return read;
        }
        Poll::Ready(match self.watch.scanner.remaining() {
            0 => Step::Read(SCRATCH_LEN),
            // Up to its end, so that the next header comes by itself.
            short @ ..LONG => Step::Read(short as usize),
            _ => Step::Move,
        })
    }

    /// Moves long frames, as many as are there, to where they wait for the destination, and says how
    /// many bytes that were.
    pub(super) fn poll_move<S: Socket>(
        &mut self,
        cx: &mut Context<'_>,
        source: Option<&S>,
        here: Here<'_>,
    ) -> Poll<Result<usize, Failure>> {
        let (Some(from), Ok(mut pipe)) = (source.and_then(Socket::bare), Pipe::take()) else {
            self.watch.expect_short();
            return Poll::Ready(Ok(0));
        };
        let filled = loop {
            let filled = pipe.poll_fill(cx, from, self.watch.scanner.remaining());
            let Poll::Ready(Ok(Some(moved @ 1..))) = filled else {
                break filled;
            };
            self.heard = true;
            self.watch.moved(moved, here);
            if self.watch.is_between_frames()
                && (self.has_ours() || self.poll_begin(cx, from, here) != Poll::Ready(true))
            {
                break filled;
            }
        };
        let moved = pipe.filled();
        self.outbox.put_pipe(pipe, here.now());
        match filled {
            Poll::Pending if moved == 0 => return Poll::Pending,
            Poll::Ready(Ok(Some(0))) => self.end(here),
            Poll::Ready(Err(_)) => {
                self.end(here);
                return Poll::Ready(Err(Failure::Source));
            }
            Poll::Pending | Poll::Ready(Ok(_)) => {}
        }
        Poll::Ready(Ok(moved))
    }

    /// When the pipe that waits for the destination has stood still for long enough to be
    /// [given up](Self::give_up_pipe); never if there is none.
    pub(in crate::tunnel) fn pipe_due(&self) -> Tick {
        let since = self.outbox.piped_since();
        since.map_or(Tick::NEVER, |since| since.after(STANDS_STILL))
    }

    /// Takes what is in the pipe into memory, and reads the rest of the frame: a destination that
    /// takes this little is to hold no files.
    ///
    /// # Errors
    /// If that fails. Then the destination is lost.
    pub(in crate::tunnel) fn give_up_pipe(&mut self) -> io::Result<()> {
        self.watch.expect_short();
        self.fetch()
    }

    /// Begins the next frame if its header is there and says that it is long.
    fn poll_begin(
        &mut self,
        cx: &mut Context<'_>,
        from: BareSocket<'_>,
        here: Here<'_>,
    ) -> Poll<bool> {
        // A failure is met again by whoever reads.
        let header = ready!(poll_header(cx, from)).unwrap_or_default();
        let long = header.filter(|header| header.payload_len >= LONG);
        if let Some(header) = &long {
            self.watch.begin(header, here);
        }
        Poll::Ready(long.is_some())
    }
}

/// The header that a socket's bytes begin with, which stays there; `None` if it is not all there, or
/// that of a control frame.
fn poll_header(
    cx: &mut Context<'_>,
    from: BareSocket<'_>,
) -> Poll<io::Result<Option<FrameHeader>>> {
    let mut bytes = [0; MAX_HEADER_LEN];
    let peeked = from.poll_reading(
        cx,
        |socket| Ok(recv(socket, &mut bytes, RecvFlags::PEEK)?.1),
    );
    let peeked = ready!(peeked)?.min(bytes.len());
    let header = FrameHeader::parse(&bytes[..peeked]);
    Poll::Ready(Ok(header.filter(|header| !header.opcode.is_control())))
}
