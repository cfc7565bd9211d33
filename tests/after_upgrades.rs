//! After an upgrade things are as they were: whom backends have, who belongs to which, how the proxy
//! is operated.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures_util::StreamExt;
use http::StatusCode;
use longwire::websocket::{CloseCode, Role};
use rustix::process::Signal;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::{TcpStream, UnixListener, tcp::OwnedWriteHalf},
    sync::{Notify, watch},
    time::timeout,
};
use tokio_tungstenite::accept_async;

use crate::support::{
    Backend, Client, Folder, Heir, Process, Raw, Response, Site, children, echo_cluster, frame,
    get, header, until,
};

/// A process that is about to be upgraded.
struct Old {
    site: Site,
    process: Process,
}

impl Old {
    /// One with these keys of its pool, and what else there is.
    async fn begin(pool: &str, rest: &str) -> Self {
        let site = Site::new();
        site.folder.install();
        site.configure_pool(pool, rest);
        let mut process = site.folder.start_installed();
        process.line("to pool main").await;
        Self { site, process }
    }

    async fn fronting(backends: &[Backend], pool: &str, rest: &str) -> Self {
        Self::begin(&format!("{}\n{pool}", listed(backends)), rest).await
    }

    fn folder(&self) -> &Folder {
        &self.site.folder
    }

    async fn connect(&self, headers: &[(&str, &str)]) -> Client {
        Client::connect(self.site.plain, "/", headers).await
    }

    async fn raw(&self) -> Raw {
        Raw::new(TcpStream::connect(self.site.plain).await.unwrap())
    }

    /// Another process takes over, and this one is gone.
    async fn is_upgraded(&mut self) -> Heir {
        let heir = self.folder().upgrade().await;
        self.leaves().await;
        heir
    }

    async fn leaves(&mut self) {
        let code = self.process.left().await;
        assert_eq!(code, Some(0), "{:#?}", self.process.log);
        // The last tunnel may still be about to begin there.
        let is_settled = |line: &String| line.contains("the old process has given all");
        if !self.process.log.iter().any(is_settled) {
            self.process.line("the old process has given all").await;
        }
    }

    /// The heir stops, and nobody at all is left; nothing in the log is frightening.
    async fn ends_with(self, heir: Heir) -> Vec<String> {
        heir.signal(Signal::TERM);
        let (_, log) = self.process.ended().await;
        let alarming = |line: &&String| line.contains("WARN") || line.contains("ERROR");
        assert_eq!(log.iter().find(alarming), None);
        assert!(log.last().unwrap().contains("stopped"), "{log:#?}");
        log
    }
}

fn listed(backends: &[Backend]) -> String {
    let entries: Vec<_> = backends.iter().map(|backend| backend.entry("")).collect();
    format!("backends = [{}]", entries.join(", "))
}

#[tokio::test]
async fn cookies_lead_to_the_same_backends_though_nobody_has_configured_a_secret() {
    let backends = echo_cluster(4).await;
    let mut old = Old::fronting(&backends, "affinity = \"cookie\"", "").await;
    let first = old.connect(&[]).await;
    let cookie = first.cookie().unwrap().to_owned();
    let heir = old.is_upgraded().await;
    for _ in 0..4 {
        let again = old.connect(&[("cookie", &cookie)]).await;
        assert_eq!(again.backend(), first.backend());
        assert_eq!(again.cookie(), None, "it is honoured");
    }
    drop(first);
    heir.signal(Signal::TERM);
    old.process.ended().await;
}

