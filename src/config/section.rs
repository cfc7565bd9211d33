//! A table of the file, of which keys are asked for one by one.

use std::{cell::RefCell, ops::Deref};

use toml::{
    Spanned,
    de::{DeString, DeTable},
};

use super::{
    diagnostics::{Problem, Span, did_you_mean, nearest, quoted},
    field::Field,
    reading::{Reading, Reported},
};

/// A table, of which keys are asked for one by one.
pub(super) struct Section<'a> {
    pub(super) reading: &'a Reading<'a>,
    /// What documentation calls it: `pool.NAME.tls`; empty for the whole file.
    path: String,
    /// Its header, or all of an inline table; `None` for the whole file or an absent table.
    place: Option<Span>,
    table: &'a DeTable<'a>,
    asked: RefCell<Vec<&'static str>>,
    lacking: RefCell<Vec<Lacking>>,
}

/// A key that must be there and is not.
struct Lacking {
    key: &'static str,
    expected: &'static str,
}

/// A setting that others are compared with.
#[derive(Debug, Clone)]
pub(super) struct Setting<T> {
    value: T,
    /// Where it is written; `None` for a default.
    pub(super) place: Option<Span>,
    /// Whether `value` is only a stand-in for one that could not be read.
    pub(super) is_faulty: bool,
}

impl<T> Setting<T> {
    /// A default.
    pub(super) fn unwritten(value: T) -> Self {
        Self {
            value,
            place: None,
            is_faulty: false,
        }
    }

    /// The value alone.
    pub(super) fn into_inner(self) -> T {
        self.value
    }

    /// The same setting with another value.
    pub(super) fn map<U>(self, to: impl FnOnce(T) -> U) -> Setting<U> {
        Setting {
            value: to(self.value),
            place: self.place,
            is_faulty: self.is_faulty,
        }
    }
}

impl<T> Deref for Setting<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'a> Section<'a> {
    pub(super) fn new(
        reading: &'a Reading<'a>,
        path: String,
        place: Option<Span>,
        table: &'a DeTable<'a>,
    ) -> Self {
        Self {
            reading,
            path,
            place,
            table,
            asked: RefCell::default(),
            lacking: RefCell::default(),
        }
    }

    /// The value of `key`, or `None` where it is absent.
    pub(super) fn optional<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Reported>,
    ) -> Result<Option<T>, Reported> {
        self.field(key).map(|field| read(&field)).transpose()
    }

    /// The value of `key`, which must be there.
    pub(super) fn required<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        match self.field(key) {
            Some(field) => read(&field),
            None => {
                self.lacking.borrow_mut().push(Lacking { key, expected });
                // It is told at the end of the section, or else the key that was written instead is.
                Err(Reported::later())
            }
        }
    }

    /// The value of `key`, or `default` where it is absent or faulty: then nobody gets to see it.
    pub(super) fn or<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Reported>,
        default: T,
    ) -> T {
        let value = self.optional(key, read);
        value.ok().flatten().unwrap_or(default)
    }

    /// As [`or`](Self::or), with where it comes from.
    pub(super) fn setting<T: Clone>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Reported>,
        default: T,
    ) -> Setting<T> {
        self.setting_over(key, read, &Setting::unwritten(default))
    }

    /// The value of `key`, or where it is absent, `base`.
    pub(super) fn setting_over<T: Clone>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Field<'a>) -> Result<T, Reported>,
        base: &Setting<T>,
    ) -> Setting<T> {
        let Some(field) = self.field(key) else {
            return base.clone();
        };
        let read = read(&field);
        Setting {
            is_faulty: read.is_err(),
            value: read.unwrap_or_else(|_| base.value.clone()),
            place: Some(field.place),
        }
    }

    /// The table at `key`; an absent one is read as an empty one.
    pub(super) fn table<T>(
        &self,
        key: &'static str,
        read: impl FnOnce(&Self) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        match self.field(key) {
            Some(field) => field.table(read),
            None => {
                let path = joined(&self.path, key);
                Section::new(self.reading, path, None, &self.reading.empty).read(read)
            }
        }
    }

    /// Takes `key` without reading it, for one whose meaning cannot be known.
    pub(super) fn skip(&self, key: &'static str) {
        self.field(key);
    }

    /// The field at `key`, where there is one.
    pub(super) fn field(&self, key: &'static str) -> Option<Field<'a>> {
        self.asked.borrow_mut().push(key);
        let found = self.table.get_key_value(key);
        #[cfg(test)]
        self.reading
            .keys
            .borrow_mut()
            .note(joined(&self.path, key), found.is_some());
        let (written, value) = found?;
        Some(Field {
            reading: self.reading,
            path: joined(&self.path, key),
            key,
            key_place: written.span(),
            place: value.span(),
            written: value.get_ref(),
        })
    }

    /// The header of the table, or all of an inline one.
    pub(super) fn place(&self) -> Option<Span> {
        self.place.clone()
    }

    /// Whether a misspelt key stands where `key` should be.
    pub(super) fn misspells(&self, key: &str) -> bool {
        self.unknown()
            .any(|unknown| self.meant_by(unknown.get_ref()) == Some(key))
    }

    /// Notes that a reference or a counterpart is missing, unless it may be in what a misspelling
    /// of `key` holds.
    pub(super) fn report_absence_beside(&self, key: &str, problem: Problem) -> Reported {
        if self.misspells(key) {
            // The misspelt key is told at the end of the section.
            return Reported::later();
        }
        self.reading.report_absence(problem)
    }

    /// What `read` makes of it; keys that it did not ask for are noted, and those it missed.
    pub(super) fn read<T>(
        self,
        read: impl FnOnce(&Self) -> Result<T, Reported>,
    ) -> Result<T, Reported> {
        let value = read(&self);
        self.report_unknown();
        self.report_lacking();
        value
    }

    /// Notes the keys that nobody asked for.
    fn report_unknown(&self) {
        for key in self.unknown() {
            let known = || {
                let keys = quoted(&self.asked.borrow());
                match &*self.path {
                    "" => format!("expected one of {keys}"),
                    path => format!("`{path}` knows {keys}"),
                }
            };
            let name = key.get_ref();
            let problem = Problem::at(key.span(), format!("unknown key `{}`", name.escape_debug()))
                .expecting(did_you_mean(
                    name,
                    self.asked.borrow().iter().copied(),
                    known,
                ));
            self.reading.report(problem);
        }
    }

    /// Notes the keys that are missing.
    fn report_lacking(&self) {
        for lacking in self.lacking.borrow().iter() {
            if !self.misspells(lacking.key) {
                self.reading.report_absence(self.lack(lacking));
            }
        }
    }

    fn lack(&self, lacking: &Lacking) -> Problem {
        let message = format!("`{}` is missing", lacking.key);
        match self.place() {
            Some(place) => Problem::at(place, message).expecting(lacking.expected),
            None => Problem::new(message).helping(lacking.expected),
        }
    }

    fn unknown(&self) -> impl Iterator<Item = &'a Spanned<DeString<'a>>> {
        let asked = self.asked.borrow().clone();
        self.table
            .keys()
            .filter(move |key| !asked.contains(&&**key.get_ref()))
    }

    fn meant_by(&self, name: &str) -> Option<&'static str> {
        nearest(name, self.asked.borrow().iter().copied())
    }
}

/// A dotted key.
pub(super) fn joined(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}
