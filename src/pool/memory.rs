//! What a pool remembers, for the process that takes over from this one.

use std::{net::IpAddr, time::Duration};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Pool, standing};
use crate::config::{Affinity, Intent, Secret};

/// What a pool remembers of its backends and clients. Another version of longwire may write or read
/// it: what one does not know, the other does without.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// The pool's name.
    pub pool: String,
    /// What cookies are signed with, if nobody has configured it.
    #[serde(default)]
    secret: Option<String>,
    #[serde(default)]
    backends: Vec<Backend>,
    #[serde(default)]
    clients: Vec<Client>,
}

/// What is remembered of a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Backend {
    address: String,
    /// What the operator wants of it, as configured and now.
    configured: Intent,
    intent: Intent,
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
            backends: backends.collect(),
            clients: clients.collect(),
        }
    }

    /// Remembers what the pool of that name in another process did. What is configured otherwise now
    /// is so.
    pub fn remember(&self, memory: &Memory) {
        let now = Instant::now();
        for backend in &self.backends {
            let mut known = memory.backends.iter();
            let Some(known) = known.find(|known| known.address == backend.name()) else {
                continue;
            };
            backend.standing().remember(&known.standing, now);
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