#[tokio::test]
async fn addresses_lead_to_the_same_backend_though_there_are_others_now() {
    let backends = echo_cluster(4).await;
    let by_address = "affinity = \"ip\"";
    let trusting = "[server]\ntrusted_proxies = [\"127.0.0.0/8\"]";
    let mut old = Old::fronting(&backends[..1], by_address, trusting).await;
    // So many that hashing alone would not lead them all there.
    let clients = (1..=16).map(|number| format!("192.0.2.{number}"));
    let clients: Vec<_> = clients.collect();
    for client in &clients {
        // They leave, so the proxy alone remembers.
        old.connect(&[("x-forwarded-for", client)]).await;
    }
    let pool = format!("{}\n{by_address}", listed(&backends));
    old.site.configure_pool(&pool, trusting);
    let heir = old.is_upgraded().await;
    for client in &clients {
        let again = old.connect(&[("x-forwarded-for", client)]).await;
        assert_eq!(again.backend(), backends[0].address, "{client}");
    }
    old.ends_with(heir).await;
}

#[tokio::test]
async fn a_backend_takes_no_more_tunnels_than_before() {
    let backends = echo_cluster(1).await;
    let mut old = Old::fronting(&backends, "max_tunnels = 2", "").await;
    let (mut one, mut other) = (old.connect(&[]).await, old.connect(&[]).await);
    let heir = old.is_upgraded().await;
    let mut third = old.raw().await;
    third.ask_for_websocket("/").await;
    assert!(third.response().await.0.starts_with("HTTP/1.1 503"));
    for client in [&mut one, &mut other] {
        assert_eq!(client.echo("hello").await, "hello");
    }
    drop(one);
    // Its place comes free a moment after it is said that it has ended.
    old.process.line("tunnel ended").await;
    let let_in = async {
        loop {
            third.ask_for_websocket("/").await;
            let answer = third.response().await.0;
            if answer.starts_with("HTTP/1.1 101") {
                break;
            }
            assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
        }
    };
    timeout(Duration::from_secs(60), let_in).await.unwrap();
    drop(other);
    heir.signal(Signal::TERM);
    old.process.ended().await;
}

#[tokio::test]
async fn one_upgrade_follows_another_by_command_and_by_signal() {
    let backends = echo_cluster(1).await;
    let admin = "[admin]\nsocket = \"own.sock\"\n[server]\nworkers = 2";
    let mut old = Old::fronting(&backends, "", admin).await;
    let mut client = old.connect(&[]).await;
    assert_eq!(client.echo("one").await, "one");
    // More workers, and fewer later: sockets are dealt out anew.
    old.site.configure(&backends, &admin.replace('2', "3"));
    let first = old.is_upgraded().await;
    assert_eq!(client.echo("two").await, "two");
    old.site.configure(&backends, &admin.replace('2', "1"));
    first.signal(Signal::USR2);
    let second = Heir::named_in(&old.process.line("has taken over as process").await);
    until(|| !first.lives()).await;
    assert_eq!(client.echo("three").await, "three");
    for _ in 0..6 {
        assert_eq!(old.connect(&[]).await.echo("hello").await, "hello");
    }
    assert_eq!(old.folder().run(&["health"]).await.code, Some(0));
    let outcome = old.folder().run(&["reload"]).await;
    assert_eq!(outcome.code, Some(0), "{outcome:?}");
    let third = old.folder().upgrade().await;
    until(|| !second.lives()).await;
    assert_eq!(client.echo("four").await, "four");
    drop(client);
    let door = old.folder().path().join("own.sock");
    assert!(door.exists());
    let folder = old.site.folder.path().to_owned();
    let log = old.ends_with(third).await;
    assert!(!folder.join("own.sock").exists());
    let moved = log.iter().filter(|line| line.contains("moved_tunnels=1"));
    assert_eq!(moved.count(), 3, "{log:#?}");
}

