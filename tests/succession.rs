//! A proxy hands over to a process that is slow, or fails, or refuses: the test plays that one.

use std::time::Duration;

use futures_util::{StreamExt, stream::FuturesUnordered};
use longwire::{
    handover::{Receiver, Sender},
    server::{Control, Stopped, upgrade::NotReady},
    websocket::{CloseCode, Role, frame},
};
use serde_json::{Value, json};
use tokio::{
    net::UnixStream,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};

use crate::support::{
    Backend, Frame, Proxy, Raw, copied, frame as frame_of, in_slow_motion, until,
};

const UPGRADED: Option<(CloseCode, &str)> = Some((CloseCode::SERVICE_RESTART, "proxy is upgraded"));

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_comes_back_late_is_told_to_close_in_peace() {
    let Story {
        mut tunnels, proxy, ..
    } = Story::begin(3).await;
    let mut heir = Heir::ready(&proxy.control).await;
    // The last is answered after the time in which tunnels are to leave.
    let mut last = 0;
    for word in ["taken", "taken", "refused"] {
        last = heir.tunnel().await;
        sleep(Duration::from_secs(4)).await;
        heir.answers(word, last).await;
    }
    let mut told = 0;
    for (client, backend) in &mut tunnels {
        // The copies that the heir got are closed, so who is taken meets the end.
        if let Some(close) = client.frame().await {
            assert_eq!(close.close(), UPGRADED, "{last}");
            answer_close(client, Role::Client).await;
            let answer = Some((CloseCode::SERVICE_RESTART, ""));
            assert_eq!(backend.frame().await.unwrap().close(), answer);
            answer_close(backend, Role::Server).await;
            told += 1;
        }
    }
    assert_eq!(told, 1);
    let stopped = Stopped {
        closed_tunnels: 1,
        ended_tunnels: 0,
        cut_tunnels: 0,
        moved_tunnels: 2,
    };
    assert_eq!(proxy.stopped().await, stopped);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_takes_tunnels_too_slowly_does_not_keep_the_old_one() {
    let Story { proxy, tunnels, .. } = Story::begin(100).await;
    let mut heir = Heir::ready(&proxy.control).await;
    let began = Instant::now();
    let taking = tokio::spawn(async move {
        loop {
            let tunnel = heir.tunnel().await;
            sleep(Duration::from_secs(4)).await;
            heir.answers("taken", tunnel).await;
        }
    });
    proxy.stopped().await;
    // Ten seconds to leave, ten to close, and ten for those that are on their way.
    let taken = began.elapsed();
    assert!(taken < Duration::from_secs(35), "{taken:?}");
    taking.abort();
    drop(tunnels);
}

/// As many are on their way to another process at a time.
const LEAVING: usize = 64;

#[tokio::test(start_paused = true)]
async fn while_some_leave_the_rest_talk_on() {
    let mut story = Story::begin(100).await;
    let _heir = Heir::crowded(&story.proxy.control).await;
    story.clients_speak().await;
    let heard = story.frames(100 - LEAVING).await;
    assert!(heard.iter().all(|frame| frame.payload == b"hello"));
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_those_that_leave() {
    let mut story = Story::begin(100).await;
    let _heir = Heir::crowded(&story.proxy.control).await;
    story.proxy.stop();
    let told = story.told(100 - LEAVING).await;
    let stopping = Some((CloseCode::GOING_AWAY, "proxy is stopping"));
    assert!(told.iter().all(|frame| frame.close() == stopping));
}

#[tokio::test(start_paused = true)]
async fn a_stop_withdraws_the_offer_to_take_over() {
    let Story {
        mut tunnels,
        mut proxy,
        ..
    } = Story::begin(1).await;
    let (_heir, asked) = Heir::asked(&proxy.control).await;
    proxy.stop();
    let asked = timeout(Duration::from_secs(5), asked).await;
    let refusal = asked.expect("it waits for the tunnel").unwrap();
    assert!(matches!(refusal, Err(NotReady::Stopping)), "{refusal:?}");
    assert!(tunnels[0].0.frame().await.unwrap().close().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_stops_takes_no_tunnels_in() {
    let Story {
        proxy: mut old,
        server,
        tunnels: _tunnels,
        ..
    } = Story::begin(1).await;
    let parcel = old.lets_go(1).await.remove(0);
    let delay = "[stop]\ndelay = \"20s\"";
    let mut new = Proxy::fronting([&server]).config(delay).start().await;
    let mut readiness = new.control.readiness();
    new.stop();
    readiness.changed().await.unwrap();
    let refused = new.receives(copied(&parcel));
    assert_eq!(refused, Err("this process stops as well".to_owned()));
    old.stop();
}

/// Tunnels of which the test plays both sides, through a proxy that gives them ten seconds when it
/// is upgraded.
struct Story {
    proxy: Proxy,
    /// The client and the backend of each.
    tunnels: Vec<(Raw, Raw)>,
    server: Backend,
}

impl Story {
    async fn begin(tunnels: usize) -> Self {
        in_slow_motion();
        let (server, mut arrivals) = Backend::played().await;
        let proxy = Proxy::fronting([&server])
            .config("[timeouts]\nclose = \"1h\"\n[keepalive]\ninterval = \"off\"")
            .config("[upgrade]\nover = \"1s\"\ndeadline = \"10s\"\n[stop]\ndeadline = \"1h\"")
            .start()
            .await;
        let mut open = Vec::new();
        for _ in 0..tunnels {
            open.push(proxy.open_to(&mut arrivals).await);
        }
        until(|| proxy.registry.len() == tunnels).await;
        Self {
            proxy,
            tunnels: open,
            server,
        }
    }

    async fn clients_speak(&mut self) {
        for (client, _) in &mut self.tunnels {
            client.send(frame_of(0x81, b"hello", Role::Client)).await;
        }
    }

    /// The first frames that clients get, so many of them, in less time than the old process waits
    /// for an answer.
    async fn told(&mut self, count: usize) -> Vec<Frame> {
        let clients = self.tunnels.iter_mut().map(|(client, _)| client);
        first_frames(clients, count).await
    }

    /// The first frames that backends get, so many of them, in less time than the old process waits
    /// for an answer.
    async fn frames(&mut self, count: usize) -> Vec<Frame> {
        let backends = self.tunnels.iter_mut().map(|(_, backend)| backend);
        first_frames(backends, count).await
    }
}

async fn first_frames(sides: impl Iterator<Item = &mut Raw>, count: usize) -> Vec<Frame> {
    let mut frames: FuturesUnordered<_> = sides.map(Raw::frame).collect();
    let mut got = Vec::new();
    while got.len() < count {
        let next = timeout(Duration::from_secs(4), frames.next()).await;
        let frame = next.unwrap_or_else(|_| panic!("only {} get one", got.len()));
        got.push(frame.unwrap().expect("no end"));
    }
    got
}

async fn answer_close(side: &mut Raw, role: Role) {
    side.send(frame::close(CloseCode::SERVICE_RESTART, "", role))
        .await;
}

/// A process that is to take over.
struct Heir {
    sender: Sender,
    receiver: Receiver,
}

impl Heir {
    /// It has got all that it needs, and is not ready yet; and what whoever has asked for it will
    /// hear.
    async fn asked(control: &Control) -> (Self, JoinHandle<Result<String, NotReady>>) {
        let (old, new) = UnixStream::pair().unwrap();
        let control = control.clone();
        let asked = tokio::spawn(async move { control.hand_over(old.into(), Vec::new()).await });
        let (sender, receiver, _) = longwire::handover::Channel::from(new)
            .greet()
            .await
            .unwrap();
        let mut heir = Self { sender, receiver };
        while heir.hears().await.get("memory").is_none() {}
        (heir, asked)
    }

    async fn ready(control: &Control) -> Self {
        let (mut heir, asked) = Self::asked(control).await;
        heir.says(&json!({ "ready": {} })).await;
        asked.await.unwrap().unwrap();
        heir
    }

    /// It is ready, and gets as many tunnels as there are on their way at a time, but answers
    /// nothing.
    async fn crowded(control: &Control) -> Self {
        let mut heir = Self::ready(control).await;
        for _ in 0..LEAVING {
            heir.tunnel().await;
        }
        heir
    }

    async fn says(&mut self, what: &Value) {
        // The old process may have lost its patience.
        let _ = self.sender.send(what, &[]).await;
    }

    async fn hears(&mut self) -> Value {
        let heard = self.receiver.receive().await.unwrap();
        heard.map_or(Value::Null, |received| received.value)
    }

    /// The number of the tunnel that comes next.
    async fn tunnel(&mut self) -> u64 {
        loop {
            let heard = self.hears().await;
            if heard.is_null() {
                std::future::pending::<()>().await;
            }
            if let Some(id) = heard["tunnel"]["id"].as_u64() {
                return id;
            }
        }
    }

    /// Answers to that tunnel that it is taken, or refused.
    async fn answers(&mut self, word: &str, tunnel: u64) {
        let answer = match word {
            "taken" => json!({ word: { "id": tunnel } }),
            _ => json!({ word: { "id": tunnel, "reason": "it is not to my liking" } }),
        };
        self.says(&answer).await;
    }
}
