//! One reading of a text: notes every fault, once, and goes on.
//!
//! A fault gives back a [`Reported`], so whoever has no value can prove that somebody was told.
//! Two rules keep one fault from being told twice: what stands on a line that is not TOML is
//! guesswork, and a key that is missing was not forgotten where a misspelt one stands in for it.

use std::{
    cell::{OnceCell, RefCell},
    ops::Range,
    sync::Arc,
};

use rustls::RootCertStore;
use toml::de::{DeTable, Error};

use super::{
    diagnostics::Problem, expansions::Expansions, section::Section, surroundings::Surroundings,
};

/// The proof that a problem has been noted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reported(());

impl Reported {
    /// The promise of whoever will note it later, such as a section at its end.
    pub(super) fn later() -> Self {
        Self(())
    }
}

/// One reading of a text: what is wrong with it so far, and what its parts share.
pub(super) struct Reading<'a> {
    pub(super) text: &'a str,
    root: &'a DeTable<'a>,
    pub(super) surroundings: &'a Surroundings<'a>,
    /// The lines, from 0, of which what was read is guesswork. Each range begins with a line that
    /// is not TOML.
    garbled: Vec<Range<usize>>,
    problems: RefCell<Vec<Problem>>,
    /// The strings that have variables in them.
    pub(super) expansions: Expansions,
    /// The system's authorities, once they were needed; `None` where it has none.
    pub(super) system_roots: OnceCell<Option<Arc<RootCertStore>>>,
    /// What an absent table is read as.
    pub(super) empty: DeTable<'a>,
    #[cfg(test)]
    pub(super) keys: RefCell<super::tests::Keys>,
}

impl<'a> Reading<'a> {
    /// A reading of `text`, whose top-level table is `root` and of which `errors` are not TOML.
    pub(super) fn new(
        text: &'a str,
        root: &'a DeTable<'a>,
        errors: &[Error],
        surroundings: &'a Surroundings<'a>,
    ) -> Self {
        let mut reading = Self {
            text,
            root,
            surroundings,
            garbled: Vec::new(),
            problems: RefCell::default(),
            expansions: Expansions::default(),
            system_roots: OnceCell::new(),
            empty: DeTable::new(),
            #[cfg(test)]
            keys: RefCell::default(),
        };
        for error in errors {
            reading.note_syntax(error);
        }
        reading.expansions = Expansions::of(root, &reading);
        reading
    }

    /// Notes `problem`, unless it comes of a line that is not TOML.
    pub(super) fn report(&self, problem: Problem) -> Reported {
        let is_guesswork = problem.span().is_some_and(|span| {
            let line = self.line_of(span.start);
            self.garbled.iter().any(|lines| lines.contains(&line))
        });
        if !is_guesswork {
            let problem = self.expansions.explain(problem);
            self.problems.borrow_mut().push(problem);
        }
        Reported(())
    }

    /// Notes that something is missing, unless it may be in what is not TOML.
    pub(super) fn report_absence(&self, problem: Problem) -> Reported {
        if self.is_well_formed() {
            self.report(problem);
        }
        Reported(())
    }

    /// Whether all of the text is TOML, so that what is not there is missing.
    pub(super) fn is_well_formed(&self) -> bool {
        self.garbled.is_empty()
    }

    /// Reads the whole text.
    pub(super) fn whole<T>(
        &'a self,
        read: impl FnOnce(&Section<'a>) -> Result<T, Reported>,
    ) -> Result<T, Vec<Problem>> {
        let value = Section::new(self, String::new(), None, self.root).read(read);
        let problems = self.problems.take();
        value.ok().filter(|_| problems.is_empty()).ok_or(problems)
    }

    /// Reads a part of the text, whatever is wrong with the rest.
    pub(super) fn part<T>(
        &'a self,
        read: impl FnOnce(&Section<'a>) -> Result<T, Reported>,
    ) -> Option<T> {
        read(&Section::new(self, String::new(), None, self.root)).ok()
    }

    fn note_syntax(&mut self, error: &Error) {
        let end = self.text.len();
        let span = error.span().unwrap_or(end..end);
        let line = self.line_of(span.start);
        // The parser stumbles on over the rest of a line that it did not understand.
        if self.garbled.iter().any(|lines| lines.start == line) {
            return;
        }
        self.garbled.push(line..self.end_of_guesswork(line));
        let problem = Problem::at(span, error.message());
        self.problems.borrow_mut().push(problem);
    }

    /// Without its header it is unknown what a section's keys belong to; otherwise the line alone
    /// is in doubt.
    fn end_of_guesswork(&self, line: usize) -> usize {
        let mut lines = self.text.split('\n').enumerate().skip(line);
        let is_header = |line: &str| line.trim_start().starts_with('[');
        match lines.next() {
            Some((_, first)) if is_header(first) => lines
                .find(|(_, line)| is_header(line))
                .map_or(usize::MAX, |(next, _)| next),
            _ => line + 1,
        }
    }

    fn line_of(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        before.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// All of `results`, if every one is a value: none of their faults hides another.
pub(super) fn all<T>(
    results: impl IntoIterator<Item = Result<T, Reported>>,
) -> Result<Vec<T>, Reported> {
    let results: Vec<_> = results.into_iter().collect();
    results.into_iter().collect()
}
