//! `pool.NAME.ejection`

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use crate::config::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::Section,
    values::{count, duration, integer, or_off, percent},
};

/// `[pool.NAME.ejection]`: when a backend is left out for a while because traffic failed on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failures in a row that no client can bring about: no connection, no answer, a wrong 101; or
    /// failures of any kind that several client networks have met. Default: 5.
    pub failures: NonZeroU32,
    /// Client networks (24 bits of an IPv4 address, 48 of an IPv6 one) that must have met what a
    /// client may have asked for. Default: 3. 1 to 64.
    pub networks: NonZeroUsize,
    /// The share, in percent, that these are of all client networks seen meanwhile, at least.
    /// Default: 50.
    pub share: u32,
    /// How long what a client network has met counts. Default: 1 minute.
    pub window: Duration,
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
            networks: NonZeroUsize::new(3).expect("three is not zero"),
            share: 50,
            window: Duration::from_secs(60),
            early_loss: Some(Duration::from_secs(5)),
            time: Duration::from_secs(30),
            max_time: Duration::from_secs(300),
            max_share: 50,
        }
    }
}

/// How many client networks it takes at the most.
const MAX_NETWORKS: u64 = 64;

fn networks(field: &Field<'_>) -> Result<NonZeroUsize, Reported> {
    // The range begins at 1.
    integer(field, 1..=MAX_NETWORKS).map(|n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN))
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
            networks: section.or("networks", networks, default.networks),
            share: section.or("share", |field| percent(field, 1..=100), default.share),
            window: section.or("window", duration, default.window),
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
