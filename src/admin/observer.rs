//! Looks at the proxy once a second: keeps what the last hour was like, and tells those who watch.

use std::{
    collections::{HashMap, VecDeque},
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use bytes::Bytes;
use tokio::{sync::watch, task::AbortHandle, time::interval};

use super::{
    api::{History, Now, Pool, Status},
    history::{Count, INTERVAL, Record, Span},
    view::{self, Facts},
};
use crate::{
    server::Control,
    supervision::{Task, supervised},
};

/// How many counts lie between two of a backend's trend: a minute.
const TREND_EVERY: usize = 60;

/// How many of these are kept: an hour.
const TREND: usize = 60;

/// Backends whose trend is kept.
const MOST_TRENDS: usize = 1_000;

/// Looks at the proxy once a second, until dropped.
#[derive(Debug)]
pub(super) struct Observer {
    seen: Arc<Seen>,
    looking: AbortHandle,
}

/// What was seen.
#[derive(Debug)]
struct Seen {
    control: Control,
    started: SystemTime,
    file: Option<PathBuf>,
    log_level: Mutex<String>,
    past: Mutex<Past>,
    /// The latest, written out, for those who watch.
    now: watch::Sender<Bytes>,
}

#[derive(Debug, Default)]
struct Past {
    record: Record,
    /// The tunnels of backends, by their pools and names, once a minute.
    trends: HashMap<(String, String), VecDeque<u32>>,
    since_trend: usize,
}

impl Observer {
    /// Begins to look. To be called on a Tokio runtime.
    pub(super) fn begin(control: &Control, file: Option<PathBuf>, log_level: String) -> Self {
        let seen = Arc::new(Seen {
            control: control.clone(),
            started: SystemTime::now(),
            file,
            log_level: Mutex::new(log_level),
            past: Mutex::default(),
            now: watch::Sender::default(),
        });
        let eyes = Arc::clone(&seen);
        let looking = supervised(Task::Observer, move || look(Arc::clone(&eyes)));
        let looking = tokio::spawn(looking).abort_handle();
        Self { seen, looking }
    }

    /// The process as it is now.
    pub(super) fn status(&self) -> Status {
        self.seen.status()
    }

    /// The pools as they are now.
    pub(super) fn pools(&self) -> Vec<Pool> {
        self.seen.pools()
    }

    pub(super) fn history(&self, span: Span) -> History {
        self.seen.past().record.history(span)
    }

    /// What is seen each second, as JSON.
    pub(super) fn watch(&self) -> watch::Receiver<Bytes> {
        self.seen.now.subscribe()
    }

    /// The configuration file, if there is one.
    pub(super) fn file(&self) -> Option<String> {
        let file = self.seen.file.as_ref();
        file.map(|file| file.display().to_string())
    }

    pub(super) fn log_level(&self) -> String {
        self.seen
            .log_level
            .lock()
            .expect("no holder panics")
            .clone()
    }

    /// Something else is logged from now on.
    pub(super) fn set_log_level(&self, level: String) {
        *self.seen.log_level.lock().expect("no holder panics") = level;
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.looking.abort();
    }
}

async fn look(seen: Arc<Seen>) {
    let mut seconds = interval(INTERVAL);
    loop {
        seconds.tick().await;
        seen.look();
    }
}

impl Seen {
    fn look(&self) {
        let registry = self.control.registry();
        let sums = self.control.proxy().counts().sums();
        let count = Count {
            at: SystemTime::now(),
            tunnels: registry.len(),
            opened: sums.opened,
            ended: sums.ended,
            requests: sums.requests,
            passed: registry.totals(),
        };
        let mut past = self.past();
        past.record.note(&count);
        past.note_trends(&self.control);
        drop(past);
        if self.now.receiver_count() > 0 {
            self.tell();
        }
    }

    fn tell(&self) {
        let now = Now {
            status: self.status(),
            pools: self.pools(),
            sample: self.past().record.last(),
        };
        if let Ok(text) = serde_json::to_vec(&now) {
            self.now.send_replace(text.into());
        }
    }

    fn status(&self) -> Status {
        let past = self.past();
        let facts = Facts {
            started: self.started,
            file: self.file.clone(),
            log_level: self.log_level.lock().expect("no holder panics").clone(),
            rates: past.record.rates(),
            round_trips: past.record.round_trips(),
        };
        drop(past);
        view::status(&self.control, facts)
    }

    fn pools(&self) -> Vec<Pool> {
        let past = self.past();
        view::pools(&self.control, |pool, backend| past.trend(pool, backend))
    }

    fn past(&self) -> MutexGuard<'_, Past> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Past {
    fn note_trends(&mut self, control: &Control) {
        self.since_trend += 1;
        if self.since_trend < TREND_EVERY {
            return;
        }
        self.since_trend = 0;
        let mut before = std::mem::take(&mut self.trends);
        for pool in &*control.pools() {
            for backend in pool.backends() {
                if self.trends.len() == MOST_TRENDS {
                    return;
                }
                let key = (pool.name().to_owned(), backend.name().to_owned());
                let mut trend = before.remove(&key).unwrap_or_default();
                if trend.len() == TREND {
                    trend.pop_front();
                }
                trend.push_back(u32::try_from(backend.tunnels()).unwrap_or(u32::MAX));
                self.trends.insert(key, trend);
            }
        }
    }

    fn trend(&self, pool: &str, backend: &str) -> Vec<u32> {
        let key = (pool.to_owned(), backend.to_owned());
        let trend = self.trends.get(&key);
        trend.into_iter().flatten().copied().collect()
    }
}
