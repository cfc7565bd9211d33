use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use longwire::websocket::Role;
use tokio::{sync::Notify, time::timeout};

/// A conversation that does not go on for so long never will.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is known of all conversations of a crowd.
pub(super) struct Ledger {
    /// Answers that everybody has heard, in all.
    answers: AtomicU64,
    /// The same of each conversation: of its client, and of its backend.
    own: Vec<[AtomicU32; 2]>,
    most_overtaken: AtomicU64,
    is_over: AtomicBool,
    ended: Vec<AtomicBool>,
    faults: Mutex<Vec<String>>,
    changed: Notify,
}

impl Ledger {
    pub(super) fn of(tunnels: usize) -> Self {
        Self {
            answers: AtomicU64::new(0),
            own: (0..tunnels).map(|_| Default::default()).collect(),
            most_overtaken: AtomicU64::new(0),
            is_over: AtomicBool::new(false),
            ended: (0..tunnels).map(|_| AtomicBool::new(false)).collect(),
            faults: Mutex::default(),
            changed: Notify::new(),
        }
    }

    pub(super) fn tunnels(&self) -> usize {
        self.own.len()
    }

    pub(super) fn answers(&self) -> u64 {
        self.answers.load(Relaxed)
    }

    /// One side has heard the answer to what it said when everybody had heard so many `before`.
    pub(super) fn note_answer(&self, tunnel: usize, side: Role, before: u64) {
        let overtaken = self.answers.fetch_add(1, Relaxed) - before;
        self.most_overtaken.fetch_max(overtaken, Relaxed);
        self.own[tunnel][usize::from(side == Role::Server)].fetch_add(1, Relaxed);
        self.changed.notify_waiters();
    }

    /// How many answers, at the most, were heard by others while one was waited for.
    pub(super) fn most_overtaken(&self) -> u64 {
        self.most_overtaken.load(Relaxed)
    }

    pub(super) fn note_end(&self, tunnel: usize) {
        self.ended[tunnel].store(true, Relaxed);
        self.changed.notify_waiters();
    }

    pub(super) fn note_fault(&self, fault: String) {
        self.faults.lock().unwrap().push(fault);
        self.changed.notify_waiters();
    }

    /// Nothing was lost, doubled, changed or put into another order, and nobody was cut off.
    pub(super) fn is_without_fault(&self) {
        let faults = self.faults.lock().unwrap();
        assert!(faults.is_empty(), "{} faults: {faults:#?}", faults.len());
    }

    /// Has nobody begin to say anything more.
    pub(super) fn end(&self) {
        self.is_over.store(true, Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Relaxed)
    }

    /// Waits until both sides of every conversation have heard so many more answers, or it has
    /// ended.
    pub(super) async fn goes_on_for(&self, more: u32) {
        let before: Vec<_> = self.own.iter().map(so_far).collect();
        let has_gone_on = |tunnel: usize| {
            let now = so_far(&self.own[tunnel]);
            let both = now.iter().zip(before[tunnel]);
            self.ended[tunnel].load(Relaxed)
                || both.into_iter().all(|(now, was)| *now >= was + more)
        };
        let mut left: Vec<_> = (0..self.own.len()).collect();
        let all = async {
            loop {
                let changed = self.changed.notified();
                self.is_without_fault();
                // The last one decides, as long as it has not gone on.
                while left.last().is_some_and(|tunnel| has_gone_on(*tunnel)) {
                    left.pop();
                }
                if left.is_empty() {
                    return;
                }
                changed.await;
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            left.retain(|tunnel| !has_gone_on(*tunnel));
            panic!("these do not go on: {left:?}");
        }
    }
}

fn so_far(own: &[AtomicU32; 2]) -> [u32; 2] {
    [own[0].load(Relaxed), own[1].load(Relaxed)]
}
