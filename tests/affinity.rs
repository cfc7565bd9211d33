//! A returning client gets the same backend.

use crate::support::{Proxy, echo_cluster};

#[tokio::test]
async fn a_returning_cookie_reaches_the_same_backend() {
    let backends = echo_cluster(3).await;
    let proxy = Proxy::fronting(&backends)
        .affinity("\"cookie\"")
        .start()
        .await;

    let first = proxy.connect().await;
    for _ in 0..6 {
        let again = proxy.connect_with_cookie(first.cookie().unwrap()).await;
        assert_eq!(again.backend(), first.backend());
        assert_eq!(again.cookie(), None, "a fresh cookie is not renewed");
    }
}
