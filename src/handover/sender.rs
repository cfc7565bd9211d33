//! The sending half of a channel.

use std::{
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::fd::BorrowedFd,
    time::Duration,
};

use rustix::{
    cmsg_space,
    io::Errno,
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use serde::Serialize;
use tokio::{
    io::Interest,
    net::{UnixStream, unix::OwnedWriteHalf},
    time::sleep,
};

use super::{
    BATCH, Error,
    outgoing::{Outgoing, Piece},
};

/// How long to wait when too many descriptors are on their way, and the other process has to take
/// some first.
const BACK_OFF: Duration = Duration::from_millis(10);

/// The sending half of a channel. When it is dropped, the other process meets the end.
#[derive(Debug)]
pub struct Sender {
    socket: OwnedWriteHalf,
    /// From the first byte of a frame until the last is sent.
    is_amid_frame: bool,
}

impl Sender {
    pub(super) fn new(socket: OwnedWriteHalf) -> Self {
        Self {
            socket,
            is_amid_frame: false,
        }
    }

    /// Sends a value and copies of open files with it. Waits while the other process takes nothing.
    ///
    /// Not to be given up halfway: after that nothing more can be sent.
    ///
    /// # Errors
    /// If the frame is [unsendable](Error::is_unsendable), or the channel is broken.
    pub async fn send<T>(&mut self, value: &T, descriptors: &[BorrowedFd<'_>]) -> Result<(), Error>
    where
        T: Serialize + ?Sized,
    {
        let frame = Outgoing::new(value, descriptors)?;
        self.deliver(frame, send_piece).await
    }

    pub(super) async fn deliver(
        &mut self,
        mut frame: Outgoing<'_>,
        mut send: impl FnMut(&UnixStream, Piece<'_>) -> io::Result<usize>,
    ) -> Result<(), Error> {
        if self.is_amid_frame {
            return Err(Error::SentByHalf);
        }
        let socket = self.socket.as_ref();
        while let Some(piece) = frame.piece() {
            let sent = socket.async_io(Interest::WRITABLE, || send(socket, piece));
            match sent.await {
                Ok(bytes) => {
                    self.is_amid_frame = true;
                    frame.advance(bytes);
                }
                Err(error) if Errno::from_io_error(&error) == Some(Errno::TOOMANYREFS) => {
                    sleep(BACK_OFF).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.is_amid_frame = false;
        Ok(())
    }
}

/// Sends as much of a piece as the socket takes.
pub(super) fn send_piece(socket: &UnixStream, piece: Piece<'_>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !piece.descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(piece.descriptors));
    }
    let bytes = [IoSlice::new(piece.bytes)];
    Ok(sendmsg(
        socket,
        &bytes,
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?)
}
