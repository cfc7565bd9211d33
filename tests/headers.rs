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
        "X-Mine: a\r\nConnection: x-forwarded-for, x-mine, forwarded, via\r\n",
    )
    .await;
    assert_eq!(header(&head, "x-mine"), None);
    assert!(header(&head, "via").is_some());
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
    assert_eq!(header(&head, "x-forwarded-port"), Some("443"));
    assert_eq!(header(&head, "x-real-ip"), Some("1.2.3.4"));
}

#[tokio::test]
async fn a_trusted_proxy_may_speak_through_forwarded() {
    let head = seen(trusting("forwarded"), CLAIMED).await;
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=7.7.7.7;proto=https, for=127.0.0.1;host=\"test:81\";proto=https")
    );
}

#[tokio::test]
async fn what_a_client_forged_in_the_other_header_is_replaced_by_whom_we_believe_in() {
    let head = seen(trusting("x-forwarded-for"), CLAIMED).await;
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=1.2.3.4;host=shop.test;proto=https")
    );
    let head = seen(trusting("forwarded"), CLAIMED).await;
    assert_eq!(header(&head, "x-forwarded-for"), Some("7.7.7.7"));
    assert_eq!(header(&head, "x-real-ip"), Some("7.7.7.7"));
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
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

/// Headers in which a client may say that it is somebody else, or asks for something else.
const FORGED: [&str; 32] = [
    "X-Forwarded",
    "X-Forwarded-Server",
    "X-Forwarded-Ssl",
    "X-Forwarded-Scheme",
    "X-Forwarded-Prefix",
    "X-Forwarded-User",
    "X-Forwarded-Client-Cert",
    "X_Forwarded_For",
    "X-Forwarded_Proto",
    "X_Real_Ip",
    "X-Client-IP",
    "X_Client_IP",
    "True-Client-IP",
    "Client-IP",
    "X-Cluster-Client-IP",
    "CF-Connecting-IP",
    "Fastly-Client-IP",
    "X-ProxyUser-Ip",
    "X-Originating-IP",
    "X-Remote-Addr",
    "Forwarded-For",
    "Front-End-Https",
    "X-Url-Scheme",
    "X-Original-URL",
    "X-Rewrite-URL",
    "X_Rewrite_URL",
    "X-Host",
    "X-Original-Host",
    "Client-Cert",
    "X-SSL-Client-Verify",
    "Proxy",
    "X.Forwarded.For",
];

#[tokio::test]
async fn nobody_becomes_somebody_else_by_any_header() {
    for name in FORGED {
        let head = seen(|proxy| proxy, &format!("{name}: 6.6.6.6\r\nX-Stays: 1\r\n")).await;
        assert!(!head.contains("6.6.6.6"), "{name} in {head}");
        assert_eq!(header(&head, "x-stays"), Some("1"), "{name}");
        assert_eq!(header(&head, "x-real-ip"), Some("127.0.0.1"), "{name}");
    }
}

#[tokio::test]
async fn a_trusted_proxy_says_it_in_one_header_and_nothing_else_in_others() {
    let lines = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
        CF-Connecting-IP: 1.1.1.1\r\nTrue-Client-IP: 6.6.6.6\r\nFront-End-Https: on\r\n\
        X-Forwarded-Ssl: off\r\nX-Forwarded-Prefix: /a\r\nX-Original-URL: /admin\r\n\
        X_Forwarded_For: 6.6.6.6\r\nProxy: http://evil.test\r\n";
    let head = seen(trusting("x-forwarded-for"), lines).await;
    assert_eq!(header(&head, "cf-connecting-ip"), Some("1.1.1.1"));
    assert_eq!(header(&head, "front-end-https"), Some("on"));
    assert_eq!(header(&head, "x-forwarded-prefix"), Some("/a"));
    for name in [
        "true-client-ip",
        "x-forwarded-ssl",
        "x-original-url",
        "x_forwarded_for",
        "proxy",
    ] {
        assert_eq!(header(&head, name), None, "{name}");
    }
}

