//! What a backend says on an idle connection unasked is nobody's answer.

use crate::support::{Authority, Proxy, Raw, RawBackend};

const GET: &str = "GET / HTTP/1.1\r\nHost: test\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n";
const FORGED: &str = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged";

#[tokio::test]
async fn an_answer_that_nobody_has_asked_for_yet_reaches_nobody() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    for round in 0..200 {
        let own = round.to_string();
        let request = if round % 2 == 0 { GET } else { POST };
        client.send(request).await;
        let mut served = backend.accept().await;
        served.head().await;
        served.answer(&own).await;
        assert!(client.message().await.ends_with(&own));
        served.send(FORGED).await;
    }
}

#[tokio::test]
async fn the_same_goes_for_backends_over_tls() {
    let authority = Authority::new();
    let acceptor = authority.certify(&["localhost"]).acceptor();
    let backend = RawBackend::listen();
    let port = backend.address.port();
    let proxy = Proxy::fronting_addresses([format!("https://localhost:{port}")])
        .pool(&format!("tls = {{ ca = {:?} }}", authority.file()))
        .start()
        .await;
    let mut client = proxy.raw().await;
    for round in 0..20 {
        let own = round.to_string();
        client.send(POST).await;
        let socket = backend.accept().await.socket;
        let mut served = Raw::new(acceptor.accept(socket).await.unwrap());
        served.head().await;
        served.answer(&own).await;
        assert!(client.message().await.ends_with(&own));
        served.send(FORGED).await;
    }
}
