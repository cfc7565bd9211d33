//! At a limit new clients wait, and are served when others leave.

use std::time::Duration;

use futures_util::{future::join_all, poll};
use tokio::{net::TcpStream, time::timeout};

use crate::support::{Backend, Client, Folder, Proxy, Raw, echo_cluster, naming_cluster};

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

#[tokio::test]
async fn a_client_has_its_share_of_connections_over_all_listeners_and_others_have_theirs() {
    let backend = Backend::echo().await;
    let proxy = Proxy::with_config(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npool = \"main\"\n[pool.main]\nbackends = [\"{}\"]\n\
         [limits]\nconnections_per_client = 2",
        backend.address
    ))
    .await;
    let first = Client::connect(proxy.addresses[0], "/", &[]).await;
    let mut second = Client::connect(proxy.addresses[1], "/", &[]).await;

    let mut third = Raw::new(TcpStream::connect(proxy.addresses[1]).await.unwrap());
    assert_eq!(third.rest().await, b"");
    assert_eq!(proxy.control.listeners()[1].1.refused, 1);
    let mut other = proxy.raw_from([127, 0, 0, 2]).await;
    other.open_websocket().await;
    assert_eq!(second.echo("still here").await, "still here");
    drop(first);
    while proxy.control.connections().open > 2 {
        tokio::task::yield_now().await;
    }
    Client::connect(proxy.addresses[0], "/", &[]).await;
}

#[tokio::test]
async fn trusted_proxies_may_have_any_number_of_connections() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .config("[limits]\nconnections_per_client = 1")
        .config("[server]\ntrusted_proxies = [\"127.0.0.1\"]")
        .start()
        .await;
    let _clients = [proxy.connect().await, proxy.connect().await];
}

#[tokio::test]
async fn a_client_has_its_share_of_tunnels_and_is_told_when_it_has_more() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .config("[limits]\ntunnels_per_client = 1")
        .start()
        .await;
    let first = proxy.connect().await;
    let mut second = proxy.raw().await;
    second.ask_for_websocket("/").await;
    let head = second.head().await;
    assert!(head.starts_with("HTTP/1.1 429 "), "{head}");
    assert!(head.contains("retry-after"), "{head}");
    let mut other = proxy.raw_from([127, 0, 0, 2]).await;
    other.open_websocket().await;
    drop(first);
    while proxy.registry.len() > 1 {
        tokio::task::yield_now().await;
    }
    loop {
        let mut again = proxy.raw().await;
        again.ask_for_websocket("/").await;
        if again.head().await.starts_with("HTTP/1.1 101 ") {
            break;
        }
    }
}

#[tokio::test]
async fn little_is_kept_of_a_long_path_while_its_tunnel_lives() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .config("[limits]\nuri = 64000\nrequest_head = \"128KiB\"")
        .start()
        .await;
    let path = format!("/{}", "é".repeat(31_000));
    let mut clients = Vec::new();
    for _ in 0..20 {
        let mut client = proxy.raw().await;
        client.open_websocket_at(&path).await;
        clients.push(client);
    }
    let tunnels = proxy.registry.served_by(|_| true);
    assert_eq!(tunnels.len(), clients.len());
    for tunnel in tunnels {
        let kept = tunnel.describe().unwrap().path;
        assert!(kept.len() < 600 && kept.ends_with('…'), "{kept}");
    }
}

#[tokio::test]
async fn a_target_that_is_too_long_gets_414() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends).start().await;
    let fits = format!("/{}", "x".repeat(8 * 1024 - 1));
    assert_ne!(proxy.get(&fits).await.status, 414);
    assert_eq!(proxy.get(&format!("{fits}x")).await.status, 414);
}

#[tokio::test]
async fn a_body_that_is_too_large_gets_413_whether_it_says_so_or_not() {
    let (backend, mut served) = Backend::played().await;
    let proxy = Proxy::fronting([&backend])
        .config("[limits]\nrequest_body = 10")
        .start()
        .await;
    let mut client = proxy.raw().await;
    let head = "POST / HTTP/1.1\r\nHost: test\r\n";
    client
        .send(format!(
            "{head}Expect: 100-continue\r\nContent-Length: 11\r\n\r\n"
        ))
        .await;
    let refused = client.head().await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");

    let mut client = proxy.raw().await;
    client
        .send(format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n6\r\nsix of\r\n"
        ))
        .await;
    let mut backend = served.recv().await.unwrap();
    assert!(backend.head().await.starts_with("POST / "));
    client.send("5\r\n11 in\r\n").await;
    let refused = client.head().await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
}

#[tokio::test]
async fn a_backend_with_as_many_requests_as_it_may_have_is_passed_over() {
    let (one, mut to_one) = Backend::played().await;
    let (other, mut to_other) = Backend::played().await;
    let proxy = Proxy::fronting([&one, &other])
        .pool("max_requests = 1")
        .start()
        .await;
    let get = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    let (mut first, mut second) = (proxy.raw().await, proxy.raw().await);
    first.send(get).await;
    second.send(get).await;
    let _under_way = (to_one.recv().await.unwrap(), to_other.recv().await.unwrap());
    let mut third = proxy.raw().await;
    third.send(get).await;
    let head = third.head().await;
    assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
    assert!(head.contains("retry-after"), "{head}");
}

#[tokio::test(start_paused = true)]
async fn plain_requests_have_a_rate_for_each_client_and_for_a_pool() {
    let backends = naming_cluster(1).await;
    for (pool, rest, status) in [
        (
            "",
            "[admission.client]\nrequest_rate = 1\nrequest_burst = 2",
            429,
        ),
        (
            "[pool.main.admission]\nrequest_rate = 1\nrequest_burst = 2",
            "",
            503,
        ),
    ] {
        let proxy = Proxy::fronting(&backends).pool(pool).config(rest);
        let proxy = proxy.start().await;
        for _ in 0..2 {
            assert_eq!(proxy.get("/").await.status, 200);
        }
        assert_eq!(proxy.get("/").await.status, status);
    }
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
