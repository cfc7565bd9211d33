//! The buffer that the TLS streams of a thread share.

use std::cell::Cell;

use bytes::BytesMut;

use super::session::{MAX_KEPT, MAX_RECORD};

/// Room for the most that a stream keeps of its input, and a record more: so there is always
/// something to read into, and one system call's worth of a large message fits.
const LEN: usize = MAX_KEPT + MAX_RECORD;

thread_local! {
    static SCRATCH: Cell<Option<Box<BytesMut>>> = const { Cell::new(None) };
}

/// Lends the buffer of this thread, whose contents are of no account. It is never shorter than
/// [`LEN`], and stays as long as it was made.
pub(super) fn with<R>(work: impl FnOnce(&mut BytesMut) -> R) -> R {
    // Taken out rather than borrowed: a stream may lie within another.
    let mut scratch = SCRATCH
        .take()
        .unwrap_or_else(|| Box::new(BytesMut::zeroed(LEN)));
    let outcome = work(&mut scratch);
    SCRATCH.set(Some(scratch));
    outcome
}
