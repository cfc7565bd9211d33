//! `pool.NAME.ejection`

use std::{num::NonZeroU32, time::Duration};

use crate::config::{
    diagnostics::Problem,
    reading::Reported,
    section::Section,
    values::{count, duration, or_off, percent},
};

/// `[pool.NAME.ejection]`: when a backend is left out for a while because traffic failed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row: connections or handshakes that fail, or tunnels that are lost early.
    /// Default: 5.
    pub failures: NonZeroU32,
    /// A tunnel whose backend is lost without a Close before this age is a failure; `None` counts
    /// none. Default: 5 s.
    pub early_loss: Option<Duration>,
    /// How long a backend is left out the first time; each further time in a row it is twice as
    /// long. Default: 30 s.
    pub time: Duration,
    /// The longest that a backend is left out. Default: 5 min. At least `time`.
    pub max_time: Duration,
    /// The share of the pool, in percent, that may be missing for one more to be ejected: backends
    /// that are ejected, down or taken out by the operator, that one included. Default: 50.
    pub max_share: u32,
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            failures: NonZeroU32::new(5).expect("five is not zero"),
            early_loss: Some(Duration::from_secs(5)),
            time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            max_share: 50,
        }
    }
}

impl Ejection {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let default = Self::default();
        let time = section.setting("time", duration, default.time);
        let max_time = section.setting("max_time", duration, default.max_time.max(*time));
        if let Some(place) = &max_time.place
            && *max_time < *time
            && !max_time.is_faulty
        {
            let problem = Problem::at(place.clone(), "`max_time` is shorter than `time`");
            let beside = time.place.clone().or(section.place()).unwrap_or_default();
            section
                .reading
                .report(problem.beside(beside, "a backend is left out this long at least"));
        }
        Ok(Self {
            failures: section.or("failures", count, default.failures),
            early_loss: section.or(
                "early_loss",
                |field| or_off(field, duration),
                default.early_loss,
            ),
            time: *time,
            max_time: *max_time,
            max_share: section.or(
                "max_share",
                |field| percent(field, 1..=100),
                default.max_share,
            ),
        })
    }
}
