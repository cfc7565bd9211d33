//! At a limit new clients wait, and are served when others leave.

use std::time::Duration;

use futures_util::{future::join_all, poll};
use tokio::{net::TcpStream, time::timeout};

use crate::support::{Backend, Client, Folder, Proxy, Raw, echo_cluster};

/// Long enough to be served if nothing is in the way.
const A_WHILE: Duration = Duration::from_secs(2);

#[tokio::test(start_paused = true)]
async fn clients_beyond_the_limit_wait_until_another_has_left() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .config("[limits]\nconnections = 2")
        .start()
        .await;
    let (mut first, second) = (proxy.connect().await, proxy.connect().await);

    let mut third = Box::pin(proxy.connect());
    assert!(timeout(A_WHILE, &mut third).await.is_err());
    assert_eq!(first.echo("still here").await, "still here");
    assert!(timeout(A_WHILE, &mut third).await.is_err());
    drop(second);
    assert_eq!(third.await.echo("at last").await, "at last");
}

#[tokio::test(start_paused = true)]
async fn connections_are_counted_for_each_listener_and_in_all() {
    let backend = Backend::echo().await;
    let proxy = with_two_listeners(&backend).await;
    let counts = || {
        let [(one, of_one), (other, of_other)] = proxy.control.listeners()[..] else {
            panic!("there are two");
        };
        assert_eq!([one, other], proxy.addresses[..]);
        [of_one, of_other, proxy.control.connections()]
    };
    let first = proxy.connect().await;
    let _elsewhere = Client::connect(proxy.addresses[1], "/", &[]).await;
    let mut second = Box::pin(proxy.connect());
    assert!(timeout(A_WHILE, &mut second).await.is_err());
    assert_eq!(counts().map(|counts| counts.open), [1, 1, 2]);
    assert_eq!(counts().map(|counts| counts.accepted), [1, 1, 2]);
    assert_eq!(counts().map(|counts| counts.most), [Some(1), None, None]);
    assert_eq!(counts().map(|counts| counts.held_back), [1, 0, 0]);
    drop(first);
    let _second = second.await;
    assert_eq!(counts().map(|counts| counts.open), [1, 1, 2]);
    assert_eq!(counts().map(|counts| counts.accepted), [2, 1, 3]);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_count_in_the_limit() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .config("[limits]\nconnections = 1")
        .start()
        .await;
    let silent = proxy.raw().await;

    let mut waiting = Box::pin(proxy.connect());
    assert!(timeout(A_WHILE, &mut waiting).await.is_err());
    drop(silent);
    waiting.await;
}

#[tokio::test(start_paused = true)]
async fn a_listeners_own_limit_is_no_limit_of_the_others() {
    let backend = Backend::echo().await;
    let proxy = with_two_listeners(&backend).await;
    let first = proxy.connect().await;

    let mut second = Box::pin(proxy.connect());
    assert!(timeout(A_WHILE, &mut second).await.is_err());
    Client::connect(proxy.addresses[1], "/", &[]).await;
    drop(first);
    second.await;
}

#[tokio::test(start_paused = true)]
async fn the_limit_of_all_holds_across_listeners() {
    let backend = Backend::echo().await;
    let proxy = Proxy::with_config(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npool = \"main\"\n[pool.main]\nbackends = [\"{}\"]\n\
         [limits]\nconnections = 3",
        backend.address
    ))
    .await;
    let mut clients = Vec::new();
    for address in [proxy.addresses[0], proxy.addresses[1], proxy.addresses[0]] {
        clients.push(Client::connect(address, "/", &[]).await);
    }

    let mut fourth = Box::pin(Client::connect(proxy.addresses[1], "/", &[]));
    assert!(timeout(A_WHILE, &mut fourth).await.is_err());
    clients.pop();
    fourth.await;
}

#[tokio::test]
async fn whoever_waits_at_one_worker_is_served_when_somebody_leaves_another() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    folder.configure(
        backend.address,
        "[server]\nworkers = 4\n[limits]\nconnections = 2",
    );
    let mut process = folder.start(&[]);
    let address = process.address().await;
    let first = [(); 2].map(|()| Client::connect(address, "/", &[]));
    let first = join_all(first).await;

    let waiting = (0..8).map(|_| async {
        let mut client = Client::connect(address, "/", &[]).await;
        assert_eq!(client.echo("at last").await, "at last");
    });
    let mut waiting = Box::pin(join_all(waiting));
    assert!(poll!(&mut waiting).is_pending());
    drop(first);
    waiting.await;
    process.stop().await;
}

#[tokio::test]
async fn a_process_without_files_left_waits_for_some_and_serves_again() {
    let backend = Backend::echo().await;
    let folder = Folder::new();
    folder.configure(backend.address, "[server]\nworkers = 1");
    let mut process = folder.start_with_open_files(40, &[]);
    let address = process.address().await;
    let mut client = Client::connect(address, "/", &[]).await;

    let mut crowd = Vec::new();
    for _ in 0..60 {
        crowd.push(Raw::new(TcpStream::connect(address).await.unwrap()));
    }
    let warning = process.line("cannot accept for now").await;
    assert!(warning.contains("Too many open files"), "{warning}");
    for _ in 0..100 {
        assert_eq!(client.echo("still here").await, "still here");
    }
    drop(crowd);

    let mut late = Client::connect(address, "/", &[]).await;
    assert_eq!(late.echo("at last").await, "at last");
    assert_eq!(client.echo("still here").await, "still here");
    drop((client, late));
    let log = process.stop().await;
    let warnings = log.iter().filter(|line| line.contains("cannot accept"));
    assert_eq!(warnings.count(), 1, "{log:#?}");
}

/// A proxy with two listeners, of which the first takes one connection at a time.
async fn with_two_listeners(backend: &Backend) -> Proxy {
    Proxy::with_config(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\nmax_connections = 1\n\
         [[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"main\"\n\
         [pool.main]\nbackends = [\"{}\"]",
        backend.address
    ))
    .await
}

/// A backend's answer with as many fields of that length.
fn answer_with(fields: usize, len: usize) -> String {
    let field = "x".repeat(len);
    let fields: String = (0..fields).map(|n| format!("X-{n}: {field}\r\n")).collect();
    format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok")
}

#[tokio::test]
async fn an_answers_head_has_limits_of_its_own_that_can_be_set() {
    let (usual, many, long) = (
        answer_with(160, 1_000),
        answer_with(600, 1),
        answer_with(2, 200_000),
    );
    let wider = "[limits]\nresponse_headers = 1000\nresponse_head = \"1MiB\"";
    let narrower = "[limits]\nresponse_headers = 100\nresponse_head = \"64KiB\"";
    for (answer, limits, status) in [
        (&usual, "", 200),
        (&many, "", 502),
        (&many, wider, 200),
        (&long, "", 502),
        (&long, wider, 200),
        (&usual, narrower, 502),
    ] {
        let backend = Backend::answering(answer.clone().leak()).await;
        let proxy = Proxy::fronting([&backend]).config(limits).start().await;
        let (mut plain, mut websocket) = (proxy.raw().await, proxy.raw().await);
        plain.send("GET / HTTP/1.1\r\nHost: one.test\r\n\r\n").await;
        websocket.ask_for_websocket("/").await;
        for client in [&mut plain, &mut websocket] {
            let head = client.head().await;
            let expected = format!("HTTP/1.1 {status} ");
            assert!(head.starts_with(&expected), "{limits}: {expected}");
        }
    }
}
