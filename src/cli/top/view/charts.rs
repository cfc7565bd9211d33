//! What the last minutes were like.

use longwire::admin::api::History;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style},
    text::{Line, Span},
    widgets::{Paragraph, Sparkline},
};

use super::{BOLD, FAINT};
use crate::cli::{
    speech::words::{bytes, count, rate, round_trip},
    top::feed::Moment,
};

/// The least width of a chart that says something.
const LEAST: u16 = 18;

/// As many as there are.
const MOST: u16 = 4;

/// What the bars of a chart are counted in: they are whole numbers, and round trips are not.
const SCALE: f64 = 1000.0;

struct Chart {
    name: &'static str,
    now: String,
    values: Vec<Option<f64>>,
}

/// How much of the screen charts take.
pub(super) fn height(whole: Rect) -> u16 {
    let graph = match whole.height {
        ..8 => return 0,
        8..18 => 1,
        18..30 => 2,
        _ => 4,
    };
    let rows = if whole.height < 18 {
        1
    } else {
        MOST.div_ceil(across(whole.width))
    };
    (1 + graph) * rows.min(2)
}

/// How many stand side by side.
fn across(width: u16) -> u16 {
    match width / LEAST {
        few @ ..MOST => few.max(1),
        _ => MOST,
    }
}

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, moment: &Moment) {
    if area.height < 2 {
        return;
    }
    let charts = charts(&moment.history);
    let across = across(area.width);
    // Four fit into one row or into two; where there is room for less the last are left out.
    let rows = if area.height >= 6 && across < MOST {
        2
    } else {
        1
    };
    let lines = Layout::vertical(vec![Constraint::Fill(1); rows]).split(area);
    let mut charts = charts.iter();
    for line in lines.iter() {
        let columns = vec![Constraint::Fill(1); usize::from(across)];
        let places = Layout::horizontal(columns).spacing(2).split(*line);
        for (place, chart) in places.iter().zip(&mut charts) {
            chart.draw(frame, *place, &moment.history.at);
        }
    }
}

fn charts(history: &History) -> [Chart; MOST as usize] {
    let known = |values: &[f64]| values.iter().copied().map(Some).collect();
    let sums = |one: &[f64], other: &[f64]| {
        let pairs = one.iter().zip(other);
        pairs.map(|(one, other)| Some(one + other)).collect()
    };
    [
        Chart::new("tunnels", known(&history.tunnels), |now| {
            count(now.round() as u64)
        }),
        Chart::new(
            "messages/s",
            sums(&history.client_messages, &history.backend_messages),
            rate,
        ),
        Chart::new(
            "bytes/s",
            sums(&history.client_bytes, &history.backend_bytes),
            bytes,
        ),
        Chart::new("round trip", history.client_p50.clone(), round_trip),
    ]
}

impl Chart {
    fn new(name: &'static str, values: Vec<Option<f64>>, words: impl Fn(f64) -> String) -> Self {
        let last = values.iter().rev().find_map(|value| *value);
        Self {
            name,
            now: last.map_or("–".to_owned(), words),
            values,
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, area: Rect, at: &[f64]) {
        let split = Layout::vertical([Constraint::Length(1), Constraint::Min(0)]);
        let [title, graph] = split.areas(area);
        let name = Span::styled(format!("{} ", self.name), FAINT);
        let title_line = Line::from_iter([name, Span::styled(&*self.now, BOLD)]);
        frame.render_widget(Paragraph::new(title_line), title);
        let bars = bars(at, &self.values, usize::from(graph.width));
        let bars = bars
            .into_iter()
            .map(|bar| bar.map(|bar| (bar * SCALE) as u64));
        let line = Sparkline::default()
            .data(bars.collect::<Vec<_>>())
            .style(Style::new().fg(Color::Cyan));
        frame.render_widget(line, graph);
    }
}

/// The values in as many bars as there is room for, the last at the right. Where several go into
/// one it is their mean, and which ones do does not change from one second to the next.
fn bars(at: &[f64], values: &[Option<f64>], width: usize) -> Vec<Option<f64>> {
    if width == 0 {
        return Vec::new();
    }
    let together = values.len().div_ceil(width).max(1) as u64;
    let mut bars: Vec<(u64, Vec<f64>)> = Vec::new();
    for (at, value) in at.iter().zip(values) {
        let group = at.round() as u64 / together;
        match bars.last_mut() {
            Some((last, known)) if *last == group => known.extend(*value),
            _ => bars.push((group, value.iter().copied().collect())),
        }
    }
    let skipped = bars.len().saturating_sub(width);
    let bars = bars.into_iter().skip(skipped);
    let mean = |known: Vec<f64>| {
        let sum: f64 = known.iter().sum();
        (!known.is_empty()).then(|| sum / known.len() as f64)
    };
    let bars: Vec<_> = bars.map(|(_, known)| mean(known)).collect();
    let missing = width.saturating_sub(bars.len());
    [vec![None; missing], bars].concat()
}
