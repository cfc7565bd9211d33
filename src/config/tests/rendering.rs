//! How problems look, and what becomes of several at once.

use std::{fs, path::Path};

use insta::assert_snapshot;
use proptest::prelude::*;

use super::{super::Config, backends, least_and, only, problems, route};

#[test]
fn a_misspelt_key_is_reported_with_the_nearest_name() {
    assert_snapshot!(problems(&least_and("[timeouts]\nconect = \"5s\"")), @r#"
    error: unknown key `conect`
     --> proxy.toml:8:1
      |
    8 | conect = "5s"
      | ^^^^^^ did you mean `connect`?
    "#);
}

#[test]
fn a_value_of_the_wrong_type_is_marked_with_what_was_expected() {
    assert_snapshot!(problems(&least_and("[timeouts]\nconnect = 5")), @r#"
    error: `connect` is of the wrong type
     --> proxy.toml:8:11
      |
    8 | connect = 5
      |           ^ expected a string such as "20s" or "1m 30s", found an integer
    "#);
}

#[test]
fn a_second_use_shows_the_first() {
    let text = backends("[\"10.0.0.1:1\", \"http://10.0.0.1:1\"]", "");
    assert_snapshot!(problems(&text), @r#"
    error: the backend `10.0.0.1:1` is in this pool twice
     --> proxy.toml:6:27
      |
    6 | backends = ["10.0.0.1:1", "http://10.0.0.1:1"]
      |             ------------  ^^^^^^^^^^^^^^^^^^^
      |             |
      |             first used here
      |
      = help: `weight` gives a backend more than one share
    "#);
}

#[test]
fn a_pool_that_does_not_exist_is_reported_with_the_nearest_name() {
    let text = least_and("").replace("pool = \"p\"", "pool = \"chta\"");
    assert_snapshot!(problems(&text.replace("[pool.p]", "[pool.chat]")), @r#"
    error: there is no pool `chta`
     --> proxy.toml:4:8
      |
    4 | pool = "chta"
      |        ^^^^^^ did you mean `chat`?
    "#);
}

#[test]
fn an_empty_file_lacks_a_listener_a_route_and_a_pool() {
    assert_snapshot!(problems(""), @r#"
    error: `listener` is missing
    --> proxy.toml
     = help: an address to listen on: `[[listener]]` with `address = "0.0.0.0:8080"`

    error: `route` is missing
    --> proxy.toml
     = help: what goes to which pool: `[[route]]` with `pool = "chat"`

    error: `pool` is missing
    --> proxy.toml
     = help: the backends: `[pool.chat]` with `backends = ["127.0.0.1:9001"]`
    "#);
}

#[test]
fn a_short_secret_is_not_shown() {
    let text = backends(
        "[\"10.0.0.1:1\"]",
        "affinity = { by = \"cookie\", secret = \"hush\" }",
    );
    let problems = problems(&text);
    assert_snapshot!(problems, @r#"
    error: the secret is too short
     --> proxy.toml:7:29
      |
    7 | affinity = { by = "cookie", secret = "****" }
      |                             ^^^^^^ expected at least 16 characters
      |
      = help: whoever guesses it can forge cookies that choose the backend; `openssl rand -base64 32` makes a good one
    "#);
    let everywhere = format!("{problems} {problems:?} {}", problems.coloured());
    assert!(!everywhere.contains("hush"));
}

#[test]
fn a_line_that_is_no_toml_is_reported_once_beside_what_else_is_wrong() {
    let text = least_and("[timeouts]\nconnect = 5s\nstall = \"0s\"\n[log]\nformat = \"xml\"");
    assert_snapshot!(problems(&text), @r#"
    error: string values must be quoted, expected literal string
     --> proxy.toml:8:11
      |
    8 | connect = 5s
      |           ^^

    error: `stall` is zero
     --> proxy.toml:9:9
      |
    9 | stall = "0s"
      |         ^^^^ expected a string such as "20s" or "1m 30s"

    error: `format` cannot be `xml`
      --> proxy.toml:11:10
       |
    11 | format = "xml"
       |          ^^^^^ expected one of `text`, `json`
    "#);
}

#[test]
fn all_problems_are_reported_at_once_and_in_order() {
    let text = "
        [[listener]]
        address = \"nowhere\"
        max_connections = 0
        [[route]]
        pool = \"p\"
        path = \"x\"
        [[route]]
        pool = \"nope-nope\"
        [pool.p]
        backends = [\"x\", 3]
        balance = \"best\"
        [limits]
        request_head = \"1B\"
    ";
    let lines: Vec<_> = problems(text)
        .iter()
        .map(|problem| problem.line().unwrap())
        .collect();
    assert_eq!(lines, [3, 4, 7, 9, 11, 11, 12, 14]);
}

#[test]
fn a_duplicate_key_is_one_problem() {
    only(&least_and("[log]\naccess = true\naccess = false"));
    only(&least_and("[log]\n[log]"));
}

#[test]
fn what_may_be_in_a_line_that_is_no_toml_is_not_missing() {
    only(&least_and("").replace("[pool.p]", "[pool.p"));
    only(&least_and("").replace("[[listener]]", "[[listener]"));
    only(&route("host = chat.example.com"));
    only(&route("host = \"chat.example.com"));
    only(&route("host"));
    only(&backends("[\"10.0.0.1:1\"", "balance = \"round-robin\""));
}

#[test]
fn a_section_that_is_misspelt_is_not_missing_too() {
    only(&least_and("").replace("[[listener]]", "[[listner]]"));
    only(&least_and("").replace("[[route]]", "[[routes]]"));
    only(&least_and("").replace("[pool.p]", "[pools.p]"));
    only(&least_and("").replace("address =", "adress ="));
    only(&least_and("").replace("pool = \"p\"", "poll = \"p\""));
    only(&least_and("").replace("backends", "backend"));
    only(
        &least_and("[pools.q]\nbackends = [\"h:1\"]\n")
            .replace("pool = \"p\"", "pool = \"q\"")
            .replace(
                "[[listener]]",
                "[[route]]\npath = \"/p\"\npool = \"p\"\n[[listener]]",
            ),
    );
}

#[test]
fn positions_count_characters() {
    let problem = only(&least_and("[log]\n\"é\" = 1"));
    assert_eq!((problem.line(), problem.column()), (Some(8), Some(1)));
    let problem = only(&backends("[{ address = \"é:1\" }]", ""));
    assert_eq!((problem.line(), problem.column()), (Some(6), Some(25)));
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_with_its_path() {
    let error = Config::load(Path::new("/nowhere/proxy.toml")).unwrap_err();
    assert_eq!(error.to_string(), "cannot read /nowhere/proxy.toml");
}

#[test]
fn diagnostics_of_a_loaded_file_name_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("own.toml");
    fs::write(&path, "x = 1").unwrap();
    let error = Config::load(&path).unwrap_err();
    assert!(
        error
            .to_string()
            .contains(&format!("{}:1:1", path.display()))
    );
}

fn word() -> impl Strategy<Value = String> {
    let words = [
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        "=",
        ",",
        ".",
        "\"",
        "'",
        "\"\"\"",
        "\n",
        "\r\n",
        "#",
        " ",
        "listener",
        "route",
        "pool",
        "p",
        "timeouts",
        "keepalive",
        "affinity",
        "by",
        "cookie",
        "secret",
        "backends",
        "address",
        "tls",
        "certificates",
        "ca",
        "interval",
        "connect",
        "off",
        "\"127.0.0.1:1\"",
        "\"https://h\"",
        "\"5s\"",
        "\"p\"",
        "\"cookie\"",
        "\"${PATH}\"",
        "\"${NOPE:-1}\"",
        "${",
        "-1",
        "1",
        "0x1F",
        "99999999999999999999",
        "1e400",
        "nan",
        "true",
        "1979-05-27",
        "é",
        "\u{feff}",
        "\0",
        "*",
    ];
    prop_oneof![
        8 => proptest::sample::select(words.map(str::to_owned).to_vec()),
        1 => any::<String>(),
    ]
}

proptest! {
    #[test]
    fn no_text_makes_the_reading_panic(words in prop::collection::vec(word(), 0..60)) {
        let text = words.concat();
        if let Err(problems) = Config::parse(&text, "x", Path::new("nowhere")) {
            prop_assert!(problems.iter().count() > 0);
            let _ = problems.to_string();
            let _ = problems.coloured();
        }
    }

    #[test]
    fn no_change_of_a_good_text_makes_the_reading_panic(
        at in 0_usize..5000,
        removed in 0_usize..40,
        put in word(),
    ) {
        let text = include_str!("../../../proxy.toml");
        let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
        let mut text = lines.join("\n");
        // The active lines are ASCII: every place is a boundary of characters.
        prop_assert!(text.is_ascii());
        let start = at.min(text.len());
        let end = (start + removed).min(text.len());
        text.replace_range(start..end, &put);
        if let Err(problems) = Config::parse(&text, "x", Path::new("nowhere")) {
            let _ = problems.to_string();
        }
    }
}
