//! How a returning client gets the same backend.

mod bound;
mod cookie;
mod ip;
mod ranking;
mod table;

use std::{
    fmt,
    net::IpAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use self::{
    bound::Bound,
    cookie::{Jar, Presented},
    ip::Memory,
    ranking::Ranking,
};
use super::{
    backend::{Backend, BackendId, Use},
    standing::FULL,
};
use crate::config;

pub use self::ip::Hold;

/// What selection looks at of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asker<'r> {
    /// The client's address, as far as it can be believed.
    pub ip: IpAddr,
    /// Whether it came over TLS, be it to a proxy that is believed.
    pub over_tls: bool,
    /// The request's headers.
    pub headers: &'r HeaderMap,
    /// The request's target.
    pub uri: &'r Uri,
}

/// A pool's affinity, with what it remembers.
#[derive(Debug)]
pub struct Affinity {
    by: By,
    ranking: Ranking,
    /// How much a backend may carry before keys go on to the next, in percent of a fair share.
    balance_factor: Option<u32>,
}

#[derive(Debug)]
enum By {
    None,
    Cookie(Jar),
    Ip(Memory),
    Header(HeaderName),
    Query(String),
}

/// A client, as far as affinity is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) wish: Wish,
    /// Whether the backend that it had is left out only for a while.
    pub(super) will_return: bool,
    ip: IpAddr,
    over_tls: bool,
}

/// What a client's affinity asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Nothing: the client is balanced.
    Anyone {
        /// What that means for it.
        outcome: Outcome,
    },
    /// The backend that it had before.
    This {
        /// The backend's index.
        index: usize,
        /// Whether the client is told anew even if it stays.
        renew: bool,
        /// What ranks the others while that one is left out, so that the client meets the same one
        /// again meanwhile.
        key: u64,
    },
    /// The first in the order that a key puts the backends in.
    Ranked {
        /// The hashed key.
        key: u64,
    },
}

/// What became of a client's affinity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The pool has none, or the request brings nothing to go by.
    None,
    /// The client was not known.
    New,
    /// It has the backend that it had, or that its key asks for.
    Kept,
    /// That backend could not take it: it has another now.
    Moved,
    /// It showed a cookie that we have not signed, and counts as new.
    Forged,
}

/// A client bound to a backend.
#[derive(Debug)]
pub(super) struct Bond {
    pub(super) outcome: Outcome,
    pub(super) cookie: Option<HeaderValue>,
    pub(super) hold: Option<Hold>,
}

impl Affinity {
    /// The affinity of a pool with these members.
    pub(super) fn new(pool: &config::Pool, members: &[Arc<Backend>]) -> Self {
        let ids = || members.iter().map(|member| member.id()).collect();
        Self {
            by: match &pool.affinity {
                config::Affinity::None => By::None,
                config::Affinity::Cookie(cookie) => {
                    By::Cookie(Jar::new(cookie, &pool.name, &pool.backends))
                }
                config::Affinity::Ip(ip) => By::Ip(Memory::new(*ip, ids())),
                config::Affinity::Header(key) => By::Header(key.name.clone()),
                config::Affinity::Query(key) => By::Query(key.name.clone()),
            },
            ranking: Ranking::new(&pool.backends),
            balance_factor: pool.affinity.balance_factor(),
        }
    }

    /// Remembers of clients what the pool's affinity `before` does.
    pub(super) fn share(&mut self, before: &Self) {
        if let (By::Ip(memory), By::Ip(before)) = (&mut self.by, &before.by) {
            memory.share(before);
        }
    }

    /// The clients that are remembered with the backends that they have, and when they were seen.
    pub(super) fn clients(&self) -> Vec<(IpAddr, BackendId, Instant)> {
        match &self.by {
            By::Ip(memory) => memory.clients(),
            _ => Vec::new(),
        }
    }

    /// Remembers that a client had the backend with this index, and was `seen` then.
    pub(super) fn remember_client(&self, ip: IpAddr, index: usize, seen: Instant) {
        if let By::Ip(memory) = &self.by {
            memory.remember_since(ip, index, seen);
        }
    }

    /// Whether a client of a crowded key may go on to the next backend.
    pub(super) fn spills_over(&self) -> bool {
        self.balance_factor.is_some()
    }

