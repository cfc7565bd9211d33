//! How a pool's backends are checked.

use std::time::Duration;

use insta::assert_snapshot;

use super::{
    super::{Check, Exchange, Health, HttpCheck, OnDown, WebsocketCheck},
    backends, least_and, only, problems, refuses, valid,
};

/// A file whose pool is checked so.
fn checked(keys: &str) -> String {
    least_and(&format!("[pool.p.health]\n{keys}"))
}

fn health(keys: &str) -> Health {
    let pool = valid(&checked(keys)).pools.remove(0);
    pool.health.expect("a section")
}

fn http(keys: &str) -> HttpCheck {
    match health(&format!("check = \"http\"\n{keys}")).check {
        Check::Http(check) => check,
        other => panic!("{other}"),
    }
}

fn websocket(keys: &str) -> WebsocketCheck {
    match health(&format!("check = \"websocket\"\n{keys}")).check {
        Check::Websocket(check) => check,
        other => panic!("{other}"),
    }
}

#[test]
fn nobody_is_checked_unless_it_is_wanted() {
    assert!(valid(&least_and("")).pools[0].health.is_none());
}

#[test]
fn a_kind_of_check_is_all_that_has_to_be_said() {
    let health = health("check = \"tcp\"");
    assert!(matches!(health.check, Check::Tcp));
    assert_eq!(health.interval, Duration::from_secs(5));
    assert_eq!(health.timeout, Duration::from_secs(2));
    assert_eq!((health.rises.get(), health.falls.get()), (2, 3));
    assert_eq!((health.port, health.on_down), (None, OnDown::Keep));

    let http = http("");
    assert_eq!(http.question.path, "/");
    assert_eq!(http.question.host, None);
    assert!(http.question.headers.is_empty());
    assert_eq!(http.status.to_string(), "200-399");
    assert_eq!(http.body, None);

    let websocket = websocket("");
    assert_eq!(websocket.question.path, "/");
    assert_eq!((websocket.subprotocol, websocket.ping), (None, false));
    assert_eq!(websocket.exchange, None);
}

#[test]
fn every_setting_of_checks_is_read() {
    let health = health(
        "check = \"tcp\"\ninterval = \"30s\"\ntimeout = \"500ms\"\nrises = 1\nfalls = 7\n\
         port = 9100\non_down = \"drain\"",
    );
    assert_eq!(health.interval, Duration::from_secs(30));
    assert_eq!(health.timeout, Duration::from_millis(500));
    assert_eq!((health.rises.get(), health.falls.get()), (1, 7));
    assert_eq!((health.port, health.on_down), (Some(9100), OnDown::Drain));

    let http = http(
        "path = \"/health?full=1\"\nhost = \"chat.example.com:8080\"\nbody = \"ok\"\n\
         headers = { \"X-Token\" = \"sesame\", accept = \"text/plain\" }",
    );
    assert_eq!(http.question.path, "/health?full=1");
    assert_eq!(http.question.host.unwrap(), "chat.example.com:8080");
    assert_eq!(http.question.headers["x-token"], "sesame");
    assert_eq!(http.question.headers["accept"], "text/plain");
    assert_eq!(http.body.as_deref(), Some("ok"));

    let websocket = websocket(
        "path = \"/chat\"\nhost = \"h\"\nheaders = { a = \"b\" }\nsubprotocol = \"chat.v2\"\n\
         ping = true\nmessage = \"hello\"\nanswer = \"welcome\"",
    );
    assert_eq!(websocket.question.path, "/chat");
    assert_eq!(websocket.subprotocol.unwrap(), "chat.v2");
    assert!(websocket.ping);
    let exchange = websocket.exchange.unwrap();
    assert_eq!(
        (&*exchange.message, &*exchange.answer),
        ("hello", "welcome")
    );
}

#[test]
fn a_message_without_an_answer_is_to_come_back_itself() {
    let echo = Exchange {
        message: "hello".to_owned(),
        answer: "hello".to_owned(),
    };
    assert_eq!(websocket("message = \"hello\"").exchange, Some(echo));
}

