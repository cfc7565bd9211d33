//! What a pool does about backends that fail.

use std::time::Duration;

use super::{
    super::{Ejection, Intent, NoneReady, Pool, Retries},
    backends, refuses, valid,
};

fn with(lines: &str) -> String {
    backends("[\"a:1\"]", lines)
}

fn pool(lines: &str) -> Pool {
    valid(&with(lines)).pools.remove(0)
}

#[test]
fn nothing_has_to_be_written() {
    let pool = pool("");
    assert_eq!(pool.slow_start, Some(Duration::from_secs(10)));
    assert_eq!(pool.none_ready, NoneReady::Fail);
    assert_eq!(pool.ejection, Some(Ejection::default()));
    assert_eq!(pool.retries, Retries::default());
    assert_eq!(pool.backends[0].intent, Intent::Ready);
}

#[test]
fn each_setting_can_be_another_or_off() {
    let off = pool("slow_start = \"off\"\nnone_ready = \"try-all\"\nejection = \"off\"");
    assert_eq!(off.slow_start, None);
    assert_eq!(off.none_ready, NoneReady::TryAll);
    assert_eq!(off.ejection, None);

    let lines = "ejection = { failures = 2, networks = 1, share = 10, window = \"5m\", early_loss = \"off\", time = \"10m\" }\n\
                 retries = { max = 0, statuses = [500, 429], budget = 0 }";
    let changed = pool(lines);
    let ejection = changed.ejection.unwrap();
    assert_eq!(ejection.failures.get(), 2);
    assert_eq!((ejection.networks.get(), ejection.share), (1, 10));
    assert_eq!(ejection.window, Duration::from_secs(300));
    assert_eq!(ejection.early_loss, None);
    assert_eq!(ejection.max_time, ejection.time, "it is at least as long");
    assert_eq!(changed.retries.statuses, [500, 429]);
}

#[test]
fn a_backend_can_be_written_as_draining_or_in_maintenance() {
    let text = backends(
        "[{ address = \"a:1\", state = \"draining\" }, { address = \"b:1\", state = \"maintenance\" }]",
        "",
    );
    let intents = valid(&text).pools.remove(0).backends;
    let intents: Vec<_> = intents.iter().map(|backend| backend.intent).collect();
    assert_eq!(intents, [Intent::Draining, Intent::Maintenance]);
}

#[test]
fn wrong_settings_are_refused() {
    for (line, word) in [
        ("slow_start = \"0s\"", "is zero"),
        ("none_ready = \"try\"", "`try-all`"),
        ("ejection = true", "a table"),
        ("ejection = { failures = 0 }", "from 1"),
        ("ejection = { max_share = 101 }", "from 1 to 100"),
        ("ejection = { networks = 65 }", "from 1 to 64"),
        ("ejection = { share = 0 }", "from 1 to 100"),
        ("ejection = { window = \"off\" }", "not a duration"),
        (
            "ejection = { time = \"10s\", max_time = \"5s\" }",
            "shorter than `time`",
        ),
        ("ejection = { failure = 3 }", "did you mean `failures`?"),
        ("retries = { max = -1 }", "from 0 to 100"),
        ("retries = { statuses = [101] }", "from 400 to 599"),
        ("retries = { statuses = 503 }", "an array"),
        ("retries = { budget = 200 }", "from 0 to 100"),
        ("retries = 3\ndrain = { code = 1001 }", "a table"),
    ] {
        let first = line.lines().next().unwrap_or_default();
        refuses(&with(line), first, &[word]);
    }
    let backend = "{ address = \"a:1\", state = \"drainning\" }";
    let text = backends(&format!("[{backend}]"), "");
    refuses(&text, backend, &["did you mean `draining`?"]);
}
