//! How variables of the environment are written in a string: `${NAME}`, `${NAME:-default}`, and
//! `$${` for a `${` that is none.

use std::{borrow::Cow, env::VarError, ops::Range};

use super::diagnostics::{Problem, Span};

/// A part of a string, and where in the string it is, in bytes.
#[derive(Debug)]
pub(super) struct Part<'t> {
    pub(super) place: Range<usize>,
    kind: Kind<'t>,
}

#[derive(Debug)]
enum Kind<'t> {
    /// What stands for itself.
    Text(&'t str),
    Variable {
        name: &'t str,
        default: Option<&'t str>,
    },
    Malformed(Fault<'t>),
}

/// Why a part has no value.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fault<'t> {
    Unclosed,
    Nameless,
    Nested,
    Unset(&'t str),
    NotUnicode(&'t str),
}

/// Whether there is anything to expand in `text`.
pub(super) fn are_in(text: &str) -> bool {
    text.contains("${")
}

/// The parts of `text`, from its beginning to its end.
pub(super) fn parts(text: &str) -> impl Iterator<Item = Part<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = &text[at..];
        let (kind, length) = (!rest.is_empty()).then(|| first(rest))?;
        let place = at..at + length;
        at = place.end;
        Some(Part { place, kind })
    })
}

impl<'t> Part<'t> {
    /// The variable that it names.
    pub(super) fn variable(&self) -> Option<&'t str> {
        match self.kind {
            Kind::Variable { name, .. } => Some(name),
            Kind::Text(_) | Kind::Malformed(_) => None,
        }
    }

    /// What stands for it, with the values that `variable` knows. It is not looked into again.
    pub(super) fn value(
        &self,
        variable: impl FnOnce(&str) -> Result<String, VarError>,
    ) -> Result<Cow<'t, str>, Fault<'t>> {
        let (name, default) = match self.kind {
            Kind::Text(text) => return Ok(text.into()),
            Kind::Malformed(fault) => return Err(fault),
            Kind::Variable { name, default } => (name, default),
        };
        match (variable(name), default) {
            (Err(VarError::NotUnicode(_)), _) => Err(Fault::NotUnicode(name)),
            (Err(VarError::NotPresent), None) => Err(Fault::Unset(name)),
            (Err(VarError::NotPresent), Some(default)) => Ok(default.into()),
            // As the shell has it.
            (Ok(value), Some(default)) if value.is_empty() => Ok(default.into()),
            (Ok(value), _) => Ok(value.into()),
        }
    }
}

/// The part that `text` begins with, and its length; `text` is not empty.
fn first(text: &str) -> (Kind<'_>, usize) {
    if text.starts_with("$${") {
        return (Kind::Text("${"), 3);
    }
    let Some(behind) = text.strip_prefix("${") else {
        let plain = plain_length(text);
        return (Kind::Text(&text[..plain]), plain);
    };
    match behind.split_once('}') {
        Some((inner, _)) => (reference(inner), "${}".len() + inner.len()),
        None => (Kind::Malformed(Fault::Unclosed), text.len()),
    }
}

/// How far `text` goes without a `${`, be it one that is escaped.
fn plain_length(text: &str) -> usize {
    let end = text.find("${").unwrap_or(text.len());
    match &text[..end] {
        before if end < text.len() && before.ends_with('$') => end - 1,
        _ => end,
    }
}

/// What stands between the braces.
fn reference(inner: &str) -> Kind<'_> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    if !is_name(name) {
        return Kind::Malformed(Fault::Nameless);
    }
    if default.is_some_and(are_in) {
        return Kind::Malformed(Fault::Nested);
    }
    Kind::Variable { name, default }
}

fn is_name(name: &str) -> bool {
    let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty()
        && name.chars().all(is_of_a_name)
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

impl Fault<'_> {
    /// What is said about it. Of what is written only a name is quoted: the rest may be a secret.
    pub(super) fn problem(self, place: Span) -> Problem {
        const LITERAL: &str = "a `${` that is no variable's is written `$${`";
        match self {
            Self::Unclosed => Problem::at(place, "a `${` has no `}`")
                .expecting("expected `${NAME}` or `${NAME:-default}`")
                .helping(LITERAL),
            Self::Nameless => Problem::at(place, "`${` is not followed by a variable's name")
                .expecting("expected letters, digits and `_`: `${NAME}` or `${NAME:-default}`")
                .helping(LITERAL),
            Self::Nested => Problem::at(place, "there is a `${` in the default of a variable")
                .expecting("expected plain text between `:-` and `}`"),
            Self::Unset(name) => {
                let message = format!("the environment variable `{name}` is not set");
                Problem::at(place, message).expecting(format!(
                    "expected it to be set, or a default: `${{{name}:-default}}`"
                ))
            }
            Self::NotUnicode(name) => {
                let message = format!("the environment variable `{name}` is not Unicode");
                Problem::at(place, message).expecting("expected text in UTF-8")
            }
        }
    }
}
