//! What is wrong with a configuration, where, and what was expected: for people and for tests.

use std::{fmt, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::redact::redacted;

/// A place in the text, in bytes.
pub(super) type Span = Range<usize>;

/// Everything that is wrong with a configuration; at least one thing.
///
/// Its `Display` shows each with its line and a mark under the offending part. Secrets are blotted
/// out of the lines that it keeps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    origin: String,
    text: String,
    problems: Vec<Problem>,
}

impl Problems {
    /// `problems` of `text`, in the order of their places; there is at least one.
    pub(super) fn new(origin: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        debug_assert!(!problems.is_empty(), "nothing is wrong");
        let text = redacted(text);
        for problem in &mut problems {
            problem.settle(&text);
        }
        problems.sort_by_key(|problem| problem.mark.as_ref().map(|mark| mark.span.start));
        Self {
            origin: origin.to_owned(),
            text,
            problems,
        }
    }

    /// Each of them, from the top of the file to its end.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.problems.iter()
    }

    /// What the text is called, usually the file's name.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The same text as `Display`, in colours for a terminal.
    #[must_use]
    pub fn coloured(&self) -> String {
        self.rendered(&Renderer::styled())
    }

    fn rendered(&self, renderer: &Renderer) -> String {
        let reports: Vec<_> = self
            .iter()
            .map(|problem| renderer.render(&[problem.group(&self.origin, &self.text)]))
            .collect();
        reports.join("\n\n")
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered(&Renderer::plain()))
    }
}

impl std::error::Error for Problems {}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    message: String,
    mark: Option<Mark>,
    /// Where `mark` begins: line and column, from 1.
    position: Option<(usize, usize)>,
    context: Option<Mark>,
    notes: Vec<String>,
    help: Option<String>,
}

/// A marked part of the text, and what is said about it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mark {
    span: Span,
    label: Option<String>,
}

impl Problem {
    /// What is wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The line, from 1; `None` where it is about the file as a whole.
    #[must_use]
    pub fn line(&self) -> Option<usize> {
        self.position.map(|(line, _)| line)
    }

    /// The column in characters, from 1; `None` where it is about the file as a whole.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.position.map(|(_, column)| column)
    }

    /// The offending part of the text, in bytes; `None` where it is about the file as a whole.
    #[must_use]
    pub fn span(&self) -> Option<Span> {
        self.mark.as_ref().map(|mark| mark.span.clone())
    }

    /// What was expected there.
    #[must_use]
    pub fn expected(&self) -> Option<&str> {
        self.mark.as_ref()?.label.as_deref()
    }

    /// What is said about a second place that it has to do with.
    #[must_use]
    pub fn context(&self) -> Option<&str> {
        self.context.as_ref()?.label.as_deref()
    }

    /// What the marked values are, where variables stand for them.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.notes.iter().map(String::as_str)
    }

    /// Why it matters or what to do.
    #[must_use]
    pub fn help(&self) -> Option<&str> {
        self.help.as_deref()
    }

    /// A problem of the file as a whole.
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            mark: None,
            position: None,
            context: None,
            notes: Vec::new(),
            help: None,
        }
    }

    /// A problem at `span`.
    pub(super) fn at(span: Span, message: impl Into<String>) -> Self {
        let mark = Mark { span, label: None };
        Self {
            mark: Some(mark),
            ..Self::new(message)
        }
    }

    /// Says under the mark what was expected.
    pub(super) fn expecting(mut self, label: impl Into<String>) -> Self {
        if let Some(mark) = &mut self.mark {
            mark.label = Some(label.into());
        }
        self
    }

    /// Marks a second place.
    pub(super) fn beside(mut self, span: Span, label: impl Into<String>) -> Self {
        let label = Some(label.into());
        self.context = Some(Mark { span, label });
        self
    }

    /// Says why it matters or what to do.
    pub(super) fn helping(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says what a marked value is, once.
    pub(super) fn noting(mut self, note: &str) -> Self {
        if !self.notes().any(|noted| noted == note) {
            self.notes.push(note.to_owned());
        }
        self
    }

    /// Says this instead of its message.
    pub(super) fn saying(mut self, message: impl Into<String>) -> Self {
        self.message = message.into();
        self
    }

    /// The marked places.
    pub(super) fn marked(&self) -> impl Iterator<Item = &Span> {
        let marks = self.mark.iter().chain(&self.context);
        marks.map(|mark| &mark.span)
    }

    /// Fits the marks to `text` and finds the position.
    fn settle(&mut self, text: &str) {
        for mark in self.mark.iter_mut().chain(&mut self.context) {
            mark.span = drawable(&mark.span, text);
        }
        self.position = self.mark.as_ref().map(|mark| {
            let before = &text[..mark.span.start];
            let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
            let line = 1 + before.matches('\n').count();
            (line, 1 + before[line_start..].chars().count())
        });
    }

    fn group<'a>(&'a self, origin: &'a str, text: &'a str) -> Group<'a> {
        let title = Level::ERROR.primary_title(&self.message);
        let group = match &self.mark {
            None => title.element(Origin::path(origin)),
            Some(mark) => {
                let snippet = Snippet::source(text)
                    .path(origin)
                    .annotation(mark.annotation(AnnotationKind::Primary));
                let context = self.context.as_ref();
                title.element(
                    snippet
                        .annotations(context.map(|mark| mark.annotation(AnnotationKind::Context))),
                )
            }
        };
        let notes = self.notes().map(|note| Level::NOTE.message(note));
        let group = group.elements(notes);
        group.elements(self.help.as_ref().map(|help| Level::HELP.message(help)))
    }
}

