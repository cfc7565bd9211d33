//! What each section takes, and what it refuses.

use std::{num::NonZeroUsize, time::Duration};

use super::{
    super::{HostPattern, LogFormat, OnBackendLoss, TrustedHeader},
    least_and, listener, problems, refuses, route, valid,
};

#[test]
fn every_setting_of_the_server_is_read() {
    let server = valid(&least_and(
        "[server]\nworkers = 3\ntrusted_proxies = [\"10.1.2.3/8\", \"::1\"]\n\
         trusted_header = \"forwarded\"",
    ))
    .server;
    assert_eq!(server.workers.get(), 3);
    let networks = server
        .trusted_proxies
        .networks
        .iter()
        .map(ToString::to_string);
    assert_eq!(networks.collect::<Vec<_>>(), ["10.0.0.0/8", "::1/128"]);
    assert_eq!(server.trusted_proxies.header, TrustedHeader::Forwarded);
}

#[test]
fn a_wrong_setting_of_the_server_is_refused() {
    for (setting, words) in [
        ("workers = 0", "from 1 to 1024"),
        ("workers = -1", "from 1 to 1024"),
        ("workers = \"4\"", "found a string"),
        ("workers = 1.5", "found a number with a fraction"),
        ("trusted_proxies = \"::1\"", "found a string"),
        ("trusted_proxies = [\"10.0.0.0/33\"]", "no network"),
        ("trusted_proxies = [1]", "found an integer"),
        (
            "trusted_header = \"x-forwarded-fro\"",
            "did you mean `x-forwarded-for`?",
        ),
        ("trusted_header = \"via\"", "`x-forwarded-for`, `forwarded`"),
    ] {
        refuses(
            &least_and(&format!("[server]\n{setting}")),
            setting,
            &[words],
        );
    }
    refuses(
        &format!("server = 3\n{}", least_and("")),
        "server = 3",
        &["expected a table"],
    );
}

#[test]
fn a_listener_has_an_ip_address_and_a_port() {
    for address in ["0.0.0.0:8080", "[::]:80", "127.0.0.1:0"] {
        let text = least_and("").replace("127.0.0.1:8080", address);
        assert_eq!(valid(&text).listeners[0].address.to_string(), address);
    }
    for address in [
        "localhost:80",
        "80",
        ":80",
        "1.2.3.4",
        "::1:80",
        "1.2.3.4:65536",
    ] {
        let text = least_and("").replace("127.0.0.1:8080", address);
        refuses(&text, address, &["cannot be listened on", "[::]:8080"]);
    }
}

#[test]
fn limits_of_connections_are_positive() {
    let config = valid(&listener("max_connections = 0x10"));
    assert_eq!(config.listeners[0].max_connections, NonZeroUsize::new(16));
    for count in ["0", "-1", "99999999999999999999"] {
        let setting = format!("max_connections = {count}");
        refuses(&listener(&setting), &setting, &["an integer from 1"]);
        let setting = format!("connections = {count}");
        refuses(
            &least_and(&format!("[limits]\n{setting}")),
            &setting,
            &["an integer from 1"],
        );
    }
}

#[test]
fn a_host_is_a_name_a_wildcard_or_any() {
    let host = |host: &str| {
        valid(&route(&format!("host = \"{host}\""))).routes[0]
            .host
            .clone()
    };
    assert_eq!(
        host("Chat.Example.com"),
        HostPattern::Exact("chat.example.com".into())
    );
    assert_eq!(
        host("*.Example.com"),
        HostPattern::Wildcard("example.com".into())
    );
    assert_eq!(host("[::1]"), HostPattern::Exact("[::1]".into()));
    assert_eq!(valid(&least_and("")).routes[0].host, HostPattern::Any);
}

#[test]
fn a_wrong_host_is_refused_with_the_reason() {
    for (host, word) in [
        ("chat.example.com:80", "port is not part"),
        ("[::1]:80", "port is not part"),
        ("http://chat", "no scheme"),
        ("*", "leave `host` out"),
        ("a.*.com", "only at the front"),
        ("*example.com", "only at the front"),
        ("büro.example", "xn--"),
        ("", "empty"),
    ] {
        let setting = format!("host = \"{host}\"");
        refuses(&route(&setting), &setting, &[word]);
    }
}

#[test]
fn a_path_begins_with_a_slash_and_has_no_query() {
    assert_eq!(valid(&route("path = \"/a/b\"")).routes[0].path, "/a/b");
    assert_eq!(valid(&least_and("")).routes[0].path, "/");
    assert_eq!(valid(&route("path = \"//%61/./b\"")).routes[0].path, "/a/b");
    for (path, word) in [
        ("", "begins with"),
        ("a", "begins with"),
        ("/a?b", "query"),
        ("/a#b", "query"),
        ("/a b", "percent"),
        ("/é", "percent"),
        ("/..", "above its root"),
        ("/a%2Fb", "more than one way"),
        ("/a;b", "more than one way"),
        ("/%", "encodes nothing"),
    ] {
        let setting = format!("path = \"{path}\"");
        refuses(&route(&setting), &setting, &[word]);
    }
}

