//! Claims about whole files. Most of them expect one problem alone: a fault that is told twice
//! fails them, and so does one that hides another.

mod admission;
mod affinity;
mod certificates;
mod drain;
mod failing;
mod health;
mod operate;
mod pools;
mod rebalance;
mod reference;
mod rendering;
mod sections;
mod together;
mod variables;

use std::{collections::BTreeSet, env::VarError, path::Path};

use super::{Config, Problem, Problems, surroundings::Surroundings, whole};

/// The keys that a reading asked for and found, such as `pool.NAME.tls.ca`.
#[derive(Debug, Default)]
pub(super) struct Keys {
    pub(super) asked: BTreeSet<String>,
    pub(super) found: BTreeSet<String>,
}

impl Keys {
    pub(super) fn note(&mut self, key: String, is_found: bool) {
        if is_found {
            self.found.insert(key.clone());
        }
        self.asked.insert(key);
    }
}

/// A file of the least that is valid; `extra` comes after it.
fn least_and(extra: &str) -> String {
    format!(
        "[[listener]]\naddress = \"127.0.0.1:8080\"\n\
         [[route]]\npool = \"p\"\n\
         [pool.p]\nbackends = [\"127.0.0.1:9001\"]\n{extra}\n"
    )
}

/// The same with `extra` in its listener.
fn listener(extra: &str) -> String {
    least_and("").replace("[[route]]", &format!("{extra}\n[[route]]"))
}

/// The same with `extra` in its route.
fn route(extra: &str) -> String {
    least_and("").replace("[pool.p]", &format!("{extra}\n[pool.p]"))
}

/// The same with these backends in its pool, and `extra`.
fn backends(backends: &str, extra: &str) -> String {
    least_and("").replace("[\"127.0.0.1:9001\"]", &format!("{backends}\n{extra}"))
}

/// A world in which one variable is set and no authority is trusted.
fn bare(base: &Path) -> Surroundings<'_> {
    Surroundings {
        base,
        variable: |name| {
            let is_set = name == "LONG";
            is_set
                .then(|| "a secret that is long".to_owned())
                .ok_or(VarError::NotPresent)
        },
        authorities: Vec::new,
    }
}

fn read_in(text: &str, surroundings: &Surroundings<'_>) -> Result<Config, Problems> {
    whole::read(text, "proxy.toml", surroundings)
        .map_err(|problems| Problems::new("proxy.toml", text, problems))
}

fn valid(text: &str) -> Config {
    let read = read_in(text, &bare(Path::new("nowhere")));
    read.unwrap_or_else(|problems| panic!("{text}\n{problems}"))
}

fn problems(text: &str) -> Problems {
    let read = read_in(text, &bare(Path::new("nowhere")));
    read.expect_err("the text is valid")
}

/// The one problem of `text`.
#[track_caller]
fn only(text: &str) -> Problem {
    the_one_of(&problems(text))
}

/// The one problem that there is.
#[track_caller]
fn the_one_of(problems: &Problems) -> Problem {
    assert_eq!(problems.iter().count(), 1, "{problems}");
    problems.iter().next().unwrap().clone()
}

/// All that is said about the one problem of `text`, which is on the line that has `place`.
#[track_caller]
fn said_at(place: &str, text: &str) -> String {
    let problem = only(text);
    let line = problem.line().expect("a place");
    let shown = text.lines().nth(line - 1).unwrap();
    assert!(shown.contains(place), "at {shown:?}: {}", problem.message());
    said(&problem)
}

fn said(problem: &Problem) -> String {
    let parts = [
        Some(problem.message()),
        problem.expected(),
        problem.context(),
        problem.help(),
    ];
    let notes = problem.notes();
    let parts = parts.into_iter().flatten().chain(notes);
    parts.collect::<Vec<_>>().join("\n")
}

/// Asserts that the one problem of `text`, on the line that has `place`, is told in words that
/// have all of `words` among them.
#[track_caller]
fn refuses(text: &str, place: &str, words: &[&str]) {
    let said = said_at(place, text);
    for word in words {
        assert!(said.contains(word), "no {word:?} in:\n{said}");
    }
}
