//! The log on stderr or in a file, and the journal that the operator's door tells from.

mod fields;
mod output;
mod queue;
mod repetition;

use std::{
    io::{self, IsTerminal},
    panic::{self, PanicHookInfo},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use anyhow::Context;
use longwire::{
    admin::Journal,
    config::{Log, LogFormat},
    quote::Quoted,
    supervision::{Task, supervised},
};
use tracing::{error, info};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::FilterExt, fmt, layer::SubscriberExt, reload,
    util::SubscriberInitExt,
};

pub(crate) use self::output::Output;
use self::{
    fields::{Fields, Visible},
    queue::Queue,
    repetition::Repetition,
};

/// How long the last lines may take to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// The log, of which the level and the file can be changed. When it is dropped, what was logged is
/// written, unless nobody takes it.
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    pub(crate) journal: Arc<Journal>,
    repetition: Repetition,
    queue: Queue,
    /// The file that is written to, if it is not stderr.
    file: Option<PathBuf>,
}

impl Logging {
    /// Begins to log as configured.
    ///
    /// # Errors
    /// If the level is none, or the file cannot be opened.
    pub(crate) fn begin(config: &Log) -> anyhow::Result<Self> {
        let (level, handle) = reload::Layer::new(filter(&config.level)?);
        let (journal, repetition) = (Arc::new(Journal::new()), Repetition::default());
        let output = Output::open(config.file.as_deref())?;
        let queue = Queue::begin(output, Arc::clone(&journal)).context("cannot begin to log")?;
        let lines = fmt::layer()
            .with_ansi(config.file.is_none() && io::stderr().is_terminal())
            // Complaints about the log would go to stderr, and panic where nobody reads it.
            .log_internal_errors(false);
        let lines = match config.format {
            LogFormat::Text => lines.fmt_fields(Fields).with_writer(queue.clone()).boxed(),
            LogFormat::Json => lines
                .json()
                .flatten_event(true)
                .with_writer(Visible::of(queue.clone()))
                .boxed(),
        };
        let wanted = level.and(repetition.clone());
        tracing_subscriber::registry()
            .with(lines.with_filter(wanted))
            .with(Arc::clone(&journal).layer())
            .init();
        panic::set_hook(Box::new(log_panic));
        Ok(Self {
            filter: handle,
            journal,
            repetition,
            queue,
            file: config.file.clone(),
        })
    }

    /// Logs at another level from now on.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn change(&self, level: &str) -> anyhow::Result<()> {
        Ok(self.filter.reload(filter(level)?)?)
    }

    /// Opens the file, or stderr, if that is not where the log goes now.
    ///
    /// # Errors
    /// If it cannot be opened.
    pub(crate) fn open_other(&self, file: Option<&Path>) -> anyhow::Result<Option<Output>> {
        let is_other = self.file.as_deref() != file;
        is_other.then(|| Output::open(file)).transpose()
    }

    /// Logs to `output` from now on, which is that `file`.
    pub(crate) fn move_to(&mut self, file: Option<PathBuf>, output: Output) {
        self.file = file;
        self.queue.write_to(output);
    }

    /// Opens the file again, since the one that is written to may have been moved away.
    pub(crate) fn reopen(&self) {
        let Some(file) = &self.file else {
            info!("the log goes to stderr: there is no file to open again");
            return;
        };
        match Output::open(Some(file)) {
            Ok(output) => {
                self.queue.write_to(output);
                info!("the log was opened again");
            }
            Err(error) => {
                let error = format!("{error:#}");
                error!(
                    error,
                    "the log cannot be opened again: the old file is kept"
                );
            }
        }
    }

    /// Says now and then how often what is left out has been repeated. It does not end.
    pub(crate) fn sum_up(&self) -> impl Future<Output = ()> + use<> {
        let repetition = self.repetition.clone();
        supervised(Task::Repetition, move || repetition.clone().sum_up())
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        self.queue.flush(LAST_LINES);
    }
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(level).context("log.level")
}

/// Logs a panic like everything else: what the standard library writes to stderr would have the
/// thread stand still where nobody reads that.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = thread::current();
    let place = panic.location().map(ToString::to_string);
    let message = panic.payload_as_str().unwrap_or("without a word");
    error!(
        thread = thread.name(),
        place,
        "panicked: {}",
        Quoted::sentence(message)
    );
}
