//! `[admission]` and `[pool.NAME.admission]`

use std::{
    num::{NonZeroU32, NonZeroUsize},
    time::Duration,
};

use toml::Spanned;

use super::{
    diagnostics::Problem,
    field::Field,
    reading::Reported,
    section::Section,
    values::{MANY, duration, integer, positive, seconds},
};

/// `[admission]`: how many handshakes the proxy lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// All handshakes.
    pub all: Gate,
    /// `client`: those of each client address.
    pub client: Gate,
    /// After what time at least whoever is refused is asked to come back, and at most after twice
    /// that. Default: 5 s. At least 1 s.
    pub retry_after: Duration,
}

/// `[pool.NAME.admission]`: how many handshakes a pool lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolAdmission {
    /// All handshakes to the pool.
    pub all: Gate,
    /// `backend`: those to each of its backends.
    pub backend: Gate,
}

/// What a gate lets in, and who may wait at it. Unless something is written it lets everybody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gate {
    /// Handshakes over time; `None` is no limit.
    pub rate: Option<Rate>,
    /// Handshakes under way at once; `None` is no limit.
    pub handshakes: Option<NonZeroUsize>,
    /// So many more wait. Default: 1000; 0 for a client.
    pub queue: usize,
    /// And so long at most. Default: 5 s.
    pub queue_timeout: Duration,
}

/// So many over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// `rate`: so many a second. 1 to a million.
    pub per_second: NonZeroU32,
    /// `burst`: so many at once after a pause. Default: what a tenth of a second brings, at least 1;
    /// for a client, what a second brings.
    pub burst: NonZeroU32,
}

/// A pool's admission as written: how long handshakes wait for a backend is compared with the
/// timeouts.
#[derive(Debug, Clone)]
pub(super) struct PoolDraft {
    pub(super) admission: PoolAdmission,
    /// The `queue_timeout` of each backend, if it is written.
    pub(super) backend_queue_timeout: Option<Spanned<Duration>>,
}

/// A gate as written.
#[derive(Debug, Clone)]
struct Written {
    gate: Gate,
    queue_timeout: Option<Spanned<Duration>>,
}

/// What holds where nothing is written.
#[derive(Debug, Clone, Copy)]
struct Defaults {
    queue: usize,
    /// A burst is what comes in a second, divided by this.
    burst_divisor: u32,
}

const CROWD: Defaults = Defaults {
    queue: 1000,
    burst_divisor: 10,
};

const CLIENT: Defaults = Defaults {
    queue: 0,
    burst_divisor: 1,
};

const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY_AFTER: Duration = Duration::from_secs(5);

const LIMITS: &str = "expected `rate` (handshakes a second) or `handshakes` (under way at once)";
const A_RATE: &str = "expected `rate` beside it: handshakes a second";

impl Default for Admission {
    fn default() -> Self {
        Self {
            all: Gate::open(CROWD),
            client: Gate::open(CLIENT),
            retry_after: RETRY_AFTER,
        }
    }
}

impl Default for PoolAdmission {
    fn default() -> Self {
        Self {
            all: Gate::open(CROWD),
            backend: Gate::open(CROWD),
        }
    }
}

impl Admission {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        field.table(|section| {
            let all = Written::read(section, CROWD);
            let client = section.optional("client", |field| Written::alone(field, CLIENT));
            let retry_after = section.optional("retry_after", seconds);
            if let (Ok(None), Ok(None), Ok(None)) = (&all, &client, retry_after) {
                return Err(limits_nothing(section));
            }
            Ok(Self {
                all: all?.map_or(Gate::open(CROWD), |written| written.gate),
                client: client?.map_or(Gate::open(CLIENT), |written| written.gate),
                retry_after: retry_after?.unwrap_or(RETRY_AFTER),
            })
        })
    }
}

impl PoolDraft {
    /// What nobody wrote.
    pub(super) fn unwritten() -> Self {
        Self {
            admission: PoolAdmission::default(),
            backend_queue_timeout: None,
        }
    }

    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        field.table(|section| {
            let all = Written::read(section, CROWD);
            let backend = section.optional("backend", |field| Written::alone(field, CROWD));
            if let (Ok(None), Ok(None)) = (&all, &backend) {
                return Err(limits_nothing(section));
            }
            let backend = backend?;
            Ok(Self {
                admission: PoolAdmission {
                    all: all?.map_or(Gate::open(CROWD), |written| written.gate),
                    backend: backend
                        .as_ref()
                        .map_or(Gate::open(CROWD), |written| written.gate),
                },
                backend_queue_timeout: backend.and_then(|written| written.queue_timeout),
            })
        })
    }
}

