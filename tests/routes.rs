//! A request finds its pool by its host, then by its path.

use crate::support::{Backend, Proxy, RawBackend, Response};

/// A backend that says its name.
async fn named(name: &'static str) -> Backend {
    Backend::http(move |_| async move { Response::new(name.into()) }).await
}

/// A proxy with a route to a pool of its own for each pair of lines and name.
async fn routing(routes: &[(&str, &'static str)]) -> (Proxy, Vec<Backend>) {
    let mut backends = Vec::new();
    let mut config = String::from("[[listener]]\naddress = \"127.0.0.1:0\"\n");
    for (lines, name) in routes {
        let backend = named(name).await;
        config += &format!(
            "[[route]]\n{lines}\npool = \"{name}\"\n[pool.{name}]\nbackends = [\"{}\"]\n",
            backend.address
        );
        backends.push(backend);
    }
    (Proxy::with_config(&config).await, backends)
}

/// Who answers a request for that host and path.
async fn answering(proxy: &Proxy, host: &str, path: &str) -> String {
    let mut client = proxy.raw().await;
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
        .await;
    let answer = client.message().await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    body.to_owned()
}

#[tokio::test]
async fn the_most_specific_host_wins() {
    let (proxy, _backends) = routing(&[
        ("", "any"),
        ("host = \"*.example.com\"", "wildcard"),
        ("host = \"*.eu.example.com\"", "longer"),
        ("host = \"chat.example.com\"", "exact"),
    ])
    .await;
    assert_eq!(answering(&proxy, "chat.example.com", "/").await, "exact");
    assert_eq!(answering(&proxy, "a.example.com", "/").await, "wildcard");
    assert_eq!(answering(&proxy, "a.b.example.com", "/").await, "wildcard");
    assert_eq!(answering(&proxy, "a.eu.example.com", "/").await, "longer");
    assert_eq!(answering(&proxy, "example.com", "/").await, "any");
    assert_eq!(answering(&proxy, "evilexample.com", "/").await, "any");
    assert_eq!(answering(&proxy, "127.0.0.1", "/").await, "any");
    assert_eq!(answering(&proxy, "[::1]", "/").await, "any");
}

#[tokio::test]
async fn neither_port_nor_case_nor_a_last_dot_of_a_host_counts() {
    let (proxy, _backends) = routing(&[
        ("", "any"),
        ("host = \"chat.example.com\"", "exact"),
        ("host = \"*.example.com\"", "wildcard"),
    ])
    .await;
    assert_eq!(answering(&proxy, "CHAT.Example.com", "/").await, "exact");
    assert_eq!(
        answering(&proxy, "chat.example.com:8443", "/").await,
        "exact"
    );
    assert_eq!(answering(&proxy, "chat.example.com.", "/").await, "exact");
    assert_eq!(
        answering(&proxy, "chat.example.com.:80", "/").await,
        "exact"
    );
    assert_eq!(
        answering(&proxy, "Other.EXAMPLE.com:80", "/").await,
        "wildcard"
    );
}

#[tokio::test]
async fn the_longest_path_wins_and_ends_at_a_segment() {
    let (proxy, _backends) = routing(&[
        ("path = \"/\"", "root"),
        ("path = \"/chat\"", "chat"),
        ("path = \"/chat/rooms\"", "rooms"),
    ])
    .await;
    assert_eq!(answering(&proxy, "test", "/").await, "root");
    assert_eq!(answering(&proxy, "test", "/chat").await, "chat");
    assert_eq!(answering(&proxy, "test", "/chat?room=/rooms").await, "chat");
    assert_eq!(answering(&proxy, "test", "/chat/lobby").await, "chat");
    assert_eq!(answering(&proxy, "test", "/chat/rooms/1").await, "rooms");
    assert_eq!(answering(&proxy, "test", "/chatter").await, "root");
    assert_eq!(
        answering(&proxy, "test", "/Chat").await,
        "root",
        "paths have case"
    );
}

#[tokio::test]
async fn a_host_counts_before_a_path() {
    let (proxy, _backends) = routing(&[
        ("path = \"/a/long/path\"", "path"),
        ("host = \"test\"", "host"),
    ])
    .await;
    assert_eq!(answering(&proxy, "test", "/a/long/path").await, "host");
    assert_eq!(answering(&proxy, "other", "/a/long/path").await, "path");
}

/// What a request for that path gets: the name of the backend that answers, or our status.
async fn outcome(proxy: &Proxy, path: &str) -> String {
    let mut client = proxy.raw().await;
    client
        .send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
        .await;
    let answer = client.message().await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    match head.split(' ').nth(1).unwrap() {
        "200" => body.to_owned(),
        status => status.to_owned(),
    }
}

#[tokio::test]
async fn no_spelling_of_a_path_goes_around_its_route() {
    let (proxy, _backends) = routing(&[("", "rest"), ("path = \"/admin\"", "admin")]).await;
    for path in [
        "/admin",
        "//admin",
        "/%61dmin",
        "/%61%64%6d%69%6e/x",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/./admin",
        "/%2E/admin/",
        "/.//admin?a=/../b",
    ] {
        assert_eq!(outcome(&proxy, path).await, "admin", "{path}");
    }
    for path in [
        "/admin/../x",
        "/administrator",
        "/%2561dm",
        "/a%2fb",
        "/x;v=1",
    ] {
        assert_eq!(outcome(&proxy, path).await, "rest", "{path}");
    }
}

#[tokio::test]
async fn a_path_that_may_be_that_of_another_route_is_refused() {
    let (proxy, _backends) = routing(&[("", "rest"), ("path = \"/admin\"", "admin")]).await;
    for path in [
        "/%2fadmin",
        "/admin%2fx",
        "/x/..%2fadmin",
        "/%5cadmin",
        "/x\\..\\admin",
        "/../admin",
        "/%2e%2e/admin",
        "/..;/admin",
        "/x/..;a=b/admin",
        "/admin;v=1",
        "/x/%252e%252e/admin",
        "/%2561dmin",
        "/admin%00",
        "/admin%0d",
        "/admi%",
        "/%u0061dmin",
        "/x%c0%af..%c0%afadmin",
    ] {
        assert_eq!(outcome(&proxy, path).await, "400", "{path}");
    }
}

#[tokio::test]
async fn a_backend_gets_the_path_as_it_came() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    for path in ["/x/../a//%62?c=/../d", "/..;/%2F%00%zz\\"] {
        let mut client = proxy.raw().await;
        client
            .send(format!("GET {path} HTTP/1.1\r\nHost: test\r\n\r\n"))
            .await;
        let head = backend.accept().await.head().await;
        let expected = format!("GET {path} HTTP/1.1\r\n");
        assert!(head.starts_with(&expected), "{head}");
    }
}

#[tokio::test]
async fn a_handshake_finds_the_same_route_as_a_request() {
    let rest = RawBackend::listen();
    let admin = RawBackend::listen();
    let proxy = Proxy::with_config(&format!(
        "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"rest\"\n\
         [[route]]\npath = \"/admin\"\npool = \"admin\"\n\
         [pool.rest]\nbackends = [\"{}\"]\n[pool.admin]\nbackends = [\"{}\"]\n",
        rest.address, admin.address
    ))
    .await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/x/%2e%2e//%61dmin").await;
    admin.accept().await.grant_websocket().await;
    assert!(client.head().await.starts_with("HTTP/1.1 101"));

    let mut client = proxy.raw().await;
    client.ask_for_websocket("/x/..%2fadmin").await;
    assert!(client.head().await.starts_with("HTTP/1.1 400"));
}