#[test]
fn set_host_is_a_host_with_or_without_a_port() {
    for host in ["internal", "internal:80", "[::1]", "[::1]:80", "10.0.0.1:1"] {
        let config = valid(&route(&format!("set_host = \"{host}\"")));
        assert_eq!(config.routes[0].set_host.as_ref().unwrap(), host);
    }
    for host in [
        "", "a b", "a:0", "a:b", "http://a", "a/b", "::1", "me@a", "*.a",
    ] {
        let setting = format!("set_host = \"{host}\"");
        refuses(&route(&setting), &setting, &["is not a host"]);
    }
}

#[test]
fn a_route_keeps_what_it_does_not_say_of_the_keepalive() {
    let keepalive = |extra: &str, own: &str| {
        let text = route(own) + extra;
        valid(&text).routes[0].keepalive
    };
    let seconds = Duration::from_secs;
    let both = keepalive("[keepalive]\ninterval = \"7s\"\ntimeout = \"3s\"", "");
    assert_eq!(
        (both.interval, both.timeout),
        (Some(seconds(7)), seconds(3))
    );
    let own = keepalive(
        "[keepalive]\ninterval = \"7s\"",
        "keepalive = { timeout = \"2s\" }",
    );
    assert_eq!((own.interval, own.timeout), (Some(seconds(7)), seconds(2)));
    let off = keepalive("", "keepalive.interval = \"off\"");
    assert_eq!((off.interval, off.timeout), (None, seconds(10)));
}

#[test]
fn a_keepalive_is_at_least_a_second() {
    for setting in ["interval = \"999ms\"", "timeout = \"1ms\""] {
        let text = least_and(&format!("[keepalive]\n{setting}"));
        refuses(&text, setting, &["at least \"1s\""]);
        refuses(
            &route(&format!("keepalive = {{ {setting} }}")),
            setting,
            &["at least \"1s\""],
        );
    }
    let text = least_and("[keepalive]\ntimeout = \"off\"");
    refuses(&text, "timeout", &["not a duration"]);
}

#[test]
fn durations_are_strings_longer_than_nothing() {
    let connect = |text: &str| {
        valid(&least_and(&format!("[timeouts]\nconnect = \"{text}\"")))
            .timeouts
            .connect
    };
    assert_eq!(connect("2s 500ms"), Duration::from_millis(2500));
    for (value, word) in [
        ("\"0s\"", "is zero"),
        ("\"\"", "not a duration"),
        ("\"5\"", "time unit needed"),
        ("\"5 parsecs\"", "unknown time unit"),
        ("\"-5s\"", "not a duration"),
        ("5", "found an integer"),
        ("07:32:00", "found a date or time"),
        ("\"off\"", "not a duration"),
    ] {
        let setting = format!("connect = {value}");
        refuses(
            &least_and(&format!("[timeouts]\n{setting}")),
            &setting,
            &[word],
        );
    }
    let text = least_and("[timeouts]\nresponse = \"11 years\"");
    refuses(&text, "response", &["at most 10 years"]);
}

#[test]
fn what_can_be_off_can_be_off() {
    let timeouts = valid(&least_and(
        "[timeouts]\ntunnel_idle = \"off\"\ntunnel_lifetime = \"2h\"",
    ))
    .timeouts;
    assert_eq!(timeouts.tunnel_idle, None);
    assert_eq!(timeouts.tunnel_lifetime, Some(Duration::from_secs(7200)));
}

#[test]
fn a_lifetime_is_shortened_by_half_of_it_at_most() {
    let text = |jitter| least_and(&format!("[timeouts]\ntunnel_lifetime_jitter = {jitter}"));
    let jitter = |text: String| valid(&text).timeouts.tunnel_lifetime_jitter;
    assert_eq!(jitter(least_and("")), 10);
    assert_eq!((jitter(text(0)), jitter(text(50))), (0, 50));
    refuses(&text(51), "tunnel_lifetime_jitter", &["from 0 to 50"]);
}

#[test]
fn a_request_head_is_a_size_within_bounds() {
    let head = |value: &str| {
        let text = least_and(&format!("[limits]\nrequest_head = {value}"));
        valid(&text).limits.request_head
    };
    assert_eq!(head("\"8KiB\""), 8192);
    assert_eq!(head("1048576"), 1 << 20);
    for (value, word) in [
        ("8191", "8.0 KiB to 1.0 MiB"),
        ("\"2MiB\"", "8.0 KiB to 1.0 MiB"),
        ("-1", "out of range"),
        ("\"many\"", "not a size"),
        ("true", "found a boolean"),
    ] {
        let setting = format!("request_head = {value}");
        refuses(
            &least_and(&format!("[limits]\n{setting}")),
            &setting,
            &[word],
        );
    }
}

#[test]
fn request_headers_and_idle_backends_are_within_bounds() {
    let limits = valid(&least_and(
        "[limits]\nrequest_headers = 1000\nbackend_idle = 0",
    ))
    .limits;
    assert_eq!((limits.request_headers, limits.backend_idle), (1000, 0));
    for setting in [
        "request_headers = 0",
        "request_headers = 1001",
        "backend_idle = -1",
    ] {
        refuses(
            &least_and(&format!("[limits]\n{setting}")),
            setting,
            &["out of range"],
        );
    }
}

