//! One direction of a tunnel: read, scan, write; our control frames at boundaries only.

mod change;
mod long;
mod moving;
mod ours;

use std::{
    borrow::Cow,
    cell::RefCell,
    io,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use tokio::{io::ReadBuf, task::yield_now};

pub(super) use self::change::Spare;
use self::{
    long::Step,
    ours::{OwnClose, Ping},
};
use super::{
    clock::Tick,
    counts::{Here, Traffic},
    outbox::Outbox,
    watch::Watch,
};
use crate::{
    stream::Socket,
    websocket::{CloseCode, Role, scanner::Until},
};

/// What is read at a time: one system call's worth of a large message.
const SCRATCH_LEN: usize = 64 * 1024;

/// The bytes after which a direction lets the worker's other tasks have their turn, up to one
/// reading or one pipe more. As much as a fast socket brings costs a few dozen microseconds then,
/// and the round over the other tasks next to nothing beside that.
pub(super) const TURN: usize = 256 * 1024;

thread_local! {
    /// What the tunnels of a worker read into, one after the other, so that none owns a buffer.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; SCRATCH_LEN].into_boxed_slice());
}

/// The direction from a source to a destination.
#[derive(Debug)]
pub(super) struct Pump {
    phase: Phase,
    watch: Watch,
    /// Whether the source has sent anything since this was last asked.
    heard: bool,
    /// Whom we play towards the destination: it decides whether our frames are masked.
    role: Role,
    /// What the destination has not taken yet. It ends where the scanner stands.
    outbox: Outbox,
    ping: Ping,
    /// A Close of ours that has not gone. Boxed, since hardly any tunnel has one now.
    close: Option<Box<OwnClose>>,
    /// What the destination is told if the source ends without a Close.
    farewell: &'static Farewell,
    spare: Spare,
}

/// A code and a reason for a Close frame.
pub(super) type Farewell = (CloseCode, Cow<'static, str>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// What is read is passed on.
    Passing,
    /// Our Close has gone, or the destination has: what is read is dropped.
    Dropping,
    /// The source is lost, and another may come.
    Bereft,
    /// The destination is lost, and another may come: what is read is kept for it.
    Keeping,
    /// The source has ended: what is pending is written, then the end itself.
    Ending,
    /// The end has been passed on.
    Ended,
}

/// Which side failed a pump.
#[derive(Debug)]
pub(super) enum Failure {
    /// It could not be read from.
    Source,
    /// It could not be written to.
    Destination,
}

impl Pump {
    /// A pump towards a destination to which we play `role`, through which goes what `watch` is to
    /// see. It starts with `glued`: bytes that the source had sent right behind its part of the
    /// handshake.
    pub(super) fn new(
        role: Role,
        farewell: &'static Farewell,
        watch: Watch,
        glued: &[u8],
        here: Here<'_>,
    ) -> Self {
        let mut pump = Self::passing(role, farewell, watch, Outbox::default());
        pump.begin_with(glued, here);
        pump
    }

    fn passing(role: Role, farewell: &'static Farewell, watch: Watch, outbox: Outbox) -> Self {
        Self {
            phase: Phase::Passing,
            watch,
            heard: false,
            role,
            outbox,
            ping: Ping::None,
            close: None,
            farewell,
            spare: Spare::None,
        }
    }

    fn begin_with(&mut self, glued: &[u8], here: Here<'_>) {
        let mut glued = glued.to_vec();
        let (scanned, passed) = self.watch.scan(&mut glued, Until::ChunkEnd, Some(here));
        self.outbox.put(&glued[..scanned.released]);
        here.count(passed);
    }

    /// Moves bytes until one of the sides has to be waited for, or others are to have their turn;
    /// ready when the end of the source has been passed on. A side that is `None` is gone.
    ///
    /// # Errors
    /// Each failure once; the pump is to be polled again, and goes on with what is left.
    pub(super) fn poll<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        mut source: Option<&mut S>,
        mut destination: Option<&mut D>,
        here: Here<'_>,
    ) -> Poll<Result<(), Failure>>
    where
        S: Socket + Unpin,
        D: Socket + Unpin,
    {
        let mut moved = 0;
        loop {
            self.put_in_ours();
            let Some(to) = destination.as_deref_mut() else {
                self.lose_destination();
                if self.phase == Phase::Ended {
                    return Poll::Ready(Ok(()));
                }
                if moved >= TURN {
                    return let_others_go_first(cx);
                }
                let from = source.as_deref_mut();
                moved += ready!(self.poll_read::<_, D>(cx, from, None, SCRATCH_LEN, here))?;
                continue;
            };
            ready!(self.outbox.poll_empty(cx, to, here.now())).map_err(|_| Failure::Destination)?;
            if self.ping == Ping::Pending {
                self.ping = Ping::Sent;
            }
            match self.phase {
                Phase::Passing | Phase::Dropping if moved >= TURN => {
                    return let_others_go_first(cx);
                }
                Phase::Passing | Phase::Dropping => {
                    let (from, to) = (source.as_deref_mut(), destination.as_deref_mut());
                    let (bare, other) = (from.as_deref(), to.as_deref());
                    moved += match ready!(self.poll_step(cx, bare, other, here)) {
                        Step::Read(most) => ready!(self.poll_read(cx, from, to, most, here))?,
                        Step::Move => ready!(self.poll_move(cx, from.as_deref(), here))?,
                    };
                }
                Phase::Bereft | Phase::Keeping => return Poll::Pending,
                Phase::Ending => {
                    let shut = ready!(Pin::new(to).poll_shutdown(cx));
                    self.phase = Phase::Ended;
                    shut.map_err(|_| Failure::Destination)?;
                }
                Phase::Ended => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Whether the source has sent anything since this was last asked.
    pub(super) fn has_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }

    /// Whether the source has answered a ping of ours since this was last asked.
    pub(super) fn has_answered(&mut self) -> bool {
        self.watch.has_answered()
    }

    /// The source's Close, if it has sent one, with its code if that has one.
    pub(super) fn close(&self) -> Option<Option<CloseCode>> {
        self.watch.close()
    }

    /// Whether the stream is not made of frames.
    pub(super) fn is_opaque(&self) -> bool {
        self.watch.is_opaque()
    }

    /// Whether the source has ended.
    pub(super) fn is_ending(&self) -> bool {
        matches!(self.phase, Phase::Ending | Phase::Ended)
    }

    /// Since when the destination has taken nothing of what waits for it, if it does not.
    pub(super) fn blocked(&self) -> Option<Tick> {
        self.outbox.blocked()
    }

    /// Whether it holds memory besides its own, be it in use or not.
    #[cfg(test)]
    pub(super) fn holds_memory(&mut self) -> bool {
        self.outbox.holds_memory()
    }

    /// Reads once, up to `most` bytes, passes on what was read, and says how much that was.
    fn poll_read<S, D>(
        &mut self,
        cx: &mut Context<'_>,
        source: Option<&mut S>,
        destination: Option<&mut D>,
        most: usize,
        here: Here<'_>,
    ) -> Poll<Result<usize, Failure>>
    where
        S: Socket + Unpin,
        D: Socket + Unpin,
    {
        let Some(source) = source else {
            self.end(here);
            return Poll::Ready(Ok(0));
        };
        SCRATCH.with_borrow_mut(|scratch| {
            // What the scanner holds back goes in front of what follows it.
            let held = self.watch.scanner.held().len();
            scratch[..held].copy_from_slice(self.watch.scanner.held());
            let most = SCRATCH_LEN.min(held + most);
            let mut buffer = ReadBuf::new(&mut scratch[held..most]);
            let read = ready!(Pin::new(source).poll_read(cx, &mut buffer));
            let filled = buffer.filled().len();
            match read {
                Ok(()) if filled > 0 => {
                    self.heard = true;
                    self.watch.scanner.release_held();
                    self.pass(cx, &mut scratch[..held + filled], destination, here)
                        .map_err(|_| Failure::Destination)?;
                }
                // A peer that ends TLS without close_notify has ended all the same: whether its
                // last message is whole, the frames tell.
                Ok(()) => self.end(here),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.end(here),
                Err(_) => {
                    self.end(here);
                    return Poll::Ready(Err(Failure::Source));
                }
            }
            Poll::Ready(Ok(filled))
        })
    }

    /// Passes `chunk` on, with our frames put in where a boundary allows.
    fn pass<D: Socket + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut chunk: &mut [u8],
        mut destination: Option<&mut D>,
        here: Here<'_>,
    ) -> io::Result<()> {
        let mut outcome = Ok(());
        while !chunk.is_empty() {
            let until = if self.has_ours() {
                Until::Boundary
            } else {
                Until::ChunkEnd
            };
            let begins_message = self.watch.has_passed_whole_messages();
            let counts = self.passes_on(destination.is_some()).then_some(here);
            let (scanned, passed) = self.watch.scan(chunk, until, counts);
            let released = &chunk[..scanned.released];
            match (self.phase, destination.as_deref_mut()) {
                (Phase::Passing, Some(to)) => {
                    here.count(passed);
                    let written = self.outbox.write(cx, released, to, here.now());
                    if written.is_err() {
                        // What fails above the socket may have passed on a part all the same.
                        let took_none = self.outbox.len() == released.len() && !to.has_taken();
                        if !(begins_message && took_none && self.keep_on()) {
                            // The rest is scanned all the same: the source may still say its Close.
                            self.lose_destination();
                        }
                        outcome = written;
                    }
                }
                (Phase::Keeping, _) => self.keep_released(released, passed, here),
                _ => {}
            }
            chunk = &mut chunk[scanned.rest..];
            self.put_in_ours();
        }
        if self.phase == Phase::Dropping && self.watch.close().is_some() {
            self.phase = Phase::Ending;
        }
        outcome
    }

    /// Whether what is read goes to the destination that there is, or to another one later.
    fn passes_on(&self, has_destination: bool) -> bool {
        match self.phase {
            Phase::Passing => has_destination,
            Phase::Keeping => true,
            Phase::Dropping | Phase::Bereft | Phase::Ending | Phase::Ended => false,
        }
    }

    /// The source has ended: what was held back goes out, and a Close if there was none and the
    /// stream stands between two frames. Unless another source may come.
    fn end(&mut self, here: Here<'_>) {
        if self.lose_source() {
            return;
        }
        if self.phase == Phase::Passing {
            let held = self.watch.scanner.release_held();
            self.outbox.put(&held);
            here.count(Traffic {
                bytes: held.len() as u64,
                messages: 0,
            });
            let inside_frame = self.watch.scanner.is_inside_frame() || !held.is_empty();
            if !inside_frame && self.watch.close().is_none() {
                self.put_in_last_close();
            }
        }
        self.phase = Phase::Ending;
    }

    fn lose_destination(&mut self) {
        self.outbox.clear();
        self.phase = match self.phase {
            Phase::Passing | Phase::Dropping | Phase::Keeping => Phase::Dropping,
            Phase::Bereft | Phase::Ending | Phase::Ended => Phase::Ended,
        };
    }
}

/// Ends a turn though there is more to do: whoever waits on this worker goes first, sockets that
/// have become ready meanwhile among them.
fn let_others_go_first<T>(cx: &mut Context<'_>) -> Poll<T> {
    // To wake the task at once would put it in front of what the sockets have to tell: the runtime
    // asks these when it has nothing else to do, and now and then.
    let yielding = pin!(yield_now());
    // Once polled, it has told the runtime.
    let _ = yielding.poll(cx);
    Poll::Pending
}
