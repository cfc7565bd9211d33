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

/// `[admission]`: how many handshakes and plain requests the proxy lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// All handshakes.
    pub all: Gate,
    /// `client`: those of each client address.
    pub client: Gate,
    /// All plain requests.
    pub requests: Gate,
    /// Plain requests of each client address.
    pub client_requests: Gate,
    /// After what time at least whoever is refused is asked to come back, and at most after twice
    /// that. Default: 5 s. At least 1 s.
    pub retry_after: Duration,
}

/// `[pool.NAME.admission]`: how many handshakes and plain requests a pool lets in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolAdmission {
    /// All handshakes to the pool.
    pub all: Gate,
    /// `backend`: those to each of its backends.
    pub backend: Gate,
    /// All plain requests to the pool.
    pub requests: Gate,
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

/// The gates among the keys of a section.
#[derive(Debug, Clone)]
struct Gates {
    handshakes: Option<Written>,
    /// That of plain requests, where nobody waits.
    requests: Option<Gate>,
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

/// What a rate is written with, and what it counts.
#[derive(Debug, Clone, Copy)]
struct RateKeys {
    rate: &'static str,
    burst: &'static str,
    counted: &'static str,
}

const HANDSHAKES: RateKeys = RateKeys {
    rate: "rate",
    burst: "burst",
    counted: "handshakes",
};

const REQUESTS: RateKeys = RateKeys {
    rate: "request_rate",
    burst: "request_burst",
    counted: "plain requests",
};

const LIMITS: &str = "expected `rate` (handshakes a second) or `handshakes` (under way at once)";

impl Default for Admission {
    fn default() -> Self {
        Self {
            all: Gate::open(CROWD),
            client: Gate::open(CLIENT),
            requests: Gate::of_requests(None),
            client_requests: Gate::of_requests(None),
            retry_after: RETRY_AFTER,
        }
    }
}

impl Default for PoolAdmission {
    fn default() -> Self {
        Self {
            all: Gate::open(CROWD),
            backend: Gate::open(CROWD),
            requests: Gate::of_requests(None),
        }
    }
}

impl Admission {
    pub(super) fn read(field: &Field<'_>) -> Result<Self, Reported> {
        field.table(|section| {
            let all = Gates::read(section, CROWD);
            let client = section.optional("client", Gates::of_client);
            let retry_after = section.optional("retry_after", seconds);
            if let (Ok(all), Ok(None), Ok(None)) = (&all, &client, retry_after)
                && all.is_empty()
            {
                return Err(limits_nothing(section));
            }
            let (all, client) = (all?, client?.unwrap_or(Gates::NONE));
            Ok(Self {
                all: all.handshakes(CROWD),
                client: client.handshakes(CLIENT),
                requests: all.requests(),
                client_requests: client.requests(),
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
            let all = Gates::read(section, CROWD);
            let backend = section.optional("backend", |field| Written::alone(field, CROWD));
            if let (Ok(all), Ok(None)) = (&all, &backend)
                && all.is_empty()
            {
                return Err(limits_nothing(section));
            }
            let (all, backend) = (all?, backend?);
            Ok(Self {
                admission: PoolAdmission {
                    all: all.handshakes(CROWD),
                    requests: all.requests(),
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

    /// One that lets in as many plain requests, and has none of them wait.
    fn of_requests(rate: Option<Rate>) -> Self {
        Self {
            rate,
            handshakes: None,
            queue: 0,
            queue_timeout: QUEUE_TIMEOUT,
        }
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

impl Gates {
    const NONE: Self = Self {
        handshakes: None,
        requests: None,
    };

    /// Those of clients, which are all there is in a section.
    fn of_client(field: &Field<'_>) -> Result<Self, Reported> {
        field.table(|section| {
            let gates = Self::read(section, CLIENT)?;
            if gates.is_empty() {
                return Err(limits_nothing(section));
            }
            Ok(gates)
        })
    }

    fn read(section: &Section<'_>, defaults: Defaults) -> Result<Self, Reported> {
        let handshakes = Written::read(section, defaults);
        let requests = Rate::read(section, defaults, REQUESTS);
        Ok(Self {
            handshakes: handshakes?,
            requests: requests?.map(|rate| Gate::of_requests(Some(rate))),
        })
    }

    fn is_empty(&self) -> bool {
        self.handshakes.is_none() && self.requests.is_none()
    }

    fn handshakes(&self, defaults: Defaults) -> Gate {
        let written = self.handshakes.as_ref();
        written.map_or(Gate::open(defaults), |written| written.gate)
    }

    fn requests(&self) -> Gate {
        self.requests.unwrap_or(Gate::of_requests(None))
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
        let rate = Rate::read(section, defaults, HANDSHAKES);
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
    fn read(
        section: &Section<'_>,
        defaults: Defaults,
        keys: RateKeys,
    ) -> Result<Option<Self>, Reported> {
        let per_second = section.optional(keys.rate, |field| count(field, 1_000_000));
        let burst = section.optional(keys.burst, |field| {
            field.placed(|field| count(field, u32::MAX))
        });
        match (per_second?, burst?) {
            (None, None) => Ok(None),
            (None, Some(burst)) => {
                let RateKeys {
                    rate,
                    burst: written,
                    counted,
                } = keys;
                let message = format!("`{written}` has no meaning without `{rate}`");
                let expected = format!("expected `{rate}` beside it: {counted} a second");
                let problem = Problem::at(burst.span(), message).expecting(expected);
                Err(section.reading.report(problem))
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