#[test]
fn a_status_is_one_or_a_range() {
    for (written, shown, within, without) in [
        ("204", "204", 204, 200),
        ("\"204\"", "204", 204, 205),
        ("\"200-299\"", "200-299", 299, 300),
        ("\"401 - 403\"", "401-403", 401, 400),
        ("\"200-200\"", "200", 200, 201),
    ] {
        let status = http(&format!("status = {written}")).status;
        assert_eq!(status.to_string(), shown);
        assert!(
            status.contains(within) && !status.contains(without),
            "{shown}"
        );
    }
}

#[test]
fn a_token_in_a_header_is_shown_nowhere() {
    let health = http("headers = { \"x-token\" = \"sesame\" }");
    assert!(!format!("{health:?}").contains("sesame"));
    for header in [
        "x-token",
        "\"X-Api-Token\"",
        "authorization",
        "cookie",
        "password",
    ] {
        let text = checked(&format!(
            "check = \"http\"\nheaders = {{ {header} = \"sesame\", te = \"x\" }}"
        ));
        let shown = problems(&text).to_string();
        assert!(!shown.contains("sesame"), "{shown}");
    }
}

#[test]
fn wrong_settings_of_checks_are_refused() {
    for (keys, place, word) in [
        (
            "check = \"ping\"",
            "check",
            "one of `tcp`, `http`, `websocket`",
        ),
        ("check = \"htpp\"", "check", "did you mean `http`?"),
        ("check = true", "check", "found a boolean"),
        ("interval = \"5s\"", "[pool.p.health]", "check = \"http\""),
        (
            "check = \"tcp\"\ninterval = 5",
            "interval",
            "found an integer",
        ),
        ("check = \"tcp\"\ninterval = \"0s\"", "interval", "is zero"),
        (
            "check = \"tcp\"\ntimeout = \"off\"",
            "timeout",
            "not a duration",
        ),
        ("check = \"tcp\"\nrises = 0", "rises", "from 1"),
        ("check = \"tcp\"\nfalls = \"3\"", "falls", "found a string"),
        ("check = \"tcp\"\nport = 0", "port", "from 1 to 65535"),
        ("check = \"tcp\"\nport = 65536", "port", "from 1 to 65535"),
        (
            "check = \"tcp\"\non_down = \"kill\"",
            "on_down",
            "`keep`, `drain`",
        ),
        (
            "check = \"tcp\"\nintervall = \"5s\"",
            "intervall",
            "did you mean `interval`?",
        ),
        (
            "check = \"http\"\npath = \"health\"",
            "path",
            "begins with `/`",
        ),
        (
            "check = \"http\"\npath = \"/a b\"",
            "path",
            "percent-encoded",
        ),
        ("check = \"http\"\npath = \"/a#b\"", "path", "fragment"),
        ("check = \"http\"\nhost = \"a b\"", "host", "not a host"),
        (
            "check = \"http\"\nhost = \"a:0\"",
            "host",
            "from 1 to 65535",
        ),
        ("check = \"http\"\nstatus = 199", "status", "200 to 599"),
        ("check = \"http\"\nstatus = \"2xx\"", "status", "200 to 599"),
        (
            "check = \"http\"\nstatus = \"399-200\"",
            "status",
            "lower one comes first",
        ),
        ("check = \"http\"\nstatus = \"-200\"", "status", "no status"),
        (
            "check = \"http\"\nstatus = [200]",
            "status",
            "found an array",
        ),
        ("check = \"http\"\nbody = \"\"", "body", "is empty"),
        (
            "check = \"http\"\nheaders = \"x\"",
            "headers",
            "found a string",
        ),
        (
            "check = \"http\"\nheaders = { \"a b\" = \"c\" }",
            "headers",
            "no name of a header",
        ),
        (
            "check = \"http\"\nheaders = { a = 1 }",
            "headers",
            "found an integer",
        ),
        (
            "check = \"http\"\nheaders = { a = \"b\\nc\" }",
            "headers",
            "cannot be sent",
        ),
        (
            "check = \"http\"\nheaders = { Host = \"h\" }",
            "headers",
            "key of its own",
        ),
        (
            "check = \"http\"\nheaders = { Upgrade = \"h2c\" }",
            "headers",
            "itself",
        ),
        (
            "check = \"http\"\nheaders = { sec-websocket-protocol = \"a\" }",
            "headers",
            "`subprotocol`",
        ),
        (
            "check = \"websocket\"\nsubprotocol = \"a, b\"",
            "subprotocol",
            "no name of a subprotocol",
        ),
        (
            "check = \"websocket\"\nsubprotocol = \"\"",
            "subprotocol",
            "is empty",
        ),
        (
            "check = \"websocket\"\nping = \"yes\"",
            "ping",
            "`true` or `false`",
        ),
        (
            "check = \"websocket\"\nmessage = \"\"",
            "message",
            "is empty",
        ),
        (
            "check = \"websocket\"\nmessage = \"a\"\nanswer = 1",
            "answer",
            "found an integer",
        ),
    ] {
        refuses(&checked(keys), place, &[word]);
    }
}

