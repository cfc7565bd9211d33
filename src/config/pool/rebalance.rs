//! `pool.NAME.rebalance`

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use crate::config::{
    affinity::Affinity,
    diagnostics::Problem,
    draining::a_second,
    field::Field,
    reading::Reported,
    section::Section,
    values::{duration, integer, one_of, positive},
};

/// `[pool.NAME.rebalance]`: how tunnels are closed that a backend has too many of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rebalance {
    /// How many are told to close in a second at most. Default: 10.
    pub rate: NonZeroU32,
    /// How far above its fair share a backend may be, in percent. Default: 10. 1 to 100.
    pub tolerance: u32,
    /// Younger ones are left alone. Default: 5 minutes.
    pub min_age: Duration,
    /// Which go first. Default: the oldest.
    pub order: RebalanceOrder,
    /// Those that have been told and whose clients have not come back, at most. Default: 100.
    pub max_closing: NonZeroUsize,
}

/// `order`: which tunnels are moved first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RebalanceOrder {
    /// Those that have been open longest.
    #[default]
    Oldest,
    /// Those that were opened last.
    Newest,
}

const ORDERS: [(&str, RebalanceOrder); 2] = [
    ("oldest", RebalanceOrder::Oldest),
    ("newest", RebalanceOrder::Newest),
];

const RATE: NonZeroU32 = NonZeroU32::new(10).expect("not zero");
const TOLERANCE: u32 = 10;
const MIN_AGE: Duration = Duration::from_secs(5 * 60);
const MAX_CLOSING: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");

impl Default for Rebalance {
    fn default() -> Self {
        Self {
            rate: RATE,
            tolerance: TOLERANCE,
            min_age: MIN_AGE,
            order: RebalanceOrder::default(),
            max_closing: MAX_CLOSING,
        }
    }
}

impl Rebalance {
    /// What `field` says, in a pool with that affinity and as many backends; `None` if they could
    /// not be read.
    pub(super) fn read(
        field: &Field<'_>,
        affinity: &Affinity,
        backends: Option<usize>,
    ) -> Result<Self, Reported> {
        let read = field.table(|section| Ok(Self::read_table(section)));
        refuse_fixed(field, affinity)
            .and(refuse_alone(field, backends))
            .and(read)
    }

    fn read_table(section: &Section<'_>) -> Self {
        // The range fits.
        let percent = |whole: usize| u32::try_from(whole).unwrap_or(u32::MAX);
        let tolerance = |field: &Field<'_>| integer(field, 1..=100).map(percent);
        let order = |field: &Field<'_>| one_of(field, &ORDERS);
        Self {
            rate: section.or("rate", a_second, RATE),
            tolerance: section.or("tolerance", tolerance, TOLERANCE),
            min_age: section.or("min_age", duration, MIN_AGE),
            order: section.or("order", order, RebalanceOrder::default()),
            max_closing: section.or("max_closing", positive, MAX_CLOSING),
        }
    }
}

/// Clients that their affinity leads to one backend would come back to it, and be closed again.
fn refuse_fixed(field: &Field<'_>, affinity: &Affinity) -> Result<(), Reported> {
    if affinity.can_be_given_anew() {
        return Ok(());
    }
    let message = format!("clients with affinity by {affinity} cannot be rebalanced");
    let problem = Problem::at(field.key_place.clone(), message).helping(
        "they would come back to the same backend; affinity by `cookie` can be given anew",
    );
    Err(field.report(problem))
}

fn refuse_alone(field: &Field<'_>, backends: Option<usize>) -> Result<(), Reported> {
    if backends != Some(1) {
        return Ok(());
    }
    let problem = Problem::at(field.key_place.clone(), "`rebalance` is of no use here")
        .expecting("this pool has one backend");
    Err(field.report(problem))
}
