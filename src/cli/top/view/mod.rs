//! The picture: pure functions of the state and the size.

mod charts;
mod ends;
mod grid;
mod header;
mod help;
mod plan;
mod pools;
#[cfg(test)]
mod tests;
mod tunnels;

use anstyle::Style as Ansi;
use ratatui::{
    Frame,
    style::{Color, Modifier, Style},
};

use self::plan::Plan;
use super::state::{Pane, State};
use crate::cli::speech::paint::{BAD, GOOD, PASSING, of_state};

/// What matters less.
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);
/// What stands out.
const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);

/// Draws everything that there is room for.
pub(super) fn draw(frame: &mut Frame<'_>, state: &State) {
    let rows = pools::rows(state).len() as u16;
    let plan = Plan::of(frame.area(), state.pane, rows);
    header::draw(frame, plan.header, state);
    charts::draw(frame, plan.charts, &state.moment);
    for (pane, area) in plan.panes {
        match pane {
            Pane::Pools => pools::draw(frame, area, state),
            Pane::Tunnels => tunnels::draw(frame, area, state),
            Pane::Ends => ends::draw(frame, area, state),
        }
    }
    help::hint(frame, plan.footer, state);
    if state.shows_help {
        help::draw(frame);
    }
}

/// The colours of the commands, as they are here.
fn style_of(word: &str) -> Style {
    let colours: [(Ansi, Color); 3] = [
        (GOOD, Color::Green),
        (PASSING, Color::Yellow),
        (BAD, Color::Red),
    ];
    let wanted = of_state(word);
    let colour = colours.iter().find(|(ansi, _)| *ansi == wanted);
    colour.map_or(Style::new(), |(_, colour)| Style::new().fg(*colour))
}
