//! What stands where: what matters most has its place first.

use ratatui::layout::{Constraint, Layout, Rect};

use super::{super::state::Pane, charts};

/// From this height on all panes have a place.
const TALL: u16 = 30;

/// From this height on two of them have.
const MIDDLING: u16 = 18;

/// From this width on how tunnels have ended stands beside those that are open.
const WIDE: u16 = 130;

/// How wide it is there.
const ENDS: u16 = 44;

/// The least that is of use of a pane: a heading and two rows.
const LEAST: u16 = 3;

/// The place of everything. What has none is empty.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) header: Rect,
    pub(super) charts: Rect,
    pub(super) panes: Vec<(Pane, Rect)>,
    pub(super) footer: Rect,
}

impl Plan {
    /// For so many rows of pools. Where one pane alone has a place it is that of `pane`.
    pub(super) fn of(whole: Rect, pane: Pane, pools: u16) -> Self {
        let header = if whole.height < 6 { 1 } else { 2 };
        let footer = u16::from(whole.height >= 10);
        let charts = charts::height(whole);
        let [header, charts, body, footer] = Layout::vertical([
            Constraint::Length(header),
            Constraint::Length(charts),
            Constraint::Min(0),
            Constraint::Length(footer),
        ])
        .areas(whole);
        Self {
            header,
            charts,
            panes: panes(body, whole, pane, pools),
            footer,
        }
    }
}

fn panes(body: Rect, whole: Rect, pane: Pane, pools: u16) -> Vec<(Pane, Rect)> {
    if whole.height < MIDDLING {
        return vec![(pane, body)];
    }
    // As much as the pools need, as long as that leaves the other half.
    let wanted = pools + 2;
    let height = wanted.min(body.height / 2).max(LEAST);
    let split = Layout::vertical([Constraint::Length(height), Constraint::Min(0)]);
    let [upper, lower] = split.areas(body);
    let is_wide = whole.width >= WIDE;
    let lower = match (is_wide, whole.height >= TALL, pane) {
        (true, _, _) => {
            let split = Layout::horizontal([Constraint::Min(0), Constraint::Length(ENDS)]);
            let [tunnels, ends] = split.spacing(2).areas(lower);
            vec![(Pane::Tunnels, tunnels), (Pane::Ends, ends)]
        }
        (false, true, _) => {
            let split = Layout::vertical([Constraint::Fill(2), Constraint::Fill(1)]);
            let [tunnels, ends] = split.spacing(1).areas(lower);
            vec![(Pane::Tunnels, tunnels), (Pane::Ends, ends)]
        }
        (false, false, Pane::Ends) => vec![(Pane::Ends, lower)],
        (false, false, _) => vec![(Pane::Tunnels, lower)],
    };
    [(Pane::Pools, upper)].into_iter().chain(lower).collect()
}
