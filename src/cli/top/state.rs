//! What is on the screen.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use longwire::admin::api::Sort;

use super::feed::Moment;

/// What the most busy tunnels can be sorted by, the largest first.
const SORTS: [Sort; 5] = [
    Sort::Messages,
    Sort::Bytes,
    Sort::Age,
    Sort::ClientRoundTrip,
    Sort::ClientHeard,
];

/// What they are sorted by at first.
pub(super) const FIRST_SORT: Sort = SORTS[0];

/// What is on the screen, and how the user wants it.
#[derive(Debug)]
pub(super) struct State {
    pub(super) moment: Moment,
    pub(super) trouble: Option<Trouble>,
    pub(super) is_paused: bool,
    pub(super) shows_help: bool,
    pub(super) pane: Pane,
    sort: usize,
    /// Rows that are left out at the beginning of each pane.
    scrolled: [usize; 3],
}

/// The proxy cannot be asked.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) words: String,
    pub(super) lasts: Duration,
    since: Instant,
}

/// A table on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pane {
    Pools,
    Tunnels,
    Ends,
}

/// What a key means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    Nothing,
    Leave,
    /// To leave, or only what lies above the rest.
    Back,
    Help,
    Pause,
    Sort,
    NextPane,
    PreviousPane,
    /// To move so many rows down.
    Down(usize),
    /// To move so many rows up.
    Up(usize),
    ToTheTop,
}

impl State {
    pub(super) fn new(moment: Moment) -> Self {
        Self {
            moment,
            trouble: None,
            is_paused: false,
            shows_help: false,
            pane: Pane::Pools,
            sort: 0,
            scrolled: [0; 3],
        }
    }

    /// What tunnels are sorted by.
    pub(super) fn sort(&self) -> Sort {
        SORTS[self.sort]
    }

    /// How many rows of `pane` are left out at its beginning.
    pub(super) fn scrolled(&self, pane: Pane) -> usize {
        self.scrolled[pane.index()]
    }

    /// The proxy has said how it is, or could not be asked.
    pub(super) fn heard(&mut self, look: anyhow::Result<Moment>, now: Instant) {
        match look {
            Ok(moment) => {
                self.trouble = None;
                if !self.is_paused {
                    self.moment = moment;
                }
            }
            Err(error) => {
                let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
                let words = format!("{error:#}");
                self.trouble = Some(Trouble {
                    words: words.lines().next().unwrap_or_default().to_owned(),
                    lasts: now.saturating_duration_since(since),
                    since,
                });
            }
        }
    }

    /// Does what the user wants; breaks if that is to leave.
    pub(super) fn grant(&mut self, wish: Wish) -> ControlFlow<()> {
        match wish {
            Wish::Leave => return ControlFlow::Break(()),
            // Any key takes it away.
            _ if self.shows_help => self.shows_help = false,
            Wish::Nothing => {}
            Wish::Back => return ControlFlow::Break(()),
            Wish::Help => self.shows_help = true,
            Wish::Pause => self.is_paused = !self.is_paused,
            Wish::Sort => self.sort = (self.sort + 1) % SORTS.len(),
            Wish::NextPane => self.pane = self.pane.next(),
            Wish::PreviousPane => self.pane = self.pane.next().next(),
            Wish::Down(rows) => self.scroll(|at| at + rows),
            Wish::Up(rows) => self.scroll(|at| at.saturating_sub(rows)),
            Wish::ToTheTop => self.scroll(|_| 0),
        }
        ControlFlow::Continue(())
    }

    fn scroll(&mut self, to: impl FnOnce(usize) -> usize) {
        let last = self.rows(self.pane).saturating_sub(1);
        let scrolled = &mut self.scrolled[self.pane.index()];
        *scrolled = to(*scrolled).min(last);
    }

    fn rows(&self, pane: Pane) -> usize {
        let moment = &self.moment;
        match pane {
            Pane::Pools => {
                let of_pool = moment.pools.iter().map(|pool| 1 + pool.backends.len());
                of_pool.sum()
            }
            Pane::Tunnels => moment.tunnels.len(),
            Pane::Ends => moment.status.ends.len(),
        }
    }
}

impl Pane {
    const fn index(self) -> usize {
        match self {
            Self::Pools => 0,
            Self::Tunnels => 1,
            Self::Ends => 2,
        }
    }

    const fn next(self) -> Self {
        match self {
            Self::Pools => Self::Tunnels,
            Self::Tunnels => Self::Ends,
            Self::Ends => Self::Pools,
        }
    }
}
