//! What headers pass, and what is said of the client.

use crate::support::{Proxy, ProxyBuilder, RawBackend, header, headers};

/// What a backend behind that proxy sees of a request with these lines.
async fn seen(configure: impl FnOnce(ProxyBuilder) -> ProxyBuilder, lines: &str) -> String {
    let backend = RawBackend::listen();
    let proxy = configure(Proxy::fronting_addresses([backend.address]));
    let proxy = proxy.start().await;
    let mut client = proxy.raw().await;
    client
        .send(format!(
            "GET /path HTTP/1.1\r\nHost: test:81\r\n{lines}\r\n"
        ))
        .await;
    backend.accept().await.head().await
}

/// What a client sees of a backend's answer with these lines.
async fn answered(lines: &str) -> String {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let mut served = backend.accept().await;
    served.head().await;
    served
        .send(format!(
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{lines}\r\n"
        ))
        .await;
    client.head().await
}

fn trusting(header: &str) -> impl FnOnce(ProxyBuilder) -> ProxyBuilder {
    let server =
        format!("[server]\ntrusted_proxies = [\"127.0.0.1\"]\ntrusted_header = \"{header}\"");
    move |proxy| proxy.config(&server)
}

const HOP_BY_HOP: &str = "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n\
    Proxy-Authenticate: Basic\r\nProxy-Authorization: Basic eDp5\r\nTE: gzip\r\n\
    Upgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\nX-Nominated: 1\r\nX-Also: 2\r\nX-Stays: 3\r\n\
    Connection: keep-alive, X-Nominated, upgrade\r\nConnection: http2-settings,x-also\r\n";

const NAMES: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "upgrade",
    "http2-settings",
    "x-nominated",
    "x-also",
];

#[tokio::test]
async fn what_is_meant_for_us_does_not_reach_the_backend() {
    let head = seen(|proxy| proxy, HOP_BY_HOP).await;
    for name in NAMES {
        assert!(headers(&head, name).is_empty(), "{name} in {head}");
    }
    assert_eq!(header(&head, "x-stays"), Some("3"));
}

#[tokio::test]
async fn what_is_meant_for_us_does_not_reach_the_client() {
    let head = answered(HOP_BY_HOP).await;
    for name in NAMES {
        assert!(headers(&head, name).is_empty(), "{name} in {head}");
    }
    assert_eq!(header(&head, "x-stays"), Some("3"));
}

#[tokio::test]
async fn a_client_can_nominate_its_own_headers_but_not_ours() {
    let head = seen(
        |proxy| proxy,
        "Cookie: a=b\r\nConnection: x-forwarded-for, cookie, host, forwarded\r\n",
    )
    .await;
    assert_eq!(header(&head, "cookie"), None);
    assert_eq!(header(&head, "host"), Some("test:81"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert!(header(&head, "forwarded").is_some());
}

#[tokio::test]
async fn a_strange_byte_in_connection_saves_no_nominated_header() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    client
        .send(b"GET / HTTP/1.1\r\nHost: test\r\nX-Nominated: 1\r\nConnection: \xff, x-nominated\r\n\r\n")
        .await;
    let head = backend.accept().await.head().await;
    assert_eq!(header(&head, "x-nominated"), None);
}

#[tokio::test]
async fn a_backend_is_told_who_the_client_is() {
    let head = seen(|proxy| proxy, "").await;
    assert_eq!(header(&head, "host"), Some("test:81"));
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("test:81"));
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=127.0.0.1;host=\"test:81\";proto=http")
    );
}

#[tokio::test]
async fn an_ipv6_client_is_written_as_each_header_wants_it() {
    let backend = RawBackend::listen();
    let proxy = Proxy::with_config(&format!(
        "[[listener]]\naddress = \"[::1]:0\"\n[[route]]\npool = \"main\"\n\
         [pool.main]\nbackends = [\"{}\"]\n",
        backend.address
    ))
    .await;
    let mut client = proxy.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let head = backend.accept().await.head().await;
    assert_eq!(header(&head, "x-forwarded-for"), Some("::1"));
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=\"[::1]\";host=test;proto=http")
    );
}

const CLAIMED: &str = "X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-For: 1.2.3.4\r\n\
    X-Forwarded-Proto: https\r\nX-Forwarded-Host: shop.test\r\n\
    Forwarded: for=7.7.7.7;proto=https\r\n";

#[tokio::test]
async fn what_a_client_says_of_itself_is_replaced() {
    let head = seen(|proxy| proxy, CLAIMED).await;
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("test:81"));
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=127.0.0.1;host=\"test:81\";proto=http")
    );
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_kept_and_appended_to() {
    let head = seen(trusting("x-forwarded-for"), CLAIMED).await;
    assert_eq!(
        header(&head, "x-forwarded-for"),
        Some("6.6.6.6, 1.2.3.4, 127.0.0.1")
    );
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("shop.test"));
}

#[tokio::test]
async fn a_trusted_proxy_may_speak_through_forwarded() {
    let head = seen(trusting("forwarded"), CLAIMED).await;
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=7.7.7.7;proto=https, for=127.0.0.1;host=\"test:81\";proto=http")
    );
}

#[tokio::test]
async fn what_a_client_forged_in_the_other_header_is_replaced_by_whom_we_believe_in() {
    let head = seen(trusting("x-forwarded-for"), CLAIMED).await;
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=1.2.3.4;host=\"test:81\";proto=http")
    );
    let head = seen(trusting("forwarded"), CLAIMED).await;
    assert_eq!(header(&head, "x-forwarded-for"), Some("7.7.7.7"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("http"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("test:81"));
}

#[tokio::test]
async fn a_host_cannot_speak_for_the_proxy_that_quotes_it() {
    let backend = RawBackend::listen();
    let believing = trusting("forwarded")(Proxy::fronting_addresses([backend.address]));
    let believing = believing.start().await;
    let quoting = Proxy::fronting_addresses([believing.address]).start().await;
    let mut client = quoting.raw().await;
    client
        .send("GET / HTTP/1.1\r\nHost: a,for=6.6.6.6\r\n\r\n")
        .await;
    let head = backend.accept().await.head().await;
    assert_eq!(header(&head, "x-forwarded-for"), Some("127.0.0.1"));
}

#[tokio::test]
async fn a_route_may_set_the_host() {
    let set = |proxy: ProxyBuilder| proxy.route("set_host = \"inside.test:82\"");
    let head = seen(set, "").await;
    assert_eq!(header(&head, "host"), Some("inside.test:82"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("test:81"));
}

#[tokio::test]
async fn an_absolute_target_passes_as_a_path() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    for (target, passed) in [("http://Test:81/a?b", "/a?b"), ("http://test:81", "/")] {
        let mut client = proxy.raw().await;
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: test:81\r\n\r\n"))
            .await;
        let head = backend.accept().await.head().await;
        assert!(
            head.starts_with(&format!("GET {passed} HTTP/1.1\r\n")),
            "{head}"
        );
        assert_eq!(header(&head, "host"), Some("test:81"));
    }
}
