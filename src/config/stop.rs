//! `[stop]`

use std::time::Duration;

use super::{
    draining::{DrainCode, DrainPace},
    reading::Reported,
    section::Section,
    values::{duration, or_off},
};

/// `[stop]`: how the proxy stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// How long clients are still accepted after readiness says no. Default: not at all.
    pub delay: Duration,
    /// How fast tunnels are told. Default: all within 15 s.
    pub pace: DrainPace,
    /// What they are told. Default: that the proxy goes away.
    pub code: DrainCode,
    /// From the first that is told until what is left is cut. Default: 30 s. At least as long as
    /// they are told over.
    pub deadline: Duration,
}

const OVER: Duration = Duration::from_secs(15);

const DEADLINE: Duration = Duration::from_secs(30);

impl Stop {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let deadline = section.setting("deadline", duration, DEADLINE);
        let delay = section.or("delay", |field| or_off(field, duration), None);
        let pace = DrainPace::read(section, OVER, &deadline.clone().map(Some));
        Ok(Self {
            delay: delay.unwrap_or_default(),
            code: section.or("code", DrainCode::read, DrainCode::GoingAway),
            deadline: *deadline,
            pace: pace?,
        })
    }
}
