//! How tunnels have ended so far.

use ratatui::{Frame, layout::Rect};

use super::grid::{self, Column};
use crate::cli::{
    speech::words::count,
    top::state::{Pane, State},
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let columns = [
        Column::of("ended by", 8),
        Column::of_the_rest("cause"),
        Column::of("code", 6),
        Column::of_numbers("tunnels", 9),
    ];
    let ends = state.moment.status.ends.iter();
    let rows = ends.map(|end| {
        [
            end.by.clone().into(),
            end.cause.clone().into(),
            end.code.clone().into(),
            count(end.count).into(),
        ]
    });
    let focus = (state.scrolled(Pane::Ends), state.pane == Pane::Ends);
    grid::draw(frame, area, columns, rows.collect(), focus);
}
