//! What an event says, as text: others' words are cut and escaped, whoever has forgotten to.

use std::{
    error::Error,
    fmt::{self, Display},
    io, mem,
};

use longwire::quote::{PARAGRAPH, Quoted, visible_json, visible_lines};
use tracing::field::{Field, Visit};
use tracing_subscriber::{
    field::RecordFields,
    fmt::{FormatFields, MakeWriter, format::Writer},
};

use super::queue::Queue;

/// Writes the message, and then the fields.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields;

struct Words<'w> {
    page: Writer<'w>,
    gap: &'static str,
    written: fmt::Result,
}

impl<'w> FormatFields<'w> for Fields {
    fn format_fields<R: RecordFields>(&self, page: Writer<'w>, fields: R) -> fmt::Result {
        let mut words = Words {
            page,
            gap: "",
            written: Ok(()),
        };
        fields.record(&mut words);
        words.written
    }
}

impl Words<'_> {
    fn put(&mut self, field: &Field, value: impl Display) {
        if self.written.is_err() {
            return;
        }
        let gap = mem::replace(&mut self.gap, " ");
        self.written = match field.name() {
            // It is ours, and may have several lines.
            "message" => write!(self.page, "{gap}{}", visible_lines(&value.to_string())),
            name if self.page.has_ansi_escapes() => {
                let value = Quoted::within(value, PARAGRAPH);
                write!(
                    self.page,
                    "{gap}\u{1b}[3m{name}\u{1b}[0m\u{1b}[2m=\u{1b}[0m{value}"
                )
            }
            name => write!(
                self.page,
                "{gap}{name}={}",
                Quoted::within(value, PARAGRAPH)
            ),
        };
    }
}

impl Visit for Words<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.put(field, value),
            _ => self.put(field, format_args!("{value:?}")),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        let mut words = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            words = format!("{words}: {error}");
            source = error.source();
        }
        self.put(field, words);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

/// Writes JSON with what is not seen escaped.
#[derive(Debug, Clone)]
pub(super) struct Visible(Queue);

impl Visible {
    pub(super) fn of(queue: Queue) -> Self {
        Self(queue)
    }
}

impl<'a> MakeWriter<'a> for Visible {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

impl io::Write for &Visible {
    /// Takes a whole line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        match str::from_utf8(line) {
            Ok(text) if !line.is_ascii() => self.0.put(visible_json(text).as_bytes()),
            _ => self.0.put(line),
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
