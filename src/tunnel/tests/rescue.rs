//! A tunnel that outlives its backend, and what goes on while another is looked for.

use std::{sync::atomic::Ordering::Relaxed, time::Duration};

use tokio::{io::AsyncWriteExt, time::Instant};

use super::{
    lifeline::{Mortal, open_rescued, rescued},
    peer::Peer,
    rig::{
        BUFFER, CLOSE, PINGING, QUIET, SHUTDOWN, close_all, pass, patiently, seconds_since, settle,
        traffic,
    },
};
use crate::{
    tunnel::{Cause, Party, Policy},
    websocket::Role,
};

/// What is kept during a search unless a test says otherwise.
pub(super) const KEPT: usize = 1024;

#[tokio::test(start_paused = true)]
async fn a_backend_that_vanishes_between_messages_is_replaced_and_the_client_notices_nothing() {
    let (mut client, mut first, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    client.say("to the first").await;
    assert_eq!(first.hears_text().await, "to the first");
    first.say("last words").await;
    drop(first);

    let mut second = lifeline.find();
    client.say("to the second").await;
    second.say("first words").await;

    assert_eq!(second.hears_text().await, "to the second");
    assert_eq!(client.hears_text().await, "last words");
    assert_eq!(client.hears_text().await, "first words");
    second.close(4001).await;
    assert_eq!(client.hears_close().await.0, 4001);
    client.close(4001).await;
    let ended = tunnel.ended().await;
    assert_eq!(
        (ended.end.by, ended.end.cause),
        (Party::Backend, Cause::Close)
    );
    assert_eq!(ended.from_client, traffic(18 + 19 + 8, 2));
    assert_eq!(ended.from_backend, traffic(12 + 13 + 4, 2));
    assert_eq!(lifeline.searches(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_the_other_backend_sent_right_behind_its_101_is_passed_on() {
    let (mut client, first, _tunnel, lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    let mut second = lifeline.find_having_said(b"\x81\x05glu");
    second.send(b"ed").await;
    assert_eq!(client.hears_text().await, "glued");
}

#[tokio::test(start_paused = true)]
async fn what_the_client_sends_meanwhile_reaches_the_other_backend_once_and_in_order() {
    let (mut client, first, _tunnel, lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    settle().await;
    assert_eq!(lifeline.searches(), 1);
    let message = client.message(b"in two pieces");
    client.say("one").await;
    client.say("two").await;
    client.send(&message[..9]).await;
    settle().await;

    let mut second = lifeline.find();
    settle().await;
    client.send(&message[9..]).await;
    client.say("four").await;

    for text in ["one", "two", "in two pieces", "four"] {
        assert_eq!(second.hears_text().await, text);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_sends_more_than_is_kept_is_not_read_from_and_nothing_is_lost() {
    let (mut client, first, _tunnel, lifeline) = open_rescued(PINGING, 100);
    drop(first);
    settle().await;
    let long = vec![b'x'; 2 * BUFFER];
    let message = client.message(&long);
    let mut rest = message.as_slice();
    let sent = tokio::time::timeout(
        Duration::from_secs(200),
        client.socket.write_all_buf(&mut rest),
    );
    assert!(sent.await.is_err(), "it has to wait, and is not given up");
    assert_eq!(message.len() - rest.len(), BUFFER + 100);

    let mut second = lifeline.find();
    let sending = async { client.socket.write_all_buf(&mut rest).await.unwrap() };
    let ((), frame) = tokio::join!(patiently(sending), second.next());
    assert_eq!(frame.unwrap().payload, long);
}

#[tokio::test(start_paused = true)]
async fn where_nothing_is_kept_the_client_waits() {
    let (mut client, first, _tunnel, lifeline) = open_rescued(PINGING, 0);
    drop(first);
    client.say("patience").await;
    pass(100).await;
    assert_eq!(lifeline.find().hears_text().await, "patience");
}

#[tokio::test(start_paused = true)]
async fn the_client_is_pinged_meanwhile_and_its_answer_is_taken_out() {
    let (mut client, first, _tunnel, lifeline) = open_rescued(PINGING, KEPT);
    drop(first);
    for _ in 0..3 {
        let token = client.hears_ping().await;
        client.pong(&token).await;
    }
    client.pong(b"its own!").await;

    let mut second = lifeline.find();
    assert_eq!(second.next().await.unwrap().payload, b"its own!");
    let token = second.hears_ping().await;
    second.pong(&token).await;
    second.say("alive").await;
    let ping = client.next().await.unwrap();
    assert_eq!(ping.payload.len(), 8, "{ping:?}");
    assert_eq!(client.hears_text().await, "alive");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_dies_meanwhile_ends_the_tunnel() {
    let (mut client, first, tunnel, _lifeline) = open_rescued(PINGING, KEPT);
    drop(first);
    client.hears_ping().await;
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Dead, None));
}

#[tokio::test(start_paused = true)]
async fn a_close_of_the_client_meanwhile_is_answered_and_ends_the_tunnel() {
    let (mut client, first, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    settle().await;
    client.say("nobody hears this").await;
    client.close(4002).await;

    assert_eq!(client.hears_close().await, (1000, String::new()));
    assert_eq!(client.next().await, None);
    assert_eq!(
        tunnel.end().await,
        (Party::Client, Cause::Close, Some(4002))
    );
    assert_eq!(lifeline.find().next().await, None, "nobody is looked for");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_ends_meanwhile_ends_the_tunnel() {
    let (mut client, first, tunnel, _lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    settle().await;
    client.stop_sending().await;
    assert_eq!(client.hears_close().await.0, 1014);
    assert_eq!(client.next().await, None);
    assert_eq!(tunnel.end().await, (Party::Client, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn an_order_to_close_is_obeyed_meanwhile() {
    let start = Instant::now();
    let (mut client, first, tunnel, _lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    settle().await;
    close_all(&tunnel.registry, &SHUTDOWN);

    assert_eq!(client.hears_close().await, (1001, "the proxy stops".into()));
    client.close(1001).await;
    assert_eq!(client.next().await, None);
    let end = (Party::Proxy, Cause::Shutdown, Some(1001));
    assert_eq!(tunnel.end().await, end);
    assert_eq!(seconds_since(start), 0);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_becomes_no_older_than_it_may_meanwhile() {
    let policy = Policy {
        lifetime: Some(Duration::from_secs(100)),
        ..QUIET
    };
    let (mut client, first, tunnel, _lifeline) = open_rescued(policy, KEPT);
    drop(first);
    let closed = client.hears_close().await;
    assert_eq!(closed, (1001, "open for too long".into()));
    drop(client);
    let end = (Party::Proxy, Cause::Lifetime, Some(1001));
    assert_eq!(tunnel.end().await, end);
}

#[tokio::test(start_paused = true)]
async fn where_no_other_is_found_the_client_is_told_to_come_back() {
    let (mut client, first, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    settle().await;
    client.say("hello?").await;
    settle().await;
    lifeline.fail();

    let farewell = (1012, "backend connection lost".into());
    assert_eq!(client.hears_close().await, farewell);
    assert_eq!(client.next().await, None);
    drop(client);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_answer_a_ping_is_replaced() {
    let (mut client, mut first, _tunnel, lifeline) = open_rescued(PINGING, KEPT);
    let answering = async {
        let token = client.hears_ping().await;
        client.pong(&token).await;
        client.say("still here").await;
    };
    tokio::join!(answering, first.hears_ping());
    assert_eq!(first.hears_text().await, "still here");
    assert_eq!(first.next().await, None, "it is cut");

    let mut second = lifeline.find();
    second.say("welcome").await;
    assert_eq!(client.hears_text().await, "welcome");
    second.send(b"\x01\x01x").await;
    drop(second);
    client.next().await;
    let farewell = client.hears_close().await;
    assert_eq!(farewell, (1014, "backend connection lost".into()));
    assert_eq!(lifeline.searches(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_that_could_not_be_written_goes_to_the_other_backend() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (mut first, mortal) = Mortal::pair(BUFFER);
    let takes = mortal.takes();
    let (_tunnel, lifeline) = rescued(client_socket, mortal, QUIET, KEPT);
    let mut client = Peer::new(Role::Client, client);
    client.say("heard").await;
    assert_eq!(first.hears_text().await, "heard");

    takes.store(0, Relaxed);
    client.say("unheard").await;
    settle().await;
    assert_eq!(lifeline.searches(), 0, "it may still have something to say");
    client.say("nor this").await;
    first.say("last words").await;
    drop(first);
    let mut second = lifeline.find();

    assert_eq!(client.hears_text().await, "last words");
    assert_eq!(second.hears_text().await, "unheard");
    assert_eq!(second.hears_text().await, "nor this");
}

#[tokio::test(start_paused = true)]
async fn one_that_takes_nothing_any_more_and_says_nothing_is_not_listened_to_for_ever() {
    let (client, client_socket) = tokio::io::duplex(BUFFER);
    let (_first, mortal) = Mortal::pair(BUFFER);
    let takes = mortal.takes();
    let (tunnel, lifeline) = rescued(client_socket, mortal, QUIET, KEPT);
    let mut client = Peer::new(Role::Client, client);
    takes.store(0, Relaxed);
    let start = Instant::now();
    client.say("unheard").await;

    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Reset, None));
    assert!(seconds_since(start) <= 2 * CLOSE + 4);
    assert_eq!(lifeline.searches(), 0);
}

#[tokio::test(start_paused = true)]
async fn backends_that_fail_one_after_the_other_are_replaced_three_times_a_minute() {
    let (mut client, first, tunnel, lifeline) = open_rescued(QUIET, KEPT);
    drop(first);
    for _ in 0..3 {
        lifeline.find().say("hello").await;
        assert_eq!(client.hears_text().await, "hello");
    }
    assert_eq!(client.hears_close().await.0, 1014);
    drop(client);
    assert_eq!(lifeline.searches(), 3);
    assert_eq!(tunnel.end().await, (Party::Backend, Cause::Eof, None));
}

#[tokio::test(start_paused = true)]
async fn backends_that_fail_now_and_then_are_replaced_for_ever() {
    let (mut client, mut backend, _tunnel, lifeline) = open_rescued(QUIET, KEPT);
    for n in 0..10 {
        backend.say("hello").await;
        assert_eq!(client.hears_text().await, "hello");
        drop(backend);
        pass(25).await;
        assert_eq!(lifeline.searches(), n + 1);
        backend = lifeline.find();
    }
}
