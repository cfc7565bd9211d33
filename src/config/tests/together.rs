//! What sections say about each other.

use std::time::Duration;

use super::{backends, least_and, listener, only, problems, refuses, route, said, valid};

#[test]
fn a_route_to_a_faulty_pool_is_sound() {
    only(&backends("[\"10.0.0.1:1\"]", "balance = \"best\""));
    only(&backends("3", ""));
    only(&least_and("").replace("[pool.p]\nbackends", "[pool]\np = 3\n#"));
}

#[test]
fn a_route_leads_to_its_pool_in_the_order_of_the_file() {
    let config = valid(
        &("[[route]]\npath = \"/z\"\npool = \"a\"\n".to_owned()
            + &least_and("[pool.a]\nbackends = [\"h:1\"]")),
    );
    let names: Vec<_> = config.pools.iter().map(|pool| &*pool.name).collect();
    assert_eq!(names, ["p", "a"]);
    assert_eq!((config.routes[0].pool, config.routes[1].pool), (1, 0));
}

#[test]
fn a_route_to_nowhere_names_the_pools_that_there_are() {
    let text = route("").replace("pool = \"p\"", "pool = \"elsewhere\"");
    let said: Vec<_> = problems(&text).iter().map(said).collect();
    assert!(
        said[0].contains("no pool `elsewhere`\nexpected one of `p`"),
        "{said:?}"
    );
    assert!(said[1].contains("no route uses the pool `p`"), "{said:?}");
}

#[test]
fn a_pool_that_no_route_uses_is_a_problem() {
    let text = least_and("[pool.spare]\nbackends = [\"h:1\"]");
    refuses(&text, "[pool.spare]", &["no route uses the pool `spare`"]);
}

#[test]
fn a_pool_is_not_called_unused_where_a_route_could_not_be_read() {
    only(&least_and("[pool.spare]\nbackends = [\"h:1\"]").replace("pool = \"p\"", "pool = 3"));
}

#[test]
fn a_pool_has_a_plain_name() {
    let text = least_and("")
        .replace("pool.p]", "pool.\"a b\"]")
        .replace("\"p\"", "\"a b\"");
    refuses(&text, "[pool.\"a b\"]", &["letters, digits"]);
}

#[test]
fn an_address_is_listened_on_once() {
    let twice = |first: &str, second: &str| {
        let text = least_and(&format!("[[listener]]\naddress = \"{second}\""));
        text.replace("127.0.0.1:8080", first)
    };
    refuses(
        &twice("[::1]:1", "[0:0::1]:1"),
        "[0:0::1]:1",
        &["twice", "first used here"],
    );
    valid(&twice("127.0.0.1:0", "127.0.0.1:0"));
    valid(&twice("0.0.0.0:80", "127.0.0.1:80"));
    // Another fault of a listener does not hide it.
    let text = listener("max_connections = 0") + "[[listener]]\naddress = \"127.0.0.1:8080\"";
    assert_eq!(problems(&text).iter().count(), 2);
}

#[test]
fn a_host_and_path_have_one_route() {
    let two =
        |first: &str, second: &str| route(first) + &format!("[[route]]\npool = \"p\"\n{second}\n");
    let words = ["same host and path", "this one"];
    refuses(&two("", ""), "[[route]]", &words);
    refuses(&two("", "path = \"/\""), "path", &words);
    refuses(&two("host = \"a\"", "host = \"A\""), "host = \"A\"", &words);
    valid(&two("host = \"a\"", "host = \"*.a\""));
    valid(&two("path = \"/a\"", "path = \"/b\""));
    only(&two("host = \"a:1\"", "host = \"a:1\"").replacen("a:1", "a", 1));
}

