//! What the proxy says, second by second.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use longwire::admin::api::{History, Page, Pool, Pools, Query, Sample, Sort, Status, Tunnel};
use serde_json::{Value, json};
use tokio::{
    sync::{mpsc, watch},
    time::{MissedTickBehavior, interval},
    try_join,
};

use super::LOOK;
use crate::cli::client::{Answer, Client, Path};

/// How many tunnels are looked at.
const TUNNELS: usize = 100;

/// How long the history is that we look at, in seconds.
const SPAN: u32 = 300;

/// Everything that is shown of one moment.
#[derive(Debug, Clone)]
pub(super) struct Moment {
    pub(super) status: Status,
    pub(super) pools: Vec<Pool>,
    pub(super) history: History,
    pub(super) tunnels: Vec<Busy>,
}

/// A tunnel, and how much it carries.
#[derive(Debug, Clone)]
pub(super) struct Busy {
    pub(super) tunnel: Tunnel,
    /// Unknown at the first look.
    pub(super) pace: Option<Pace>,
}

/// What a tunnel carries in a second, both ways.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) messages: f64,
    pub(super) bytes: f64,
}

/// Looks again and again.
#[derive(Debug)]
pub(super) struct Feed {
    client: Client,
    sort: watch::Receiver<Sort>,
    before: HashMap<u64, Tunnel>,
    looked_at: Instant,
}

/// The process, its pools and its last second, as one value.
///
/// # Errors
/// If the proxy cannot be asked.
pub(super) async fn now(client: &Client) -> anyhow::Result<Value> {
    let [status, pools] = [["status"], ["pools"]].map(Path::api);
    let (status, pools, history) = try_join!(
        client.get::<Status>(&status),
        client.get::<Pools>(&pools),
        history(client),
    )?;
    let sample = last(&history.value).unwrap_or_default();
    Ok(json!({"status": status.json, "pools": pools.json["pools"], "sample": sample}))
}

async fn history(client: &Client) -> anyhow::Result<Answer<History>> {
    let span = json!({"span": SPAN});
    client.get(&Path::api(["history"]).with(&span)).await
}

/// The last row of the columns.
fn last(history: &History) -> Option<Sample> {
    Some(Sample {
        at: *history.at.last()?,
        tunnels: *history.tunnels.last()?,
        opened: *history.opened.last()?,
        ended: *history.ended.last()?,
        client_messages: *history.client_messages.last()?,
        backend_messages: *history.backend_messages.last()?,
        client_bytes: *history.client_bytes.last()?,
        backend_bytes: *history.backend_bytes.last()?,
        requests: *history.requests.last()?,
        client_p50: *history.client_p50.last()?,
        client_p99: *history.client_p99.last()?,
        backend_p50: *history.backend_p50.last()?,
        backend_p99: *history.backend_p99.last()?,
    })
}

impl Feed {
    pub(super) fn new(client: Client, sort: watch::Receiver<Sort>) -> Self {
        Self {
            client,
            sort,
            before: HashMap::new(),
            looked_at: Instant::now(),
        }
    }

    /// Tells what it sees, or why it sees nothing, each second and when something else is to be
    /// looked at.
    pub(super) async fn run(mut self, looks: mpsc::Sender<anyhow::Result<Moment>>) {
        let mut seconds = interval(LOOK);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        seconds.tick().await;
        loop {
            tokio::select! {
                _ = seconds.tick() => {}
                Ok(()) = self.sort.changed() => {}
            }
            let moment = self.look().await;
            if looks.send(moment).await.is_err() {
                return;
            }
        }
    }

    /// What there is to be seen now.
    ///
    /// # Errors
    /// If the proxy cannot be asked.
    pub(super) async fn look(&mut self) -> anyhow::Result<Moment> {
        let query = Query {
            sort: *self.sort.borrow_and_update(),
            descending: true,
            limit: Some(TUNNELS),
            ..Query::default()
        };
        let busiest = Path::api(["tunnels"]).with(&query);
        let [status, pools] = [["status"], ["pools"]].map(Path::api);
        let (status, pools, history, page) = try_join!(
            self.client.get::<Status>(&status),
            self.client.get::<Pools>(&pools),
            history(&self.client),
            self.client.get::<Page>(&busiest),
        )?;
        Ok(Moment {
            status: status.value,
            pools: pools.value.pools,
            history: history.value,
            tunnels: self.paced(page.value.tunnels),
        })
    }

    fn paced(&mut self, tunnels: Vec<Tunnel>) -> Vec<Busy> {
        let passed = self.looked_at.elapsed();
        self.looked_at = Instant::now();
        let now = tunnels.iter().map(|tunnel| (tunnel.id, tunnel.clone()));
        let before = std::mem::replace(&mut self.before, now.collect());
        let busy = tunnels.into_iter().map(|tunnel| Busy {
            pace: before
                .get(&tunnel.id)
                .map(|then| pace(then, &tunnel, passed)),
            tunnel,
        });
        busy.collect()
    }
}

/// What a tunnel has carried since it was `then`.
fn pace(then: &Tunnel, now: &Tunnel, passed: Duration) -> Pace {
    let per_second = |then: u64, now: u64| now.saturating_sub(then) as f64 / passed.as_secs_f64();
    Pace {
        messages: per_second(
            then.client_messages + then.backend_messages,
            now.client_messages + now.backend_messages,
        ),
        bytes: per_second(
            then.client_bytes + then.backend_bytes,
            now.client_bytes + now.backend_bytes,
        ),
    }
}
