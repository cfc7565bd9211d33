//! How tunnels are told to close when many have to go, be they a backend's or all of the proxy's.

use std::{num::NonZeroU32, time::Duration};

use super::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::{Section, Setting},
    values::{MANY, duration, integer},
};

/// `over` or `rate`: how fast tunnels are told to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrainPace {
    /// All within that time, evenly.
    Over(Duration),
    /// So many a second.
    Rate(NonZeroU32),
}

/// `code`: what tunnels are told that are closed for a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DrainCode {
    /// 1001.
    GoingAway,
    /// 1012: clients are to come back.
    #[default]
    ServiceRestart,
}

impl DrainPace {
    /// The pace that a section gives by `over` or `rate`; all are told over a `default` time if it
    /// gives none. Those that have not been told at the `deadline` would be cut.
    pub(super) fn read(
        section: &Section<'_>,
        default: Duration,
        deadline: &Setting<Option<Duration>>,
    ) -> Result<Self, Reported> {
        let over = section.setting("over", duration, default);
        match section.field("rate") {
            Some(rate) => rate_instead_of(&over, &rate),
            None => {
                is_over_by_then(section, &over, deadline);
                Ok(Self::Over(*over))
            }
        }
    }
}

impl DrainCode {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        match integer(field, 0..=MANY)? {
            1001 => Ok(Self::GoingAway),
            1012 => Ok(Self::ServiceRestart),
            other => Err(field.fault(
                format!("tunnels cannot be told {other}"),
                "expected 1001 (going away) or 1012 (service restart)",
            )),
        }
    }
}

fn rate_instead_of(over: &Setting<Duration>, rate: &Field<'_>) -> Result<DrainPace, Reported> {
    let read = a_second(rate).map(DrainPace::Rate);
    let Some(over) = &over.place else {
        return read;
    };
    let problem = Problem::at(rate.key_place.clone(), "the pace is given twice")
        .beside(over.clone(), "`over` is here")
        .helping("`over` closes all tunnels within a time, `rate` so many a second: take one");
    Err(rate.report(problem))
}

/// Tunnels that have not been told yet would be cut.
fn is_over_by_then(
    section: &Section<'_>,
    over: &Setting<Duration>,
    deadline: &Setting<Option<Duration>>,
) {
    let (Some(limit), Some(place)) = (**deadline, &deadline.place) else {
        return;
    };
    if limit >= **over || over.is_faulty || deadline.is_faulty {
        return;
    }
    let problem = Problem::at(place.clone(), "`deadline` is shorter than `over`")
        .helping("tunnels would be cut before they are told to close");
    section.reading.report(match &over.place {
        Some(over) => problem.beside(over.clone(), "`over` is here"),
        None => problem.expecting("`over` has its default"),
    });
}

/// How many a second.
pub(in crate::config) fn a_second(field: &Field<'_>) -> Result<NonZeroU32, Reported> {
    let rate = integer(field, 1..=100_000)?;
    // The range fits, and begins at 1.
    let rate = u32::try_from(rate).ok().and_then(NonZeroU32::new);
    Ok(rate.unwrap_or(NonZeroU32::MIN))
}
