//! Variables of the environment in values.

use std::{env::VarError, path::Path, time::Duration};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{
    super::{
        Affinity, Check, Config, DrainCode, HttpCheck, Problem, Problems, Secret, Statuses,
        surroundings::Surroundings, variables::parts,
    },
    backends, bare, least_and, listener, read_in, route, said,
};

const SET: [(&str, &str); 24] = [
    ("ADDRESS", "127.0.0.1:8443"),
    ("CODE", "1001"),
    ("COOKIE", "cookie"),
    ("EMPTY", ""),
    ("FALSE", "false"),
    ("FRACTION", "1.5"),
    ("HEX", "0x10"),
    ("HOST", "10.0.0.7"),
    ("LINE", "1\n"),
    ("LIST", "[1]"),
    ("LOTS", "lots"),
    ("MANY", "1_000"),
    ("OFF", "off"),
    ("PADDED", " 1"),
    ("POOL", "p"),
    ("PORT", "9001"),
    ("QUOTED", "'1'"),
    ("REFERENCE", "${HOST}"),
    ("REMARK", "1 # one"),
    ("SECRET", "hush hush hush hush"),
    ("SEVEN", "7s"),
    ("SHORT_SECRET", "hush"),
    ("SIZE", "16KiB"),
    ("ZERO", "0"),
];

fn variable(name: &str) -> Result<String, VarError> {
    if name == "BROKEN" {
        return Err(VarError::NotUnicode("hush".into()));
    }
    let found = SET.iter().find(|(set, _)| *set == name);
    let found = found.map(|(_, value)| (*value).to_owned());
    found.ok_or(VarError::NotPresent)
}

/// What comes of `text` in a world in which those are set.
fn read(text: &str) -> Result<Config, Problems> {
    let bare = bare(Path::new("nowhere"));
    read_in(text, &Surroundings { variable, ..bare })
}

