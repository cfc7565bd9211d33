//! A gate for each client address, while it is used.

use std::{net::IpAddr, sync::Arc};

use dashmap::DashMap;
use tokio::time::Instant;

use super::{Counts, Crowded, Gate, Kind, Pass, Queue, Refused, Scope, refusals::Refusals};
use crate::{clients::client, config};

/// The gates of clients. One that is as it was when it was new is forgotten, so what is kept are
/// the clients of the last moments.
#[derive(Debug)]
pub struct Clients {
    config: config::Gate,
    kind: Kind,
    gates: DashMap<IpAddr, Arc<Gate>>,
    counts: Arc<Counts>,
    refusals: Refusals,
}

/// The most gates that are kept, at a few hundred bytes each. A crowd of more addresses than that
/// is nothing that a limit of each could hold back, so further ones pass here, and the gates behind
/// this one stop them.
const MOST: usize = 100_000;

impl Clients {
    /// Gates for that `kind` as configured, for nobody yet, where those are counted with `counts` who
    /// come.
    #[must_use]
    pub fn new(config: config::Gate, kind: Kind, counts: Arc<Counts>) -> Self {
        Self {
            config,
            kind,
            gates: DashMap::new(),
            counts,
            refusals: Refusals::of(kind, Scope::Client, "all clients".to_owned()),
        }
    }

    /// The client at `ip` comes in, waiting if others of its own are before it.
    ///
    /// # Errors
    /// If too many are.
    pub async fn enter(&self, ip: IpAddr) -> Result<Pass, Crowded> {
        let Some(gate) = self.gate(client(ip)) else {
            return Ok(Pass::without_gate());
        };
        let entered = self.counts.enter(&gate).await;
        entered.map_err(|Refused| {
            self.refusals.add(Instant::now());
            Crowded {
                kind: self.kind,
                scope: Scope::Client,
            }
        })
    }

    /// Who waits at all of them, and what became of those who came.
    #[must_use]
    pub fn queue(&self) -> Queue {
        let most = self.config.has_limit().then_some(self.config.queue);
        self.counts.queue(most)
    }

    /// What counts those who come.
    #[must_use]
    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    /// Forgets clients of whom nothing is left to know, and tells the log if none is refused any
    /// more. To be called now and then.
    pub fn settle(&self) {
        let now = Instant::now();
        // A gate that somebody has in hand is about to be entered. Nobody else can take it while
        // it is looked at.
        let is_used = |gate: &Arc<Gate>| Arc::strong_count(gate) > 1 || !gate.is_as_new(now);
        self.gates.retain(|_, gate| is_used(gate));
        self.refusals.settle(now);
    }

    /// The client's gate; `None` if it needs none.
    fn gate(&self, client: IpAddr) -> Option<Arc<Gate>> {
        if !self.config.has_limit() {
            return None;
        }
        if let Some(gate) = self.gates.get(&client) {
            return Some(Arc::clone(&gate));
        }
        if self.gates.len() >= MOST {
            return None;
        }
        let new = || Arc::new(Gate::new(&self.config, Instant::now()));
        Some(Arc::clone(&self.gates.entry(client).or_insert_with(new)))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        num::{NonZeroU32, NonZeroUsize},
        time::Duration,
    };

    use futures_util::poll;
    use tokio::time::advance;

    use super::*;

    /// Two at once and one a second; a line of one.
    fn clients() -> Clients {
        let config = config::Gate {
            rate: Some(config::Rate {
                per_second: NonZeroU32::MIN,
                burst: NonZeroU32::new(2).unwrap(),
            }),
            handshakes: NonZeroUsize::new(2),
            queue: 1,
            queue_timeout: Duration::from_secs(5),
        };
        Clients::new(config, Kind::Handshakes, Arc::default())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn one_clients_crowd_is_no_other_clients_affair() {
        let clients = clients();
        let mut crowd = Vec::new();
        for _ in 0..2 {
            crowd.push(clients.enter(ip("192.0.2.1")).await.unwrap());
        }
        let mut third = Box::pin(clients.enter(ip("192.0.2.1")));
        assert!(poll!(&mut third).is_pending());
        let refused = clients.enter(ip("192.0.2.1")).await;
        assert_eq!(refused.unwrap_err().scope, Scope::Client);
        assert!(clients.enter(ip("192.0.2.2")).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_is_forgotten_once_there_is_nothing_to_know_of_it() {
        let clients = clients();
        let inside = clients.enter(ip("192.0.2.1")).await;
        advance(Duration::from_secs(60)).await;
        clients.settle();
        assert_eq!(clients.gates.len(), 1, "it is inside");

        drop(inside);
        let _ = clients.enter(ip("192.0.2.1")).await;
        clients.settle();
        assert_eq!(clients.gates.len(), 1, "it was here just now");

        advance(Duration::from_secs(1)).await;
        clients.settle();
        assert!(clients.gates.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_of_addresses_is_not_remembered_without_end() {
        let clients = clients();
        let crowd = u32::try_from(MOST).unwrap() + 10;
        for address in 0..crowd {
            assert!(
                clients
                    .enter(IpAddr::from(address.to_be_bytes()))
                    .await
                    .is_ok()
            );
        }
        assert_eq!(clients.gates.len(), MOST);
        advance(Duration::from_secs(1)).await;
        clients.settle();
        assert!(clients.gates.is_empty());
    }
}
