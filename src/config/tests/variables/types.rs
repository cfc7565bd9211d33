//! Values that are no strings.

use std::time::Duration;

use super::{affinity, checked, only, valid};
use crate::config::{
    DrainCode, Statuses,
    tests::{backends, least_and, listener, said},
};

#[test]
fn an_integer_may_come_from_a_variable() {
    for (written, integer) in [
        ("${MANY}", 1000),
        ("${HEX}", 16),
        ("1${ZERO}${ZERO}", 100),
        ("${NOPE:-7}", 7),
    ] {
        let config = valid(&listener(&format!("max_connections = \"{written}\"")));
        let limit = config.listeners[0].max_connections.unwrap();
        assert_eq!(limit.get(), integer, "{written}");
    }
    let drain = valid(&least_and("[pool.p.drain]\ncode = \"${CODE}\""));
    assert_eq!(drain.pools[0].drain.code, DrainCode::GoingAway);
    let retries = "[pool.p.retries]\nstatuses = [500, \"${NOPE:-503}\"]";
    let retries = valid(&least_and(retries)).pools.remove(0).retries;
    assert_eq!(retries.statuses, [500, 503]);
}

#[test]
fn a_boolean_may_come_from_a_variable() {
    let log = valid(&least_and("[log]\naccess = \"${FALSE}\"")).log;
    assert!(!log.access);
}

#[test]
fn what_may_be_a_number_or_text_may_come_from_a_variable() {
    let head = |written: &str| {
        let limits = format!("[limits]\nrequest_head = \"{written}\"");
        valid(&least_and(&limits)).limits.request_head
    };
    assert_eq!(head("${SIZE}"), 16 << 10);
    assert_eq!(head("${NOPE:-0x4000}"), 16 << 10);

    let status = |written: &str| checked(&format!("status = \"{written}\"")).status;
    assert_eq!(status("${NOPE:-2_04}"), Statuses::only(204));
    assert_eq!(status("2${ZERO}${ZERO}-204").to_string(), "200-204");
}

#[test]
fn what_may_be_off_may_come_from_a_variable() {
    let slow_start = |written: &str| {
        let text = backends("[\"h:1\"]", &format!("slow_start = \"{written}\""));
        valid(&text).pools[0].slow_start
    };
    assert_eq!(slow_start("${OFF}"), None);
    assert_eq!(slow_start("${SEVEN}"), Some(Duration::from_secs(7)));
    let factor = |written: &str| {
        let table = format!("{{ by = \"ip\", balance_factor = \"{written}\" }}");
        valid(&affinity(&table)).pools[0].affinity.balance_factor()
    };
    assert_eq!(factor("${OFF}"), None);
    assert_eq!(factor("${NOPE:-150}"), Some(150));
}

#[test]
fn a_string_without_a_variable_is_no_number_and_no_boolean() {
    for setting in [
        "max_connections = \"12\"",
        "max_connections = \"$12\"",
        "max_connections = \"$${12}\"",
    ] {
        let said = said(&only(&listener(setting)));
        assert!(said.contains("an integer from 1, found a string"), "{said}");
        assert!(!said.contains("expands"), "{said}");
    }
    let said = said(&only(&least_and("[log]\naccess = \"true\"")));
    assert!(said.contains("found a string"), "{said}");
}

#[test]
fn a_number_out_of_a_variable_is_checked_like_one_that_is_written() {
    for (variable, word) in [
        ("ZERO", "out of range"),
        ("LOTS", "found a string"),
        ("FRACTION", "found a string"),
        ("FALSE", "found a string"),
        ("REMARK", "found a string"),
        ("PADDED", "found a string"),
        ("LINE", "found a string"),
        ("QUOTED", "found a string"),
        ("LIST", "found a string"),
        ("EMPTY", "found a string"),
    ] {
        let setting = format!("max_connections = \"${{{variable}}}\"");
        let said = said(&only(&listener(&setting)));
        assert!(said.contains("expected an integer from 1"), "{said}");
        assert!(said.contains(word), "{said}");
    }
    let said = said(&only(&least_and("[log]\naccess = \"${ZERO}\"")));
    assert!(said.contains("expected `true` or `false`"), "{said}");
}
