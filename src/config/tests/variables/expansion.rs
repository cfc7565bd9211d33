//! What stands for what.

use proptest::prelude::*;

use super::{affinity, checked, expanded, problems, valid};
use crate::config::{
    Affinity, Problem, Secret,
    tests::{backends, least_and},
    variables::parts,
};

#[test]
fn a_variable_stands_for_its_value_wherever_a_string_is() {
    let listening = least_and("").replace("127.0.0.1:8080", "${ADDRESS}");
    assert_eq!(valid(&listening).listeners[0].address.port(), 8443);

    let named = least_and("").replace("\"p\"", "\"${POOL}\"");
    assert_eq!(valid(&named).routes[0].pool, 0);

    let members = "['${HOST}:${PORT}', { address = \"http://${HOST}:1\" }]";
    let pool = valid(&backends(members, "")).pools.remove(0);
    let addresses = pool
        .backends
        .iter()
        .map(|backend| backend.address.to_string());
    assert_eq!(
        addresses.collect::<Vec<_>>(),
        ["10.0.0.7:9001", "10.0.0.7:1"]
    );

    let sent = checked("headers = { x-room = \"a ${PORT}\" }")
        .question
        .headers;
    assert_eq!(sent["x-room"], "a 9001");
}

#[test]
fn affinity_and_its_secret_may_come_from_variables() {
    let short = valid(&affinity("\"${COOKIE}\"")).pools.remove(0);
    assert!(matches!(short.affinity, Affinity::Cookie(_)));
    let long = affinity("{ by = \"${COOKIE}\", secret = \"${SECRET}\", name = \"a${PORT}\" }");
    match valid(&long).pools.remove(0).affinity {
        Affinity::Cookie(cookie) => {
            assert!(cookie.secret == Secret::configured("hush hush hush hush"));
            assert_eq!(cookie.name, "a9001");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_default_is_for_what_is_unset_or_empty() {
    for (value, expected) in [
        ("'a${NOPE:-b}c'", "abc"),
        ("'a${EMPTY:-b}c'", "abc"),
        ("'a${PORT:-b}c'", "a9001c"),
        ("'a${EMPTY}c'", "ac"),
        ("'a${NOPE:-}c'", "ac"),
        ("'a${NOPE:-b:-c}'", "ab:-c"),
        ("'${NOPE:-$}'", "$"),
        ("\"${NOPE:-\\\"}\"", "\""),
    ] {
        assert_eq!(expanded(value), expected, "{value}");
    }
}

#[test]
fn two_dollars_before_a_brace_stand_for_one() {
    for (value, expected) in [
        ("'$${HOST}'", "${HOST}"),
        ("'$${'", "${"),
        ("'$$${HOST}'", "$${HOST}"),
        ("'$${HOST}${PORT}$${'", "${HOST}9001${"),
        ("'${PORT}$'", "9001$"),
        ("'$'", "$"),
        ("'$$'", "$$"),
        ("'$HOST {HOST} $ {HOST}'", "$HOST {HOST} $ {HOST}"),
    ] {
        assert_eq!(expanded(value), expected, "{value}");
    }
}

#[test]
fn what_comes_from_a_variable_is_not_expanded_again() {
    assert_eq!(expanded("'${REFERENCE}'"), "${HOST}");
}

#[test]
fn keys_are_not_expanded() {
    let text = least_and("").replace("[pool.p]", "[pool.\"${POOL}\"]");
    let problems = problems(&text);
    let messages: Vec<_> = problems.iter().map(Problem::message).collect();
    let expected = "a pool cannot be called `${POOL}`";
    assert!(messages.contains(&expected), "{messages:?}");
}

proptest! {
    #[test]
    fn text_without_a_reference_is_unchanged(text in "\\PC+|[$a{}:-]+") {
        prop_assume!(!text.contains("${"));
        let value = toml::Value::String(text.clone()).to_string();
        prop_assert_eq!(expanded(&value), text);
    }

    #[test]
    fn any_text_can_be_written_with_two_dollars(text in "([$a{}:-]|\\$\\{|\\$\\$)+") {
        let value = toml::Value::String(text.replace("${", "$${")).to_string();
        prop_assert_eq!(expanded(&value), text);
    }

    #[test]
    fn the_parts_of_a_string_are_all_of_it(text in "([$a{}:é-]|\\$\\{|\\$\\{A:-|\\$\\$)*") {
        let mut end = 0;
        for part in parts(&text) {
            prop_assert_eq!(part.place.start, end);
            prop_assert!(text.get(part.place.clone()).is_some_and(|part| !part.is_empty()));
            end = part.place.end;
        }
        prop_assert_eq!(end, text.len());
    }
}