fn valid(text: &str) -> Config {
    read(text).unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn problems(text: &str) -> Problems {
    read(text).expect_err("the text is valid")
}

/// The one problem of `text`.
#[track_caller]
fn only(text: &str) -> Problem {
    let problems = problems(text);
    assert_eq!(problems.iter().count(), 1, "{problems}");
    problems.iter().next().unwrap().clone()
}

/// The part of `text` that its one problem marks.
#[track_caller]
fn marked(text: &str) -> &str {
    &text[only(text).span().expect("a place")]
}

fn affinity(table: &str) -> String {
    backends("[\"10.0.0.1:1\"]", &format!("affinity = {table}"))
}

fn check(keys: &str) -> String {
    least_and(&format!("[pool.p.health]\ncheck = \"http\"\n{keys}"))
}

fn checked(keys: &str) -> HttpCheck {
    match valid(&check(keys)).pools.remove(0).health.unwrap().check {
        Check::Http(check) => check,
        other => panic!("{other:?}"),
    }
}

/// What comes of `value`, written as TOML.
fn expanded(value: &str) -> String {
    checked(&format!("body = {value}")).body.unwrap()
}

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

#[test]
fn a_variable_that_is_not_set_is_marked_itself() {
    for value in [
        "\"${HOST}${NOPE}:1\"",
        "'${HOST}${NOPE}:1'",
        "\"\"\"${HOST}${NOPE}\"\"\"",
        "'''\n${HOST}\n${NOPE}'''",
        "\"\"\"\r\n${NOPE}\"\"\"",
        "\"é${NOPE}\"",
    ] {
        let text = route(&format!("host = {value}"));
        assert_eq!(marked(&text), "${NOPE}", "{value}");
        let said = said(&only(&text));
        assert!(said.contains("variable `NOPE` is not set"), "{said}");
        assert!(said.contains("`${NOPE:-default}`"), "{said}");
    }
    let problem = only(&route("host = \"é${NOPE}\""));
    assert_eq!((problem.line(), problem.column()), (Some(5), Some(10)));
}

#[test]
fn where_escapes_hide_a_variable_the_whole_value_is_marked() {
    for value in ["\"\\u0041${NOPE}\"", "\"${NOPE}\\\\\"", "\"\\u0024{NOPE}\""] {
        assert_eq!(marked(&route(&format!("host = {value}"))), value);
    }
}

#[test]
fn what_is_malformed_is_marked_with_what_was_expected() {
    for (value, part, word) in [
        ("a${", "${", "has no `}`"),
        ("a${HOST", "${HOST", "has no `}`"),
        ("a${HOST:-x", "${HOST:-x", "has no `}`"),
        ("a${}b", "${}", "not followed by a variable's name"),
        ("a${1X}b", "${1X}", "letters, digits and `_`"),
        ("a${:-x}b", "${:-x}", "not followed by"),
        ("a${ HOST }b", "${ HOST }", "not followed by"),
        ("a${HOST-x}b", "${HOST-x}", "`${NAME:-default}`"),
        ("a${HOST:?x}b", "${HOST:?x}", "`${NAME:-default}`"),
        ("a${É}b", "${É}", "written `$${`"),
        ("a${NOPE:-${HOST}}b", "${NOPE:-${HOST}", "in the default"),
        ("a${NOPE:-$${}b", "${NOPE:-$${}", "in the default"),
    ] {
        let text = route(&format!("host = '{value}'"));
        assert_eq!(marked(&text), part);
        let said = said(&only(&text));
        assert!(said.contains(word), "{value}: {said}");
    }
}

#[test]
fn every_fault_of_a_string_is_told() {
    let problems = problems(&route("host = '${NOPE}${}${HOST}${NADA}${'"));
    assert_eq!(problems.iter().count(), 4, "{problems}");
}

#[test]
fn a_variable_that_is_not_unicode_is_refused_even_with_a_default() {
    for variable in ["${BROKEN}", "${BROKEN:-x}"] {
        let text = route(&format!("host = \"{variable}\""));
        assert_eq!(marked(&text), variable);
        let said = said(&only(&text));
        assert!(said.contains("`BROKEN` is not Unicode"), "{said}");
    }
    let text = affinity("{ by = \"cookie\", secret_env = \"BROKEN\" }");
    let said = said(&only(&text));
    assert!(said.contains("`BROKEN` is not Unicode"), "{said}");
}

#[test]
fn a_value_that_cannot_be_expanded_is_told_once() {
    for text in [
        least_and("").replace("\"p\"", "\"${NOPE}\""),
        least_and("").replace("127.0.0.1:8080", "${NOPE}"),
        backends("\"${NOPE}\"", ""),
        backends("[\"${NOPE}\"]", ""),
        backends("[{ address = \"${NOPE}\" }]", ""),
        affinity("\"${NOPE}\""),
        affinity("{ by = \"${NOPE}\", name = \"x\" }"),
        affinity("{ by = \"cookie\", secret = \"${NOPE}\" }"),
        check("headers = { x = \"${NOPE}\" }"),
        check("headers = \"${NOPE}\""),
        check("status = \"${NOPE}\""),
        listener("max_connections = \"${NOPE}\""),
        listener("tls = \"${NOPE}\""),
        least_and("[log]\naccess = \"${NOPE}\""),
        least_and("[limits]\nrequest_head = \"${NOPE}\""),
        least_and("[timeouts]\ntunnel_idle = \"${NOPE}\"\ntunnel_lifetime = \"1s\""),
        least_and("[timeouts]\nhandshake = \"${NOPE}\"\nconnect = \"20s\""),
    ] {
        let said = said(&only(&text));
        assert!(said.contains("`NOPE` is not set"), "{text}\n{said}");
    }
}

#[test]
fn a_line_that_is_no_toml_is_told_alone() {
    only(&route("host = \"${NOPE}"));
    only(&route("host = \"${NOPE}\\q\""));
}

#[test]
fn no_problem_shows_what_may_be_a_secret() {
    for text in [
        affinity("{ by = \"cookie\", secret = \"${SHORT_SECRET}\" }"),
        affinity("{ by = \"cookie\", secret = \"${NOPE}${SECRET}\" }"),
        affinity("{ by = \"cookie\", secret = [\"${SECRET}\"] }"),
        affinity("{ by = \"cookie\", secret_env = \"${SECRET}\" }"),
        affinity("{ by = \"cookie\", secret_file = \"${SECRET}\" }"),
        affinity("{ by = \"cookie\", sekret = \"${SECRET}\" }"),
        affinity("{ by = \"cookie\", max_age = \"${SHORT_SECRET}\" }"),
        affinity("\"${SECRET}\""),
        backends("\"${SECRET}\"", ""),
        backends("[\"${SECRET}\"]", ""),
        backends("[\"${SHORT_SECRET}:1\", \"${SHORT_SECRET}:1\"]", ""),
        listener("max_connections = \"${SECRET}\""),
        listener("tls.certificates = [{ chain = \"${SECRET}\", key = \"${SECRET}\" }]"),
        route("path = \"${SECRET}\""),
        route("host = \"${SECRET}\""),
        route("refusal = \"${SECRET}\""),
        least_and("").replace("\"p\"", "\"${SHORT_SECRET}\""),
        least_and("[log]\nlevel = \"${SHORT_SECRET}\""),
        least_and("[timeouts]\nconnect = \"1${SHORT_SECRET}\""),
        check("headers = { x-room = \"${BROKEN}\" }"),
        check("headers = { x-room = \"${SECRET}\\n\" }"),
    ] {
        let problems = problems(&text);
        let everywhere = format!("{problems} {problems:?} {}", problems.coloured());
        assert!(!everywhere.contains("hush"), "{text}\n{problems}");
    }
}

#[test]
fn a_key_that_is_called_like_a_secret_keeps_any_variable_from_being_shown() {
    for text in [
        affinity("{ by = \"cookie\", secret_env = \"${LOTS}\" }"),
        affinity("{ by = \"cookie\", secret_file = \"${LOTS}\" }"),
        check("headers = { x-room = \"${LOTS}\\n\" }"),
    ] {
        let said = said(&only(&text));
        assert!(!said.contains("lots"), "{said}");
        assert!(said.contains("may be a secret"), "{said}");
    }
}

#[test]
fn a_problem_says_what_the_value_expands_to() {
    assert_snapshot!(problems(&backends("[\"${HOST}\"]", "")), @r#"
    error: `10.0.0.7` is no backend: the port is missing
     --> proxy.toml:6:13
      |
    6 | backends = ["${HOST}"]
      |             ^^^^^^^^^ expected `host:port`, `http://host:port`, `https://host[:port]` or `unix:/path/of/a/socket`
      |
      = note: `${HOST}` expands to `10.0.0.7`
    "#);
    let text = listener("max_connections = \"${EMPTY}\"");
    assert_snapshot!(problems(&text), @r#"
    error: `max_connections` is of the wrong type
     --> proxy.toml:3:19
      |
    3 | max_connections = "${EMPTY}"
      |                   ^^^^^^^^^^ expected an integer from 1, found a string
      |
      = note: `${EMPTY}` expands to nothing
    "#);
}

#[test]
fn a_problem_of_two_values_says_what_both_expand_to() {
    let text = least_and("[pool.p.drain]\nover = \"2${ZERO}s\"\ndeadline = \"${SEVEN}\"");
    assert_snapshot!(problems(&text), @r#"
    error: `deadline` is shorter than `over`
     --> proxy.toml:9:12
      |
    8 | over = "2${ZERO}s"
      |        ----------- `over` is here
    9 | deadline = "${SEVEN}"
      |            ^^^^^^^^^^
      |
      = note: `${SEVEN}` expands to `7s`
      = note: `2${ZERO}s` expands to `20s`
      = help: tunnels would be cut before they are told to close
    "#);
}

#[test]
fn what_two_values_share_is_said_once() {
    let problem = only(&backends("[\"${HOST}:1\", \"${HOST}:1\"]", ""));
    assert_eq!(
        problem.notes().collect::<Vec<_>>(),
        ["`${HOST}:1` expands to `10.0.0.7:1`"]
    );
}

#[test]
fn what_cannot_be_expanded_is_reported_with_what_would_mend_it() {
    let text = backends("[\"${HOST}:${NOPE}\", \"${HOST:-a.example:1\"]", "");
    assert_snapshot!(problems(&text), @r#"
    error: the environment variable `NOPE` is not set
     --> proxy.toml:6:22
      |
    6 | backends = ["${HOST}:${NOPE}", "${HOST:-a.example:1"]
      |                      ^^^^^^^ expected it to be set, or a default: `${NOPE:-default}`

    error: a `${` has no `}`
     --> proxy.toml:6:33
      |
    6 | backends = ["${HOST}:${NOPE}", "${HOST:-a.example:1"]
      |                                 ^^^^^^^^^^^^^^^^^^^ expected `${NAME}` or `${NAME:-default}`
      |
      = help: a `${` that is no variable's is written `$${`
    "#);
}

#[test]
fn a_secret_where_its_variables_name_belongs_is_not_shown() {
    let text = affinity("{ by = \"cookie\", secret_env = \"${SECRET}\" }");
    assert_snapshot!(problems(&text), @r#"
    error: `secret_env` is wrong, and not shown because it may be a secret
     --> proxy.toml:7:42
      |
    7 | affinity = { by = "cookie", secret_env = "${SECRET}" }
      |                                          ^^^^^^^^^^^ expected the name of one with the secret in it
    "#);
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
