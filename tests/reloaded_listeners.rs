//! What a reload does to listeners and their clients.

use std::{io, net::SocketAddr, time::Duration};

use rustls::version::TLS12;
use tokio::{net::TcpStream, time::timeout};

use crate::support::{
    Authority, Backend, Client, Proxy, Raw, TlsClient, echo_cluster, naming_cluster,
};

/// Long enough to be served if nothing is in the way.
const A_WHILE: Duration = Duration::from_secs(2);

/// An address on which nobody listens. That of the tests that let the system choose is another.
fn free(host: u8) -> SocketAddr {
    let socket = std::net::TcpListener::bind((format!("127.0.77.{host}"), 0)).unwrap();
    socket.local_addr().unwrap()
}

/// Those listeners, each an address with further lines, in front of that backend.
fn listening(listeners: &[(SocketAddr, &str)], backend: &Backend) -> String {
    let listeners = listeners
        .iter()
        .map(|(address, lines)| format!("[[listener]]\naddress = \"{address}\"\n{lines}\n"));
    let listeners: String = listeners.collect();
    format!(
        "{listeners}[[route]]\npool = \"main\"\n[pool.main]\nbackends = [\"{}\"]\n",
        backend.address
    )
}

const ANY_PORT: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);

async fn raw(address: SocketAddr) -> io::Result<Raw> {
    TcpStream::connect(address).await.map(Raw::new)
}

