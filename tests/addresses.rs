//! Where backends may be.

use std::net::TcpListener;

use longwire::websocket::Role;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::UnixListener,
};

use crate::support::{Proxy, Raw, RawBackend, frame};

/// The client opens a WebSocket, and each hears the other.
async fn speak<S: AsyncRead + AsyncWrite + Unpin>(mut client: Raw, mut backend: Raw<S>) {
    backend.grant_websocket().await;
    let answer = client.head().await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    client.send(frame(0x81, b"hello", Role::Client)).await;
    assert_eq!(backend.frame().await.unwrap().payload, b"hello");
    backend.send(frame(0x81, b"welcome", Role::Server)).await;
    assert_eq!(client.frame().await.unwrap().payload, b"welcome");
}

#[tokio::test]
async fn a_backend_may_be_a_unix_socket() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("chat.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let address = format!("unix:{}", path.display());
    let proxy = Proxy::fronting_addresses([address]).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    let (socket, _) = listener.accept().await.unwrap();
    speak(client, Raw::new(socket)).await;
}

#[tokio::test]
async fn a_backend_may_be_a_name() {
    let backend = RawBackend::listen();
    let address = format!("localhost:{}", backend.address.port());
    let proxy = Proxy::fronting_addresses([address]).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    speak(client, backend.accept().await).await;
}

#[tokio::test]
async fn a_backend_may_have_an_ipv6_address() {
    let listener = TcpListener::bind("[::1]:0").unwrap();
    let backend = RawBackend::of(listener);
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    client.ask_for_websocket("/").await;
    speak(client, backend.accept().await).await;
}
