use std::{
    io::{self, Write},
    sync::{Arc, LazyLock, Mutex},
};

use longwire::admin::Journal;
use serde_json::Value;
use tracing::{Dispatch, subscriber::DefaultGuard};
use tracing_subscriber::{Layer, filter::LevelFilter, layer::SubscriberExt, registry};

/// What is logged on the test's own thread, from when it was begun until it is dropped.
pub(crate) struct Log {
    written: Written,
    /// What operators are told of it.
    pub(crate) journal: Arc<Journal>,
    _guard: DefaultGuard,
}

/// As long as there is but one subscriber, tracing asks that of the thread that comes first to an
/// event whether anybody wants it: a test that does not listen would silence those that do.
static ANOTHER: LazyLock<Dispatch> =
    LazyLock::new(|| Dispatch::new(tracing_subscriber::fmt().with_writer(io::sink).finish()));

#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn begin() -> Self {
        LazyLock::force(&ANOTHER);
        let written = Written::default();
        let writer = written.clone();
        let lines = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_writer(move || writer.clone())
            .with_filter(LevelFilter::INFO);
        let journal = Arc::new(Journal::new());
        let subscriber = registry().with(lines).with(Arc::clone(&journal).layer());
        Self {
            written,
            journal,
            _guard: tracing::subscriber::set_default(subscriber),
        }
    }

    /// Every event so far with that message.
    pub(crate) fn events(&self, message: &str) -> Vec<Value> {
        let written = self.written.0.lock().unwrap();
        let lines = written.split(|byte| *byte == b'\n');
        let events = lines.filter_map(|line| serde_json::from_slice::<Value>(line).ok());
        events.filter(|event| event["message"] == message).collect()
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
