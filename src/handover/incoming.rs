//! Frames on their way in.

use std::{collections::VecDeque, os::fd::OwnedFd};

use bytes::{Buf, Bytes, BytesMut};

use super::{BATCH, Error, HEADER, MAX_DESCRIPTORS, MAX_FRAME};

/// What has come and makes no whole frame yet.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    bytes: BytesMut,
    /// Those that came with one message of the system each. The system may have had to drop some.
    batches: VecDeque<Vec<OwnedFd>>,
}

/// A frame as it came.
#[derive(Debug)]
pub(super) struct Whole {
    pub(super) json: Bytes,
    pub(super) descriptors: Vec<OwnedFd>,
    /// How many more were sent.
    pub(super) missing: usize,
}

impl Incoming {
    /// Adds what one read has brought: bytes, and the descriptors that came with one of them.
    pub(super) fn add(&mut self, bytes: &[u8], batch: Option<Vec<OwnedFd>>) {
        self.bytes.extend_from_slice(bytes);
        self.batches.extend(batch);
    }

    /// The next frame, if it is whole.
    pub(super) fn next(&mut self) -> Result<Option<Whole>, Error> {
        let Some(header) = self.bytes.first_chunk::<HEADER>() else {
            return Ok(None);
        };
        let mut header = &header[..];
        let [length, count] = [header.get_u32(), header.get_u32()].map(|size| size as usize);
        if length > MAX_FRAME || count > MAX_DESCRIPTORS {
            return Err(Error::Oversized {
                length,
                descriptors: count,
            });
        }
        if self.bytes.len() < HEADER + length {
            return Ok(None);
        }
        self.bytes.advance(HEADER);
        let batches = count.div_ceil(BATCH).min(self.batches.len());
        let descriptors: Vec<_> = self.batches.drain(..batches).flatten().collect();
        Ok(Some(Whole {
            json: self.bytes.split_to(length).freeze(),
            missing: count.saturating_sub(descriptors.len()),
            descriptors,
        }))
    }

    /// Whether nothing has come of another frame.
    pub(super) fn is_between_frames(&self) -> bool {
        self.bytes.is_empty()
    }
}
