//! Who the two are.

use serde_json::json;

use super::rig::{one_way, sockets};
use crate::handover::{Channel, Error, Hello, PROTOCOL, Sender};

#[tokio::test]
async fn both_learn_which_version_the_other_is() {
    let (one, other) = sockets();
    let (one, other) = tokio::join!(Channel::from(one).greet(), Channel::from(other).greet());
    for (_, _, hello) in [one.unwrap(), other.unwrap()] {
        assert_eq!(hello.protocol, PROTOCOL);
        assert_eq!(hello.version, env!("CARGO_PKG_VERSION"));
    }
}

#[tokio::test]
async fn another_protocol_is_an_error_on_both_sides() {
    let (one, other) = sockets();
    let (theirs, writing) = other.into_split();
    let hello = json!({ "protocol": 7, "version": "9.8.7" });
    Sender::new(writing).send(&hello, &[]).await.unwrap();

    let error = Channel::from(one).greet().await.unwrap_err();

    let said = error.to_string();
    assert!(
        said.contains("longwire 9.8.7") && said.contains("protocol 7"),
        "{said}"
    );
    // The other one, too, learns whom it has met.
    let mut receiver = crate::handover::Receiver::new(theirs);
    let hello = receiver.receive::<Hello>().await.unwrap().unwrap().value;
    assert_eq!(hello.protocol, PROTOCOL);
}

#[tokio::test]
async fn fields_that_a_later_version_adds_are_passed_over() {
    let (mut sender, mut receiver) = one_way();
    let hello = json!({ "protocol": 1, "version": "1", "mood": "good" });
    sender.send(&hello, &[]).await.unwrap();
    assert!(receiver.receive::<Hello>().await.is_ok());
}

#[tokio::test]
async fn one_that_leaves_without_a_word_is_said_to() {
    let (one, other) = sockets();
    let (_reading, writing) = other.into_split();
    drop(writing);
    let error = Channel::from(one).greet().await.unwrap_err();
    assert!(matches!(error, Error::LeftSilently), "{error:?}");
}
