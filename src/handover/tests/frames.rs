//! Frames, without a socket.

use serde_json::{Value, json};

use super::rig::{Files, names};
use crate::handover::{
    BATCH, Error, MAX_DESCRIPTORS, MAX_FRAME,
    incoming::{Incoming, Whole},
    outgoing::Outgoing,
};

/// A frame's bytes on the wire.
fn bytes_of(value: &Value, descriptors: usize) -> Vec<u8> {
    let files = Files::new(1);
    let descriptors = files.some(descriptors);
    let mut frame = Outgoing::new(value, &descriptors).unwrap();
    let mut bytes = Vec::new();
    while let Some(piece) = frame.piece() {
        bytes.extend_from_slice(piece.bytes);
        let length = piece.bytes.len();
        frame.advance(length);
    }
    bytes
}

fn value(whole: &Whole) -> Value {
    serde_json::from_slice(&whole.json).unwrap()
}

#[test]
fn a_frame_comes_together_wherever_reads_have_split_it() {
    let files = Files::new(2);
    let sent = json!({ "a": [1, "two"], "rest": "…" });
    let bytes = bytes_of(&sent, 2);
    for first in 0..=bytes.len() {
        for second in first..=bytes.len() {
            let mut incoming = Incoming::default();
            let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
            let mut batch = Some(files.copies(2));
            for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
                assert!(incoming.next().unwrap().is_none());
                incoming.add(piece, batch.take());
            }
            let whole = incoming.next().unwrap().unwrap();
            assert_eq!(value(&whole), sent);
            assert_eq!(names(&whole.descriptors), names(&files.some(2)));
            assert_eq!(whole.missing, 0);
            assert!(incoming.is_between_frames());
            assert!(incoming.next().unwrap().is_none());
        }
    }
}

#[test]
fn frames_that_one_read_brings_come_one_by_one() {
    let files = Files::new(1);
    let mut incoming = Incoming::default();
    let plain = bytes_of(&json!("plain"), 0);
    let laden = bytes_of(&json!("laden"), 1);
    incoming.add(
        &[plain.clone(), laden, plain].concat(),
        Some(files.copies(1)),
    );

    let mut next = || {
        let whole = incoming.next().unwrap()?;
        Some((value(&whole), whole.descriptors.len()))
    };
    assert_eq!(next(), Some((json!("plain"), 0)));
    assert_eq!(next(), Some((json!("laden"), 1)));
    assert_eq!(next(), Some((json!("plain"), 0)));
    assert_eq!(next(), None);
}

#[test]
fn descriptors_that_the_system_has_dropped_are_missed_by_their_own_frame_alone() {
    let files = Files::new(3);
    let mut incoming = Incoming::default();
    for kept in [2, 0, 1, 2] {
        incoming.add(&bytes_of(&json!(kept), 2), Some(files.copies(kept)));
    }
    for kept in [2, 0, 1, 2] {
        let whole = incoming.next().unwrap().unwrap();
        assert_eq!(value(&whole), json!(kept));
        assert_eq!(names(&whole.descriptors), names(&files.some(kept)));
        assert_eq!(whole.missing, 2 - kept);
    }
}

#[test]
fn descriptors_go_in_batches_that_the_system_takes() {
    let files = Files::new(7);
    for count in [0, 1, BATCH, BATCH + 1, MAX_DESCRIPTORS] {
        let descriptors = files.some(count);
        // The shortest value leaves the fewest bytes to go with them.
        let mut frame = Outgoing::new(&json!(1), &descriptors).unwrap();
        let mut sent = Vec::new();
        while let Some(piece) = frame.piece() {
            assert!(piece.descriptors.len() <= BATCH && !piece.bytes.is_empty());
            sent.extend(names(piece.descriptors));
            let length = piece.bytes.len();
            frame.advance(length);
        }
        assert_eq!(sent, names(&descriptors));
    }
}

#[test]
fn what_is_too_large_is_said_to_be_before_any_of_it_is_sent() {
    let long = "a".repeat(MAX_FRAME);
    let error = Outgoing::new(&long, &[]).unwrap_err();
    assert!(matches!(error, Error::TooLong(length) if length == MAX_FRAME + 2));

    let files = Files::new(1);
    let error = Outgoing::new("", &files.some(MAX_DESCRIPTORS + 1)).unwrap_err();
    assert!(matches!(error, Error::TooMany(count) if count == MAX_DESCRIPTORS + 1));
}

#[test]
fn what_claims_to_be_too_large_is_refused_before_it_has_come() {
    let claim = |length: usize, descriptors: usize| {
        let mut incoming = Incoming::default();
        let sizes = [length, descriptors].map(|size| u32::try_from(size).unwrap().to_be_bytes());
        incoming.add(&sizes.concat(), None);
        incoming.next()
    };
    assert!(claim(MAX_FRAME, MAX_DESCRIPTORS).unwrap().is_none());
    for (length, descriptors) in [(MAX_FRAME + 1, 0), (1, MAX_DESCRIPTORS + 1)] {
        let error = claim(length, descriptors).unwrap_err();
        assert!(matches!(error, Error::Oversized { .. }) && !error.is_unsendable());
    }
}
