//! A new configuration for a proxy that runs: what is the same in it is left alone.

use crate::support::{Proxy, echo_cluster};

#[tokio::test]
async fn the_next_request_on_a_kept_connection_is_served_as_the_new_configuration_says() {
    let backends = echo_cluster(1).await;
    let proxy = Proxy::fronting(&backends)
        .route("path = \"/old\"")
        .start()
        .await;
    let mut client = proxy.raw().await;
    client.send("GET /new HTTP/1.1\r\nHost: test\r\n\r\n").await;
    assert!(client.head().await.starts_with("HTTP/1.1 404"));

    let new = Proxy::fronting(&backends).route("path = \"/new\"");
    let changes = proxy.reload(new).await.unwrap();

    assert_eq!(
        changes.to_string(),
        "1 listeners, 1 (1 added, 1 removed) routes, 1 pools"
    );
}
