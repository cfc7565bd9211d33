//! What a problem says of values with variables in them.

use insta::assert_snapshot;

use super::{only, problems};
use crate::config::tests::{backends, least_and, listener};

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
