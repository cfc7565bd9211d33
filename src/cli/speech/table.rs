//! Columns that are as wide as what stands in them.

use std::{
    fmt::{self, Write},
    io::{self, IsTerminal},
};

use anstyle::Style;
use ratatui::crossterm::terminal;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::{
    paint::{FAINT, painted},
    words::plain,
};

/// What stands between two columns.
const GAP: &str = "  ";

/// The least that is left of a column which gives way.
const LEAST: usize = 8;

/// A heading, and rows below it.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Row>,
    indent: usize,
    width: Option<usize>,
}

/// How a column is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    title: &'static str,
    is_number: bool,
    gives_way: bool,
}

/// What stands in a place.
#[derive(Debug, Clone)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

#[derive(Debug)]
struct Row {
    cells: Vec<Cell>,
    notes: Vec<String>,
}

impl Column {
    /// Words, from the left on.
    pub(crate) fn of(title: &'static str) -> Self {
        Self {
            title,
            is_number: false,
            gives_way: false,
        }
    }

    /// Numbers, that end at the right.
    pub(crate) fn of_numbers(title: &'static str) -> Self {
        Self {
            is_number: true,
            ..Self::of(title)
        }
    }

    /// It is cut where the terminal is too narrow for all.
    pub(crate) fn that_gives_way(self) -> Self {
        Self {
            gives_way: true,
            ..self
        }
    }
}

impl Cell {
    /// A text that stands out, or does not matter.
    pub(crate) fn painted(text: impl AsRef<str>, style: Style) -> Self {
        Self {
            text: plain(text.as_ref()),
            style,
        }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::painted(text, Style::new())
    }
}

impl Table {
    /// One without rows, as wide as the terminal at most.
    pub(crate) fn new(columns: impl Into<Vec<Column>>) -> Self {
        let is_terminal = io::stdout().is_terminal();
        let size = is_terminal.then(|| terminal::size().ok()).flatten();
        Self {
            columns: columns.into(),
            rows: Vec::new(),
            indent: 0,
            width: size.map(|(width, _)| usize::from(width)),
        }
    }

    /// Some columns to the right.
    pub(crate) fn indented(self, indent: usize) -> Self {
        Self { indent, ..self }
    }

    /// One more row.
    pub(crate) fn row(&mut self, cells: impl Into<Vec<Cell>>) {
        self.rows.push(Row {
            cells: cells.into(),
            notes: Vec::new(),
        });
    }

    /// What is to be said of the last row, on a line of its own.
    pub(crate) fn note(&mut self, note: &str, style: Style) {
        if let Some(row) = self.rows.last_mut() {
            row.notes.push(painted(&plain(note), style));
        }
    }

    fn widths(&self) -> Vec<usize> {
        let of_column = |(index, column): (usize, &Column)| {
            let cells = self.rows.iter().filter_map(|row| row.cells.get(index));
            let widths = cells.map(|cell| cell.text.width());
            widths.max().unwrap_or(0).max(column.title.width())
        };
        let mut widths: Vec<_> = self.columns.iter().enumerate().map(of_column).collect();
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        let whole = self.indent + gaps + widths.iter().sum::<usize>();
        let mut excess = self.width.map_or(0, |width| whole.saturating_sub(width));
        for (width, column) in widths.iter_mut().zip(&self.columns) {
            if column.gives_way {
                let given = excess.min(width.saturating_sub(LEAST));
                *width -= given;
                excess -= given;
            }
        }
        widths
    }

    fn line(&self, widths: &[usize], cells: &[Cell]) -> String {
        let mut line = " ".repeat(self.indent);
        for ((cell, column), &width) in cells.iter().zip(&self.columns).zip(widths) {
            let text = cut(&cell.text, width);
            let padding = " ".repeat(width.saturating_sub(text.width()));
            let text = match cell.text.is_empty() {
                true => text,
                false => painted(&text, cell.style),
            };
            let (before, after) = match column.is_number {
                true => (padding, String::new()),
                false => (String::new(), padding),
            };
            line.extend([&*before, &text, &after, GAP]);
        }
        line.truncate(line.trim_end().len());
        line
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let widths = self.widths();
        let titles = self.columns.iter();
        let titles: Vec<_> = titles
            .map(|column| Cell::painted(column.title, FAINT))
            .collect();
        if titles.iter().any(|title| !title.text.is_empty()) {
            writeln!(f, "{}", self.line(&widths, &titles))?;
        }
        for row in &self.rows {
            writeln!(f, "{}", self.line(&widths, &row.cells))?;
            for note in &row.notes {
                writeln!(f, "{:1$}{note}", "", self.indent + GAP.len())?;
            }
        }
        Ok(())
    }
}

/// `text`, or as much of its beginning as there is room for.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut kept = String::new();
    for letter in text.chars() {
        let Some(left) = room.checked_sub(letter.width().unwrap_or(0)) else {
            break;
        };
        room = left;
        kept.push(letter);
    }
    // Writing to a string succeeds.
    let _ = write!(kept, "…");
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(width: Option<usize>) -> Table {
        let columns = [
            Column::of("name"),
            Column::of("path").that_gives_way(),
            Column::of_numbers("tunnels"),
        ];
        let mut table = Table {
            width,
            ..Table::new(columns)
        };
        table.row(["a".into(), "/room/日本語/7".into(), "1,200".into()]);
        table.row(["longer".into(), "".into(), Cell::painted("3", Style::new())]);
        table.note("it was down", Style::new());
        table
    }

    #[test]
    fn columns_are_as_wide_as_what_stands_in_them() {
        let text = anstream::adapter::strip_str(&table(None).to_string()).to_string();
        insta::assert_snapshot!(text, @r"
        name    path            tunnels
        a       /room/日本語/7    1,200
        longer                        3
          it was down
        ");
    }

    #[test]
    fn a_column_gives_way_where_there_is_no_room() {
        let text = anstream::adapter::strip_str(&table(Some(27)).to_string()).to_string();
        insta::assert_snapshot!(text, @r"
        name    path        tunnels
        a       /room/日…     1,200
        longer                    3
          it was down
        ");
    }
}
