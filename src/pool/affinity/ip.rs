//! Which backend each client address has, while it is remembered.

use std::{
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard},
};

use ipnet::{IpNet, Ipv6Net};
use tokio::time::Instant;

use super::table::Table;
use crate::{
    config::IpAffinity,
    pool::backend::{BackendId, Use},
};

/// What a pool remembers of its clients.
#[derive(Debug)]
pub(super) struct Memory {
    config: IpAffinity,
    /// The pool's backends, in its order.
    members: Vec<BackendId>,
    clients: Arc<Mutex<Table>>,
}

/// Keeps a client remembered until dropped.
#[derive(Debug)]
pub struct Hold {
    client: IpAddr,
    clients: Arc<Mutex<Table>>,
}

impl Memory {
    pub(super) fn new(config: IpAffinity, members: Vec<BackendId>) -> Self {
        Self {
            config,
            members,
            clients: Arc::new(Mutex::new(Table::new())),
        }
    }

    /// Remembers what the memory of another version of the pool does, from now on together with it.
    pub(super) fn share(&mut self, other: &Self) {
        self.clients = Arc::clone(&other.clients);
    }

    /// The index of the backend that the client at `ip` has, if it is remembered and there.
    pub(super) fn recall(&self, ip: IpAddr) -> Option<usize> {
        let client = self.client(ip);
        let backend = self.table().backend_of(client, self.config.expiry)?;
        self.members.iter().position(|member| *member == backend)
    }

    /// Remembers the index of the backend that the client at `ip` has. A tunnel holds the memory as long as it
    /// lives.
    pub(super) fn remember(&self, ip: IpAddr, backend: usize, used_for: Use) -> Option<Hold> {
        let client = self.client(ip);
        let backend = self.members[backend];
        let is_tunnel = used_for == Use::Tunnel;
        let mut table = self.table();
        if is_tunnel {
            table.hold(client, backend);
        } else {
            table.see(client, backend);
        }
        table.keep(self.config.clients.get());
        is_tunnel.then(|| Hold {
            client,
            clients: Arc::clone(&self.clients),
        })
    }

    /// Those that are remembered, the oldest first.
    pub(super) fn clients(&self) -> Vec<(IpAddr, BackendId, Instant)> {
        self.table().clients(self.config.expiry)
    }

    /// Remembers the index of the backend that the client at `ip` had when it was `seen`, unless
    /// something newer is known of it. Of several clients the oldest comes first.
    pub(super) fn remember_since(&self, ip: IpAddr, backend: usize, seen: Instant) {
        let backend = self.members[backend];
        let client = self.client(ip);
        let mut table = self.table();
        table.add(client, backend, seen);
        table.keep(self.config.clients.get());
    }

    /// Holds the memory of the client at `ip` for a tunnel that it has had to the backend with that
    /// index, and may have got another since.
    pub(super) fn hold(&self, ip: IpAddr, backend: usize) -> Option<Hold> {
        let known = self.recall(ip);
        self.remember(ip, known.unwrap_or(backend), Use::Tunnel)
    }

    /// The key that ranks backends for a client that is not remembered.
    pub(super) fn key(&self, ip: IpAddr) -> Vec<u8> {
        match self.client(ip) {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        }
    }

    /// Forgets those whose time is over, and those that are too many.
    pub(super) fn forget_expired(&self) {
        let mut table = self.table();
        table.forget_expired(self.config.expiry);
        table.keep(self.config.clients.get());
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        locked(&self.clients)
    }

    /// The address that stands for the client at `ip`: one household has a whole IPv6 prefix.
    fn client(&self, ip: IpAddr) -> IpAddr {
        match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Net::new(ip, self.config.ipv6_prefix)
                .map_or(IpAddr::V6(ip), |net| IpNet::V6(net).network()),
            v4 => v4,
        }
    }
}

impl Hold {
    /// The address that stands for the client.
    pub(in crate::pool) fn client(&self) -> IpAddr {
        self.client
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        locked(&self.clients).release(self.client);
    }
}