#[test]
fn keys_of_another_kind_of_check_are_refused() {
    for (keys, place, words) in [
        (
            "check = \"tcp\"\npath = \"/\"",
            "path",
            "`check` as `http`, `websocket`",
        ),
        (
            "check = \"tcp\"\nhost = \"h\"",
            "host",
            "`check` as `http`, `websocket`",
        ),
        (
            "check = \"tcp\"\nheaders = {}",
            "headers",
            "`check` as `http`, `websocket`",
        ),
        (
            "check = \"websocket\"\nstatus = 101",
            "status",
            "`check` as `http`",
        ),
        (
            "check = \"websocket\"\nbody = \"ok\"",
            "body",
            "`check` as `http`",
        ),
        (
            "check = \"http\"\nsubprotocol = \"a\"",
            "subprotocol",
            "`check` as `websocket`",
        ),
        (
            "check = \"http\"\nping = true",
            "ping",
            "`check` as `websocket`",
        ),
        (
            "check = \"http\"\nmessage = \"a\"",
            "message",
            "`check` as `websocket`",
        ),
        (
            "check = \"http\"\nanswer = \"a\"",
            "answer",
            "`check` as `websocket`",
        ),
    ] {
        refuses(
            &checked(keys),
            place,
            &["has no meaning here", words, "not with this"],
        );
    }
    // What is not known to be wrong is not called so.
    only(&checked("check = \"htpt\"\nping = true\nbody = \"ok\""));
    only(&checked("chek = \"http\"\nbody = \"ok\""));
}

#[test]
fn an_answer_is_one_to_a_message() {
    let text = checked("check = \"websocket\"\nanswer = \"pong\"");
    refuses(&text, "answer", &["without `message`"]);
    only(&checked(
        "check = \"websocket\"\nmesage = \"a\"\nanswer = \"b\"",
    ));
    only(&checked(
        "check = \"websocket\"\nmessage = 1\nanswer = \"b\"",
    ));
}

#[test]
fn a_port_is_not_for_unix_sockets() {
    let pool = "health = { check = \"tcp\", port = 9100 }";
    let text = backends("[\"a:1\", \"unix:/run/x.sock\"]", pool);
    refuses(
        &text,
        "health",
        &["another `port`", "a Unix socket has no ports"],
    );
    // A faulty backend hides no fault of the checks, and makes none up.
    only(&backends("[\"a\"]", pool));
    let two = backends("[\"a\"]", "health = { check = \"tcp\", rises = 0 }");
    assert_eq!(problems(&two).iter().count(), 2);
}

#[test]
fn a_key_without_meaning_is_shown_beside_what_takes_it_away() {
    assert_snapshot!(problems(&checked("check = \"tcp\"\nbody = \"ok\"")), @r#"
    error: `body` has no meaning here
     --> proxy.toml:9:1
      |
    8 | check = "tcp"
      |         ----- not with this
    9 | body = "ok"
      | ^^^^ goes only with `check` as `http`
    "#);
}
