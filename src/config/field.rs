//! A value of the file and where it stands.

use std::{borrow::Cow, path::PathBuf};

use toml::{Spanned, de::DeValue};

use super::{
    diagnostics::{Problem, Span},
    reading::{Reading, Reported},
    section::{Section, joined},
};

/// A value and where it stands: of a key, or an element of one's array.
pub(super) struct Field<'a> {
    pub(super) reading: &'a Reading<'a>,
    pub(super) path: String,
    /// The key, also for an element.
    pub(super) key: &'a str,
    /// Where the key is written.
    pub(super) key_place: Span,
    /// Where the value is written; the header of a table that has one.
    pub(super) place: Span,
    /// The value as it is written, with variables in it.
    pub(super) written: &'a DeValue<'a>,
}

impl<'a> Field<'a> {
    /// The value, with its variables expanded, unless that was refused.
    pub(super) fn value(&self) -> Result<&'a DeValue<'a>, Reported> {
        match self.reading.expansions.at(&self.place) {
            Some(expansion) => Ok(&expansion?.value),
            None => Ok(self.written),
        }
    }

    /// The value where it may be a number or a boolean: one out of a variable counts as what it
    /// would be without its quotes.
    pub(super) fn literal(&self) -> Result<Cow<'a, DeValue<'a>>, Reported> {
        let value = self.value()?;
        let has_variable = self.reading.expansions.at(&self.place).is_some();
        let bare = match value {
            DeValue::String(text) if has_variable => bare_literal(text),
            _ => None,
        };
        Ok(bare.map_or(Cow::Borrowed(value), Cow::Owned))
    }

    /// Notes that the value is of another type.
    pub(super) fn mistyped(&self, expected: &str) -> Reported {
        let found = match self.written {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date or time",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.fault(
            format!("`{}` is of the wrong type", self.key),
            format!("expected {expected}, found {found}"),
        )
    }

    /// Notes that the value is wrong, and what was expected.
    pub(super) fn fault(
        &self,
        message: impl Into<String>,
        expected: impl Into<String>,
    ) -> Reported {
        self.report(Problem::at(self.place.clone(), message).expecting(expected))
    }

    /// Notes `problem`.
    pub(super) fn report(&self, problem: Problem) -> Reported {
        self.reading.report(problem)
    }

    /// A path, from the base of relative ones.
    pub(super) fn resolve(&self, path: &str) -> PathBuf {
        self.reading.surroundings.base.join(path)
    }

    /// The value with where it stands.
    pub(super) fn placed<T>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, Reported>,
    ) -> Result<Spanned<T>, Reported> {
        Ok(Spanned::new(self.place.clone(), read(self)?))
    }

    /// The table that it is.
    pub(super) fn table<T>(
        &self,
        read: impl FnOnce(&Section<'a>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let DeValue::Table(table) = self.value()? else {
            return Err(self.mistyped("a table"));
        };
        let path = self.path.clone();
        Section::new(self.reading, path, Some(self.place.clone()), table).read(read)
    }

    /// What a table here would be that has no keys.
    pub(super) fn as_empty_table<T>(
        &self,
        read: impl FnOnce(&Section<'a>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let path = self.path.clone();
        let empty = &self.reading.empty;
        Section::new(self.reading, path, Some(self.place.clone()), empty).read(read)
    }

    /// The elements of the array that it is.
    pub(super) fn elements(&self, expected: &str) -> Result<Vec<Self>, Reported> {
        let DeValue::Array(array) = self.value()? else {
            return Err(self.mistyped(expected));
        };
        let element = |value: &'a Spanned<DeValue<'a>>| Self {
            path: self.path.clone(),
            key_place: self.key_place.clone(),
            place: value.span(),
            written: value.get_ref(),
            ..*self
        };
        Ok(array.iter().map(element).collect())
    }

    /// The elements of a table whose keys are names of the user's, in the order of the text. Each
    /// is called `NAME`.
    pub(super) fn named(&self, expected: &str) -> Result<Vec<Self>, Reported> {
        let DeValue::Table(table) = self.value()? else {
            return Err(self.mistyped(expected));
        };
        let mut named: Vec<_> = table
            .iter()
            .map(|(key, value)| Self {
                reading: self.reading,
                path: joined(&self.path, "NAME"),
                key: key.get_ref(),
                key_place: key.span(),
                place: value.span(),
                written: value.get_ref(),
            })
            .collect();
        named.sort_by_key(|field| field.key_place.start);
        Ok(named)
    }
}

/// The integer or the boolean that `text` is in TOML, with nothing around it.
fn bare_literal(text: &str) -> Option<DeValue<'_>> {
    let value = DeValue::parse(text).ok()?.into_inner();
    matches!(value, DeValue::Integer(_) | DeValue::Boolean(_)).then_some(value)
}
