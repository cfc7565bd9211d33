//! What may be a secret is not shown.

use insta::assert_snapshot;

use super::{affinity, check, only, problems};
use crate::config::tests::{backends, least_and, listener, route, said};

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