impl Gate {
    /// Whether it may hold anybody back.
    #[must_use]
    pub fn has_limit(&self) -> bool {
        self.rate.is_some() || self.handshakes.is_some()
    }

    /// One that lets everybody in.
    fn open(defaults: Defaults) -> Self {
        Self {
            rate: None,
            handshakes: None,
            queue: defaults.queue,
            queue_timeout: QUEUE_TIMEOUT,
        }
    }
}

impl Written {
    /// The gate that is all there is in a section.
    fn alone(field: &Field<'_>, defaults: Defaults) -> Result<Self, Reported> {
        field.table(|section| {
            let gate = Self::read(section, defaults)?;
            gate.ok_or_else(|| limits_nothing(section))
        })
    }

    /// The gate among the keys of a section; `None` if there is nothing of it.
    fn read(section: &Section<'_>, defaults: Defaults) -> Result<Option<Self>, Reported> {
        let rate = Rate::read(section, defaults);
        let handshakes = section.optional("handshakes", positive);
        let queue = section.optional("queue", |field| {
            field.placed(|field| integer(field, 0..=MANY))
        });
        let queue_timeout = section.optional("queue_timeout", |field| field.placed(duration));

        let (rate, handshakes, queue, queue_timeout) = (rate?, handshakes?, queue?, queue_timeout?);
        let timeout_place = queue_timeout.as_ref().map(Spanned::span);
        if rate.is_none() && handshakes.is_none() {
            let place = queue.map(|queue| queue.span()).or(timeout_place);
            return place.map_or(Ok(None), |place| {
                let problem = Problem::at(place, "nobody waits where nothing is limited");
                Err(section.reading.report(problem.expecting(LIMITS)))
            });
        }
        let queue = queue.map_or(defaults.queue, Spanned::into_inner);
        if let (0, Some(place)) = (queue, timeout_place) {
            let problem = Problem::at(place, "`queue_timeout` is never reached")
                .expecting("expected a `queue` beside it: here nobody waits");
            return Err(section.reading.report(problem));
        }
        let longest = queue_timeout.as_ref().map(|timeout| *timeout.get_ref());
        let gate = Gate {
            rate,
            handshakes,
            queue,
            queue_timeout: longest.unwrap_or(QUEUE_TIMEOUT),
        };
        Ok(Some(Self {
            gate,
            queue_timeout,
        }))
    }
}

impl Rate {
    fn read(section: &Section<'_>, defaults: Defaults) -> Result<Option<Self>, Reported> {
        let per_second = section.optional("rate", |field| count(field, 1_000_000));
        let burst = section.optional("burst", |field| {
            field.placed(|field| count(field, u32::MAX))
        });
        match (per_second?, burst?) {
            (None, None) => Ok(None),
            (None, Some(burst)) => {
                let problem = Problem::at(burst.span(), "`burst` has no meaning without `rate`");
                Err(section.reading.report(problem.expecting(A_RATE)))
            }
            (Some(per_second), burst) => {
                let default = NonZeroU32::new(per_second.get() / defaults.burst_divisor);
                let default = default.unwrap_or(NonZeroU32::MIN);
                let burst = burst.map_or(default, Spanned::into_inner);
                Ok(Some(Self { per_second, burst }))
            }
        }
    }
}

/// Notes that a section has no limit, unless it was meant to.
fn limits_nothing(section: &Section<'_>) -> Reported {
    if section.misspells("handshakes") {
        // The misspelt key is told at the end of the section.
        return Reported::later();
    }
    let place = section.place().unwrap_or_default();
    let problem = Problem::at(place, "this section limits nothing").expecting(LIMITS);
    section.report_absence_beside("rate", problem)
}

/// An integer from 1.
fn count(field: &Field<'_>, most: u32) -> Result<NonZeroU32, Reported> {
    let count = integer(field, 1..=u64::from(most))?;
    // The range fits.
    let count = u32::try_from(count).unwrap_or(u32::MAX);
    Ok(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN))
}
