//! What waits for a destination: written as soon as it takes it, and no memory held otherwise.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf, BytesMut};

use super::{clock::Tick, pipe::Pipe};
use crate::stream::{Socket, some_bytes};

/// What a destination has not taken yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// What the system moves, in front of everything else, and since when it has.
    pipe: Option<(Pipe, Tick)>,
    /// Boxed, and only while there is something: in most tunnels nothing waits.
    waiting: Option<Box<BytesMut>>,
    /// Whether the destination may hold back what it took.
    unflushed: bool,
    /// Since when the destination has taken nothing of what waits for it.
    blocked: Option<Tick>,
}

impl Outbox {
    /// Adds `bytes` behind what waits.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            let waiting = self.waiting.get_or_insert_default();
            waiting.extend_from_slice(bytes);
        }
    }

    /// Has what is in `pipe` wait from `now` on. To be called when nothing does.
    pub(super) fn put_pipe(&mut self, pipe: Pipe, now: Tick) {
        debug_assert!(self.waiting.is_none() && self.pipe.is_none());
        if pipe.is_empty() {
            pipe.give_back();
        } else {
            self.pipe = Some((pipe, now));
        }
    }

    /// Writes `bytes` behind what waits, keeping what the destination does not take, be it since
    /// the write fails.
    pub(super) fn write<D: Socket + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        mut bytes: &[u8],
        to: &mut D,
        now: Tick,
    ) -> io::Result<()> {
        while !bytes.is_empty() && self.waiting.is_none() && self.pipe.is_none() {
            match Pin::new(&mut *to).poll_write(cx, bytes) {
                Poll::Ready(written) => match written.and_then(some_bytes) {
                    Ok(written) => {
                        bytes = &bytes[written..];
                        self.unflushed = true;
                    }
                    Err(error) => {
                        self.put(bytes);
                        return Err(error);
                    }
                },
                Poll::Pending => {
                    self.wait(to, now);
                    break;
                }
            }
        }
        self.put(bytes);
        Ok(())
    }

    /// Writes what waits until all of it is taken, and gives the memory back.
    pub(super) fn poll_empty<D: Socket + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        to: &mut D,
        now: Tick,
    ) -> Poll<io::Result<()>> {
        while let Some((pipe, _)) = &mut self.pipe {
            let socket = to.bare().ok_or(io::ErrorKind::Unsupported)?;
            match pipe.poll_drain(cx, socket) {
                Poll::Ready(moved) => {
                    some_bytes(moved?)?;
                    self.blocked = None;
                    if let Some((pipe, _)) = self.pipe.take_if(|(pipe, _)| pipe.is_empty()) {
                        pipe.give_back();
                    }
                }
                Poll::Pending => {
                    self.wait(to, now);
                    return Poll::Pending;
                }
            }
        }
        while let Some(waiting) = self.waiting.as_mut().filter(|waiting| !waiting.is_empty()) {
            match Pin::new(&mut *to).poll_write(cx, waiting) {
                Poll::Ready(written) => {
                    waiting.advance(written.and_then(some_bytes)?);
                    self.unflushed = true;
                    self.blocked = None;
                }
                Poll::Pending => {
                    self.wait(to, now);
                    return Poll::Pending;
                }
            }
        }
        self.waiting = None;
        if self.unflushed {
            match Pin::new(&mut *to).poll_flush(cx) {
                Poll::Ready(flushed) => flushed?,
                Poll::Pending => {
                    self.wait(to, now);
                    return Poll::Pending;
                }
            }
            self.unflushed = false;
            self.blocked = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Copies what the system moves, so that all that waits can be [seen](Self::waiting).
    ///
    /// # Errors
    /// If the system does not give it back: what the destination is to get is incomplete then.
    pub(super) fn fetch(&mut self) -> io::Result<()> {
        let Some((mut pipe, _)) = self.pipe.take() else {
            return Ok(());
        };
        let mut all = BytesMut::from(&pipe.read()?[..]);
        pipe.give_back();
        all.extend_from_slice(self.waiting());
        self.waiting = Some(Box::new(all));
        Ok(())
    }

    /// What waits, without what the system moves.
    pub(super) fn waiting(&self) -> &[u8] {
        self.waiting.as_ref().map_or(&[], |waiting| waiting)
    }

    /// What has waited elsewhere, with the destination blocked since then.
    pub(super) fn resume(waiting: &[u8], blocked: Option<Tick>) -> Self {
        let mut outbox = Self {
            blocked,
            ..Self::default()
        };
        outbox.put(waiting);
        outbox
    }

    /// Drops what waits: nobody is there any more to take it.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Has what waits wait for another destination: what this one took is gone with it.
    pub(super) fn change_destination(&mut self) {
        self.unflushed = false;
        self.blocked = None;
    }

    /// Whether the destination has taken all.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_none() && self.pipe.is_none()
    }

    /// Bytes that wait, without those that the system moves.
    pub(super) fn len(&self) -> usize {
        self.waiting().len()
    }

    /// Since when a pipe has waited for the destination to take all that is in it, if one does.
    pub(super) fn piped_since(&self) -> Option<Tick> {
        self.pipe.as_ref().map(|(_, since)| *since)
    }

    /// Since when the destination has taken nothing of what waits for it, if it does not.
    pub(super) fn blocked(&self) -> Option<Tick> {
        self.blocked
    }

    /// Whether it holds memory besides its own, be it in use or not.
    #[cfg(test)]
    pub(super) fn holds_memory(&self) -> bool {
        self.waiting.is_some() || self.pipe.is_some()
    }

    /// Notes that the destination has to be waited for: anew, if it has gone on taking inside.
    fn wait<D: Socket>(&mut self, to: &mut D, now: Tick) {
        // To be asked each time, or else what it took long ago would count.
        if to.has_taken() {
            self.blocked = None;
        }
        self.blocked.get_or_insert(now);
    }
}
