//! The order in which a key asks for backends: rendezvous hashing (Thaler and Ravishankar, "Using
//! Name-Based Mappings to Increase Hit Rates", 1998).
//!
//! Every backend scores each key, and the highest score is the key's backend. So all proxies with
//! the same backends agree, whatever the order of their lines, and a backend that comes or goes
//! takes or leaves only its own share of the keys.

use xxhash_rust::xxh3::xxh3_64;

use crate::config;

/// The backends of a pool, as scorers of keys.
#[derive(Debug)]
pub(crate) struct Ranking {
    scorers: Vec<Scorer>,
}

#[derive(Debug)]
struct Scorer {
    /// A hash of the backend's address.
    seed: u64,
    /// How often it may draw: whoever draws twice as often has the highest score twice as often.
    draws: u32,
}

impl Ranking {
    pub(super) fn new(backends: &[config::Backend]) -> Self {
        let scorers = backends.iter().map(|backend| Scorer {
            seed: hash(backend.address.to_string().as_bytes()),
            draws: backend.weight.get(),
        });
        Self {
            scorers: scorers.collect(),
        }
    }

    /// The index of the backend that scores `key` highest among those that `takes` allows.
    pub(crate) fn best(&self, key: u64, takes: impl Fn(usize) -> bool) -> Option<usize> {
        let indices = 0..self.scorers.len();
        indices
            .filter(|index| takes(*index))
            .max_by_key(|index| self.scorers[*index].score(key))
    }
}

impl Scorer {
    fn score(&self, key: u64) -> u64 {
        let draw = |n: u32| {
            let mut bytes = [0; 20];
            bytes[..8].copy_from_slice(&key.to_le_bytes());
            bytes[8..16].copy_from_slice(&self.seed.to_le_bytes());
            bytes[16..].copy_from_slice(&n.to_le_bytes());
            hash(&bytes)
        };
        (0..self.draws).map(draw).max().unwrap_or_default()
    }
}

/// The hash that all proxies share: XXH3, whose values are fixed for ever.
pub(super) fn hash(bytes: &[u8]) -> u64 {
    xxh3_64(bytes)
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;
    use crate::config::{Backend, BackendAddress};

    fn backends(hosts: &[(&str, u32)]) -> Vec<Backend> {
        let backend = |(host, weight): &(&str, u32)| Backend {
            weight: NonZeroU32::new(*weight).unwrap(),
            ..Backend::at(BackendAddress::Tcp {
                host: (*host).to_owned(),
                port: 9000,
            })
        };
        hosts.iter().map(backend).collect()
    }

    fn homes<'h>(hosts: &[(&'h str, u32)], keys: u64) -> Vec<&'h str> {
        let ranking = Ranking::new(&backends(hosts));
        let home = |key: u64| ranking.best(hash(&key.to_le_bytes()), |_| true).unwrap();
        (0..keys).map(|key| hosts[home(key)].0).collect()
    }

    #[test]
    fn the_order_of_the_lines_does_not_matter() {
        assert_eq!(
            homes(&[("a", 1), ("b", 2), ("c", 1)], 1_000),
            homes(&[("c", 1), ("a", 1), ("b", 2)], 1_000)
        );
    }

    /// These must never change: proxies of different versions share clients.
    #[test]
    fn known_keys_have_known_homes() {
        let homes = homes(&[("a", 1), ("b", 2), ("c", 1)], 12);
        assert_eq!(homes.concat(), "bcbbbababacb");
    }

    #[test]
    fn a_backend_that_goes_leaves_only_its_own_keys() {
        let before = homes(&[("a", 1), ("b", 1), ("c", 1), ("d", 1)], 10_000);
        let after = homes(&[("a", 1), ("b", 1), ("c", 1)], 10_000);
        let moved = before.iter().zip(&after).filter(|(b, a)| b != a);
        assert!(moved.clone().all(|(before, _)| *before == "d"));
        assert!((2_300..2_700).contains(&moved.count()), "about a quarter");
    }

    #[test]
    fn a_weight_of_two_draws_two_thirds_beside_one() {
        let homes = homes(&[("a", 1), ("b", 2)], 30_000);
        let heavy = homes.iter().filter(|home| **home == "b").count();
        assert!((19_500..20_500).contains(&heavy), "{heavy} of 30000");
    }
}
