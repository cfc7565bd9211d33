//! The receiving half of a channel.

use std::{
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
};

use rustix::{
    cmsg_space,
    net::{
        RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, Shutdown, recvmsg,
        shutdown,
    },
};
use serde::de::DeserializeOwned;
use tokio::{
    io::Interest,
    net::{UnixStream, unix::OwnedReadHalf},
};

use super::{
    BATCH, Error,
    incoming::{Incoming, Whole},
};

/// As much is read at once.
const CHUNK: usize = 64 << 10;

/// The receiving half of a channel.
#[derive(Debug)]
pub struct Receiver {
    socket: OwnedReadHalf,
    incoming: Incoming,
    chunk: Box<[u8]>,
}

/// A frame that the other process has sent.
#[derive(Debug)]
pub struct Received<T> {
    /// The value.
    pub value: T,
    /// The open files that came with it, not to be inherited by other programs. Those that nobody
    /// takes are closed.
    pub descriptors: Vec<OwnedFd>,
    /// How many more were sent with it and are lost, since this process has too many open files.
    pub missing: usize,
}

/// What one read has brought.
type Read = (usize, Option<Vec<OwnedFd>>);

impl Receiver {
    pub(super) fn new(socket: OwnedReadHalf) -> Self {
        Self {
            socket,
            incoming: Incoming::default(),
            chunk: vec![0; CHUNK].into(),
        }
    }

    /// The next frame; `None` if the other process has ended the channel. May be given up at any
    /// time: what has come is kept.
    ///
    /// # Errors
    /// If the value [is another](Error::Unexpected), after which the next can be received, or the
    /// channel is broken.
    pub async fn receive<T: DeserializeOwned>(&mut self) -> Result<Option<Received<T>>, Error> {
        loop {
            if let Some(frame) = self.incoming.next()? {
                return frame.read().map(Some);
            }
            let (length, batch) = self.read().await?;
            if length == 0 {
                let is_whole = self.incoming.is_between_frames();
                return if is_whole {
                    Ok(None)
                } else {
                    Err(Error::CutShort)
                };
            }
            self.incoming.add(&self.chunk[..length], batch);
        }
    }

    /// Takes no more than what has been sent up to now: whatever the other process sends from here
    /// on fails there, and it knows that. What had been sent can still be received.
    pub fn close(&self) {
        // It fails only where the channel has ended already.
        let _ = shutdown(self.socket.as_ref(), Shutdown::Read);
    }

    async fn read(&mut self) -> io::Result<Read> {
        let socket = self.socket.as_ref();
        let chunk = &mut self.chunk;
        let read = socket.async_io(Interest::READABLE, || read_into(chunk, socket));
        read.await
    }
}

impl Whole {
    fn read<T: DeserializeOwned>(self) -> Result<Received<T>, Error> {
        Ok(Received {
            value: serde_json::from_slice(&self.json).map_err(Error::Unexpected)?,
            descriptors: self.descriptors,
            missing: self.missing,
        })
    }
}

fn read_into(chunk: &mut [u8], socket: &UnixStream) -> io::Result<Read> {
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(BATCH))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let read = recvmsg(
        socket,
        &mut [IoSliceMut::new(chunk)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut batch = None;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
            batch.get_or_insert_with(Vec::new).extend(descriptors);
        }
    }
    if read.flags.contains(ReturnFlags::CTRUNC) {
        // The files cannot all be opened, or none of them. Those of other frames are not theirs.
        batch.get_or_insert_default();
    }
    Ok((read.bytes, batch))
}
