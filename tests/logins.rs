//! Who has logged in over a connection to a backend keeps it, and nobody else gets it.

use std::net::SocketAddr;

use crate::support::{Proxy, Raw, RawBackend, handshake, header, switching, until};

/// What a backend that logs in connections calls the client of this one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Known {
    Nobody,
    Challenged,
    Alice,
}

/// A backend that asks for NTLM in two legs, and from then on greets whoever sends over the
/// connection. It answers WebSocket handshakes the same way, and grants them to Alice alone.
fn intranet(scheme: &'static str) -> SocketAddr {
    let backend = RawBackend::listen();
    let address = backend.address;
    tokio::spawn(async move {
        loop {
            tokio::spawn(serve(backend.accept().await, scheme));
        }
    });
    address
}

async fn serve(mut served: Raw, scheme: &'static str) {
    let mut known = Known::Nobody;
    while let Some(head) = served.next_head().await {
        let credentials = header(&head, "authorization").unwrap_or_default();
        let said = credentials.split(' ').nth(1).unwrap_or_default();
        known = match (known, said) {
            (_, "first") => Known::Challenged,
            (Known::Challenged, "second") | (Known::Alice, "") => Known::Alice,
            _ => Known::Nobody,
        };
        let challenge = match known {
            Known::Nobody if head.starts_with("GET /open") => {
                served.answer("hello nobody").await;
                continue;
            }
            Known::Nobody => scheme.to_owned(),
            Known::Challenged => format!("{scheme} challenge"),
            Known::Alice if header(&head, "upgrade").is_some() => {
                served.send(switching(&[])).await;
                served.send([0x81, 5]).await;
                served.send("alice").await;
                served.rest().await;
                return;
            }
            Known::Alice => {
                served.answer("hello alice").await;
                continue;
            }
        };
        served
            .send(format!(
                "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"a\"\r\n\
                 WWW-Authenticate: {challenge}\r\nContent-Length: 0\r\n\r\n"
            ))
            .await;
    }
}

fn get(path: &str, credentials: &str) -> String {
    let line = match credentials {
        "" => String::new(),
        _ => format!("Authorization: {credentials}\r\n"),
    };
    format!("GET {path} HTTP/1.1\r\nHost: test\r\n{line}\r\n")
}

async fn asks(client: &mut Raw, path: &str, credentials: &str) -> String {
    client.send(get(path, credentials)).await;
    client.message().await
}

async fn logs_in(client: &mut Raw, scheme: &str) {
    assert!(asks(client, "/", "").await.starts_with("HTTP/1.1 401"));
    let challenge = asks(client, "/", &format!("{scheme} first")).await;
    assert!(challenge.contains("challenge"), "{challenge}");
    let answer = asks(client, "/", &format!("{scheme} second")).await;
    assert!(answer.ends_with("hello alice"), "{answer}");
}

