//! What cannot be expanded.

use insta::assert_snapshot;

use super::{affinity, check, marked, only, problems};
use crate::config::tests::{backends, least_and, listener, route, said};

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
