//! Two ends of a channel, and files that can be told apart.

use std::{
    fs::File,
    io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::MetadataExt,
    },
};

use tokio::net::UnixStream;

use crate::handover::{Channel, Receiver, Sender};

/// Two sockets of a channel, before anything is said.
pub(super) fn sockets() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

/// The sender of one process and the receiver of the other.
pub(super) fn one_way() -> (Sender, Receiver) {
    let (one, other) = sockets();
    let (_, writing) = one.into_split();
    let (reading, unused) = other.into_split();
    unused.forget();
    (Sender::new(writing), Receiver::new(reading))
}

/// Both halves of both processes.
pub(super) async fn both_ways() -> ((Sender, Receiver), (Sender, Receiver)) {
    let (one, other) = sockets();
    let (one, other) = tokio::join!(Channel::from(one).greet(), Channel::from(other).greet());
    let (one, other) = (one.unwrap(), other.unwrap());
    ((one.0, one.1), (other.0, other.1))
}

/// Files of which no two are the same.
pub(super) struct Files(Vec<File>);

impl Files {
    pub(super) fn new(count: usize) -> Self {
        Self((0..count).map(|_| tempfile::tempfile().unwrap()).collect())
    }

    /// As many, one after the other, and around again from the first on.
    pub(super) fn some(&self, count: usize) -> Vec<BorrowedFd<'_>> {
        let around = self.0.iter().cycle();
        around.take(count).map(AsFd::as_fd).collect()
    }

    /// Copies of them.
    pub(super) fn copies(&self, count: usize) -> Vec<OwnedFd> {
        let some = self.some(count);
        let copies = some.iter().map(BorrowedFd::try_clone_to_owned);
        copies.collect::<io::Result<_>>().unwrap()
    }
}

/// Which files these are.
pub(super) fn names(descriptors: &[impl AsFd]) -> Vec<u64> {
    let name = |descriptor: &_| {
        let copy = AsFd::as_fd(descriptor).try_clone_to_owned().unwrap();
        File::from(copy).metadata().unwrap().ino()
    };
    descriptors.iter().map(name).collect()
}