#[tokio::test]
async fn every_header_agrees_on_scheme_host_and_port() {
    let lines = "X-Forwarded-For: 1.1.1.1\r\nX-Forwarded-Proto: https\r\n\
        X-Forwarded-Host: shop.test\r\nX-Forwarded-Port: 8443\r\n";
    let head = seen(trusting("x-forwarded-for"), lines).await;
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("shop.test"));
    assert_eq!(header(&head, "x-forwarded-port"), Some("8443"));
    assert_eq!(
        header(&head, "forwarded"),
        Some("for=1.1.1.1;host=\"shop.test:8443\";proto=https")
    );
    let lines = "Forwarded: for=1.1.1.1;proto=https;host=\"shop.test:8443\"\r\n";
    let head = seen(trusting("forwarded"), lines).await;
    assert_eq!(header(&head, "x-forwarded-proto"), Some("https"));
    assert_eq!(header(&head, "x-forwarded-host"), Some("shop.test:8443"));
    assert_eq!(header(&head, "x-forwarded-port"), Some("8443"));
    assert_eq!(header(&head, "x-real-ip"), Some("1.1.1.1"));
}

#[tokio::test]
async fn a_mapped_network_is_the_ipv4_network_that_it_means() {
    let trusting = |proxy: ProxyBuilder| {
        proxy.config("[server]\ntrusted_proxies = [\"::ffff:127.0.0.0/104\"]")
    };
    let head = seen(trusting, "X-Forwarded-For: 1.1.1.1\r\n").await;
    assert_eq!(header(&head, "x-real-ip"), Some("1.1.1.1"));
}

#[tokio::test]
async fn names_with_underscores_pass_by_choice_alone() {
    let line = "X_Request_Id: 7\r\nContent_Length: 5\r\n";
    let head = seen(|proxy| proxy, line).await;
    assert_eq!(header(&head, "x_request_id"), None);
    assert_eq!(header(&head, "content_length"), None);
    let head = seen(|proxy| proxy.config("[limits]\nunderscores = true"), line).await;
    assert_eq!(header(&head, "x_request_id"), Some("7"));
    let answer = answered("X_Request_Id: 7\r\n").await;
    assert_eq!(header(&answer, "x_request_id"), Some("7"));
}

#[tokio::test]
async fn nobody_becomes_somebody_else_in_trailers() {
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    let mut client = proxy.raw().await;
    let names = "X-Forwarded-For, X_Real_IP, True-Client-IP, X-Checksum";
    client
        .send(format!(
            "POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\nTrailer: {names}\r\n\r\n\
             4\r\nbody\r\n0\r\nX-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n\
             True-Client-IP: 6.6.6.6\r\nX-Checksum: 42\r\n\r\n"
        ))
        .await;
    let mut served = backend.accept().await;
    served.head().await;
    assert_eq!(served.chunk().await, "body");
    assert_eq!(served.chunk().await, "");
    assert_eq!(served.line().await, "x-checksum: 42");
    assert_eq!(served.line().await, "");
}

#[tokio::test]
async fn a_request_says_through_whom_it_has_come() {
    let head = seen(|proxy| proxy, "Via: 1.0 fred\r\n").await;
    let via = headers(&head, "via");
    assert_eq!(via.len(), 2, "{head}");
    assert_eq!(via[0], "1.0 fred");
    assert!(via[1].starts_with("1.1 longwire-"), "{head}");
    let named = |proxy: ProxyBuilder| proxy.config("[server]\nvia = \"edge\"");
    let head = seen(named, "").await;
    assert!(
        header(&head, "via").unwrap().starts_with("1.1 edge-"),
        "{head}"
    );
    let unnamed = |proxy: ProxyBuilder| proxy.config("[server]\nvia = \"off\"");
    let head = seen(unnamed, "").await;
    assert_eq!(header(&head, "via"), None);
}

#[tokio::test]
async fn a_request_that_comes_back_ends_with_508() {
    // A port that something else forwards back to the proxy, as a load balancer might.
    let backend = RawBackend::listen();
    let proxy = Proxy::fronting_addresses([backend.address]).start().await;
    for upgrade in [
        "",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ] {
        let mut client = proxy.raw().await;
        client
            .send(format!("GET / HTTP/1.1\r\nHost: test\r\n{upgrade}\r\n"))
            .await;
        let head = backend.accept().await.head().await;
        let mut again = proxy.raw().await;
        again.send(head).await;
        let answer = again.head().await;
        assert!(answer.starts_with("HTTP/1.1 508"), "{answer}");
        backend.has_no_more_visitors().await;
    }
}

#[tokio::test]
async fn proxies_of_one_name_may_stand_in_a_row() {
    let backend = RawBackend::listen();
    let inner = Proxy::fronting_addresses([backend.address]).start().await;
    let outer = Proxy::fronting_addresses([inner.address]).start().await;
    let mut client = outer.raw().await;
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").await;
    let head = backend.accept().await.head().await;
    assert_eq!(headers(&head, "via").len(), 2, "{head}");
}
