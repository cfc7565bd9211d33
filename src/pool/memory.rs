//! What a pool remembers, for the process that takes over from this one.

use std::{
    fmt::{self, Write},
    iter,
    net::IpAddr,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Pool, standing};
use crate::config::{Affinity, Intent, Secret};

/// Clients that are written down at once: some megabytes at most.
const PART: usize = 50_000;

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
    /// As versions before wrote them. They are many, and are written [packed](Packed) now.
    #[serde(default, skip_serializing)]
    clients: Vec<Client>,
    /// Some of the clients.
    #[serde(default, skip_serializing_if = "Packed::is_empty")]
    packed: Packed,
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

/// Which backends clients have, in few bytes for each.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Packed {
    /// The names of the backends.
    backends: Vec<String>,
    /// A line for each client, the oldest first: its address, the index of its backend, and how many
    /// milliseconds ago it was seen.
    clients: String,
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

impl Packed {
    fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// The clients that make sense, with their backends, and how long ago they were seen.
    fn clients(&self) -> impl Iterator<Item = (IpAddr, &str, Duration)> {
        self.clients.lines().filter_map(|line| {
            let mut parts = line.split(' ');
            let ip = parts.next()?.parse().ok()?;
            let backend: usize = parts.next()?.parse().ok()?;
            let seen_ago = Duration::from_millis(parts.next()?.parse().ok()?);
            Some((ip, &**self.backends.get(backend)?, seen_ago))
        })
    }
}

impl Pool {
    /// What it remembers, its clients apart.
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
        Memory {
            pool: self.name().to_owned(),
            secret: self.random_secret(),
            rebalance: Some(Rebalance {
                configured: self.rebalance().is_some(),
                wanted: self.is_rebalanced(),
            }),
            backends: backends.collect(),
            clients: Vec::new(),
            packed: Packed::default(),
        }
    }

    /// What it remembers of its clients, the oldest first, in parts of a bounded size.
    pub fn client_memories(&self) -> impl Iterator<Item = Memory> + Send + use<> {
        let now = Instant::now();
        let (ids, names): (Vec<_>, Vec<_>) = self
            .backends
            .iter()
            .map(|backend| (backend.id(), backend.name().to_owned()))
            .unzip();
        let (pool, mut clients) = (self.name().to_owned(), self.affinity.clients().into_iter());
        iter::from_fn(move || {
            let mut lines = String::new();
            for (ip, backend, seen) in clients.by_ref().take(PART) {
                if let Some(index) = ids.iter().position(|id| *id == backend) {
                    let ago = now.saturating_duration_since(seen).as_millis();
                    // Writing to a string does not fail.
                    let _ = writeln!(lines, "{ip} {index} {ago}");
                }
            }
            (!lines.is_empty()).then(|| Memory {
                pool: pool.clone(),
                secret: None,
                rebalance: None,
                backends: Vec::new(),
                clients: Vec::new(),
                packed: Packed {
                    backends: names.clone(),
                    clients: lines,
                },
            })
        })
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
        let packed = memory.packed.clients();
        let clients = memory.clients.iter();
        let clients = clients.map(|client| (client.ip, &*client.backend, client.seen_ago));
        for (ip, backend, seen_ago) in clients.chain(packed) {
            let mut members = self.backends.iter();
            if let Some(index) = members.position(|member| member.name() == backend) {
                let seen = now.checked_sub(seen_ago).unwrap_or(now);
                self.affinity.remember_client(ip, index, seen);
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
    async fn clients_are_written_down_in_parts_and_known_again_as_they_were() {
        let by_ip = "affinity = { by = \"ip\", expiry = \"1h\", clients = 150000 }";
        let (old, new) = (pool(by_ip), pool(by_ip));
        let ip = |number: u32| IpAddr::V4(number.into());
        for number in 0..200_000 {
            let index = usize::from(number % 3 == 0);
            let now = Instant::now();
            old.affinity.remember_client(ip(number), index, now);
        }
        let hold = old.affinity.hold(ip(7), 1);
        tokio::time::advance(Duration::from_secs(1_800)).await;
        let parts: Vec<_> = old.client_memories().collect();
        assert_eq!(parts.len(), 3);
        for part in &parts {
            let text = serde_json::to_string(part).unwrap();
            assert!(text.len() < PART * 50, "{}", text.len());
            new.remember(&serde_json::from_str(&text).unwrap());
        }
        let known = |pool: &Pool| {
            let clients = pool.affinity.clients().into_iter();
            let name = |id| pool.backends().iter().find(|backend| backend.id() == id);
            clients
                .map(|(ip, id, seen)| (ip, name(id).unwrap().name().to_owned(), seen))
                .collect::<Vec<_>>()
        };
        assert_eq!(known(&new).len(), 150_000);
        assert!(known(&new) == known(&old));
        drop(hold);
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_known_that_another_version_has_written_one_by_one() {
        let new = pool("affinity = { by = \"ip\" }");
        let text = r#"{ "pool": "a", "clients": [
            { "ip": "192.0.2.1", "backend": "127.0.0.1:2", "seen_ago": { "secs": 1, "nanos": 0 } }
        ] }"#;
        new.remember(&serde_json::from_str(text).unwrap());
        let clients = new.affinity.clients();
        assert_eq!(clients[0].1, new.backends()[1].id());
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