#[tokio::test]
async fn a_stop_of_the_old_process_hastens_its_end_and_not_that_of_the_new_one() {
    let backends = echo_cluster(1).await;
    let slow = "[upgrade]\nrate = 1\ndeadline = \"1h\"\n[stop]\nover = \"1s\"";
    let mut old = Old::fronting(&backends, "", slow).await;
    let mut staying = Vec::new();
    for _ in 0..30 {
        let mut client = old.site.client().connect(old.site.tls, "proxy.test").await;
        client.open_websocket().await;
        staying.push(client);
    }
    let mut moving = old.connect(&[]).await;
    let heir = old.folder().upgrade().await;
    assert_eq!(moving.echo("hello").await, "hello");
    old.process.line("another process has taken over").await;
    old.process.signal(Signal::TERM);
    let mut stopped = 0;
    for mut client in staying {
        let told = client.frame().await.unwrap();
        match told.close() {
            Some((CloseCode::GOING_AWAY, "proxy is stopping")) => stopped += 1,
            other => assert_eq!(
                other,
                Some((CloseCode::SERVICE_RESTART, "proxy is upgraded"))
            ),
        }
    }
    assert!(stopped >= 15, "{stopped}");
    old.leaves().await;
    assert_eq!(moving.echo("still there?").await, "still there?");
    assert_eq!(old.connect(&[]).await.echo("hello").await, "hello");
    drop(moving);
    old.ends_with(heir).await;
}

#[tokio::test]
async fn a_backend_on_a_unix_socket_serves_on() {
    let folder = Folder::new();
    let path = folder.path().join("backend");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (send, receive) = accept_async(socket).await.unwrap().split();
                let _ = receive.forward(send).await;
            });
        }
    });
    let backends = format!("backends = [\"unix:{}\"]", path.display());
    let mut old = Old::begin(&backends, "").await;
    let mut client = old.connect(&[]).await;
    assert_eq!(client.echo("hello").await, "hello");
    let heir = old.is_upgraded().await;
    assert_eq!(client.echo("still there?").await, "still there?");
    assert_eq!(old.connect(&[]).await.echo("hello").await, "hello");
    drop(client);
    old.ends_with(heir).await;
}

#[tokio::test]
async fn large_frames_go_on_where_they_stood() {
    let (backend, mut arrivals) = Backend::played().await;
    let no_pings = "[keepalive]\ninterval = \"off\"";
    let backends = [backend];
    let mut old = Old::fronting(&backends, "", no_pings).await;
    let (mut poured, mut drunk) = (Vec::new(), Vec::new());
    let (counter, mut count) = watch::channel(0);
    let over = watch::Sender::new(false);
    for _ in 0..4 {
        let mut client = old.raw().await;
        client.ask_for_websocket("/").await;
        let mut backend = arrivals.recv().await.unwrap();
        backend.grant_websocket().await;
        client.head().await;
        let (heard, sent) = client.into_halves();
        let (heard_there, sent_there) = backend.into_halves();
        let stop = over.subscribe();
        poured.push(tokio::spawn(pour(sent, Role::Client, stop.clone())));
        poured.push(tokio::spawn(pour(sent_there, Role::Server, stop)));
        drunk.push(tokio::spawn(drink(heard, counter.clone())));
        drunk.push(tokio::spawn(drink(heard_there, counter.clone())));
    }
    let mut go_on = async |more| {
        let enough = *count.borrow() + more;
        count.wait_for(|count| *count >= enough).await.unwrap();
    };
    go_on(24).await;
    let heir = old.is_upgraded().await;
    go_on(24).await;
    over.send_replace(true);
    for flow in drunk {
        flow.await.unwrap();
    }
    drop(poured);
    let log = old.ends_with(heir).await;
    assert!(
        log.iter().any(|line| line.contains("moved_tunnels=4")),
        "{log:#?}"
    );
}

/// So large that it goes through a pipe of the system's, not through ours.
const LARGE: usize = 1 << 20;

/// Says large messages until it is over, and stays on the line.
async fn pour(mut to: OwnedWriteHalf, sender: Role, over: watch::Receiver<bool>) -> OwnedWriteHalf {
    let mut number = 0;
    while !*over.borrow() {
        to.write_all(&frame(0x82, &large(number), sender))
            .await
            .unwrap();
        number += 1;
    }
    to.write_all(&frame(0x82, b"all", sender)).await.unwrap();
    to
}

