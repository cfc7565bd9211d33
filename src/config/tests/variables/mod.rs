//! Variables of the environment in values.

mod expansion;
mod faults;
mod notes;
mod secrets;
mod types;

use std::{env::VarError, path::Path};

use super::{backends, bare, least_and, read_in, the_one_of};
use crate::config::{Check, Config, HttpCheck, Problem, Problems, surroundings::Surroundings};

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
    the_one_of(&problems(text))
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
