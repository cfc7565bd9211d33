//! `[pool.NAME]`

mod backend;
mod drain;
mod ejection;
mod health;
mod rebalance;
mod retries;
mod tls;

use std::{fmt, time::Duration};

use toml::Spanned;

pub use self::{
    backend::{Backend, Intent},
    drain::{Drain, Returning},
    ejection::Ejection,
    health::{Check, Exchange, Health, HttpCheck, OnDown, Question, Statuses, WebsocketCheck},
    rebalance::{Rebalance, RebalanceOrder},
    retries::Retries,
    tls::BackendTls,
};
use super::{
    address::BackendAddress,
    admission::{PoolAdmission, PoolDraft},
    affinity::Affinity,
    diagnostics::{Problem, Span},
    field::Field,
    reading::Reported,
    section::Section,
    values::{duration, one_of, or_off, positive},
};

/// `[pool.NAME]`: a named group of backends with one balance and one affinity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Its name: letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Its members; at least one, no address twice.
    pub backends: Vec<Backend>,
    /// How a new client gets a backend.
    pub balance: Balance,
    /// How a returning client gets the same backend.
    pub affinity: Affinity,
    /// How long a backend that has come back takes to get its full share; `None` gives it all at
    /// once. Default: 10 s.
    pub slow_start: Option<Duration>,
    /// What a client gets while no backend is ready. Default: a refusal.
    pub none_ready: NoneReady,
    /// When a backend is left out because traffic failed on it; `None` is never.
    pub ejection: Option<Ejection>,
    /// When a handshake that failed on one backend goes to the next.
    pub retries: Retries,
    /// How its members are asked whether they work; `None` never asks.
    pub health: Option<Health>,
    /// How many handshakes to it are let in.
    pub admission: PoolAdmission,
    /// How the tunnels of a member are closed that is to lose them.
    pub drain: Drain,
    /// How tunnels are closed that a member has too many of; `None` leaves them. Default: none.
    pub rebalance: Option<Rebalance>,
    /// How TLS is spoken to its `https://` backends; `None` where it has none.
    pub tls: Option<BackendTls>,
}

/// How a new client gets a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Balance {
    /// The backend with the fewest tunnels (and requests under way) for its weight.
    #[default]
    LeastTunnels,
    /// Each in turn, as often as its weight says.
    RoundRobin,
    /// The less loaded of two drawn at random (Mitzenmacher, "The Power of Two Choices in
    /// Randomized Load Balancing", 2001).
    RandomOfTwo,
}

/// What a client gets while no backend of its pool is ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NoneReady {
    /// 503, at once.
    #[default]
    Fail,
    /// One of those that are down or ejected: the checks may be wrong about all of them.
    TryAll,
}

const NONE_READY: [(&str, NoneReady); 2] =
    [("fail", NoneReady::Fail), ("try-all", NoneReady::TryAll)];

const BALANCES: [(&str, Balance); 3] = [
    ("least-tunnels", Balance::LeastTunnels),
    ("round-robin", Balance::RoundRobin),
    ("random-of-two", Balance::RandomOfTwo),
];

/// A pool as written: it exists for the routes even where it is faulty.
pub(super) struct Draft {
    pub(super) name: String,
    pub(super) place: Span,
    /// How long a handshake may wait for one of its backends, if that is written.
    pub(super) backend_queue_timeout: Option<Spanned<Duration>>,
    /// Where its sound backends are.
    pub(super) members: Vec<Spanned<BackendAddress>>,
    pub(super) pool: Result<Pool, Reported>,
}

impl Draft {
    pub(super) fn read(field: &Field<'_>) -> Self {
        let named = check_name(field);
        let mut backend_queue_timeout = None;
        let mut members = Vec::new();
        let pool = field.table(|section| {
            let unwritten = PoolDraft::unwritten();
            let draft = section.or("admission", PoolDraft::read, unwritten);
            backend_queue_timeout = draft.backend_queue_timeout;
            Pool::read(section, field.key, draft.admission, &mut members)
        });
        Self {
            name: field.key.to_owned(),
            place: field.key_place.clone(),
            backend_queue_timeout,
            members,
            pool: named.and(pool),
        }
    }
}

