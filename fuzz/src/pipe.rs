//! A socket whose other end is the target.

use std::{
    cell::RefCell,
    collections::VecDeque,
    io,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The server's end, and the target's hold on it.
#[derive(Clone, Default)]
pub struct Pipe {
    state: Rc<RefCell<State>>,
}

#[derive(Default)]
struct State {
    /// Each is given by one read, as far as there is room for it.
    pieces: VecDeque<Vec<u8>>,
    has_ended: bool,
    /// What the server has written.
    written: Vec<u8>,
    /// What it can write until it has to wait.
    room: usize,
}

impl Pipe {
    /// Lets the server read `bytes`.
    pub fn give(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.state.borrow_mut().pieces.push_back(bytes.to_vec());
        }
    }

    /// Lets it find the end after all that it was given.
    pub fn end(&self) {
        self.state.borrow_mut().has_ended = true;
    }

    /// Lets it write `room` bytes more.
    pub fn make_room(&self, room: usize) {
        self.state.borrow_mut().room += room;
    }

    /// What it has written since this was last asked.
    pub fn take_written(&self) -> Vec<u8> {
        std::mem::take(&mut self.state.borrow_mut().written)
    }
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = self.state.borrow_mut();
        let has_ended = state.has_ended;
        match state.pieces.front_mut() {
            Some(piece) => {
                let fitting = piece.len().min(buffer.remaining());
                buffer.put_slice(&piece[..fitting]);
                piece.drain(..fitting);
                if piece.is_empty() {
                    state.pieces.pop_front();
                }
                Poll::Ready(Ok(()))
            }
            None if has_ended => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.state.borrow_mut();
        let taken = state.room.min(bytes.len());
        if taken == 0 {
            return Poll::Pending;
        }
        state.room -= taken;
        state.written.extend_from_slice(&bytes[..taken]);
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
