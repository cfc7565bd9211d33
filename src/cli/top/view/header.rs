//! Which process it is, and how it is.

use ratatui::{
    Frame,
    layout::Rect,
    style::{Color, Style},
    text::{Line, Span},
    widgets::Paragraph,
};

use super::{BOLD, FAINT, style_of};
use crate::cli::{
    orders::word_of,
    speech::words::{bytes, count, plain, rate, span},
    top::state::{State, Trouble},
};

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let trouble = state.trouble.as_ref();
    let lines = match (trouble, area.height) {
        (Some(trouble), 1) => vec![complaint(trouble)],
        (Some(trouble), _) => vec![identity(state, area.width), complaint(trouble)],
        (None, _) => vec![identity(state, area.width), rates(state, area.width)],
    };
    frame.render_widget(Paragraph::new(lines), area);
}

fn identity(state: &State, width: u16) -> Line<'static> {
    let status = &state.moment.status;
    let readiness = word_of(status.readiness);
    let open = Span::styled(count(status.tunnels.open), BOLD);
    let closing = match status.tunnels.closing {
        0 => Vec::new(),
        closing => vec![Span::raw(format!("{} closing", count(closing)))],
    };
    let mut name = vec![Span::styled("longwire", BOLD)];
    if state.is_paused {
        let paused = Span::styled(" paused", Style::new().fg(Color::Yellow));
        name.push(paused);
    }
    let faint = |text: String| vec![Span::styled(text, FAINT)];
    let parts = [
        name,
        vec![Span::styled(readiness, style_of(readiness))],
        vec![open, Span::raw(" tunnels")],
        closing,
        faint(format!("up {}", span(status.uptime_seconds))),
        faint(format!("process {}", status.pid)),
        faint(plain(&status.version)),
    ];
    fitting(parts, width)
}

fn rates(state: &State, width: u16) -> Line<'static> {
    let rates = &state.moment.status.rates;
    let messages = rates.client_messages + rates.backend_messages;
    let of_bytes = rates.client_bytes + rates.backend_bytes;
    let parts = [
        ("opened", rate(rates.opened)),
        ("ended", rate(rates.ended)),
        ("messages", rate(messages)),
        ("bytes", bytes(of_bytes)),
        ("requests", rate(rates.requests)),
    ];
    let parts = parts.map(|(name, value)| {
        let name = Span::styled(format!("{name} "), FAINT);
        vec![name, Span::raw(format!("{value}/s"))]
    });
    fitting(parts, width)
}

/// The first of the parts, as many as there is room for: half a number is a wrong one.
pub(super) fn fitting(
    parts: impl IntoIterator<Item = Vec<Span<'static>>>,
    width: u16,
) -> Line<'static> {
    let mut line = Line::default();
    for part in parts.into_iter().filter(|part| !part.is_empty()) {
        let gap = if line.spans.is_empty() { "" } else { "  " };
        let length = gap.len() + part.iter().map(Span::width).sum::<usize>();
        if line.width() + length > usize::from(width) {
            break;
        }
        line.push_span(gap);
        line.spans.extend(part);
    }
    line
}

fn complaint(trouble: &Trouble) -> Line<'_> {
    let lasts = span(trouble.lasts.as_secs_f64());
    let words = format!("lost for {lasts}, trying again: {}", trouble.words);
    Line::styled(words, Style::new().fg(Color::Red))
}