fn check_name(field: &Field<'_>) -> Result<(), Reported> {
    let name = field.key;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !name.is_empty() && name.chars().all(is_plain) {
        return Ok(());
    }
    let problem = Problem::at(
        field.key_place.clone(),
        format!("a pool cannot be called `{}`", name.escape_debug()),
    );
    Err(field.report(problem.expecting("expected letters, digits, `-`, `_` and `.`")))
}

impl Pool {
    /// Whether a client whose tunnel is closed may come back to another member.
    #[must_use]
    pub fn can_be_rebalanced(&self) -> bool {
        self.affinity.can_be_given_anew()
    }

    fn read(
        section: &Section<'_>,
        name: &str,
        admission: PoolAdmission,
        places: &mut Vec<Spanned<BackendAddress>>,
    ) -> Result<Self, Reported> {
        // Everything is read before the first fault ends it, so that every fault is told.
        let backends = members(section);
        let sound = backends.as_deref().unwrap_or_default();
        places.extend(
            sound
                .iter()
                .map(|backend| Spanned::new(backend.span(), backend.get_ref().address.clone())),
        );
        let balance = section.or("balance", balance, Balance::default());
        let affinity = section.or("affinity", Affinity::read, Affinity::None);
        let slow_start = slow_start(section);
        let none_ready = section.or("none_ready", none_ready, NoneReady::default());
        let ejection = ejection(section);
        let retries = section.table("retries", Retries::read);
        let health = section.optional("health", |field| {
            field.table(|section| Health::read(section, sound))
        });
        let drain = section.or("drain", |field| field.table(Drain::read), Drain::default());
        let count = backends.as_ref().ok().map(Vec::len);
        let rebalance = section.optional("rebalance", |field| {
            Rebalance::read(field, &affinity, count)
        });
        let tls = match &backends {
            Ok(backends) => BackendTls::read(section, backends),
            // Whether it may be here, the backends would say; what is in it can be checked.
            Err(_) => section
                .optional("tls", |field| field.table(BackendTls::read_parts))
                .map(|_| None),
        };
        Ok(Self {
            name: name.to_owned(),
            backends: backends?.into_iter().map(Spanned::into_inner).collect(),
            balance,
            affinity,
            slow_start,
            none_ready,
            ejection,
            retries: retries?,
            health: health?,
            admission,
            drain,
            rebalance: rebalance?,
            tls: tls?,
        })
    }
}

fn members(section: &Section<'_>) -> Result<Vec<Spanned<Backend>>, Reported> {
    let max = |key| section.or(key, |field| positive(field).map(Some), None);
    let most = backend::Most {
        tunnels: max("max_tunnels"),
        requests: max("max_requests"),
    };
    let expected = "expected its members: backends = [\"127.0.0.1:9001\"]";
    section.required("backends", expected, |field| backend::all(field, most))
}

fn balance(field: &Field<'_>) -> Result<Balance, Reported> {
    one_of(field, &BALANCES)
}

fn slow_start(section: &Section<'_>) -> Option<Duration> {
    let default = Duration::from_secs(10);
    section.or("slow_start", |field| or_off(field, duration), Some(default))
}

fn none_ready(field: &Field<'_>) -> Result<NoneReady, Reported> {
    one_of(field, &NONE_READY)
}

fn ejection(section: &Section<'_>) -> Option<Ejection> {
    let read = |field: &Field<'_>| or_off(field, |field| field.table(Ejection::read));
    section.or("ejection", read, Some(Ejection::default()))
}

impl fmt::Display for Balance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LeastTunnels => "least-tunnels",
            Self::RoundRobin => "round-robin",
            Self::RandomOfTwo => "random-of-two",
        })
    }
}
