//! `[log]`

use tracing_subscriber::EnvFilter;

use super::{
    diagnostics::did_you_mean,
    field::Field,
    reading::Reported,
    section::Section,
    values::{boolean, non_empty, one_of},
};

const A_LEVEL: &str = "a level such as \"info\", or \"info,longwire::tunnel=debug\"";
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

impl Log {
    pub(super) fn read(section: &Section<'_>) -> Result<Self, Reported> {
        Ok(Self {
            format: section.or("format", |field| one_of(field, &FORMATS), LogFormat::Text),
            access: section.or("access", boolean, true),
            query: section.or("query", boolean, false),
            level: section.or("level", level, "info".to_owned()),
        })
    }
}

fn level(field: &Field<'_>) -> Result<String, Reported> {
    let written = non_empty(field, A_LEVEL)?;
    for directive in written.split(',').map(str::trim) {
        // The filter would take a misspelt level for a target, and log all of it and nothing else.
        let is_word = !directive.is_empty() && directive.chars().all(char::is_alphabetic);
        let is_level = LEVELS
            .iter()
            .any(|level| directive.eq_ignore_ascii_case(level));
        if is_word && !is_level {
            let expected = || format!("expected {A_LEVEL}");
            let message = format!("`{directive}` is no level");
            return Err(field.fault(message, did_you_mean(directive, LEVELS, expected)));
        }
    }
    match EnvFilter::builder().parse(written) {
        Ok(_) => Ok(written.to_owned()),
        Err(error) => {
            let message = format!("`level` cannot be understood: {error}");
            Err(field.fault(message, format!("expected {A_LEVEL}")))
        }
    }
}
