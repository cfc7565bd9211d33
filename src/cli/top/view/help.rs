//! What the keys do.

use ratatui::{
    Frame,
    layout::{Constraint, Rect},
    text::{Line, Span},
    widgets::{Block, Clear, Padding, Paragraph},
};

use super::{BOLD, FAINT, header::fitting, tunnels};
use crate::cli::top::state::State;

const KEYS: [(&str, &str); 7] = [
    ("Tab →  ←", "the next pane, the one before"),
    ("↑ ↓ PgUp PgDn", "move in it"),
    ("Home", "to its top"),
    ("s", "sort tunnels by something else"),
    ("p", "pause"),
    ("?", "this"),
    ("q Esc Ctrl-C", "leave"),
];

/// One line of the most important keys.
pub(super) fn hint(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let sorted = format!("by {}", tunnels::word_of(state.sort()));
    let pause = if state.is_paused { "go on" } else { "pause" };
    let keys = [
        ("q", "leave"),
        ("Tab", "pane"),
        ("s", &sorted),
        ("p", pause),
        ("?", "help"),
    ];
    let keys = keys.map(|(key, what)| {
        let what = Span::styled(format!(" {what}"), FAINT);
        vec![Span::styled(key, BOLD), what]
    });
    frame.render_widget(Paragraph::new(fitting(keys, area.width)), area);
}

/// All of them, above everything else.
pub(super) fn draw(frame: &mut Frame<'_>) {
    let lines = KEYS.map(|(keys, what)| {
        let keys = Span::styled(format!("{keys:15}"), BOLD);
        Line::from_iter([keys, Span::raw(what)])
    });
    let height = KEYS.len() as u16 + 2;
    let area = frame
        .area()
        .centered(Constraint::Max(52), Constraint::Max(height));
    let frame_of_it = Block::bordered()
        .title("keys")
        .padding(Padding::horizontal(1));
    frame.render_widget(Clear, area);
    let lines = Paragraph::new(lines.to_vec()).block(frame_of_it);
    frame.render_widget(lines, area);
}