fn locked(clients: &Mutex<Table>) -> MutexGuard<'_, Table> {
    clients.lock().expect("no holder panics")
}

#[cfg(test)]
mod tests {
    use std::{num::NonZeroUsize, time::Duration};

    use tokio::time::advance;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    const CONFIG: IpAffinity = IpAffinity {
        ipv6_prefix: 64,
        expiry: HOUR,
        clients: NonZeroUsize::new(1_000).unwrap(),
        balance_factor: None,
    };

    fn memory() -> Memory {
        Memory::new(CONFIG, (0..4).map(|_| BackendId::next()).collect())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_remembered_until_the_expiry_after_its_last_visit() {
        let memory = memory();
        memory.remember(ip("192.0.2.1"), 3, Use::Request);
        advance(HOUR / 2).await;
        memory.remember(ip("192.0.2.1"), 3, Use::Request);
        advance(HOUR - Duration::from_secs(1)).await;
        assert_eq!(memory.recall(ip("192.0.2.1")), Some(3));
        advance(Duration::from_secs(1)).await;
        assert_eq!(memory.recall(ip("192.0.2.1")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_with_a_tunnel_is_not_forgotten() {
        let memory = memory();
        let hold = memory.remember(ip("192.0.2.1"), 3, Use::Tunnel);
        advance(10 * HOUR).await;
        memory.forget_expired();
        assert_eq!(memory.recall(ip("192.0.2.1")), Some(3));

        drop(hold);
        assert_eq!(
            memory.recall(ip("192.0.2.1")),
            Some(3),
            "its hour begins now"
        );
        advance(HOUR).await;
        memory.forget_expired();
        assert_eq!(memory.table().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn another_version_of_the_pool_remembers_the_same_wherever_backends_stand_in_it() {
        let before = memory();
        before.remember(ip("192.0.2.1"), 1, Use::Request);
        let hold = before.remember(ip("192.0.2.2"), 3, Use::Tunnel);
        let members = vec![before.members[3], BackendId::next()];
        let mut after = Memory::new(CONFIG, members);
        after.share(&before);
        drop(before);
        assert_eq!(after.recall(ip("192.0.2.1")), None, "its backend has left");
        assert_eq!(after.recall(ip("192.0.2.2")), Some(0));
        advance(10 * HOUR).await;
        assert_eq!(after.recall(ip("192.0.2.2")), Some(0), "it is held");
        drop(hold);
        advance(HOUR).await;
        assert_eq!(after.recall(ip("192.0.2.2")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_memory_knows_another_can_learn_and_nothing_newer_is_lost() {
        let (old, new) = (memory(), memory());
        old.remember(ip("192.0.2.1"), 1, Use::Request);
        old.remember(ip("192.0.2.2"), 2, Use::Request);
        advance(HOUR / 2).await;
        new.remember(ip("192.0.2.2"), 3, Use::Request);
        for (ip, id, seen) in old.clients() {
            let index = old.members.iter().position(|member| *member == id);
            new.remember_since(ip, index.unwrap(), seen);
        }
        assert_eq!(new.recall(ip("192.0.2.1")), Some(1));
        assert_eq!(new.recall(ip("192.0.2.2")), Some(3));
        advance(HOUR / 2).await;
        assert_eq!(new.recall(ip("192.0.2.1")), None, "its hour is over");
        assert_eq!(new.recall(ip("192.0.2.2")), Some(3));
        assert_eq!(old.clients(), []);
    }

    #[tokio::test]
    async fn one_ipv6_prefix_is_one_client_and_a_mapped_ipv4_is_that_ipv4() {
        let memory = memory();
        memory.remember(ip("2001:db8::1"), 1, Use::Request);
        memory.remember(ip("::ffff:192.0.2.1"), 2, Use::Request);
        assert_eq!(memory.recall(ip("2001:db8::ffff:2")), Some(1));
        assert_eq!(memory.recall(ip("2001:db8:0:1::1")), None);
        assert_eq!(memory.recall(ip("192.0.2.1")), Some(2));
    }
}