#[test]
fn a_tunnel_is_pinged_before_it_is_idle_for_too_long() {
    let idle = "[timeouts]\ntunnel_idle = \"20s\"";
    refuses(
        &least_and(idle),
        "tunnel_idle",
        &["not longer", "has its default"],
    );
    let text = least_and(&format!("{idle}\n[keepalive]\ninterval = \"21s\""));
    refuses(
        &text,
        "tunnel_idle",
        &["`interval` is here", "before it is ever pinged"],
    );
    let text = route("keepalive.interval = \"30s\"") + "[timeouts]\ntunnel_idle = \"25s\"";
    refuses(&text, "tunnel_idle", &["`interval` is here"]);

    valid(&least_and("[timeouts]\ntunnel_idle = \"21s\""));
    valid(&least_and(&format!(
        "{idle}\n[keepalive]\ninterval = \"off\""
    )));
    // What counts is what the routes make of it.
    valid(&(route("keepalive.interval = \"5s\"") + idle));
    // One place is told once, however many routes it is for.
    only(&(least_and(idle) + "[[route]]\npath = \"/b\"\npool = \"p\""));
    only(&least_and(&format!(
        "{idle}\n[keepalive]\ninterval = \"1y 2q\""
    )));
}

#[test]
fn a_routes_own_timeouts_are_checked_with_those_that_it_takes_over() {
    let text = route("timeouts = { handshake = \"4s\" }");
    refuses(
        &text,
        "handshake",
        &["shorter than `connect`", "has its default"],
    );
    let text = route("timeouts.connect = \"8s\"") + "[timeouts]\nhandshake = \"7s\"";
    refuses(&text, "handshake", &["shorter than `connect`", "is here"]);
    let text = route("timeouts.tunnel_idle = \"9s\"");
    refuses(&text, "tunnel_idle", &["not longer", "has its default"]);
    let text = route("timeouts.request_head = \"9s\"");
    refuses(&text, "request_head", &["unknown"]);
    // What is wrong in [timeouts] is told once.
    only(&(route("timeouts.close = \"1s\"") + "[timeouts]\nhandshake = \"4s\""));

    let text = route("timeouts = { handshake = \"1m\", answer = \"2s\" }");
    let config = valid(&(text + "[timeouts]\nconnect = \"7s\""));
    let own = config.routes[0].timeouts;
    assert_eq!(own.handshake, Duration::from_secs(60));
    assert_eq!(own.connect, Duration::from_secs(7));
    assert_eq!(own.answer, Some(Duration::from_secs(2)));
    assert_eq!(config.timeouts.handshake, Duration::from_secs(10));
}

#[test]
fn a_tunnel_may_live_as_long_as_it_may_be_idle() {
    let text = least_and("[timeouts]\ntunnel_idle = \"2m\"\ntunnel_lifetime = \"1m\"");
    refuses(
        &text,
        "tunnel_lifetime",
        &["shorter than `tunnel_idle`", "is here"],
    );
    valid(&least_and(
        "[timeouts]\ntunnel_idle = \"2m\"\ntunnel_lifetime = \"2m\"",
    ));
}

#[test]
fn a_handshake_may_take_as_long_as_its_connection() {
    let text = least_and("[timeouts]\nhandshake = \"4s\"");
    refuses(
        &text,
        "handshake",
        &["shorter than `connect`", "`connect` has its default"],
    );
    let text = least_and("[timeouts]\nconnect = \"11s\"");
    refuses(&text, "connect", &["`handshake` has its default"]);
    valid(&least_and("[timeouts]\nhandshake = \"5s\""));
    only(&least_and("[timeouts]\nconnect = 11\nhandshake = \"4s\""));
}

#[test]
fn a_backend_is_none_of_our_own_listeners() {
    for backend in ["127.0.0.1:8080", "localhost:8080", "http://0.0.0.0:8080"] {
        let text = backends(&format!("[\"{backend}\"]"), "");
        refuses(&text, &format!("\"{backend}\""), &["this proxy itself"]);
    }
    let everywhere = |backend: &str| {
        let text = backends(&format!("[\"{backend}\"]"), "");
        text.replace("127.0.0.1:8080", "0.0.0.0:8080")
    };
    let text = everywhere("127.0.0.9:8080");
    refuses(&text, "\"127.0.0.9:8080\"", &["this proxy itself"]);
    valid(&everywhere("192.0.2.1:8080"));
    valid(&everywhere("127.0.0.1:8081"));
}