/// Hears them, one after the other and none but these.
async fn drink(mut from: Raw<impl AsyncRead + AsyncWrite + Unpin>, count: watch::Sender<usize>) {
    for number in 0.. {
        let payload = from.frame().await.unwrap().payload;
        if payload == b"all" {
            return;
        }
        assert!(payload == large(number), "the message {number} is another");
        count.send_modify(|count| *count += 1);
    }
}

fn large(number: u32) -> Vec<u8> {
    number.to_be_bytes().repeat(LARGE / 4)
}

#[tokio::test]
async fn requests_get_their_answers_and_connections_end_with_one() {
    let (ask, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (answer, begun) = (Arc::clone(&ask), Arc::clone(&asked));
    let backend = Backend::http(move |request| {
        let (answer, begun) = (Arc::clone(&answer), Arc::clone(&begun));
        async move {
            if request.uri().path() == "/slow" {
                begun.notify_one();
                answer.notified().await;
            }
            Response::new("hello".into())
        }
    })
    .await;
    let backends = [backend];
    // Nobody reads the log meanwhile, and it would be a long one.
    let mut old = Old::fronting(&backends, "", "[log]\naccess = false").await;
    let (counter, mut count) = watch::channel((0, 0));
    let asking = tokio::spawn(ask_on(old.site.plain, counter));
    let mut slow = old.raw().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n").await;
    asked.notified().await;

    count.changed().await.unwrap();
    let heir = old.folder().upgrade().await;
    let enough = |(connections, answers): &(usize, usize)| *connections > 1 && *answers > 10;
    count.wait_for(enough).await.unwrap();
    drop(count);
    let connections = asking.await.unwrap();
    assert_eq!(connections, 2, "one to each process");
    assert_eq!(get(old.site.plain, "/", &[]).await.status, StatusCode::OK);
    assert_eq!(
        children(old.process.id()),
        [heir.id()],
        "it waits for the slow one"
    );
    ask.notify_one();
    let answer = String::from_utf8(slow.rest().await).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    old.leaves().await;
    old.ends_with(heir).await;
}

/// Asks for something on a connection, again and again, and when it is the last answer there, on
/// another. Tells of its connections and of the answers on the last one, and gives how many
/// connections it took, when nobody wants to know of more.
async fn ask_on(address: SocketAddr, count: watch::Sender<(usize, usize)>) -> usize {
    for connections in 1.. {
        let mut client = Raw::new(TcpStream::connect(address).await.unwrap());
        let mut is_last = false;
        for answers in 1.. {
            if is_last {
                break;
            }
            if count.is_closed() {
                return connections;
            }
            client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
            let (head, body) = client.response().await;
            assert!(
                head.starts_with("HTTP/1.1 200") && body == "hello",
                "{head}"
            );
            is_last = header(&head, "connection") == Some("close");
            count.send_replace((connections, answers));
        }
    }
    unreachable!("connections have no end")
}

#[tokio::test]
async fn who_waits_to_be_accepted_is_served_by_the_new_process() {
    let backends = echo_cluster(1).await;
    let limit = "[limits]\nconnections = 1\n[server]\nworkers = 1";
    let mut old = Old::fronting(&backends, "", limit).await;
    let mut first = old.connect(&[]).await;
    let mut waiting = Vec::new();
    for _ in 0..10 {
        let mut client = old.raw().await;
        client.ask_for_websocket("/").await;
        waiting.push(client);
    }
    let heir = old.folder().upgrade().await;
    assert_eq!(first.echo("hello").await, "hello");
    drop(first);
    for mut client in waiting {
        assert!(client.head().await.starts_with("HTTP/1.1 101"));
        client.send(frame(0x81, b"hello", Role::Client)).await;
        assert_eq!(client.frame().await.unwrap().payload, b"hello");
    }
    old.leaves().await;
    heir.signal(Signal::TERM);
    old.process.ended().await;
}
