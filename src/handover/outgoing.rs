//! A frame on its way out.

use std::os::fd::BorrowedFd;

use serde::Serialize;

use super::{BATCH, Error, HEADER, MAX_DESCRIPTORS, MAX_FRAME};

/// What is still to be sent of a frame.
#[derive(Debug)]
pub(super) struct Outgoing<'a> {
    bytes: Vec<u8>,
    sent: usize,
    descriptors: &'a [BorrowedFd<'a>],
}

/// What is to be sent with one message of the system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) bytes: &'a [u8],
    /// They go with the first of the bytes.
    pub(super) descriptors: &'a [BorrowedFd<'a>],
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(
        value: &(impl Serialize + ?Sized),
        descriptors: &'a [BorrowedFd<'a>],
    ) -> Result<Self, Error> {
        let mut bytes = vec![0; HEADER];
        serde_json::to_writer(&mut bytes, value).map_err(Error::Unwritable)?;
        let length = bytes.len() - HEADER;
        if length > MAX_FRAME {
            return Err(Error::TooLong(length));
        }
        if descriptors.len() > MAX_DESCRIPTORS {
            return Err(Error::TooMany(descriptors.len()));
        }
        let halves = [length, descriptors.len()].map(|size| u32::try_from(size).ok());
        for (place, half) in bytes.chunks_mut(HEADER / 2).zip(halves) {
            // Both were found to be within their limits.
            place.copy_from_slice(&half.unwrap_or(u32::MAX).to_be_bytes());
        }
        Ok(Self {
            bytes,
            sent: 0,
            descriptors,
        })
    }

    /// What to send next, until everything is sent.
    pub(super) fn piece(&self) -> Option<Piece<'_>> {
        let bytes = &self.bytes[self.sent..];
        let (descriptors, later) = self.descriptors.split_at(self.batch());
        // One byte carries a batch. The limit of descriptors leaves enough for the batches.
        let length = if later.is_empty() { bytes.len() } else { 1 };
        let bytes = &bytes[..length];
        (!bytes.is_empty()).then_some(Piece { bytes, descriptors })
    }

    /// So many bytes of the piece were sent, at least one, and with it all of the descriptors.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.descriptors = &self.descriptors[self.batch()..];
        self.sent += bytes;
    }

    fn batch(&self) -> usize {
        self.descriptors.len().min(BATCH)
    }
}