#[test]
fn every_setting_of_the_log_is_read() {
    let log = valid(&least_and(
        "[log]\nformat = \"json\"\naccess = false\nquery = true\nlevel = \"warn,longwire::pool=debug\"",
    ))
    .log;
    assert_eq!(log.format, LogFormat::Json);
    assert!(!log.access && log.query);
    assert_eq!(log.level, "warn,longwire::pool=debug");
}

#[test]
fn a_level_is_what_a_filter_understands() {
    for (level, word) in [
        ("inof", "did you mean `info`?"),
        ("loud", "no level"),
        ("info,x=loud", "cannot be understood"),
        ("", "is empty"),
    ] {
        let setting = format!("level = \"{level}\"");
        refuses(&least_and(&format!("[log]\n{setting}")), &setting, &[word]);
    }
    refuses(
        &least_and("[log]\naccess = 1"),
        "access",
        &["`true` or `false`"],
    );
}

#[test]
fn a_section_that_must_be_repeated_is_a_list() {
    let text = least_and("").replace("[[listener]]", "[listener]");
    refuses(&text, "[listener]", &["[[listener]]", "found a table"]);
    let text = least_and("").replace("[[route]]", "[route]");
    refuses(&text, "[route]", &["[[route]]", "found a table"]);
    let text = least_and("").replace("[pool.p]", "[[pool]]");
    refuses(&text, "[[pool]]", &["[pool.chat]", "found an array"]);
}

#[test]
fn empty_lists_are_refused_where_one_is_needed() {
    let text = "listener = []\nroute = []\npool = {}\n";
    let said: Vec<_> = problems(text)
        .iter()
        .map(|p| p.message().to_owned())
        .collect();
    assert_eq!(
        said,
        [
            "there is no listener",
            "there is no route",
            "there is no pool"
        ]
    );
}

#[test]
fn a_lost_backend_closes_its_tunnels_unless_a_route_says_otherwise() {
    let lost = |extra: &str| valid(&route(extra)).routes[0].on_backend_loss;
    assert_eq!(lost(""), OnBackendLoss::Close);
    assert_eq!(lost("on_backend_loss = \"close\""), OnBackendLoss::Close);
    let reconnect = "on_backend_loss = \"reconnect\"";
    let buffer = |buffer| OnBackendLoss::Reconnect { buffer };
    assert_eq!(lost(reconnect), buffer(65_536));
    let kept = |size| lost(&format!("{reconnect}\nreconnect_buffer = {size}"));
    assert_eq!(kept("0"), buffer(0));
    assert_eq!(kept("\"16MiB\""), buffer(16 << 20));
}

#[test]
fn what_is_kept_while_another_backend_is_looked_for_is_bounded_and_of_use() {
    let reconnect = "on_backend_loss = \"reconnect\"\n";
    let buffer = "reconnect_buffer = \"17MiB\"";
    refuses(
        &route(&format!("{reconnect}{buffer}")),
        buffer,
        &["16.0 MiB"],
    );
    let buffer = "reconnect_buffer = \"1KiB\"";
    let words = &["of no use", "has its default, \"close\"", "\"reconnect\""];
    refuses(&route(buffer), buffer, words);
    let close = format!("on_backend_loss = \"close\"\n{buffer}");
    refuses(
        &route(&close),
        buffer,
        &["of no use", "`on_backend_loss` is here"],
    );
    let misspelt = format!("on_backend_loss = \"reconect\"\n{buffer}");
    refuses(
        &route(&misspelt),
        "on_backend_loss",
        &["did you mean `reconnect`"],
    );
}

#[test]
fn a_route_says_which_protocols_connections_may_switch_to() {
    let allowed = |setting: &str| valid(&route(setting)).routes[0].upgrades.clone();
    assert!(!allowed("").allow(b"tcp"));
    let upgrades = allowed("upgrades = [\"tcp\", \"SPDY/3.1\", \"WebSocket\"]");
    assert!(upgrades.allow(b"TCP") && upgrades.allow(b"spdy/3.1"));
    for other in [&b"spdy"[..], b"spdy/3", b"h2c", b"websocket", b""] {
        assert!(!upgrades.allow(other), "{other:?}");
    }
    for (setting, words) in [
        ("upgrades = \"tcp\"", "expected an array such as"),
        ("upgrades = [1]", "expected the name of a protocol"),
        ("upgrades = [\"\"]", "no protocol"),
        ("upgrades = [\"tcp, h2c\"]", "no protocol"),
        ("upgrades = [\"SPDY/3/1\"]", "no protocol"),
        ("upgrades = [\"tcp\", \"h2c\"]", "past every route"),
        ("upgrades = [\"H2C\"]", "can never be allowed"),
        ("upgrades = [\"TLS/1.2\"]", "can never be allowed"),
        ("upgrades = [\"HTTP/2.0\"]", "can never be allowed"),
    ] {
        refuses(&route(setting), "upgrades", &[words]);
    }
}
