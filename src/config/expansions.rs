//! The strings of a file that have variables in them, and what the variables make of them.

use std::{collections::HashMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    diagnostics::{Problem, Span},
    reading::{Reading, Reported},
    redact::is_secretive,
    variables::{self, Part},
};

/// What became of each string with a variable in it.
#[derive(Default)]
pub(super) struct Expansions {
    by_place: HashMap<Span, Result<Expansion, Reported>>,
}

/// A string with values in place of its variables.
pub(super) struct Expansion {
    pub(super) value: DeValue<'static>,
    telling: Telling,
}

/// What is said about an expansion where something is wrong with it.
enum Telling {
    Nothing,
    Note(String),
    /// Nothing else: what was to be said may quote it.
    Withheld(String),
}

/// A string as written, and whose it is.
struct Written<'t> {
    owner: Owner<'t>,
    place: Span,
    text: &'t str,
}

/// The key whose value, or an element of whose value, a string is.
#[derive(Clone, Copy)]
struct Owner<'t> {
    key: &'t str,
    is_secretive: bool,
    is_below_headers: bool,
}

impl Expansions {
    /// Those of `root`; what cannot be expanded is noted.
    pub(super) fn of(root: &DeTable<'_>, reading: &Reading<'_>) -> Self {
        let mut strings = Vec::new();
        gather_from_table(root, false, &mut strings);
        let expand = |written: Written<'_>| {
            let expansion = written.expand(reading);
            (written.place, expansion)
        };
        Self {
            by_place: strings.into_iter().map(expand).collect(),
        }
    }

    /// What became of the string at `place`; `None` where no variable is in it.
    pub(super) fn at(&self, place: &Span) -> Option<Result<&Expansion, Reported>> {
        let found = self.by_place.get(place)?;
        Some(found.as_ref().map_err(|reported| *reported))
    }

    /// `problem`, with what the values at its marks expand to, and without what it would say of a
    /// secret.
    pub(super) fn explain(&self, problem: Problem) -> Problem {
        let marked: Vec<_> = problem
            .marked()
            .filter_map(|place| self.at(place)?.ok())
            .collect();
        marked
            .into_iter()
            .fold(problem, |problem, expansion| match &expansion.telling {
                Telling::Nothing => problem,
                Telling::Note(note) => problem.noting(note),
                Telling::Withheld(message) => problem.saying(message),
            })
    }
}

impl Written<'_> {
    fn expand(&self, reading: &Reading<'_>) -> Result<Expansion, Reported> {
        let mut text = String::new();
        let mut outcome = Ok(());
        for part in variables::parts(self.text) {
            match part.value(reading.surroundings.variable) {
                Ok(value) => text.push_str(&value),
                Err(fault) => {
                    let place = self.place_of(&part.place, reading.text);
                    outcome = Err(reading.report(fault.problem(place)));
                }
            }
        }
        outcome.map(|()| Expansion {
            telling: self.telling(&text),
            value: DeValue::String(text.into()),
        })
    }

    fn telling(&self, expanded: &str) -> Telling {
        let parts = variables::parts(self.text);
        let mut variables = parts
            .filter_map(|part: Part<'_>| part.variable())
            .peekable();
        if variables.peek().is_none() {
            return Telling::Nothing;
        }
        if self.owner.is_secretive || variables.any(is_secretive) {
            let key = self.owner.key.escape_debug();
            return Telling::Withheld(format!(
                "`{key}` is wrong, and not shown because it may be a secret"
            ));
        }
        let written = self.text.escape_debug();
        Telling::Note(match expanded {
            "" => format!("`{written}` expands to nothing"),
            _ => format!("`{written}` expands to `{}`", expanded.escape_debug()),
        })
    }

    /// Where `part` of the string is in `file`: all of the string where escapes hide that.
    fn place_of(&self, part: &Range<usize>, file: &str) -> Span {
        let quoted = file.get(self.place.clone()).unwrap_or_default();
        match before_verbatim(self.text, quoted) {
            Some(length) => {
                let start = self.place.start + length;
                start + part.start..start + part.end
            }
            None => self.place.clone(),
        }
    }
}

/// The length of what comes before `text` where it is `quoted` as it is, without escapes.
fn before_verbatim(text: &str, quoted: &str) -> Option<usize> {
    // The first newline of a long string is not part of it.
    let openings = [
        "\"\"\"\r\n",
        "'''\r\n",
        "\"\"\"\n",
        "'''\n",
        "\"\"\"",
        "'''",
        "\"",
        "'",
    ];
    let holds_it = |opening: &&str| {
        let behind = quoted.strip_prefix(opening);
        behind.and_then(|behind| behind.strip_suffix(opening.trim_end())) == Some(text)
    };
    openings.into_iter().find(holds_it).map(str::len)
}

/// Adds the strings of `table` to `strings`.
fn gather_from_table<'t>(
    table: &'t DeTable<'_>,
    is_below_headers: bool,
    strings: &mut Vec<Written<'t>>,
) {
    for (key, value) in table {
        let key = &**key.get_ref();
        // Whatever their names, headers are what one side proves itself with to the other.
        let is_below_headers = is_below_headers || key == "headers";
        let owner = Owner {
            key,
            is_secretive: is_below_headers || is_secretive(key),
            is_below_headers,
        };
        gather(value, owner, strings);
    }
}

fn gather<'t>(value: &'t Spanned<DeValue<'_>>, owner: Owner<'t>, strings: &mut Vec<Written<'t>>) {
    match value.get_ref() {
        DeValue::String(text) if variables::are_in(text) => strings.push(Written {
            owner,
            place: value.span(),
            text,
        }),
        DeValue::Array(array) => {
            for element in array.iter() {
                gather(element, owner, strings);
            }
        }
        DeValue::Table(table) => gather_from_table(table, owner.is_below_headers, strings),
        _ => {}
    }
}
