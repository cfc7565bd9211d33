//! All that a new configuration needs, made before anything changes: it may fail.

use std::sync::Arc;

use super::{Server, StartError, door::Door};
use crate::{
    config::{self, Affinity, Config},
    listener::Inherited,
    pool::Pool,
    tls::Acceptor,
};

/// All that a new configuration needs.
pub(super) struct Prepared {
    pub(super) config: Config,
    pub(super) pools: Vec<Version>,
    pub(super) doors: Vec<Entry>,
}

/// A pool of the new configuration.
pub(super) enum Version {
    Same(Arc<Pool>),
    Other {
        pool: Arc<Pool>,
        before: Arc<Pool>,
    },
    /// It had been removed, and something was left of it.
    Back {
        pool: Arc<Pool>,
        before: Arc<Pool>,
    },
    New(Arc<Pool>),
}

impl Version {
    pub(super) fn pool(&self) -> &Arc<Pool> {
        match self {
            Self::Same(pool)
            | Self::New(pool)
            | Self::Other { pool, .. }
            | Self::Back { pool, .. } => pool,
        }
    }
}

/// A listener of the new configuration.
pub(super) enum Entry {
    /// The door with this index, and its TLS from now on.
    Known(usize, Option<Acceptor>),
    New(Door),
}

impl Server {
    /// Makes all that `config` needs, and changes nothing.
    pub(super) fn prepare(&self, mut config: Config) -> Result<Prepared, StartError> {
        config.keep_random_secrets(&self.config);
        let pools = config.pools.iter().map(|pool| self.version(pool, &config));
        let pools = pools.collect::<Result<_, _>>()?;
        let mut free: Vec<_> = (0..self.doors.len()).collect();
        let doors = config.listeners.iter().map(|listener| {
            let known = free
                .iter()
                .position(|door| self.doors[*door].is_at(listener));
            match known {
                Some(place) => {
                    let index = free.remove(place);
                    let tls = self.doors[index].acceptor_after(listener)?;
                    Ok(Entry::Known(index, tls))
                }
                None => {
                    let nothing = &mut Inherited::default();
                    self.new_door(listener, &config, nothing).map(Entry::New)
                }
            }
        });
        Ok(Prepared {
            doors: doors.collect::<Result<_, StartError>>()?,
            pools,
            config,
        })
    }

    fn version(&self, pool: &config::Pool, config: &Config) -> Result<Version, StartError> {
        let Config {
            timeouts, limits, ..
        } = config;
        let is_known = |known: &&Arc<Pool>| known.name() == pool.name;
        let after = |before: &Arc<Pool>| {
            let pool = Pool::after(before, pool, timeouts, limits)?;
            Ok::<_, StartError>((Arc::new(pool), Arc::clone(before)))
        };
        let pools = self.shared.pools.load();
        if let Some(known) = pools.iter().find(is_known) {
            if known.is_as(pool, timeouts, limits) {
                return Ok(Version::Same(Arc::clone(known)));
            }
            let (pool, before) = after(known)?;
            return Ok(Version::Other { pool, before });
        }
        if let Some(known) = self.dissolved.iter().find(is_known) {
            let (pool, before) = after(known)?;
            return Ok(Version::Back { pool, before });
        }
        let pool = Pool::new(pool, timeouts, limits, self.workers.len())?;
        Ok(Version::New(Arc::new(pool)))
    }
}

impl Config {
    /// Keeps the secrets that nobody has configured, or else a reload would forget every client.
    fn keep_random_secrets(&mut self, before: &Self) {
        for pool in &mut self.pools {
            let known = before.pools.iter().find(|known| known.name == pool.name);
            if let (Some(Affinity::Cookie(known)), Affinity::Cookie(cookie)) =
                (known.map(|known| &known.affinity), &mut pool.affinity)
                && known.secret.is_random()
                && cookie.secret.is_random()
            {
                cookie.secret.clone_from(&known.secret);
            }
        }
    }
}
