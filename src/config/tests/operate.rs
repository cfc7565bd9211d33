//! How the proxy is operated: the sections `[admin]`, `[stop]`, `[upgrade]` and `[reload]`.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    super::{Admin, AdminSocket, DrainCode, DrainPace, Reload, Removed, Stop, Upgrade},
    bare, least_and, only, problems, refuses, valid, whole,
};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn the_door_is_where_it_is_said_to_be_from_the_file_on() {
    let admin = |keys: &str| valid(&least_and(&format!("[admin]\n{keys}"))).admin;
    assert_eq!(
        admin("socket = \"door.sock\"\nlisten = \"127.0.0.1:0\""),
        Admin {
            socket: AdminSocket::At(PathBuf::from("nowhere/door.sock")),
            listen: Some("127.0.0.1:0".parse().unwrap()),
            ..Admin::default()
        }
    );
    assert_eq!(admin("socket = \"off\"").socket, AdminSocket::Off);
    assert_eq!(admin("").socket, AdminSocket::Usual);
    refuses(
        &least_and("[admin]\nsocket = \"\""),
        "socket =",
        &["`socket` is empty"],
    );
}

#[test]
fn an_address_that_others_can_reach_needs_a_token() {
    let admin = |keys: &str| least_and(&format!("[admin]\n{keys}"));
    for reachable in ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:9090"] {
        let listen = format!("listen = \"{reachable}\"");
        let words = ["could give orders", "expected a `token`", "token_env"];
        refuses(&admin(&listen), &format!("\"{reachable}\""), &words);
        let with_token = format!("{listen}\ntoken = \"0123456789abcdef\"");
        let admin = valid(&admin(&with_token)).admin;
        assert!(admin.token.unwrap().is("0123456789abcdef"));
    }
    for own in ["127.0.0.1:9090", "127.1.2.3:9090", "[::1]:9090"] {
        assert_eq!(
            valid(&admin(&format!("listen = \"{own}\""))).admin.token,
            None
        );
    }
}

#[test]
fn a_token_is_not_shown_and_not_guessed_easily() {
    let admin = |keys: &str| least_and(&format!("[admin]\n{keys}"));
    refuses(
        &admin("token = \"short\""),
        "token",
        &[
            "the token is too short",
            "at least 16",
            "close every tunnel",
        ],
    );
    let twice = problems(&admin(
        "token = \"0123456789abcdef\"\ntoken_env = \"TOKEN\"",
    ))
    .to_string();
    assert!(twice.contains("the token is given twice"), "{twice}");
    assert!(!twice.contains("0123456789"), "{twice}");
    let token = valid(&admin("token = \"0123456789abcdef\"")).admin.token;
    assert_eq!(format!("{token:?}"), "Some(Token { .. })");
}

#[test]
fn the_door_is_found_in_a_file_that_is_wrong_elsewhere() {
    let admin = |text: &str| whole::admin(text, &bare(Path::new("nowhere")));
    let wrong = "[[listener]]\naddress = 5\nwhat\n[admin]\nsocket = \"door.sock\"\nlisten = 7";
    let expected = AdminSocket::At(PathBuf::from("nowhere/door.sock"));
    for text in [wrong, "[admin]\nsocket = \"door.sock\"\nnonsense = 1"] {
        assert_eq!(admin(text).socket, expected, "{text}");
    }
    for text in ["", "[admin\nsocket = \"door.sock\"", "[admin]\nsocket = 5"] {
        assert_eq!(admin(text).socket, AdminSocket::Usual, "{text}");
    }
}

#[test]
fn a_stop_is_read_with_its_defaults() {
    let stop = |keys: &str| valid(&least_and(&format!("[stop]\n{keys}"))).stop;
    let default = Stop {
        delay: Duration::ZERO,
        pace: DrainPace::Over(seconds(15)),
        code: DrainCode::GoingAway,
        deadline: seconds(30),
    };
    assert_eq!(stop(""), default);
    assert_eq!(
        stop("delay = \"5s\"\nrate = 50\ncode = 1012\ndeadline = \"1m\""),
        Stop {
            delay: seconds(5),
            pace: DrainPace::Rate(50.try_into().unwrap()),
            code: DrainCode::ServiceRestart,
            deadline: seconds(60),
        }
    );
}

#[test]
fn an_upgrade_is_read_with_its_defaults() {
    let upgrade = |keys: &str| valid(&least_and(&format!("[upgrade]\n{keys}"))).upgrade;
    let default = Upgrade {
        timeout: seconds(30),
        pace: DrainPace::Over(seconds(60)),
        code: DrainCode::ServiceRestart,
        deadline: seconds(120),
    };
    assert_eq!(upgrade(""), default);
    assert_eq!(
        upgrade("timeout = \"5s\"\nover = \"5s\"\ncode = 1001\ndeadline = \"10s\""),
        Upgrade {
            timeout: seconds(5),
            pace: DrainPace::Over(seconds(5)),
            code: DrainCode::GoingAway,
            deadline: seconds(10),
        }
    );
}

#[test]
fn a_stop_has_no_deadline_before_all_are_told() {
    for section in ["stop", "upgrade"] {
        let problem = only(&least_and(&format!("[{section}]\ndeadline = \"1s\"")));
        assert_eq!(problem.message(), "`deadline` is shorter than `over`");
    }
}

#[test]
fn a_reload_keeps_tunnels_unless_told_otherwise() {
    let reload = |keys: &str| valid(&least_and(&format!("[reload]\n{keys}"))).reload;
    let default = Reload {
        removed: Removed::Keep,
        certificates: Some(seconds(1)),
    };
    assert_eq!(reload(""), default);
    assert_eq!(
        reload("removed = \"drain\"\ncertificates = \"off\""),
        Reload {
            removed: Removed::Drain,
            certificates: None,
        }
    );
}
