//! How far something is that takes time.

use std::{ops::Add, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use longwire::admin::api::{Closing, Draining};
use tokio::time::sleep;

use super::words::{count, span};

/// How often we look how far it is.
const LOOK: Duration = Duration::from_millis(500);

/// How far the end of some tunnels is.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Stage {
    /// Tunnels that are meant.
    pub(crate) total: usize,
    /// Tunnels that have not been told to close yet.
    untold: usize,
    /// Tunnels that have not ended yet.
    pub(crate) left: usize,
    /// How long it takes until all have been told.
    seconds_left: f64,
}

/// A bar on the terminal, if there is one, until it is dropped.
#[derive(Debug)]
pub(crate) struct Progress(ProgressBar);

impl Stage {
    /// Tunnels of which it is not known when they end.
    pub(crate) fn waiting_for(left: usize) -> Self {
        Self {
            total: left,
            left,
            ..Self::default()
        }
    }

    /// When they will have been told, in words.
    pub(crate) fn outlook(&self) -> String {
        match self {
            Self { left: 0, .. } => "none is left".to_owned(),
            Self { untold: 0, .. } => "all have been told".to_owned(),
            _ => format!("all are told in {}", span(self.seconds_left)),
        }
    }
}

impl Progress {
    /// Looks again and again how far it is, and shows it, until no tunnel is left. Gives how many
    /// there were.
    ///
    /// # Errors
    /// Those of looking.
    pub(crate) async fn until_none_is_left(
        what: &str,
        mut stage: Stage,
        mut look: impl AsyncFnMut() -> anyhow::Result<Stage>,
    ) -> anyhow::Result<usize> {
        let progress = Self::of(what);
        let mut total = stage.total;
        progress.show(total, stage);
        while stage.left > 0 {
            sleep(LOOK).await;
            stage = look().await?;
            total = total.max(stage.total);
            progress.show(total, stage);
        }
        Ok(total)
    }

    fn of(what: &str) -> Self {
        let bar = ProgressBar::new(0);
        let style = ProgressStyle::with_template("{prefix}  {wide_bar} {msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        bar.set_style(style.progress_chars("━╸ "));
        bar.set_prefix(what.to_owned());
        Self(bar)
    }

    fn show(&self, total: usize, stage: Stage) {
        let gone = total.saturating_sub(stage.left);
        let far = format!("{} of {}, {}", count(gone), count(total), stage.outlook());
        self.0.set_length(total as u64);
        self.0.set_position(gone as u64);
        self.0.set_message(far);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

impl From<Closing> for Stage {
    fn from(closing: Closing) -> Self {
        Self {
            total: closing.total,
            untold: closing.untold,
            left: closing.left,
            seconds_left: closing.seconds_left,
        }
    }
}

impl From<Draining> for Stage {
    fn from(draining: Draining) -> Self {
        Self {
            total: draining.total,
            untold: draining.untold,
            left: draining.left,
            seconds_left: draining.seconds_left,
        }
    }
}

impl Add for Stage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            total: self.total + other.total,
            untold: self.untold + other.untold,
            left: self.left + other.left,
            seconds_left: self.seconds_left.max(other.seconds_left),
        }
    }
}
