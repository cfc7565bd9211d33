//! How tunnels are drained.

use std::time::Duration;

use super::{
    super::{Drain, DrainCode, DrainPace, Returning},
    backends, only, refuses, valid,
};

fn text(keys: &str) -> String {
    backends("[\"a:1\"]", &format!("[pool.p.drain]\n{keys}"))
}

fn drain(keys: &str) -> Drain {
    valid(&text(keys)).pools[0].drain
}

#[test]
fn a_drain_is_read_with_its_defaults() {
    let seconds = Duration::from_secs;
    let default = Drain {
        pace: DrainPace::Over(seconds(30)),
        code: DrainCode::ServiceRestart,
        deadline: None,
        returning: Returning::Move,
    };
    assert_eq!(valid(&backends("[\"a:1\"]", "")).pools[0].drain, default);
    assert_eq!(drain(""), default);
    assert_eq!(
        drain("over = \"1m\"\ncode = 1001\ndeadline = \"2m\"\nreturning = \"keep\""),
        Drain {
            pace: DrainPace::Over(seconds(60)),
            code: DrainCode::GoingAway,
            deadline: Some(seconds(120)),
            returning: Returning::Keep,
        }
    );
    let pace = drain("rate = 50\ndeadline = \"1s\"").pace;
    assert_eq!(pace, DrainPace::Rate(50.try_into().unwrap()));
}

#[test]
fn wrong_drains_are_refused() {
    for (setting, word) in [
        ("over = \"0s\"", "is zero"),
        ("rate = 0", "from 1 to 100000"),
        ("rate = 100001", "from 1 to 100000"),
        ("code = 1000", "expected 1001 (going away) or 1012"),
        ("code = \"1012\"", "found a string"),
        ("returning = \"stay\"", "one of `keep`"),
        ("ovre = \"1s\"", "did you mean `over`?"),
    ] {
        refuses(&text(setting), setting, &[word]);
    }
}

#[test]
fn a_pace_is_given_once() {
    let both = text("over = \"10s\"\nrate = 5");
    refuses(&both, "rate", &["given twice", "`over` is here"]);
}

#[test]
fn a_drain_may_take_as_long_as_it_tells_tunnels() {
    let default = text("deadline = \"29s\"");
    let words = ["shorter than `over`", "`over` has its default"];
    refuses(&default, "deadline", &words);
    let written = text("over = \"10s\"\ndeadline = \"9s\"");
    refuses(&written, "deadline", &["`over` is here"]);
    drain("over = \"10s\"\ndeadline = \"10s\"");
    only(&text("over = 10\ndeadline = \"9s\""));
    only(&text("deadline = 9"));
}
