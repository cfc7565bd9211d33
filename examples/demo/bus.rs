//! What all backends share: in real life a message bus and a database, here a channel and a lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Value, json};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// How much of what was said a newcomer is told.
const REMEMBERED: usize = 50;

/// How far a listener may fall behind before it misses something.
const BACKLOG: usize = 256;

/// The bus.
#[derive(Debug)]
pub(crate) struct Bus {
    events: Sender<Value>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    said: VecDeque<Value>,
    last_id: u64,
    members: Vec<Member>,
}

/// A backend as everybody sees it.
#[derive(Debug)]
struct Member {
    name: String,
    address: String,
    is_running: bool,
    people: usize,
}

/// A person on a backend, counted until dropped.
#[derive(Debug)]
pub(crate) struct Presence {
    bus: Arc<Bus>,
    member: usize,
}

impl Bus {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            events: Sender::new(BACKLOG),
            state: Mutex::default(),
        })
    }

    /// A new backend's number on the bus.
    pub(crate) fn add(&self, name: &str, address: String) -> usize {
        let mut state = self.state();
        state.members.push(Member {
            name: name.to_owned(),
            address,
            is_running: false,
            people: 0,
        });
        state.members.len() - 1
    }

    pub(crate) fn set_running(&self, member: usize, is_running: bool) {
        self.change(|members| members[member].is_running = is_running);
    }

    /// Counts a person on that backend.
    pub(crate) fn enter(self: &Arc<Self>, member: usize) -> Presence {
        self.change(|members| members[member].people += 1);
        Presence {
            bus: Arc::clone(self),
            member,
        }
    }

    /// Tells everybody on every backend.
    pub(crate) fn say(&self, via: &str, person: &str, name: &str, text: &str) {
        let mut state = self.state();
        let now = unix_millis();
        // Numbers go on rising over a restart, so that a page can tell what it has seen.
        state.last_id = now.max(state.last_id + 1);
        let event = json!({
            "type": "said", "id": state.last_id, "at": now,
            "person": person, "name": name, "text": text, "via": via,
        });
        if state.said.len() == REMEMBERED {
            state.said.pop_front();
        }
        state.said.push_back(event.clone());
        self.send(event);
    }

    /// What was said so far, the backends as they are, and everything from now on.
    pub(crate) fn join(&self) -> (Value, Value, Receiver<Value>) {
        let state = self.state();
        let said = state.said.iter().cloned().collect();
        (said, roll(&state.members), self.events.subscribe())
    }

    /// Every backend, whether it runs, and how many people it serves.
    pub(crate) fn roll(&self) -> Value {
        roll(&self.state().members)
    }

    fn change(&self, change: impl FnOnce(&mut [Member])) {
        let mut state = self.state();
        change(&mut state.members);
        self.send(json!({"type": "backends", "backends": roll(&state.members)}));
    }

    fn send(&self, event: Value) {
        // It fails only while nobody listens.
        let _ = self.events.send(event);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        self.bus.change(|members| members[self.member].people -= 1);
    }
}

fn roll(members: &[Member]) -> Value {
    let members = members.iter().map(|member| {
        json!({
            "name": member.name, "address": member.address,
            "running": member.is_running, "people": member.people,
        })
    });
    members.collect()
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(0))
}

/// The next event. One that has fallen behind goes on with the oldest that is left.
pub(crate) async fn next(events: &mut Receiver<Value>) -> Option<Value> {
    loop {
        match events.recv().await {
            Ok(event) => return Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return None,
        }
    }
}
