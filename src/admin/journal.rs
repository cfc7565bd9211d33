//! What has happened that an operator wants to know of: the log's own lines about the proxy, its
//! pools and its configuration, without those about single requests.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::SystemTime,
};

use tokio::sync::broadcast;
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::Targets,
    layer::{Context, Layer},
    registry::LookupSpan,
};

use super::{api::Entry, view::unix};
use crate::{
    metrics::{Count, Counter},
    quote::{PARAGRAPH, Quoted, visible_lines},
};

/// Entries that are kept.
const KEPT: usize = 500;

/// Entries that a slow reader may be behind.
const BEHIND: usize = 256;

/// The targets whose lines are kept, with what stands below them; requests have others.
const TARGETS: [&str; 7] = [
    "longwire::server",
    "longwire::pool",
    "longwire::admin",
    "longwire::operate",
    "longwire::start",
    "longwire::logging",
    "longwire::supervision",
];

/// What has happened so far, and where it is told as it happens.
#[derive(Debug)]
pub struct Journal {
    entries: Mutex<Entries>,
    /// Lines that the log has dropped.
    dropped_lines: Counter,
    news: broadcast::Sender<Entry>,
}

#[derive(Debug, Default)]
struct Entries {
    kept: VecDeque<Entry>,
    last: u64,
}

/// Writes the journal.
#[derive(Debug)]
struct Chronicler(Arc<Journal>);

impl Journal {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self {
            entries: Mutex::default(),
            dropped_lines: Counter::default(),
            news: broadcast::Sender::new(BEHIND),
        }
    }

    /// The layer of the log that writes it.
    #[must_use]
    pub fn layer<S>(self: Arc<Self>) -> impl Layer<S>
    where
        S: Subscriber + for<'lookup> LookupSpan<'lookup>,
    {
        let told = TARGETS.map(|target| (target, Level::INFO));
        Chronicler(self).with_filter(Targets::new().with_targets(told))
    }

    /// What was kept after the entry with that number, and what comes from now on.
    #[must_use]
    pub fn since(&self, id: u64) -> (Vec<Entry>, broadcast::Receiver<Entry>) {
        // Under the lock, so that nothing is missed or told twice.
        let entries = self.entries();
        let news = self.news.subscribe();
        // One that is not there yet is another process's: then all is news.
        let id = if id > entries.last { 0 } else { id };
        let kept = entries.kept.iter().filter(|entry| entry.id > id);
        (kept.cloned().collect(), news)
    }

    /// Takes note that the log has dropped so many lines, as nobody read it fast enough.
    pub fn note_dropped_lines(&self, lines: u64) {
        self.dropped_lines.add(lines);
    }

    /// Returns how many lines the log has dropped.
    #[must_use]
    pub fn dropped_lines(&self) -> u64 {
        self.dropped_lines.value()
    }

    fn note(&self, level: Level, message: String, fields: BTreeMap<String, String>) {
        let mut entries = self.entries();
        entries.last += 1;
        let entry = Entry {
            id: entries.last,
            at: unix(SystemTime::now()),
            level: level.as_str().to_lowercase(),
            message,
            fields,
        };
        if entries.kept.len() == KEPT {
            entries.kept.pop_front();
        }
        entries.kept.push_back(entry.clone());
        // Nobody may be listening.
        let _ = self.news.send(entry);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Journal {
    fn default() -> Self {
        Self::new()
    }
}

impl<S: Subscriber> Layer<S> for Chronicler {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0
            .note(*event.metadata().level(), words.message, words.fields);
    }
}

/// What an event says.
#[derive(Debug, Default)]
struct Words {
    message: String,
    fields: BTreeMap<String, String>,
}

impl Words {
    /// Others' words are cut and escaped, whoever has forgotten to; the message is ours, and may have
    /// several lines.
    fn put(&mut self, field: &Field, value: impl fmt::Display) {
        match field.name() {
            "message" => self.message = visible_lines(&value.to_string()),
            name => {
                let value = Quoted::within(value, PARAGRAPH).to_string();
                self.fields.insert(name.to_owned(), value);
            }
        }
    }
}

impl Visit for Words {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing::{debug, info, subscriber::with_default, warn};
    use tracing_subscriber::{layer::SubscriberExt, registry};

    use super::*;

    fn kept(journal: &Journal, since: u64) -> Vec<String> {
        let (kept, _) = journal.since(since);
        kept.into_iter().map(|entry| entry.message).collect()
    }

    #[test]
    fn it_keeps_what_the_log_says_of_pools_and_not_what_it_says_of_requests() {
        let journal = Arc::new(Journal::new());
        with_default(registry().with(Arc::clone(&journal).layer()), || {
            warn!(target: "longwire::pool", pool = "main", reason = "refused", "the backend is down");
            info!(target: "longwire::access", "request");
            warn!(target: "longwire::proxy", "a request failed");
            debug!(target: "longwire::pool", "too small");
            info!(target: "longwire::server::reload", listeners = 2, "reloaded");
        });
        let (kept, _) = journal.since(0);
        let messages: Vec<_> = kept.iter().map(|entry| &*entry.message).collect();
        assert_eq!(messages, ["the backend is down", "reloaded"]);
        assert_eq!((kept[0].id, &*kept[0].level), (1, "warn"));
        assert_eq!(kept[0].fields["pool"], "main");
        assert_eq!(kept[1].fields["listeners"], "2");
    }

    #[test]
    fn whoever_comes_back_gets_what_was_missed_and_then_what_is_new() {
        let journal = Journal::new();
        let note = |message: &str| journal.note(Level::INFO, message.to_owned(), BTreeMap::new());
        note("first");
        note("second");
        let (missed, mut news) = journal.since(1);
        assert_eq!(missed.len(), 1);
        note("third");
        assert_eq!(news.try_recv().unwrap().message, "third");
        assert_eq!(kept(&journal, 1_000).len(), 3, "it knows another process");
        assert!(news.try_recv().is_err());
    }

    #[test]
    fn it_takes_the_same_memory_however_much_has_happened() {
        let journal = Journal::new();
        for number in 0..2 * KEPT {
            journal.note(Level::INFO, number.to_string(), BTreeMap::new());
        }
        let all = kept(&journal, 0);
        assert_eq!((all.len(), &*all[0]), (KEPT, "500"));
    }
}
