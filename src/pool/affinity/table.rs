//! The clients that are remembered by their address, within a bound.

use std::{
    collections::{HashMap, hash_map::Entry},
    net::IpAddr,
    time::Duration,
};

use lru::LruCache;
use tokio::time::Instant;

use crate::pool::backend::BackendId;

/// Clients with the backends that they have. Those without a tunnel stand in the order in which they
/// were seen, so that the oldest is found at once.
#[derive(Debug)]
pub(super) struct Table {
    /// What moments are told from.
    epoch: Instant,
    idle: LruCache<IpAddr, Idle>,
    held: HashMap<IpAddr, Held>,
}

/// A client without a tunnel. There may be millions.
#[derive(Debug)]
struct Idle {
    backend: BackendId,
    seen: Moment,
}

/// A client with tunnels.
#[derive(Debug)]
struct Held {
    backend: BackendId,
    tunnels: usize,
}

/// Milliseconds since a table's epoch; less than none for what was seen before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(i64);

impl Table {
    pub(super) fn new() -> Self {
        Self {
            epoch: Instant::now(),
            idle: LruCache::unbounded(),
            held: HashMap::new(),
        }
    }

    /// How many clients it remembers.
    pub(super) fn len(&self) -> usize {
        self.idle.len() + self.held.len()
    }

    /// The backend of a client, unless it was last seen `expiry` ago, or longer.
    pub(super) fn backend_of(&self, client: IpAddr, expiry: Duration) -> Option<BackendId> {
        if let Some(held) = self.held.get(&client) {
            return Some(held.backend);
        }
        let idle = self.idle.peek(&client)?;
        (self.age(idle.seen) < expiry).then_some(idle.backend)
    }

    /// A client was seen that has this backend.
    pub(super) fn see(&mut self, client: IpAddr, backend: BackendId) {
        match self.held.get_mut(&client) {
            Some(held) => held.backend = backend,
            None => self.set_aside(client, backend, Instant::now()),
        }
    }

    /// The same with a tunnel, which holds it until it is [released](Self::release).
    pub(super) fn hold(&mut self, client: IpAddr, backend: BackendId) {
        self.idle.pop(&client);
        let held = self.held.entry(client).or_insert(Held {
            backend,
            tunnels: 0,
        });
        held.backend = backend;
        held.tunnels += 1;
    }

    /// A client's tunnel has ended.
    pub(super) fn release(&mut self, client: IpAddr) {
        let Entry::Occupied(mut held) = self.held.entry(client) else {
            return;
        };
        held.get_mut().tunnels -= 1;
        if held.get().tunnels == 0 {
            let backend = held.remove().backend;
            self.set_aside(client, backend, Instant::now());
        }
    }

    /// A client had this backend when it was `seen`; what is known of it already is newer. To be told
    /// in the order of these moments.
    pub(super) fn add(&mut self, client: IpAddr, backend: BackendId, seen: Instant) {
        if !self.held.contains_key(&client) && !self.idle.contains(&client) {
            self.set_aside(client, backend, seen);
        }
    }

    /// Forgets the oldest of those without a tunnel until no more than `most` are left in all.
    pub(super) fn keep(&mut self, most: usize) {
        while self.len() > most && self.idle.pop_lru().is_some() {}
    }

    /// Forgets those without a tunnel that were last seen `expiry` ago, or longer.
    pub(super) fn forget_expired(&mut self, expiry: Duration) {
        while let Some((_, oldest)) = self.idle.peek_lru()
            && self.age(oldest.seen) >= expiry
        {
            self.idle.pop_lru();
        }
    }

    /// All that were not last seen `expiry` ago, or longer, the oldest first. Who has a tunnel is
    /// seen now.
    pub(super) fn clients(&self, expiry: Duration) -> Vec<(IpAddr, BackendId, Instant)> {
        let now = Instant::now();
        let idle = self.idle.iter().rev();
        let idle = idle.filter(|(_, client)| self.age(client.seen) < expiry);
        let idle = idle.map(|(ip, client)| {
            let seen = now.checked_sub(self.age(client.seen)).unwrap_or(now);
            (*ip, client.backend, seen)
        });
        let held = self.held.iter();
        let held = held.map(|(ip, client)| (*ip, client.backend, now));
        idle.chain(held).collect()
    }

    fn set_aside(&mut self, client: IpAddr, backend: BackendId, seen: Instant) {
        let seen = self.moment(seen);
        self.idle.put(client, Idle { backend, seen });
    }

    fn moment(&self, instant: Instant) -> Moment {
        let since = instant.saturating_duration_since(self.epoch).as_millis();
        let before = self.epoch.saturating_duration_since(instant).as_millis();
        let [since, before] = [since, before].map(|length| i64::try_from(length).unwrap_or(0));
        Moment(since - before)
    }

    fn age(&self, seen: Moment) -> Duration {
        let Moment(now) = self.moment(Instant::now());
        Duration::from_millis(u64::try_from(now - seen.0).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    #[test]
    fn the_oldest_go_first_and_never_one_with_a_tunnel() {
        let mut table = Table::new();
        let backend = BackendId::next();
        table.hold(ip(1), backend);
        for client in 2..=5 {
            table.see(ip(client), backend);
        }
        // Who comes again is not the oldest any more.
        table.see(ip(2), backend);
        table.keep(3);
        let left = |table: &Table| {
            let all = 1..=5;
            let left = all.filter(|client| table.backend_of(ip(*client), HOUR).is_some());
            left.collect::<Vec<_>>()
        };
        assert_eq!(left(&table), [1, 2, 5]);
        table.hold(ip(5), backend);
        table.keep(1);
        assert_eq!(left(&table), [1, 5]);
        table.release(ip(1));
        table.keep(1);
        assert_eq!(left(&table), [5]);
    }

    #[test]
    fn a_client_is_held_until_its_last_tunnel_has_ended() {
        let mut table = Table::new();
        let [first, second] = [(); 2].map(|()| BackendId::next());
        table.see(ip(1), first);
        table.hold(ip(1), first);
        table.hold(ip(1), second);
        table.release(ip(1));
        table.keep(0);
        assert_eq!(table.backend_of(ip(1), HOUR), Some(second));
        table.release(ip(1));
        table.release(ip(1));
        assert_eq!(table.len(), 1);
        table.keep(0);
        assert_eq!(table.len(), 0);
    }

    #[test]
    fn a_client_without_a_tunnel_takes_little() {
        // An entry has two links besides, and its place in the map.
        assert!(size_of::<(IpAddr, Idle)>() <= 40);
    }
}
