//! `[reload]`

use std::time::Duration;

use super::{
    field::Field,
    reading::Reported,
    section::Section,
    values::{duration, one_of, or_off},
};

/// `[reload]`: what a new configuration does to what is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reload {
    /// What becomes of tunnels that the new configuration has no place for. Default: they are kept.
    pub removed: Removed,
    /// How often the files of certificates are looked at, to see whether they have changed; `None`
    /// is never. Default: 1 s.
    pub certificates: Option<Duration>,
}

/// `removed`: what becomes of the tunnels of a backend, a pool or a route that a reload removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Removed {
    /// They go on until they end by themselves.
    #[default]
    Keep,
    /// They are closed, at the pace at which their pool drains.
    Drain,
}

const REMOVED: [(&str, Removed); 2] = [("keep", Removed::Keep), ("drain", Removed::Drain)];

const CERTIFICATES: Duration = Duration::from_secs(1);

impl Reload {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        let removed = |field: &Field<'_>| one_of(field, &REMOVED);
        let or_never = |field: &Field<'_>| or_off(field, duration);
        Ok(Self {
            removed: section.or("removed", removed, Removed::default()),
            certificates: section.or("certificates", or_never, Some(CERTIFICATES)),
        })
    }
}
