//! `pool.NAME.drain`

use std::{num::NonZeroU32, time::Duration};

use crate::config::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::{Section, Setting},
    values::{MANY, duration, integer, one_of, or_off},
};

/// `[pool.NAME.drain]`: how the tunnels of a backend are closed that is to lose them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drain {
    /// How fast they are told. Default: all within 30 s.
    pub pace: DrainPace,
    /// What they are told. Default: that the service restarts.
    pub code: DrainCode,
    /// From the beginning of a drain until what is left is cut; `None` leaves each as long as
    /// `timeouts.close` lets it end. Default: none. At least as long as the tunnels are told over.
    pub deadline: Option<Duration>,
    /// Whether returning clients still get the backend. Default: they do not.
    pub returning: Returning,
}

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

/// `returning`: what becomes of a client that comes back to a backend that is draining.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Returning {
    /// It gets that backend.
    Keep,
    /// It gets another one.
    #[default]
    Move,
}

const RETURNING: [(&str, Returning); 2] = [("keep", Returning::Keep), ("move", Returning::Move)];

const OVER: Duration = Duration::from_secs(30);

impl Default for Drain {
    fn default() -> Self {
        Self {
            pace: DrainPace::Over(OVER),
            code: DrainCode::default(),
            deadline: None,
            returning: Returning::default(),
        }
    }
}

impl Drain {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let over = section.setting("over", duration, OVER);
        let rate = section.field("rate");
        let deadline = section.setting("deadline", |field| or_off(field, duration), None);
        let code = section.or("code", code, DrainCode::default());
        let returning = |field: &Field<'_>| one_of(field, &RETURNING);
        let returning = section.or("returning", returning, Returning::default());
        let pace = match rate {
            Some(rate) => rate_instead_of(&over, &rate)?,
            None => {
                is_over_by_then(section, &over, &deadline);
                DrainPace::Over(*over)
            }
        };
        Ok(Self {
            pace,
            code,
            deadline: *deadline,
            returning,
        })
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
pub(super) fn a_second(field: &Field<'_>) -> Result<NonZeroU32, Reported> {
    let rate = integer(field, 1..=100_000)?;
    // The range fits, and begins at 1.
    let rate = u32::try_from(rate).ok().and_then(NonZeroU32::new);
    Ok(rate.unwrap_or(NonZeroU32::MIN))
}

fn code(field: &Field<'_>) -> Result<DrainCode, Reported> {
    match integer(field, 0..=MANY)? {
        1001 => Ok(DrainCode::GoingAway),
        1012 => Ok(DrainCode::ServiceRestart),
        other => Err(field.fault(
            format!("tunnels cannot be told {other}"),
            "expected 1001 (going away) or 1012 (service restart)",
        )),
    }
}
