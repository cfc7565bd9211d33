//! Before the new process serves.

use std::{
    net::TcpListener,
    os::{fd::AsFd, unix::net::UnixListener},
};

use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::UnixStream, spawn};

use super::rig::{WITHIN, channel};
use crate::{
    handover,
    server::upgrade::{Bequest, Broken, Giving, NotReady, Taking},
};

#[tokio::test]
async fn the_new_process_gets_the_sockets_and_what_pools_remember() {
    let (old, new) = channel();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("door.sock");
    let (tcp, door) = (
        TcpListener::bind("127.0.0.1:0").unwrap(),
        UnixListener::bind(&path).unwrap(),
    );
    let memory = json!({ "pool": { "main": ["a", "b"] } });
    let sockets = [tcp.as_fd(), door.as_fd()];

    let giving = Giving::begin(old, &sockets, memory.clone(), WITHIN);
    let taking = async {
        let (taking, mut estate) = Taking::begin(new).await.unwrap();
        assert_eq!(estate.memory, [memory]);
        assert_eq!(estate.version, env!("CARGO_PKG_VERSION"));
        let address = tcp.local_addr().unwrap();
        assert_eq!(estate.inherited.take(address).len(), 1);
        assert!(estate.inherited.take_unix(&path).is_some());
        taking.ready().await.unwrap()
    };
    let (giving, _arriving) = tokio::join!(giving, taking);
    assert_eq!(giving.unwrap().version(), env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn a_new_process_that_fails_says_why() {
    let (old, new) = channel();
    spawn(async {
        let (taking, _) = Taking::begin(new).await.unwrap();
        taking.fail("line 3: no such pool".to_owned()).await;
    });
    let failed = Giving::begin(old, &[], Value::Null, WITHIN).await;
    assert!(
        matches!(&failed, Err(NotReady::Failed(reason)) if reason == "line 3: no such pool"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_new_process_that_fails_before_it_has_heard_all_says_why_too() {
    let (old, new) = channel();
    spawn(async {
        let (mut sender, receiver, _) = new.greet().await.unwrap();
        let failed = json!({ "failed": { "reason": "I do not like this" } });
        sender.send(&failed, &[]).await.unwrap();
        drop((sender, receiver));
    });
    let memory: Value = "more than the channel holds".repeat(1 << 20).into();
    let failed = Giving::begin(old, &[], memory, WITHIN).await;
    assert!(matches!(&failed, Err(NotReady::Failed(_))), "{failed:?}");
}

#[tokio::test]
async fn clients_come_in_parts_to_whoever_takes_them() {
    let (old, new) = channel();
    let taking = async {
        let (taking, estate) = Taking::begin(new).await.unwrap();
        assert_eq!(estate.memory, [json!(1), json!(2), json!("all else")]);
        taking.ready().await.unwrap()
    };
    let (giving, _arriving) = tokio::join!(Giving::begin(old, &[], bequest(), WITHIN), taking);
    giving.unwrap();

    // A version that knows nothing of parts gets all else.
    let (old, new) = UnixStream::pair().unwrap();
    let older = spawn(async move {
        let hello = json!({ "protocol": handover::PROTOCOL, "version": "0.0.1" });
        let (mut sender, mut receiver) = handover::Channel::from(new).halves();
        sender.send(&hello, &[]).await.unwrap();
        let _hello = receiver.receive::<Value>().await.unwrap();
        let heard = receiver.receive::<Value>().await.unwrap().unwrap().value;
        sender.send(&json!({ "ready": {} }), &[]).await.unwrap();
        heard
    });
    let giving = Giving::begin(old.into(), &[], bequest(), WITHIN).await;
    assert_eq!(giving.unwrap().version(), "0.0.1");
    assert_eq!(older.await.unwrap(), json!({ "memory": "all else" }));
}

fn bequest() -> Bequest {
    Bequest {
        memory: json!("all else"),
        clients: Box::new([json!(1), json!(2)].into_iter()),
    }
}

#[tokio::test(start_paused = true)]
async fn what_no_frame_can_carry_is_left_out_at_once() {
    let (old, new) = channel();
    let too_long = || Value::from("x".repeat(handover::MAX_FRAME));
    let bequest = Bequest {
        memory: too_long(),
        clients: Box::new([too_long(), json!("some")].into_iter()),
    };
    let taking = async {
        let (taking, estate) = Taking::begin(new).await.unwrap();
        assert_eq!(estate.memory, [json!("some"), json!({})]);
        taking.ready().await.unwrap()
    };
    let (giving, _arriving) = tokio::join!(Giving::begin(old, &[], bequest, WITHIN), taking);
    giving.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_new_process_that_hangs_is_given_up() {
    for greets in [false, true] {
        let (old, new) = channel();
        let hanging = spawn(async move {
            let _hanging = if greets {
                Ok(new.greet().await.unwrap())
            } else {
                Err(new)
            };
            std::future::pending::<()>().await;
        });
        let failed = Giving::begin(old, &[], Value::Null, WITHIN).await;
        assert!(
            matches!(failed, Err(NotReady::TooSlow(WITHIN))),
            "{failed:?}"
        );
        hanging.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_process_that_dies_is_noticed_at_once() {
    let (old, new) = channel();
    drop(new);
    let failed = Giving::begin(old, &[], Value::Null, WITHIN).await;
    assert!(
        matches!(failed, Err(NotReady::Broken(Broken::Channel(_)))),
        "{failed:?}"
    );

    let (old, new) = channel();
    spawn(async { drop(new.greet().await.unwrap()) });
    let failed = Giving::begin(old, &[], Value::Null, WITHIN).await;
    assert!(matches!(failed, Err(NotReady::Broken(_))), "{failed:?}");

    let (old, new) = channel();
    spawn(async { drop(Taking::begin(new).await.unwrap()) });
    let failed = Giving::begin(old, &[], Value::Null, WITHIN).await;
    assert!(
        matches!(failed, Err(NotReady::Broken(Broken::Left))),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_new_process_that_was_given_up_must_not_serve() {
    let (old, new) = channel();
    let old = spawn(Giving::begin(old, &[], Value::Null, WITHIN));
    let (taking, _) = Taking::begin(new).await.unwrap();
    old.abort();
    let _ = old.await;
    assert!(matches!(taking.ready().await, Err(Broken::Channel(_))));
}

#[tokio::test]
async fn what_does_not_listen_is_not_taken_over() {
    let (old, new) = channel();
    let (reader, _writer) = rustix::pipe::pipe().unwrap();
    let sockets = [reader.as_fd()];
    let giving = Giving::begin(old, &sockets, Value::Null, WITHIN);
    let (given, taken) = tokio::join!(giving, Taking::begin(new));
    assert!(matches!(taken, Err(Broken::Socket(_))));
    assert!(given.is_err());
}

#[tokio::test]
async fn a_listening_socket_that_is_lost_on_its_way_is_missed() {
    let (mut old, new) = UnixStream::pair().unwrap();
    let frame = |text: &str, descriptors: u32| {
        let length = u32::try_from(text.len()).unwrap();
        let header = [length.to_be_bytes(), descriptors.to_be_bytes()].concat();
        [&header, text.as_bytes()].concat()
    };
    let hello = frame(r#"{ "protocol": 1, "version": "1" }"#, 0);
    // What the system drops leaves nothing else.
    let sockets = frame(r#"{ "sockets": {} }"#, 2);
    old.write_all(&[hello, sockets].concat()).await.unwrap();
    old.shutdown().await.unwrap();
    let taken = Taking::begin(new.into()).await;
    assert!(matches!(taken, Err(Broken::Incomplete(2))), "{taken:?}");
}

#[tokio::test]
async fn an_old_process_that_leaves_too_early_is_noticed() {
    let (old, new) = channel();
    spawn(async { drop(old.greet().await.unwrap()) });
    assert!(matches!(Taking::begin(new).await, Err(Broken::Left)));

    let (old, new) = channel();
    drop(old);
    let left = Taking::begin(new).await;
    assert!(matches!(
        left,
        Err(Broken::Channel(
            handover::Error::Io(_) | handover::Error::LeftSilently
        ))
    ));
}