    /// The backend that `key` asks for among those that `takes` allows at `now`: the first in its
    /// order that is not ahead of the others by too much, and whose share it belongs to, if it has
    /// only a share of its keys yet.
    pub(super) fn home(
        &self,
        key: u64,
        backends: &[Arc<Backend>],
        takes: impl Fn(usize) -> bool,
        now: Instant,
    ) -> Option<usize> {
        let weight = |backend: &Backend| u64::from(backend.weight().get()) * backend.parts(now);
        let bound = self.balance_factor.map(|factor| {
            let others = backends.iter().enumerate();
            let others = others.filter(|(index, _)| takes(*index));
            Bound::new(factor, others.map(|(_, b)| (b.load(), weight(b))))
        });
        let has_room = |index: usize| {
            let backend = &backends[index];
            bound.is_none_or(|bound| bound.allows(backend.load(), weight(backend)))
        };
        let is_its_share = |index: usize| key % FULL < backends[index].parts(now);
        let first = |index| takes(index) && has_room(index) && is_its_share(index);
        let best = self.ranking.best(key, first);
        best.or_else(|| self.ranking.best(key, takes))
    }

    /// What the asker's affinity asks for, and what it takes to bind it.
    pub(super) fn claim(&self, asker: &Asker<'_>) -> Claim {
        Claim {
            wish: self.wish(asker),
            will_return: false,
            ip: asker.ip,
            over_tls: asker.over_tls,
        }
    }

    fn wish(&self, asker: &Asker<'_>) -> Wish {
        // An empty value names nobody: its bearers have nothing in common.
        let by_key = |key: Option<&[u8]>| match key.filter(|key| !key.is_empty()) {
            Some(key) => Wish::Ranked {
                key: ranking::hash(key),
            },
            None => Wish::Anyone {
                outcome: Outcome::None,
            },
        };
        match &self.by {
            By::None => by_key(None),
            By::Cookie(jar) => match jar.presented(asker.headers, unix_now()) {
                Presented::Nothing => Wish::Anyone {
                    outcome: Outcome::New,
                },
                Presented::Forged => Wish::Anyone {
                    outcome: Outcome::Forged,
                },
                Presented::Gone => Wish::Anyone {
                    outcome: Outcome::Moved,
                },
                Presented::Backend { index, renew, key } => Wish::This { index, renew, key },
            },
            By::Ip(memory) => match memory.recall(asker.ip) {
                Some(index) => Wish::This {
                    index,
                    renew: false,
                    key: ranking::hash(&memory.key(asker.ip)),
                },
                None => by_key(Some(&memory.key(asker.ip))),
            },
            By::Header(name) => by_key(asker.headers.get(name).map(HeaderValue::as_bytes)),
            By::Query(name) => by_key(query_value(asker.uri, name).as_deref().map(str::as_bytes)),
        }
    }

    /// Binds a client to the backend that it got. One whose own backend will be back stays bound to
    /// that.
    pub(super) fn bind(&self, claim: &Claim, got: usize, used_for: Use) -> Bond {
        let Claim {
            wish,
            will_return,
            ip,
            over_tls,
        } = *claim;
        let outcome = self.outcome(&wish, got);
        let (bound, is_settled) = match wish {
            Wish::This { index, .. } if will_return => (index, true),
            Wish::This { index, renew, .. } => (got, index == got && !renew),
            Wish::Anyone { .. } | Wish::Ranked { .. } => (got, false),
        };
        Bond {
            outcome,
            cookie: match &self.by {
                By::Cookie(jar) if !is_settled => Some(jar.issue(got, unix_now(), over_tls)),
                _ => None,
            },
            hold: match &self.by {
                By::Ip(memory) => memory.remember(ip, bound, used_for),
                _ => None,
            },
        }
    }

    fn outcome(&self, wish: &Wish, got: usize) -> Outcome {
        let (wished, met) = match wish {
            Wish::Anyone { outcome } => return *outcome,
            Wish::This { index, .. } => (*index, Outcome::Kept),
            Wish::Ranked { key } => {
                let met = match self.by {
                    By::Ip(_) => Outcome::New,
                    _ => Outcome::Kept,
                };
                (self.ranking.best(*key, |_| true).unwrap_or(got), met)
            }
        };
        if wished == got { met } else { Outcome::Moved }
    }

    /// Remembers that the client at `ip` has had a tunnel to the backend with that index, where
    /// clients are known by their address, unless something newer is known of it.
    pub(super) fn hold(&self, ip: IpAddr, backend: usize) -> Option<Hold> {
        match &self.by {
            By::Ip(memory) => memory.hold(ip, backend),
            _ => None,
        }
    }

    pub(super) fn forget_expired(&self) {
        if let By::Ip(memory) = &self.by {
            memory.forget_expired();
        }
    }
}

/// The value of the query parameter `name`, decoded.
fn query_value(uri: &Uri, name: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.find_map(|(key, value)| (key == name).then(|| value.into_owned()))
}

/// Seconds since 1970.
fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

impl Outcome {
    /// As it is called in logs and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::New => "new",
            Self::Kept => "kept",
            Self::Moved => "moved",
            Self::Forged => "forged",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