/// Waits until nobody is accepted at `address`.
async fn refused(address: SocketAddr) {
    let refusing = async {
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    let refusing = timeout(Duration::from_secs(20), refusing).await;
    refusing.unwrap_or_else(|_| panic!("{address} is still listened on"));
}

async fn is_served(client: &mut Raw) -> bool {
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let head = client.head().await;
    head.starts_with("HTTP/1.1 200")
}

#[tokio::test]
async fn a_listener_that_stays_keeps_its_socket_be_its_port_the_systems_choice() {
    let backend = Backend::naming().await;
    let address = free(1);
    let proxy = Proxy::with_config(&listening(&[(ANY_PORT, ""), (address, "")], &backend)).await;
    let lines = "max_connections = 100";
    // In another order, too.
    let other = listening(&[(address, lines), (ANY_PORT, lines)], &backend);
    let changes = proxy.reload_as(&other).await.unwrap().to_string();
    assert!(changes.starts_with("2 listeners (2 changed)"), "{changes}");
    for address in &proxy.addresses {
        assert!(is_served(&mut raw(*address).await.unwrap()).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_listener_is_added_and_removed_and_added_again_at_once() {
    let backend = Backend::naming().await;
    let address = free(2);
    let proxy = Proxy::with_config(&listening(&[(ANY_PORT, "")], &backend)).await;
    let one = listening(&[(ANY_PORT, "")], &backend);
    let two = listening(&[(ANY_PORT, ""), (address, "")], &backend);
    for _ in 0..50 {
        let changes = proxy.reload_as(&two).await.unwrap().to_string();
        assert!(changes.starts_with("2 listeners (1 added)"), "{changes}");
        assert!(is_served(&mut raw(address).await.unwrap()).await);
        let changes = proxy.reload_as(&one).await.unwrap().to_string();
        assert!(changes.starts_with("1 listeners (1 removed)"), "{changes}");
    }
    refused(address).await;
    assert!(is_served(&mut raw(proxy.address).await.unwrap()).await);
}

#[tokio::test]
async fn clients_of_a_removed_listener_are_served_on() {
    let (echo, naming) = (Backend::echo().await, Backend::naming().await);
    let address = free(3);
    let two = listening(&[(ANY_PORT, ""), (address, "")], &echo);
    let proxy = Proxy::with_config(&two).await;
    let mut tunnel = Client::connect(address, "/", &[]).await;
    let (mut kept, mut fresh) = (raw(address).await.unwrap(), raw(address).await.unwrap());
    // Not even accepted, as likely as not.
    let mut queued = Vec::new();
    for _ in 0..20 {
        queued.push(raw(address).await.unwrap());
    }

    let one = listening(&[(ANY_PORT, "")], &naming);
    proxy.reload_as(&one).await.unwrap();
    refused(address).await;

    assert_eq!(tunnel.echo("still here").await, "still here");
    for client in [&mut kept, &mut fresh].into_iter().chain(&mut queued) {
        for _ in 0..2 {
            assert!(is_served(client).await);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_at_the_limit_of_a_listener_is_let_in_when_it_closes() {
    let backend = Backend::naming().await;
    let address = free(4);
    let both = |backend| {
        let limited = (address, "max_connections = 1");
        listening(&[(ANY_PORT, ""), limited], backend)
    };
    let proxy = Proxy::with_config(&both(&backend)).await;
    let mut first = raw(address).await.unwrap();
    assert!(is_served(&mut first).await);
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let mut client = raw(address).await.unwrap();
        client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
        assert!(client.is_silent().await);
        waiting.push(client);
    }

    let one = listening(&[(ANY_PORT, "")], &backend);
    proxy.reload_as(&one).await.unwrap();
    for mut client in waiting {
        let head = client.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_that_is_taken_fails_a_reload_and_then_nothing_has_changed() {
    let backends = naming_cluster(2).await;
    let taken = std::net::TcpListener::bind("127.0.77.5:0").unwrap();
    let (taken_address, new) = (taken.local_addr().unwrap(), free(6));
    let configured = |backend: &Backend, lines: &str, more: &[SocketAddr], rest: &str| {
        let mut listeners = vec![(ANY_PORT, lines)];
        listeners.extend(more.iter().map(|address| (*address, "")));
        listening(&listeners, backend) + rest
    };
    let old = configured(&backends[0], "", &[], "");
    let proxy = Proxy::with_config(&old).await;
    let authority = Authority::new();
    let tls = authority.certify(&["one.test"]).on_listener();

    let pool = "drain.over = \"1s\"\n[limits]\nconnections = 1\n[reload]\nremoved = \"drain\"";
    let wanted = configured(&backends[1], &tls, &[new, taken_address], pool);
    let wanted = wanted.replace("[[route]]\n", "[[route]]\npath = \"/new\"\n");
    let error = proxy.reload_as(&wanted).await.unwrap_err().to_string();
    assert_eq!(error, format!("cannot listen on {taken_address}"));

    let mut clients = Vec::new();
    for _ in 0..3 {
        let client = proxy.connect_to("/old", &[]).await;
        assert_eq!(client.backend(), backends[0].address);
        clients.push(client);
    }
    assert!(raw(new).await.is_err());
    assert_eq!(proxy.members()[0].tunnels(), 3);
    let changes = proxy.reload_as(&old).await.unwrap().to_string();
    assert_eq!(changes, "1 listeners, 1 routes, 1 pools");

    drop(taken);
    let changes = proxy.reload_as(&wanted).await.unwrap().to_string();
    assert_eq!(
        changes,
        "3 listeners (2 added, 1 changed), 1 routes (1 added, 1 removed), 1 pools (1 changed)"
    );
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_grows_lets_in_who_waits_and_one_that_shrinks_cuts_nobody() {
    let backends = echo_cluster(1).await;
    for is_total in [true, false] {
        let limited = |limit: usize| {
            let proxy = Proxy::fronting(&backends);
            if is_total {
                proxy.config(&format!("[limits]\nconnections = {limit}"))
            } else {
                proxy.listener(&format!("max_connections = {limit}"))
            }
        };
        let proxy = limited(1).start().await;
        let mut first = proxy.connect().await;
        let mut second = Box::pin(proxy.connect());
        assert!(timeout(A_WHILE, &mut second).await.is_err());

        proxy.reload(limited(2)).await.unwrap();
        let mut second = second.await;
        proxy.reload(limited(1)).await.unwrap();
        for client in [&mut first, &mut second] {
            assert_eq!(client.echo("still here").await, "still here");
        }
        let mut third = Box::pin(proxy.connect());
        drop(first);
        assert!(timeout(A_WHILE, &mut third).await.is_err());
        drop(second);
        third.await;

        let unlimited = Proxy::fronting(&backends);
        proxy.reload(unlimited).await.unwrap();
        let _all = [proxy.connect().await, proxy.connect().await];
    }
}

#[tokio::test]
async fn tls_is_switched_on_and_off_for_new_clients() {
    let authority = Authority::new();
    let tls = authority.certify(&["one.test"]).on_listener();
    let backends = naming_cluster(1).await;
    let plain = || Proxy::fronting(&backends);
    let proxy = plain().start().await;
    let mut before = proxy.raw().await;
    assert!(is_served(&mut before).await);

    proxy.reload(plain().listener(&tls)).await.unwrap();
    let client = TlsClient::trusting(&authority);
    let mut secure = client.connect(proxy.address, "one.test").await;
    secure.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(secure.head().await.starts_with("HTTP/1.1 200"));
    assert!(is_served(&mut before).await, "as it began");

    proxy.reload(plain()).await.unwrap();
    assert!(is_served(&mut proxy.raw().await).await);
    secure.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(secure.head().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_oldest_tls_is_another_for_new_clients() {
    let authority = Authority::new();
    let tls = authority.certify(&["one.test"]).on_listener();
    let configured = |version: &str| {
        Proxy::fronting_addresses(["127.0.0.1:1"])
            .listener(&tls)
            .listener(&format!("tls.min_version = \"{version}\""))
    };
    let proxy = configured("1.2").start().await;
    let old = TlsClient::speaking(&[&TLS12], &authority);
    for (version, is_let_in) in [("1.2", true), ("1.3", false), ("1.2", true)] {
        proxy.reload(configured(version)).await.unwrap();
        let connected = old.try_connect(proxy.address, "one.test").await;
        assert_eq!(connected.is_ok(), is_let_in, "{version}");
    }
}
