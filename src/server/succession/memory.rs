//! What the process that takes over is to know besides.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tracing::warn;

use crate::{
    config::{Affinity, Config},
    pool,
    server::{Server, upgrade::Bequest},
};

/// What pools remember, and the highest number of a tunnel.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(in crate::server) struct Memory {
    #[serde(default)]
    pools: Vec<pool::Memory>,
    #[serde(default)]
    last_number: u64,
}

impl Memory {
    /// What another process has written down, in parts; nothing of those that make no sense here.
    pub(in crate::server) fn read_all(parts: Vec<Value>) -> Vec<Self> {
        parts.into_iter().map(Self::read).collect()
    }

    /// A part of what another process has written down; nothing, if that makes no sense here.
    fn read(value: Value) -> Self {
        serde_json::from_value(value).unwrap_or_else(|error| {
            warn!(%error, "what the old process remembers makes no sense: it is forgotten");
            Self::default()
        })
    }

    /// Puts the secrets that nobody has configured into `config`.
    pub(in crate::server) fn restore_secrets(&self, config: &mut Config) {
        for pool in &mut config.pools {
            let mut known = self.pools.iter();
            let known = known.find(|known| known.pool == pool.name);
            if let (Affinity::Cookie(cookie), Some(secret)) =
                (&mut pool.affinity, known.and_then(pool::Memory::secret))
                && cookie.secret.is_random()
            {
                cookie.secret = secret;
            }
        }
    }
}

impl Server {
    /// What another process is to know.
    pub(super) fn bequest(&self) -> Bequest {
        let pools = self.shared.pools.load();
        let memory = Memory {
            pools: pools.iter().map(|pool| pool.memory()).collect(),
            last_number: self.shared.registry.last_number(),
        };
        let clients: Vec<_> = pools.iter().map(|pool| pool.client_memories()).collect();
        let clients = clients.into_iter().flatten().map(|part| Memory {
            pools: vec![part],
            last_number: 0,
        });
        Bequest {
            memory: written(&memory),
            clients: Box::new(clients.map(|part| written(&part))),
        }
    }

    /// Knows what another process knew.
    pub(in crate::server) fn remember(&self, memory: &Memory) {
        for pool in &**self.shared.pools.load() {
            let mut known = memory.pools.iter();
            if let Some(known) = known.find(|known| known.pool == pool.name()) {
                pool.remember(known);
            }
        }
        self.shared.registry.number_after(memory.last_number);
    }
}

/// It has no keys that are no strings, and so can always be written.
fn written(memory: &Memory) -> Value {
    serde_json::to_value(memory).unwrap_or_default()
}
