//! Pools and their backends.

use longwire::admin::api::{Backend, Pool};
use ratatui::{Frame, layout::Rect, style::Style};

use super::{
    BOLD, FAINT,
    grid::{self, Column, Entry},
    style_of,
};
use crate::cli::{
    speech::{
        Stage,
        words::{count, span},
    },
    top::state::{Pane, State},
};

/// Minutes of a backend's last hour that are drawn.
const TREND: usize = 20;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

pub(super) fn draw(frame: &mut Frame<'_>, area: Rect, state: &State) {
    let columns = [
        Column::of_the_rest("pool, backend"),
        Column::of("state", 11),
        Column::of_numbers("tunnels", 7),
        Column::of_numbers("share", 5).from(60),
        Column::of_numbers("opened", 9).from(110),
        Column::of_numbers("checks failed", 15).from(130),
        Column::of("last minutes", TREND as u16).from(90),
        Column::of_the_rest("").from(60),
    ];
    let focus = (state.scrolled(Pane::Pools), state.pane == Pane::Pools);
    grid::draw(frame, area, columns, rows(state), focus);
}

/// A row for each pool and each backend.
pub(super) fn rows(state: &State) -> Vec<[Entry; 8]> {
    let pools = state.moment.pools.iter();
    let rows = pools.flat_map(|pool| {
        let backends = pool.backends.iter().map(of_backend);
        [of_pool(pool)].into_iter().chain(backends)
    });
    rows.collect()
}

fn of_pool(pool: &Pool) -> [Entry; 8] {
    let mut notes = Vec::new();
    if pool.queue.waiting > 0 {
        notes.push(format!("{} wait", count(pool.queue.waiting)));
    }
    if pool.rebalance.is_running {
        let note = match pool.rebalance.is_paused {
            true => "rebalance paused",
            false => "rebalancing",
        };
        notes.push(note.to_owned());
    }
    [
        Entry::styled(&*pool.name, BOLD),
        "".into(),
        Entry::styled(count(pool.tunnels), BOLD),
        "".into(),
        "".into(),
        "".into(),
        "".into(),
        Entry::styled(notes.join(", "), FAINT),
    ]
}

fn of_backend(backend: &Backend) -> [Entry; 8] {
    let style = style_of(&backend.state);
    let failed = backend.checks.as_ref().map_or(String::new(), |checks| {
        let all = checks.passed + checks.failed;
        format!("{} of {}", count(checks.failed), count(all))
    });
    [
        format!(" {}", backend.name).into(),
        Entry::styled(&*backend.state, style),
        count(backend.tunnels).into(),
        format!("{:.0} %", backend.share * 100.0).into(),
        count(backend.opened).into(),
        failed.into(),
        Entry::styled(trend(&backend.trend), FAINT),
        Entry::styled(note(backend), style_of_note(backend)),
    ]
}

/// What is to be known of it before anything else.
fn note(backend: &Backend) -> String {
    let failure = backend
        .checks
        .as_ref()
        .and_then(|checks| checks.last_failure.clone());
    match (&backend.drain, &backend.ejected) {
        (Some(draining), _) => {
            let outlook = Stage::from(*draining).outlook();
            format!("{} left, {outlook}", count(draining.left))
        }
        (None, Some(ejected)) => {
            format!("{} more: {}", span(ejected.seconds_left), ejected.reason)
        }
        (None, None) if backend.state == "down" => failure.unwrap_or_default(),
        (None, None) if backend.intent != backend.state && backend.intent != "ready" => {
            format!("is to be {}", backend.intent)
        }
        (None, None) => String::new(),
    }
}

fn style_of_note(backend: &Backend) -> Style {
    match &*backend.state {
        "ready" => FAINT,
        state => style_of(state),
    }
}

/// The last minutes in letters.
fn trend(minutes: &[u32]) -> String {
    let last = &minutes[minutes.len().saturating_sub(TREND)..];
    let most = last.iter().copied().max().unwrap_or(0).max(1);
    let bar = |minute: &u32| {
        let height = f64::from(*minute) / f64::from(most) * (BARS.len() - 1) as f64;
        BARS[(height.round() as usize).min(BARS.len() - 1)]
    };
    last.iter().map(bar).collect()
}
