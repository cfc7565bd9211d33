//! How tunnels are rebalanced.

use std::time::Duration;

use super::{
    super::{Rebalance, RebalanceOrder},
    backends, only, refuses, valid,
};

const TWO: &str = "[\"a:1\", \"b:1\"]";

fn text(list: &str, pool: &str, keys: &str) -> String {
    backends(list, &format!("{pool}\n[pool.p.rebalance]\n{keys}"))
}

fn rebalance(keys: &str) -> Option<Rebalance> {
    valid(&text(TWO, "", keys)).pools[0].rebalance
}

#[test]
fn a_rebalance_is_off_unless_its_section_is_there() {
    assert_eq!(valid(&backends(TWO, "")).pools[0].rebalance, None);
    let default = Rebalance {
        rate: 10.try_into().unwrap(),
        tolerance: 10,
        min_age: Duration::from_secs(300),
        order: RebalanceOrder::Oldest,
        max_closing: 100.try_into().unwrap(),
    };
    assert_eq!(rebalance(""), Some(default));
    let keys = "rate = 1\ntolerance = 25\nmin_age = \"1m\"\norder = \"newest\"\nmax_closing = 5";
    let all = Rebalance {
        rate: 1.try_into().unwrap(),
        tolerance: 25,
        min_age: Duration::from_secs(60),
        order: RebalanceOrder::Newest,
        max_closing: 5.try_into().unwrap(),
    };
    assert_eq!(rebalance(keys), Some(all));
}

#[test]
fn wrong_rebalances_are_refused() {
    for (setting, word) in [
        ("rate = 0", "from 1 to 100000"),
        ("tolerance = 0", "from 1 to 100"),
        ("tolerance = 101", "from 1 to 100"),
        ("min_age = 5", "found an integer"),
        ("order = \"youngest\"", "one of `oldest`"),
        ("max_closing = 0", "from 1"),
        ("max_age = \"5m\"", "did you mean `min_age`?"),
    ] {
        refuses(&text(TWO, "", setting), setting, &[word]);
    }
}

#[test]
fn clients_that_would_come_back_are_not_rebalanced() {
    for affinity in [
        "\"ip\"",
        "{ by = \"header\", name = \"x\" }",
        "{ by = \"query\", name = \"x\" }",
    ] {
        let text = text(TWO, &format!("affinity = {affinity}"), "rate = 5");
        refuses(
            &text,
            "[pool.p.rebalance]",
            &["cannot be rebalanced", "come back"],
        );
    }
    valid(&text(TWO, "affinity = \"cookie\"", ""));
    only(&text(TWO, "affinity = \"cookies\"", ""));
}

#[test]
fn a_backend_alone_is_not_rebalanced() {
    let alone = text("[\"a:1\"]", "", "");
    refuses(
        &alone,
        "[pool.p.rebalance]",
        &["of no use", "has one backend"],
    );
    only(&text("[\"a\"]", "", ""));
}