#[tokio::test]
async fn a_login_in_two_legs_succeeds_while_others_are_busy_and_is_nobody_elses() {
    for scheme in ["NTLM", "negotiate"] {
        let proxy = Proxy::fronting_addresses([intranet(scheme)]).start().await;
        let mut alice = proxy.raw().await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(proxy.raw().await);
        }
        for leg in ["", "first", "second"] {
            let credentials = if leg.is_empty() {
                String::new()
            } else {
                format!("{scheme} {leg}")
            };
            asks(&mut alice, "/", &credentials).await;
            for other in &mut others {
                let answer = asks(other, "/open", "").await;
                assert!(answer.ends_with("hello nobody"), "{answer}");
            }
        }
        for _ in 0..10 {
            let answer = asks(&mut alice, "/open", "").await;
            assert!(answer.ends_with("hello alice"), "{answer}");
            for other in &mut others {
                let answer = asks(other, "/open", "").await;
                assert!(answer.ends_with("hello nobody"), "{answer}");
            }
        }
        drop(alice);
        let mut stranger = proxy.raw().await;
        for _ in 0..10 {
            let answer = asks(&mut stranger, "/open", "").await;
            assert!(answer.ends_with("hello nobody"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_handshake_goes_on_over_the_connection_that_its_login_began_on() {
    let proxy = Proxy::fronting_addresses([intranet("NTLM")]).start().await;
    let mut client = proxy.raw().await;
    for leg in ["", "NTLM first"] {
        client.send(handshake("/", &[("Authorization", leg)])).await;
        let answer = client.message().await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    }
    let last = [("Authorization", "NTLM second")];
    client.send(handshake("/", &last)).await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert_eq!(client.frame().await.unwrap().payload, b"alice");
}

#[tokio::test]
async fn who_has_logged_in_by_a_request_opens_a_tunnel_over_the_same_connection() {
    let proxy = Proxy::fronting_addresses([intranet("NTLM")]).start().await;
    let mut client = proxy.raw().await;
    logs_in(&mut client, "NTLM").await;
    client.open_websocket().await;
    assert_eq!(client.frame().await.unwrap().payload, b"alice");
}

/// A backend that the test plays, and a client whose request it has read.
async fn asked(proxy: &Proxy, backend: &RawBackend, credentials: &str) -> (Raw, Raw) {
    let mut client = proxy.raw().await;
    client.send(get("/", credentials)).await;
    let mut served = backend.accept().await;
    served.head().await;
    (client, served)
}

const CHALLENGE: &str = "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM TlRM\r\n\
                         Content-Length: 0\r\n\r\n";

#[tokio::test]
async fn a_client_starts_anew_where_the_connection_of_its_login_has_ended() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let (mut client, mut served) = asked(&proxy, &backend, "NTLM second").await;
    served.answer("hello alice").await;
    client.message().await;
    drop(served);

    client.send(get("/", "")).await;
    let mut fresh = backend.accept().await;
    fresh.head().await;
    fresh.answer("who are you").await;
    assert!(client.message().await.ends_with("who are you"));
}

#[tokio::test]
async fn a_client_is_let_go_whose_challenge_cannot_be_met_any_more() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let (mut client, mut served) = asked(&proxy, &backend, "NTLM first").await;
    served.send(CHALLENGE).await;
    client.head().await;
    drop(served);

    client.send(get("/", "NTLM second")).await;
    assert_eq!(client.rest().await, b"", "its login begins again elsewhere");
    backend.has_no_more_visitors().await;
}

#[tokio::test]
async fn a_draining_backend_finishes_a_login_and_then_sends_its_client_away() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let (mut client, mut served) = asked(&proxy, &backend, "NTLM first").await;
    let pool = &proxy.pools[0];
    pool.intend(&pool.backends()[0], longwire::config::Intent::Draining);
    served.send(CHALLENGE).await;
    let challenge = client.head().await;
    assert_eq!(header(&challenge, "connection"), None, "{challenge}");

    client.send(get("/", "NTLM second")).await;
    served.head().await;
    served.answer("hello alice").await;
    let answer = client.message().await;
    assert_eq!(header(&answer, "connection"), Some("close"), "{answer}");
    assert_eq!(served.rest().await, b"", "the login ends with its client");
}

#[tokio::test]
async fn a_login_lives_through_a_reload_and_ends_with_its_backends_membership() {
    let backend = RawBackend::listen();
    let other = RawBackend::listen();
    let fronting = |addresses: &[SocketAddr]| Proxy::fronting_addresses(addresses.to_vec());
    let proxy = fronting(&[backend.address]).start().await;
    let (mut client, mut served) = asked(&proxy, &backend, "NTLM second").await;
    served.answer("hello alice").await;
    client.message().await;

    let both = fronting(&[other.address, backend.address]);
    proxy.reload(both).await.unwrap();
    client.send(get("/", "")).await;
    served.head().await;
    served.answer("hello again").await;
    assert!(client.message().await.ends_with("hello again"));

    proxy.reload(fronting(&[other.address])).await.unwrap();
    client.send(get("/", "")).await;
    let mut fresh = other.accept().await;
    fresh.head().await;
    fresh.answer("who are you").await;
    assert!(client.message().await.ends_with("who are you"));
    assert_eq!(served.rest().await, b"");
}

#[tokio::test]
async fn a_login_ends_with_its_client() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let (mut client, mut served) = asked(&proxy, &backend, "Negotiate token").await;
    served.answer("hello alice").await;
    client.message().await;
    drop(client);
    assert_eq!(served.rest().await, b"");
    let member = &proxy.pools[0].backends()[0];
    until(|| member.requests() == 0).await;
}
