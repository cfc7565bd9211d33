//! The log on stderr, and the journal that the operator's door tells from.

mod repetition;

use std::{
    io::{self, IsTerminal},
    sync::Arc,
};

use anyhow::Context;
use longwire::{
    admin::Journal,
    config::{Log, LogFormat},
};
use tracing_subscriber::{
    EnvFilter, Layer, Registry, filter::FilterExt, fmt, layer::SubscriberExt, reload,
    util::SubscriberInitExt,
};

use self::repetition::Repetition;

/// The log, of which the level can be changed.
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
    pub(crate) journal: Arc<Journal>,
    repetition: Repetition,
}

impl Logging {
    /// Begins to log as configured.
    ///
    /// # Errors
    /// If the level is none.
    pub(crate) fn begin(config: &Log) -> anyhow::Result<Self> {
        let (level, handle) = reload::Layer::new(filter(&config.level)?);
        let (journal, repetition) = (Arc::new(Journal::new()), Repetition::default());
        let lines = fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            // Complaints about stderr would go to stderr, and panic where nobody reads it any more.
            .log_internal_errors(false);
        let lines = match config.format {
            LogFormat::Text => lines.boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let wanted = level.and(repetition.clone());
        tracing_subscriber::registry()
            .with(lines.with_filter(wanted))
            .with(Arc::clone(&journal).layer())
            .init();
        Ok(Self {
            filter: handle,
            journal,
            repetition,
        })
    }

    /// Logs at another level from now on.
    ///
    /// # Errors
    /// If it is none.
    pub(crate) fn change(&self, level: &str) -> anyhow::Result<()> {
        Ok(self.filter.reload(filter(level)?)?)
    }

    /// Says now and then how often what is left out has been repeated. It does not end.
    pub(crate) fn sum_up(&self) -> impl Future<Output = ()> + use<> {
        self.repetition.clone().sum_up()
    }
}

fn filter(level: &str) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(level).context("log.level")
}
