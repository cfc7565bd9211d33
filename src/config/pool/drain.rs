//! `pool.NAME.drain`

use std::time::Duration;

use crate::config::{
    draining::{DrainCode, DrainPace},
    field::Field,
    reading::Reported,
    section::Section,
    values::{duration, one_of, or_off},
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
        let deadline = section.setting("deadline", |field| or_off(field, duration), None);
        let returning = |field: &Field<'_>| one_of(field, &RETURNING);
        let pace = DrainPace::read(section, OVER, &deadline);
        Ok(Self {
            code: section.or("code", DrainCode::read, DrainCode::default()),
            deadline: *deadline,
            returning: section.or("returning", returning, Returning::default()),
            pace: pace?,
        })
    }
}
