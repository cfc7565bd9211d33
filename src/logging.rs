//! The log on stderr.

use std::io::{self, IsTerminal};

use anyhow::Context;
use longwire::config::{Log, LogFormat};
use tracing::warn;
use tracing_subscriber::{
    EnvFilter, Registry, fmt, layer::SubscriberExt, reload, util::SubscriberInitExt,
};

/// The log, of which the level can be changed.
pub(crate) struct Logging {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Logging {
    /// Begins to log as configured.
    ///
    /// # Errors
    /// If the level is none.
    pub(crate) fn begin(config: &Log) -> anyhow::Result<Self> {
        let (level, handle) = reload::Layer::new(filter(config)?);
        let lines = fmt::layer()
            .with_writer(io::stderr)
            .with_ansi(io::stderr().is_terminal())
            // Complaints about stderr would go to stderr, and panic where nobody reads it any more.
            .log_internal_errors(false);
        let log = tracing_subscriber::registry().with(level);
        match config.format {
            LogFormat::Text => log.with(lines).init(),
            LogFormat::Json => log.with(lines.json().flatten_event(true)).init(),
        }
        Ok(Self { filter: handle })
    }

    /// Logs at another level from now on.
    pub(crate) fn change(&self, config: &Log) {
        let changed = filter(config).and_then(|filter| Ok(self.filter.reload(filter)?));
        if let Err(error) = changed {
            warn!(error = format!("{error:#}"), "the level of the log stays");
        }
    }
}

fn filter(config: &Log) -> anyhow::Result<EnvFilter> {
    EnvFilter::try_new(&config.level).context("log.level")
}
