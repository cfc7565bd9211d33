//! `[upgrade]`

use std::time::Duration;

use super::{
    draining::{DrainCode, DrainPace},
    reading::Reported,
    section::Section,
    values::duration,
};

/// `[upgrade]`: how another process takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// How long the new process may take until it is ready. Default: 30 s.
    pub timeout: Duration,
    /// How fast the tunnels are told that cannot be handed over. Default: all within 1 minute.
    pub pace: DrainPace,
    /// What they are told. Default: that the service restarts.
    pub code: DrainCode,
    /// From the first that is told until what is left is cut. Default: 2 minutes. At least as long
    /// as they are told over.
    pub deadline: Duration,
}

const TIMEOUT: Duration = Duration::from_secs(30);

const OVER: Duration = Duration::from_secs(60);

const DEADLINE: Duration = Duration::from_secs(120);

impl Upgrade {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let deadline = section.setting("deadline", duration, DEADLINE);
        let pace = DrainPace::read(section, OVER, &deadline.clone().map(Some));
        Ok(Self {
            timeout: section.or("timeout", duration, TIMEOUT),
            code: section.or("code", DrainCode::read, DrainCode::ServiceRestart),
            deadline: *deadline,
            pace: pace?,
        })
    }
}
