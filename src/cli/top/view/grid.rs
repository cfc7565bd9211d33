//! A table that shows the columns for which there is room.

use ratatui::{
    Frame,
    layout::{Alignment, Constraint, Rect},
    style::{Modifier, Style},
    text::{Line, Text},
    widgets::{Cell, Row, Table},
};

use super::FAINT;

/// A column, and how it is set.
pub(super) struct Column {
    pub(super) title: String,
    width: Constraint,
    alignment: Alignment,
    /// It is left out where the pane is narrower than this.
    from: u16,
}

/// What stands in a place.
pub(super) struct Entry {
    text: String,
    style: Style,
}

impl Column {
    /// Words.
    pub(super) fn of(title: &str, width: u16) -> Self {
        Self {
            title: title.to_owned(),
            width: Constraint::Length(width),
            alignment: Alignment::Left,
            from: 0,
        }
    }

    /// Words that take what the others leave.
    pub(super) fn of_the_rest(title: &str) -> Self {
        Self {
            width: Constraint::Min(8),
            ..Self::of(title, 0)
        }
    }

    /// Numbers.
    pub(super) fn of_numbers(title: &str, width: u16) -> Self {
        Self {
            alignment: Alignment::Right,
            ..Self::of(title, width)
        }
    }

    /// One that needs a pane of so many columns.
    pub(super) fn from(self, from: u16) -> Self {
        Self { from, ..self }
    }
}

impl Entry {
    pub(super) fn styled(text: impl Into<String>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

impl<T: Into<String>> From<T> for Entry {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// Draws the rows from `skipped` on. The heading says whether this is the pane in which keys move.
pub(super) fn draw<const N: usize>(
    frame: &mut Frame<'_>,
    area: Rect,
    columns: [Column; N],
    rows: Vec<[Entry; N]>,
    (skipped, is_focused): (usize, bool),
) {
    let is_shown = columns.each_ref().map(|column| column.from <= area.width);
    let alignments = columns.each_ref().map(|column| column.alignment);
    let widths: Vec<_> = shown(columns.each_ref().map(|column| column.width), is_shown).collect();
    let titles = columns.map(|column| Line::from(column.title).alignment(column.alignment));
    let heading = Style::new().add_modifier(match is_focused {
        true => Modifier::REVERSED,
        false => Modifier::UNDERLINED,
    });
    let heading = Row::new(shown(titles, is_shown).map(Cell::new)).style(if is_focused {
        heading
    } else {
        heading.patch(FAINT)
    });
    let rows = rows.into_iter().skip(skipped).take(area.height.into());
    let rows = rows.map(|row| {
        let mut alignments = alignments.iter();
        let cells = row.map(|entry| {
            let alignment = alignments.next().copied().unwrap_or_default();
            Cell::new(Text::from(entry.text).alignment(alignment)).style(entry.style)
        });
        Row::new(shown(cells, is_shown))
    });
    let table = Table::new(rows, widths).header(heading).column_spacing(1);
    frame.render_widget(table, area);
}

fn shown<T, const N: usize>(all: [T; N], is_shown: [bool; N]) -> impl Iterator<Item = T> {
    let all = all.into_iter().zip(is_shown);
    all.filter_map(|(one, is_shown)| is_shown.then_some(one))
}
