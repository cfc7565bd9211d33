//! How many handshakes are let in.

use std::time::Duration;

use super::{
    super::{Admission, Gate, PoolAdmission, Refusal},
    least_and, only, refuses, route, valid,
};

/// What a gate says: its rate, its burst, its places, its line and how long that takes.
fn said(gate: Gate) -> [usize; 5] {
    let rate = gate.rate.map_or((0, 0), |rate| {
        (rate.per_second.get() as usize, rate.burst.get() as usize)
    });
    let seconds = usize::try_from(gate.queue_timeout.as_secs()).unwrap();
    let handshakes = gate.handshakes.map_or(0, usize::from);
    [rate.0, rate.1, handshakes, gate.queue, seconds]
}

#[test]
fn nothing_is_limited_unless_it_is_written() {
    let config = valid(&least_and(""));
    assert_eq!(config.admission, Admission::default());
    assert_eq!(config.pools[0].admission, PoolAdmission::default());
    assert!(!config.admission.all.has_limit() && !config.admission.client.has_limit());
    assert!(!config.pools[0].admission.all.has_limit());
    assert!(!config.pools[0].admission.backend.has_limit());
}

#[test]
fn each_gate_has_its_own_keys() {
    let text = least_and(
        "[pool.p.admission]\nhandshakes = 3\n\
         [pool.p.admission.backend]\nrate = 50\nqueue = 0\n\
         [admission]\nrate = 500\nburst = 7\nqueue_timeout = \"9s\"\nretry_after = \"2s\"\n\
         [admission.client]\nrate = 20\nqueue = 4",
    );
    let config = valid(&text);
    assert_eq!(said(config.admission.all), [500, 7, 0, 1000, 9]);
    assert_eq!(said(config.admission.client), [20, 20, 0, 4, 5]);
    assert_eq!(config.admission.retry_after, Duration::from_secs(2));
    let pool = config.pools[0].admission;
    assert_eq!(said(pool.all), [0, 0, 3, 1000, 5]);
    assert_eq!(said(pool.backend), [50, 5, 0, 0, 5]);
}

#[test]
fn a_burst_is_a_tenth_of_the_rate_and_at_least_one_but_for_a_client_all_of_it() {
    for (rate, of_all, of_client) in [
        (1, 1, 1),
        (19, 1, 19),
        (20, 2, 20),
        (1_000_000, 100_000, 1_000_000),
    ] {
        let text = format!("[admission]\nrate = {rate}\n[admission.client]\nrate = {rate}");
        let admission = valid(&least_and(&text)).admission;
        assert_eq!(said(admission.all)[1], of_all);
        assert_eq!(said(admission.client)[1], of_client);
    }
    let defaults = valid(&least_and("[admission.client]\nrate = 1")).admission;
    assert_eq!(said(defaults.client)[3], 0, "nobody waits");
}

#[test]
fn a_section_that_limits_nothing_is_a_problem() {
    for section in [
        "[admission]",
        "[admission.client]",
        "[pool.p.admission]",
        "[pool.p.admission.backend]",
    ] {
        let words = ["limits nothing", "`rate`", "`handshakes`"];
        refuses(&least_and(section), section, &words);
        for key in ["queue = 3", "queue_timeout = \"3s\""] {
            let words = ["nobody waits where nothing is limited", "`rate`"];
            refuses(&least_and(&format!("{section}\n{key}")), key, &words);
        }
        // A misspelt limit is told as what it is.
        only(&least_and(&format!("{section}\nrte = 3")));
        only(&least_and(&format!("{section}\nhandshake = 3")));
        only(&least_and(&format!("{section}\nrate = 0")));
    }
    valid(&least_and("[admission]\nretry_after = \"1s\""));
    valid(&least_and("[admission]\nclient = { handshakes = 1 }"));
}

#[test]
fn keys_that_do_not_go_together_are_a_problem() {
    let text = least_and("[admission]\nhandshakes = 3\nburst = 2");
    refuses(
        &text,
        "burst",
        &["no meaning without `rate`", "`rate` beside it"],
    );
    let text = least_and("[admission]\nhandshakes = 3\nqueue = 0\nqueue_timeout = \"1s\"");
    refuses(&text, "queue_timeout", &["never reached", "nobody waits"]);
    let text = least_and("[admission.client]\nhandshakes = 3\nqueue_timeout = \"1s\"");
    refuses(&text, "queue_timeout", &["never reached", "nobody waits"]);
}

#[test]
fn a_handshake_waits_for_its_backend_no_longer_than_it_may_take() {
    let gate = "[pool.p.admission.backend]\nrate = 5\nqueue_timeout = ";
    let text = least_and(&format!("{gate}\"10s\""));
    let words = ["not shorter than `timeouts.handshake`", "less than 10s"];
    refuses(&text, "queue_timeout", &words);
    valid(&least_and(&format!("{gate}\"9s\"")));
    let longer = "[timeouts]\nhandshake = \"20s\"";
    valid(&least_and(&format!("{gate}\"19s\"\n{longer}")));
    let others = "[pool.p.admission]\nrate = 5\nqueue_timeout = \"1m\"";
    valid(&least_and(others));
}

#[test]
fn wrong_limits_are_refused() {
    for (line, word) in [
        ("rate = 0", "from 1 to 1000000"),
        ("rate = 1000001", "from 1 to 1000000"),
        ("rate = 0.5", "found a number with a fraction"),
        ("rate = 5\nburst = 0", "from 1"),
        ("handshakes = 0", "from 1"),
        ("rate = 5\nqueue = -1", "from 0"),
        ("rate = 5\nqueue_timeout = \"0s\"", "is zero"),
        ("rate = 5\nretry_after = \"500ms\"", "at least \"1s\""),
    ] {
        let place = line.lines().last().unwrap();
        refuses(&least_and(&format!("[admission]\n{line}")), place, &[word]);
    }
    let inner = "[admission.client]\nrate = 5\nretry_after = \"5s\"";
    refuses(&least_and(inner), "retry_after", &["unknown key"]);
}

#[test]
fn a_route_says_how_clients_hear_of_a_refusal() {
    assert_eq!(valid(&route("")).routes[0].refusal, Refusal::Status);
    let close = valid(&route("refusal = \"close\""));
    assert_eq!(close.routes[0].refusal, Refusal::Close);
    refuses(
        &route("refusal = \"no\""),
        "refusal",
        &["`close`", "`status`"],
    );
}
