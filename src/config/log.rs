//! `[log]`

use std::{path::PathBuf, time::Duration};

use tracing_subscriber::EnvFilter;

use super::{
    diagnostics::did_you_mean,
    field::Field,
    reading::Reported,
    section::Section,
    values::{boolean, duration, non_empty, one_of, or_off},
};

const A_LEVEL: &str = "a level such as \"info\", or \"info,longwire::tunnel=debug\"";
/// The word for no file.
const STDERR: &str = "stderr";

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// `[log]`: what is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// For eyes or for machines. Default: text.
    pub format: LogFormat,
    /// An event for each tunnel opened and ended and for each plain request. Default: true.
    pub access: bool,
    /// Whether access events carry query strings, in which tokens live. Default: false.
    pub query: bool,
    /// How often an open tunnel leaves a line; `None` is never. Default: never.
    pub tunnel_interval: Option<Duration>,
    /// The file that is written to; `None` is stderr. Default: stderr.
    pub file: Option<PathBuf>,
    /// The least severe level that is logged, or `target=level` pairs beside it. Default: `info`.
    pub level: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// A line for eyes.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];

/// Why something is no level.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadLevel {
    /// A word that is none of the levels.
    #[error("`{0}` is no level: expected {A_LEVEL}")]
    Misspelt(String),
    /// It cannot be understood.
    #[error("it cannot be understood: {0}: expected {A_LEVEL}")]
    Unreadable(String),
}

impl Log {
    /// Whether `written` says what is logged.
    ///
    /// # Errors
    /// If not.
    pub fn check_level(written: &str) -> Result<(), BadLevel> {
        if written.trim().is_empty() {
            // The filter would log errors alone.
            return Err(BadLevel::Misspelt(written.to_owned()));
        }
        for directive in written.split(',').map(str::trim) {
            // The filter would take a misspelt level for a target, and log all of it and nothing
            // else.
            let is_word = !directive.is_empty() && directive.chars().all(char::is_alphabetic);
            let is_level = LEVELS
                .iter()
                .any(|level| directive.eq_ignore_ascii_case(level));
            if is_word && !is_level {
                return Err(BadLevel::Misspelt(directive.to_owned()));
            }
        }
        let read = EnvFilter::builder().parse(written);
        read.map(drop)
            .map_err(|error| BadLevel::Unreadable(error.to_string()))
    }

    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        Ok(Self {
            format: section.or("format", |field| one_of(field, &FORMATS), LogFormat::Text),
            access: section.or("access", boolean, true),
            query: section.or("query", boolean, false),
            tunnel_interval: section.or("tunnel_interval", tunnel_interval, None),
            file: section.or("file", file, None),
            level: section.or("level", level, "info".to_owned()),
        })
    }
}

fn tunnel_interval(field: &Field<'_>) -> Result<Option<Duration>, Reported> {
    let interval = or_off(field, duration)?;
    match interval {
        Some(short) if short < Duration::from_secs(1) => {
            let message = "`tunnel_interval` is too short";
            Err(field.fault(message, "expected at least 1 s, or \"off\""))
        }
        interval => Ok(interval),
    }
}

/// The file, or stderr.
fn file(field: &Field<'_>) -> Result<Option<PathBuf>, Reported> {
    let written = non_empty(field, "the path of a file, or \"stderr\"")?;
    Ok((written != STDERR).then(|| field.resolve(written)))
}

fn level(field: &Field<'_>) -> Result<String, Reported> {
    let written = non_empty(field, A_LEVEL)?;
    match Log::check_level(written) {
        Ok(()) => Ok(written.to_owned()),
        Err(BadLevel::Misspelt(word)) => {
            let expected = || format!("expected {A_LEVEL}");
            let message = format!("`{word}` is no level");
            Err(field.fault(message, did_you_mean(&word, LEVELS, expected)))
        }
        Err(BadLevel::Unreadable(error)) => {
            let message = format!("`level` cannot be understood: {error}");
            Err(field.fault(message, format!("expected {A_LEVEL}")))
        }
    }
}