impl Mark {
    fn annotation(&self, kind: AnnotationKind) -> annotate_snippets::Annotation<'_> {
        kind.span(self.span.clone()).label(self.label.as_ref())
    }
}

/// The part of `span` on its first line, at character boundaries of `text`: a mark across many
/// lines (a whole array) would draw more than it says.
fn drawable(span: &Span, text: &str) -> Span {
    let is_boundary = |at: &usize| text.is_char_boundary(*at);
    let last = text.len();
    let start = (0..=span.start.min(last)).rfind(is_boundary).unwrap_or(0);
    let end = (span.end.max(start)..last)
        .find(is_boundary)
        .unwrap_or(last);
    let line = text[start..end].lines().next().unwrap_or("");
    start..start + line.len()
}

/// The one of `candidates` that somebody who wrote `name` may have meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // A third of the letters, at least one: more is another word.
    let tolerance = (name.chars().count() / 3).max(1);
    let distance = |candidate: &str| {
        strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase())
    };
    candidates
        .into_iter()
        .map(|candidate| (distance(candidate), candidate))
        .filter(|(distance, _)| *distance <= tolerance)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean `x`?", or else `otherwise`.
pub(super) fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    nearest(name, candidates).map_or_else(otherwise, |meant| format!("did you mean `{meant}`?"))
}

/// `` `a`, `b`, `c` ``.
pub(super) fn quoted(names: &[&str]) -> String {
    let quoted: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_within_a_third_of_the_letters() {
        assert_eq!(nearest("adress", ["path", "address"]), Some("address"));
        assert_eq!(nearest("listen", ["listener"]), Some("listener"));
        assert_eq!(nearest("Pool", ["pool"]), Some("pool"));
        assert_eq!(nearest("upstream", ["pool", "route"]), None);
        assert_eq!(nearest("ab", ["xy"]), None);
    }

    #[test]
    fn problems_come_in_the_order_of_their_places() {
        let problems = Problems::new(
            "x",
            "a\nbé c\n",
            vec![
                Problem::at(6..7, "second"),
                Problem::at(0..1, "first"),
                Problem::new("whole file"),
            ],
        );
        let seen: Vec<_> = problems
            .iter()
            .map(|problem| (problem.message(), problem.line(), problem.column()))
            .collect();
        assert_eq!(
            seen,
            [
                ("whole file", None, None),
                ("first", Some(1), Some(1)),
                ("second", Some(2), Some(4)),
            ],
        );
    }

    #[test]
    fn a_mark_stays_on_its_first_line_and_between_characters() {
        assert_eq!(drawable(&(0..9), "ab\ncdefgh"), 0..2);
        assert_eq!(drawable(&(1..2), "é"), 0..2);
        assert_eq!(drawable(&(5..9), "abc"), 3..3);
    }

    #[test]
    fn colours_are_only_in_the_coloured_rendering() {
        let problems = Problems::new("x", "a", vec![Problem::at(0..1, "no")]);
        assert!(problems.coloured().contains('\u{1b}'));
        assert!(!problems.to_string().contains('\u{1b}'));
    }
}
