//! What goes in at one end comes out at the other.

use std::{
    collections::HashMap,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
};

use proptest::{collection::vec, prelude::*};
use rustix::{
    io::{FdFlags, fcntl_getfd},
    pipe::pipe,
};
use tokio::io::AsyncWriteExt;

use super::rig::{Files, names, one_way, sockets};
use crate::handover::{Error, MAX_DESCRIPTORS, Receiver, outgoing::Outgoing, sender::send_piece};

#[tokio::test]
async fn a_socket_that_is_sent_goes_on_at_the_other_side() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (near, _) = listener.accept().unwrap();
    let (mut sender, mut receiver) = one_way();

    sender.send("take it", &[near.as_fd()]).await.unwrap();
    drop(near);
    let mut received = receiver.receive::<String>().await.unwrap().unwrap();

    assert_eq!(received.value, "take it");
    let mut moved = TcpStream::from(received.descriptors.remove(0));
    moved.write_all(b"ping").unwrap();
    let mut heard = [0; 4];
    far.read_exact(&mut heard).unwrap();
    far.write_all(&heard).unwrap();
    moved.read_exact(&mut heard).unwrap();
    assert_eq!(&heard, b"ping");
}

#[tokio::test]
async fn descriptors_come_with_their_frame_though_hundreds_are_on_their_way() {
    let files = Files::new(7);
    let (mut sender, mut receiver) = one_way();
    let count = |frame: usize| frame % 4;
    let send = async {
        for frame in 0..500 {
            sender
                .send(&frame, &files.some(count(frame)))
                .await
                .unwrap();
        }
        drop(sender);
    };
    let receive = async {
        for frame in 0..500 {
            let received = receiver.receive::<usize>().await.unwrap().unwrap();
            assert_eq!(received.value, frame);
            assert_eq!(
                names(&received.descriptors),
                names(&files.some(count(frame)))
            );
        }
        assert!(receiver.receive::<usize>().await.unwrap().is_none());
    };
    // The receiver begins when the sender can go no further.
    tokio::join!(biased; send, receive);
}

#[tokio::test]
async fn a_frame_arrives_whole_however_little_the_socket_takes() {
    let files = Files::new(3);
    let descriptors = files.some(300);
    for most in 1..60 {
        let (mut sender, mut receiver) = one_way();
        let frame = Outgoing::new("a frame that is sent in many pieces", &descriptors).unwrap();
        let sent = sender.deliver(frame, |socket, mut piece| {
            piece.bytes = &piece.bytes[..piece.bytes.len().min(most)];
            send_piece(socket, piece)
        });
        sent.await.unwrap();
        let received = receiver.receive::<String>().await.unwrap().unwrap();
        assert_eq!(received.value, "a frame that is sent in many pieces");
        assert_eq!(names(&received.descriptors), names(&descriptors));
    }
}

#[tokio::test]
async fn what_comes_is_not_for_other_programs() {
    let files = Files::new(1);
    let (mut sender, mut receiver) = one_way();
    sender.send("", &files.some(1)).await.unwrap();
    let received = receiver.receive::<String>().await.unwrap().unwrap();
    let flags = fcntl_getfd(&received.descriptors[0]).unwrap();
    assert!(flags.contains(FdFlags::CLOEXEC));
}

#[tokio::test]
async fn what_nobody_wants_is_closed_and_the_next_frame_comes_all_the_same() {
    let (mut sender, mut receiver) = one_way();
    let (reader, writer) = pipe().unwrap();
    sender.send("text", &[writer.as_fd()]).await.unwrap();
    drop(writer);
    sender.send(&5, &[]).await.unwrap();

    let error = receiver.receive::<u32>().await.unwrap_err();

    assert!(matches!(error, Error::Unexpected(_)) && !error.is_unsendable());
    assert_eq!(rustix::io::read(&reader, &mut [0; 1]).unwrap(), 0);
    assert_eq!(receiver.receive::<u32>().await.unwrap().unwrap().value, 5);
}

#[tokio::test]
async fn a_frame_that_cannot_be_sent_leaves_the_channel_as_it_was() {
    let files = Files::new(1);
    let (mut sender, mut receiver) = one_way();
    let unwritable = HashMap::from([((1, 2), 3)]);
    let error = sender.send(&unwritable, &[]).await.unwrap_err();
    assert!(matches!(error, Error::Unwritable(_)) && error.is_unsendable());
    let many = files.some(MAX_DESCRIPTORS + 1);
    let error = sender.send("", &many).await.unwrap_err();
    assert!(matches!(error, Error::TooMany(_)) && error.is_unsendable());
    sender.send("short", &[]).await.unwrap();
    let received = receiver.receive::<String>().await.unwrap().unwrap();
    assert_eq!(received.value, "short");
}

#[tokio::test]
async fn an_end_within_a_frame_is_an_error_and_one_between_frames_is_not() {
    let frame = b"\0\0\0\x04\0\0\0\0true";
    for length in 0..=frame.len() {
        let (mut one, other) = sockets();
        one.write_all(&frame[..length]).await.unwrap();
        drop(one);
        let (reading, _writing) = other.into_split();
        let mut receiver = Receiver::new(reading);
        if length == frame.len() {
            assert!(receiver.receive::<bool>().await.unwrap().unwrap().value);
        }
        let end = receiver.receive::<bool>().await;
        if length == 0 || length == frame.len() {
            assert!(matches!(end, Ok(None)), "{length}: {end:?}");
        } else {
            assert!(matches!(end, Err(Error::CutShort)), "{length}: {end:?}");
        }
    }
}

#[tokio::test]
async fn nothing_can_be_sent_to_the_dead() {
    let (mut sender, receiver) = one_way();
    drop(receiver);
    let error = sender.send("is anybody there?", &[]).await.unwrap_err();
    assert!(matches!(error, Error::Io(_)) && !error.is_unsendable());
}

#[tokio::test]
async fn after_a_close_what_was_sent_comes_and_nothing_more_can_be_sent() {
    let (mut sender, mut receiver) = one_way();
    sender.send("before", &[]).await.unwrap();
    receiver.close();
    assert!(sender.send("after", &[]).await.is_err());
    let received = receiver.receive::<String>().await.unwrap().unwrap();
    assert_eq!(received.value, "before");
    assert!(receiver.receive::<String>().await.unwrap().is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn frames_of_all_sizes_come_as_they_were_sent(
        frames in vec((0..300_000_usize, 0..600_usize), 1..8),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.unwrap().block_on(async {
            let files = Files::new(11);
            let (mut sender, mut receiver) = one_way();
            let send = async {
                for (length, count) in &frames {
                    let text = "x".repeat(*length);
                    sender.send(&text, &files.some(*count)).await.unwrap();
                }
            };
            let receive = async {
                for (length, count) in &frames {
                    let received = receiver.receive::<String>().await.unwrap().unwrap();
                    assert_eq!(received.value.len(), *length);
                    assert_eq!(names(&received.descriptors), names(&files.some(*count)));
                    assert_eq!(received.missing, 0);
                }
            };
            tokio::join!(send, receive);
        });
    }
}
