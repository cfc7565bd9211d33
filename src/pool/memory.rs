//! What a pool remembers, for the process that takes over from this one.

use std::{fmt, net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Pool, standing};
use crate::config::{Affinity, Intent, Secret};

/// What a pool remembers of its backends and clients. Another version of longwire may write or read
/// it: what one does not know, the other does without. Its `Debug` does not show the secret.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The pool's name.
    pub pool: String,
    /// What cookies are signed with, if nobody has configured it.
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    rebalance: Option<Rebalance>,
    #[serde(default)]
    backends: Vec<Backend>,
    #[serde(default)]
    clients: Vec<Client>,
}

/// Whether tunnels are rebalanced, as configured and now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Rebalance {
    configured: bool,
    wanted: bool,
}

/// What is remembered of a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Backend {
    address: String,
    /// What the operator wants of it, as configured and now.
    configured: Intent,
    intent: Intent,
    /// What it is left out for, if it is.
    #[serde(default)]
    reason: Option<String>,
    #[serde(flatten)]
    standing: standing::Memory,
}

/// Which backend a client has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Client {
    ip: IpAddr,
    backend: String,
    seen_ago: Duration,
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memory")
            .field("pool", &self.pool)
            .field("backends", &self.backends)
            .finish_non_exhaustive()
    }
}

impl Memory {
    /// The secret that it brings along, if it does.
    #[must_use]
    pub fn secret(&self) -> Option<Secret> {
        let key = blake3::Hash::from_hex(self.secret.as_deref()?).ok()?;
        Some(Secret::found(*key.as_bytes()))
    }
}

impl Pool {
    /// What it remembers.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let now = Instant::now();
        let backends = self.backends.iter().map(|backend| Backend {
            address: backend.name().to_owned(),
            configured: backend.configured_intent(),
            intent: backend.standing().intent(),
            reason: backend.ejected(now).map(|ejected| ejected.reason),
            standing: backend.standing().memory(now),
        });
        let clients = self.affinity.clients().into_iter();
        let clients = clients.filter_map(|(ip, backend, seen)| {
            let mut members = self.backends.iter();
            Some(Client {
                ip,
                backend: members
                    .find(|member| member.id() == backend)?
                    .name()
                    .to_owned(),
                seen_ago: now.saturating_duration_since(seen),
            })
        });
        Memory {
            pool: self.name().to_owned(),
            secret: self.random_secret(),
            rebalance: Some(Rebalance {
                configured: self.rebalance().is_some(),
                wanted: self.is_rebalanced(),
            }),
            backends: backends.collect(),
            clients: clients.collect(),
        }
    }

    /// Remembers what the pool of that name in another process did. What is configured otherwise now
    /// is so.
    pub fn remember(&self, memory: &Memory) {
        let now = Instant::now();
        if let Some(known) = memory.rebalance
            && known.configured == self.rebalance().is_some()
        {
            // Where it would move nobody now, it stays off.
            let _ = self.set_rebalanced(known.wanted);
        }
        for backend in &self.backends {
            let mut known = memory.backends.iter();
            let Some(known) = known.find(|known| known.address == backend.name()) else {
                continue;
            };
            if let Some(reason) = &known.reason {
                backend.record().was_ejected_for(reason.clone());
            }
            backend.standing().remember(&known.standing, now);
            self.end_what_nobody_would(backend, now);
            if backend.configured_intent() == known.configured {
                backend.standing().intend(known.intent, now);
            }
        }
        for client in &memory.clients {
            let mut members = self.backends.iter();
            if let Some(index) = members.position(|member| member.name() == client.backend) {
                let seen = now.checked_sub(client.seen_ago).unwrap_or(now);
                self.affinity.remember_client(client.ip, index, seen);
            }
        }
    }

    fn random_secret(&self) -> Option<String> {
        match &self.config.affinity {
            Affinity::Cookie(cookie) if cookie.secret.is_random() => {
                let key = blake3::Hash::from_bytes(*cookie.secret.key());
                Some(key.to_hex().to_string())
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{config::Config, pool::standing::State};

    /// The pool of two backends with these lines.
    fn pool(lines: &str) -> Pool {
        let text = format!(
            "[[listener]]\naddress = \"127.0.0.1:0\"\n[[route]]\npool = \"a\"\n\
             [pool.a]\nbackends = [\"127.0.0.1:1\", \"127.0.0.1:2\"]\n{lines}"
        );
        let config = Config::parse(&text, "test", Path::new("")).unwrap();
        Pool::new(&config.pools[0], &config.timeouts, &config.limits, 1).unwrap()
    }

    fn states(pool: &Pool) -> Vec<State> {
        let states = pool.backends().iter();
        states
            .map(|backend| backend.state(Instant::now()))
            .collect()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_down_or_ejected_where_nobody_would_ever_end_that() {
        let watchful = "health = { check = \"tcp\" }\nejection = { failures = 1 }";
        let old = pool(watchful);
        let [down, ejected] = old.backends() else {
            panic!("there are two");
        };
        down.standing().goes_down();
        ejected
            .standing()
            .eject(Instant::now() + Duration::from_secs(60));
        for (lines, expected) in [
            (watchful, [State::Down, State::Ejected]),
            ("ejection = \"off\"", [State::Ready, State::Ready]),
        ] {
            let new = pool(lines);
            new.remember(&old.memory());
            assert_eq!(states(&new), expected, "{lines}");
        }
    }

    #[tokio::test]
    async fn what_an_operator_wants_of_a_rebalance_goes_on_unless_it_is_configured_otherwise() {
        let rebalance = "rebalance = { rate = 3 }";
        for (before, after, wanted, expected) in [
            ("", "", true, true),
            (rebalance, rebalance, false, false),
            (rebalance, "", true, false),
            ("", rebalance, false, true),
            ("", "affinity = \"ip\"", true, false),
        ] {
            let (old, new) = (pool(before), pool(after));
            old.set_rebalanced(wanted).unwrap();
            new.remember(&old.memory());
            assert_eq!(new.is_rebalanced(), expected, "{before} {after}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_that_goes_on_here_leaves_its_client_the_backend_that_it_has_got_since() {
        let pool = pool("affinity = { by = \"ip\", expiry = \"1h\" }");
        let client: IpAddr = "192.0.2.1".parse().unwrap();
        let [older, newer] = pool.backends() else {
            panic!("there are two");
        };
        let since = |pool: &Pool| pool.affinity.clients()[0].1;
        pool.affinity.remember_client(client, 1, Instant::now());
        let lease = pool.resume(older, Some(client));
        assert_eq!(since(&pool), newer.id());
        tokio::time::advance(Duration::from_secs(7_200)).await;
        assert_eq!(since(&pool), newer.id(), "it is held all the same");
        drop(lease);
        tokio::time::advance(Duration::from_secs(7_200)).await;
        assert_eq!(pool.affinity.clients(), []);

        let _lease = pool.resume(older, Some(client));
        assert_eq!(since(&pool), older.id(), "nothing newer is known");
    }
}
