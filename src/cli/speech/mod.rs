//! How the commands speak: to people in words, tables and bars, to programs in JSON.

pub(crate) mod paint;
mod progress;
mod table;
pub(crate) mod words;

use std::io::{self, IsTerminal, Write};

use clap::Args;
use longwire::quote::visible_json;
use serde_json::Value;

pub(crate) use self::{
    progress::{Progress, Stage},
    table::{Cell, Column, Table},
};

/// To whom a command speaks.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Audience {
    /// Say it as JSON: as the proxy does, over several lines on a terminal and in one elsewhere.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Nobody reads any more what we say: there is nothing left to do, and nothing is wrong.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads this")]
pub(crate) struct Unheard;

impl Audience {
    /// Says `words`, or `json`.
    ///
    /// # Errors
    /// If nobody reads it, as all that is said.
    pub(crate) fn tell(self, json: &Value, words: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.json {
            true if io::stdout().is_terminal() => say(&visible_json(&format!("{json:#}"))),
            true => say(&visible_json(&json.to_string())),
            false => say(&words()),
        }
    }
}

/// Says something on stdout, without its colours where they are not wanted.
///
/// # Errors
/// [`Unheard`].
pub(crate) fn say(text: &str) -> anyhow::Result<()> {
    let mut stdout = anstream::stdout().lock();
    let said = writeln!(stdout, "{}", text.trim_end()).and_then(|()| stdout.flush());
    match said {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Unheard.into()),
        said => Ok(said?),
    }
}

/// Says on stderr what is good to know meanwhile, and no part of the answer.
pub(crate) fn mention(text: &str) {
    // Who does not read it does not want to know.
    let _ = writeln!(anstream::stderr(), "{text}");
}
