//! When the other side takes nothing for a while.

use std::{io, task::Poll, time::Duration};

use futures_util::poll;
use rustix::io::Errno;
use tokio::time::Instant;

use super::rig::{Files, both_ways, names, one_way};
use crate::handover::{Error, outgoing::Outgoing, sender::send_piece};

/// More than a socket takes.
fn much() -> String {
    "x".repeat(4 << 20)
}

#[tokio::test]
async fn answers_flow_while_the_channel_is_full_the_other_way() {
    let ((mut sender, mut answers), (mut answering, mut receiver)) = both_ways().await;
    let much = much();
    let mut sending = Box::pin(sender.send(&much, &[]));
    assert!(poll!(&mut sending).is_pending());

    answering.send("an answer", &[]).await.unwrap();
    let answer = answers.receive::<String>().await.unwrap().unwrap();
    assert_eq!(answer.value, "an answer");

    let (sent, received) = tokio::join!(sending, receiver.receive::<String>());
    sent.unwrap();
    assert_eq!(received.unwrap().unwrap().value.len(), much.len());
}

#[tokio::test]
async fn a_receiver_that_is_given_up_loses_nothing() {
    let (mut sender, mut receiver) = one_way();
    let much = much();
    let mut sending = Box::pin(sender.send(&much, &[]));
    while poll!(&mut sending).is_pending() {
        // Each time it is dropped with a part of the frame read.
        let mut receiving = Box::pin(receiver.receive::<String>());
        assert!(poll!(&mut receiving).is_pending());
        drop(receiving);
        tokio::task::yield_now().await;
    }
    let received = receiver.receive::<String>().await.unwrap().unwrap();
    assert_eq!(received.value.len(), much.len());
}

#[tokio::test]
async fn nothing_follows_a_frame_that_was_given_up_halfway() {
    let (mut sender, mut receiver) = one_way();
    let much = much();
    let mut sending = Box::pin(sender.send(&much, &[]));
    assert!(poll!(&mut sending).is_pending());
    drop(sending);

    let error = sender.send("next", &[]).await.unwrap_err();

    assert!(matches!(error, Error::SentByHalf) && !error.is_unsendable());
    drop(sender);
    let error = receiver.receive::<String>().await.unwrap_err();
    assert!(matches!(error, Error::CutShort));
}

#[tokio::test(start_paused = true)]
async fn when_too_many_descriptors_are_on_their_way_it_waits_and_tries_again() {
    let files = Files::new(2);
    let descriptors = files.some(2);
    let (mut sender, mut receiver) = one_way();
    let began = Instant::now();
    let mut refusals = 3;
    let frame = Outgoing::new("at last", &descriptors).unwrap();
    let sent = sender.deliver(frame, |socket, piece| match refusals {
        0 => send_piece(socket, piece),
        _ => {
            refusals -= 1;
            Err(io::Error::from(Errno::TOOMANYREFS))
        }
    });
    sent.await.unwrap();

    let waited = began.elapsed();
    assert!(waited >= Duration::from_millis(30) && waited < Duration::from_secs(1));
    let received = receiver.receive::<String>().await.unwrap().unwrap();
    assert_eq!(received.value, "at last");
    assert_eq!(names(&received.descriptors), names(&descriptors));
    assert!(matches!(
        poll!(Box::pin(receiver.receive::<String>())),
        Poll::Pending
    ));
}
